"""Is the image one that may be deployed: its size, user, ports, health check and labels?"""

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Annotated, ClassVar, Literal

from pydantic import ByteSize, Field, PositiveInt, StringConstraints

from pipeline.model import Artifact, BuiltImage, PlatformImage, Reason, Verdict
from policies.rule import Rule, Word, plural, size

Port = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,5}/(tcp|udp|sctp)$")]


class ImageRule(Rule):
    """Limits on what is built."""

    rule: Literal["image"]
    maximum_size: ByteSize | None = None
    """Size of all layers of one platform, compressed as they are pushed, such as 2GiB."""
    maximum_layers: PositiveInt | None = None
    """Layers of one platform; engines stop at about 125."""
    allow_root: bool = True
    """Whether the image may run as root."""
    ports: tuple[Port, ...] | None = None
    """Ports that it may say it listens on, such as 8080/tcp; default: any."""
    healthcheck_required: bool = False
    """Whether it has to say how its health is checked (Kubernetes does not look at that)."""
    labels: Mapping[Word, Word] = Field(default={})
    """Labels that it has to have, each with a pattern of its value: {team: "*"}."""

    judges: ClassVar[type[Artifact]] = BuiltImage
    why: ClassVar[str] = (
        "A process that runs as root owns whatever it breaks out into; an image of build tools and caches "
        "is slow to pull and has more to attack; engines cannot mount more than about 125 layers."
    )
    example: ClassVar[str] = """\
rule: image
maximum_size: 4GiB
maximum_layers: 125
allow_root: false
ports: [8080/tcp, 8081/tcp]
labels: {org.opencontainers.image.source: "https://*"}
"""
    remedy: ClassVar[str] = (
        "Change the Dockerfile: several stages, a `USER` line, fewer `RUN` lines; labels can stand in "
        "`build.labels`."
    )
    exception: ClassVar[str] = "a higher limit, allow_root: true, one more of ports"

    def judge(self, artifact: BuiltImage) -> Verdict:
        """Return the verdict on an image."""
        reasons = [reason for one in artifact.platforms for reason in self._of_platform(artifact, one)]
        users = {"root" if _is_root(image) else image.user for image in artifact.platforms}
        return self.verdict(reasons, f"{size(artifact.size_bytes)}, runs as {' or '.join(sorted(users))}")

    def _of_platform(self, image: BuiltImage, platform: PlatformImage) -> Iterator[Reason]:
        yield from self._of_layers(image, platform)
        if not self.allow_root and _is_root(platform):
            yield Reason(
                message=f"{platform.platform}: the image runs as root; another user is required",
                advice="Add a user and a `USER` line to the Dockerfile, such as `USER 10001`.",
            )
        yield from self._of_configuration(platform)

    def _of_layers(self, image: BuiltImage, platform: PlatformImage) -> Iterator[Reason]:
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

    def _of_configuration(self, platform: PlatformImage) -> Iterator[Reason]:
        others = [] if self.ports is None else [one for one in platform.ports if one not in self.ports]
        if others:
            allowed = ", ".join(self.ports or ()) or "none"
            yield Reason(
                message=f"{platform.platform}: it listens on {', '.join(others)}; allowed are {allowed}",
                advice="Remove the `EXPOSE` line; one of the base image cannot be taken back, only changed "
                "there.",
            )
        if self.healthcheck_required and not platform.healthcheck:
            yield Reason(
                message=f"{platform.platform}: it does not say how its health is checked; that is required",
                advice="Add a `HEALTHCHECK` line to the Dockerfile.",
            )
        for name, pattern in self.labels.items():
            found = platform.labels.get(name)
            if found is None or not fnmatchcase(found, pattern):
                has = "is missing" if found is None else f"is {found!r}"
                yield Reason(
                    message=f"{platform.platform}: the label {name} {has}; {pattern!r} is required",
                    advice=f"Write it into `build.labels` of pipeline.yaml: `{{{name}: …}}`.",
                )


def _is_root(image: PlatformImage) -> bool:
    user = image.user.partition(":")[0].strip()
    return user in {"", "root"} or re.fullmatch("[+-]?0+", user) is not None  # engines read it as a number
