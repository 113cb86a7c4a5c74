"""Is the base image one that is allowed, known by its digest, and young enough?"""

from collections.abc import Iterator
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, PositiveFloat

from pipeline.interface import Case
from pipeline.model import (
    Artifact,
    BaseImage,
    BuiltImage,
    Image,
    ModelImage,
    PlatformImage,
    Reason,
    Verdict,
)
from pipeline.reference import Reference
from policies.rule import Rule

SCRATCH = "scratch"


def _allowed_image(value: str) -> str:
    if "*" in value and (":" in value.rpartition("/")[2] or "@" in value):
        raise ValueError("a pattern is of the repository alone: leave tag and digest out, as in `python`")
    if value != SCRATCH and "*" not in value:
        Reference.parse(value)
    return value


AllowedImage = Annotated[str, AfterValidator(_allowed_image)]


class BaseImageRule(Rule):
    """What the image, and the weights' own image where it has a base, may start from."""

    rule: Literal["base_image"]
    allowed: tuple[AllowedImage, ...] | None = None
    """Base images that are allowed: `python`, `python:3.12-slim`, `example.com/base/*`, `scratch`."""
    digest_required: bool = False
    """Whether the digest of the base image has to be known."""
    maximum_age_days: PositiveFloat | None = None
    """Days since the newest layer of the base image was made, as it says itself; unknown is refused."""

    judges: ClassVar[type[Artifact]] = BuiltImage
    why: ClassVar[str] = (
        "Most of an image comes from its base: an old one brings old vulnerabilities, an unknown one "
        "anything, and a tag alone names another image tomorrow."
    )
    example: ClassVar[str] = """\
rule: base_image
allowed: [python, "registry.example.com/base/*"]
digest_required: true
maximum_age_days: 60
"""
    remedy: ClassVar[str] = (
        "Begin the Dockerfile's last stage with an allowed image: `FROM name:tag@sha256:…`."
    )
    exception: ClassVar[str] = (
        "the image's name in allowed, digest_required: false, a higher maximum_age_days"
    )

    def judge_in(self, artifact: BuiltImage, case: Case) -> Verdict:
        """Return the verdict on the base of an image."""
        reasons = [*self._of(artifact, case), *self._of_model_image(artifact.model_image, case)]
        base = artifact.base
        return self.verdict(reasons, f"{base.name} {base.digest or ''}".strip() if base else "unknown")

    def _of_model_image(self, image: ModelImage | None, case: Case) -> Iterator[Reason]:
        """Judge what the weights' own image begins with; that it may be nothing needs no permission."""
        for reason in self._of(image, case) if image is not None and image.base is not None else ():
            yield Reason(message=f"model image: {reason.message}", advice="Change or pin `model.base`.")

    def _of(self, image: Image, case: Case) -> Iterator[Reason]:
        base = image.base
        if self.allowed is not None and not any(_fits(base, one) for one in self.allowed):
            found = base.name if base else "unknown"
            yield Reason(
                message=f"the base image is {found}; allowed are {', '.join(self.allowed) or 'none'}",
                advice="Begin the Dockerfile's last stage with one of them.",
            )
        if self.digest_required:
            yield from _of_digest(base)
        if self.maximum_age_days is not None and (base is None or base.name != SCRATCH):
            for platform in image.platforms:
                yield from self._of_age(base, platform, self.maximum_age_days, case)

    def _of_age(
        self, base: BaseImage | None, platform: PlatformImage, limit: float, case: Case
    ) -> Iterator[Reason]:
        name = f"{platform.platform}: the base image {base.name if base else '(unknown)'}"
        if platform.base_created is None:
            yield Reason(
                message=f"{name} is of unknown age; at most {limit:g} days are allowed",
                advice="Use a base image whose configuration says when its layers were made.",
            )
            return
        days = (case.now - platform.base_created) / timedelta(days=1)
        if days > limit:
            yield Reason(
                message=f"{name} is of {platform.base_created:%Y-%m-%d}, {days:.0f} days old;"
                f" at most {limit:g} are allowed",
                advice="Take a newer one: change the tag or digest in `FROM`.",
            )


def _of_digest(base: BaseImage | None) -> Iterator[Reason]:
    if base is None:
        yield Reason(
            message="the base image is unknown, and its digest with it; a known digest is required",
            advice="Name it plainly in the `FROM` of the Dockerfile's last stage: `name:tag@sha256:…`.",
        )
    elif base.digest is None and base.name != SCRATCH:
        yield Reason(
            message=f"the digest of the base image {base.name} is not known; it is required",
            advice=f"Pin it: `FROM {base.name}@sha256:…` (`docker buildx imagetools inspect` shows it).",
        )


def _fits(base: BaseImage | None, allowed: str) -> bool:
    """Tell whether a base image is an allowed one, in whichever spelling; `*` stands for any characters."""
    if base is None or SCRATCH in {base.name, allowed}:
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
