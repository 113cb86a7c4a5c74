"""Is the image one that may be deployed: its size, user, base, and the state of the work tree?"""

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, ByteSize, PositiveInt

from pipeline.model import Artifact, BaseImage, BuiltImage, PlatformImage, Reason, Verdict
from pipeline.reference import Reference
from policies.rule import Rule, plural, size


def _allowed_image(value: str) -> str:
    if value != "scratch" and "*" not in value:
        Reference.parse(value)
    return value


AllowedImage = Annotated[str, AfterValidator(_allowed_image)]


class ImageRule(Rule):
    """Limits on what is built."""

    rule: Literal["image"]
    maximum_size: ByteSize | None = None
    """Size of all layers of one platform, compressed as they are pushed, such as 2GiB."""
    maximum_layers: PositiveInt | None = None
    """Layers of one platform; engines stop at about 125."""
    allow_root: bool = True
    """Whether the image may run as root."""
    allow_dirty: bool = True
    """Whether it may be built from a work tree that differs from the commit."""
    base_images: tuple[AllowedImage, ...] | None = None
    """Base images that are allowed: `python`, `python:3.12-slim`, `example.com/base/*`, `scratch`."""
    base_digest_required: bool = False
    """Whether the digest of the base image has to be known."""

    judges: ClassVar[type[Artifact]] = BuiltImage

    def judge(self, artifact: BuiltImage) -> Verdict:
        """Return the verdict on an image."""
        reasons = (
            *self._of_platforms(artifact),
            *self._of_source(artifact),
            *self._of_base(artifact.base),
            *self._of_model_image(artifact),
        )
        users = {"root" if _is_root(image) else image.user for image in artifact.platforms}
        dirty = ", from a changed work tree" if artifact.dirty else ""
        return self.verdict(
            reasons, f"{size(artifact.size_bytes)}, runs as {' or '.join(sorted(users))}{dirty}"
        )

    def _of_platforms(self, image: BuiltImage) -> Iterator[Reason]:
        for platform in image.platforms:
            yield from self._of_platform(image, platform)

    def _of_platform(self, image: BuiltImage, platform: PlatformImage) -> Iterator[Reason]:
        application = sum(layer.size_bytes for layer in platform.application_layers)
        model = sum(layer.descriptor.size_bytes for layer in image.weights)
        total = application + model
        if self.maximum_size is not None and total > self.maximum_size:
            yield Reason(
                message=f"{platform.platform}: {size(total)} ({size(application)} application,"
                f" {size(model)} model); at most {size(self.maximum_size)} is allowed",
                advice="Leave build tools and caches out of the last stage, use a smaller base or model.",
            )
        layers = len(platform.application_layers) + len(image.model_layers)
        if self.maximum_layers is not None and layers > self.maximum_layers:
            yield Reason(
                message=f"{platform.platform}: {plural(layers, 'layer')}; at most {self.maximum_layers}",
                advice="Join RUN and COPY lines of the Dockerfile.",
            )
        if not self.allow_root and _is_root(platform):
            yield Reason(
                message=f"{platform.platform}: the image runs as root",
                advice="Add a user and a `USER` line to the Dockerfile, such as `USER 10001`.",
            )

    def _of_source(self, image: BuiltImage) -> Iterator[Reason]:
        if image.dirty and not self.allow_dirty:
            yield Reason(
                message=f"the work tree differs from commit {image.revision[:12]}, so nobody can build this",
                advice="Commit the changes (`git status` lists them) and run again.",
            )

    def _of_model_image(self, image: BuiltImage) -> Iterator[Reason]:
        """Judge what the weights' own image begins with; that it may be nothing needs no permission."""
        base = image.model_image.base if image.model_image is not None else None
        for reason in self._of_base(base) if base is not None else ():
            yield Reason(message=f"model image: {reason.message}", advice="Change or pin `model.base`.")

    def _of_base(self, base: BaseImage | None) -> Iterator[Reason]:
        if self.base_images is not None and not any(_fits(base, one) for one in self.base_images):
            found = base.name if base else "unknown"
            yield Reason(
                message=f"the base image is {found}; allowed are {', '.join(self.base_images) or 'none'}",
                advice="Begin the Dockerfile's last stage with one of them.",
            )
        if self.base_digest_required and base is None:
            yield Reason(
                message="the base image is unknown, and its digest with it",
                advice="Name it plainly in the `FROM` of the Dockerfile's last stage: `name:tag@sha256:…`.",
            )
        elif self.base_digest_required and base and base.digest is None and base.name != "scratch":
            yield Reason(
                message=f"the digest of the base image {base.name} is not known",
                advice=f"Pin it: `FROM {base.name}@sha256:…` (`docker buildx imagetools inspect` shows it).",
            )


def _is_root(image: PlatformImage) -> bool:
    user = image.user.partition(":")[0].strip()
    return user in {"", "root"} or re.fullmatch("[+-]?0+", user) is not None  # engines read it as a number


def _fits(base: BaseImage | None, allowed: str) -> bool:
    """Tell whether a base image is an allowed one, in whichever spelling; `*` stands for any characters."""
    if base is None or "scratch" in {base.name, allowed}:
        return base is not None and base.name == allowed
    image = Reference.parse(base.name)
    if "*" in allowed:
        return fnmatchcase(image.repository, allowed)
    wanted = Reference.parse(allowed)
    return (
        image.repository == wanted.repository
        and wanted.tag in {None, image.tag}
        and wanted.digest in {None, base.digest}
    )
