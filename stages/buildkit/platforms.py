"""Platforms: their names, and base images that are made for another one than the build asks for."""

import difflib
import re
from collections.abc import Sequence

from pipeline.errors import StageFailed
from pipeline.model import Check, Problem

# Source: the values of GOOS and GOARCH, which the OCI image configuration takes over.
SYSTEMS = frozenset({"linux", "windows", "freebsd", "darwin"})
ARCHITECTURES = frozenset(
    {"386", "amd64", "arm", "arm64", "loong64", "mips64", "mips64le", "ppc64le", "riscv64", "s390x"}
)
_OTHER_NAMES = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "i386": "386", "armhf": "arm/v7"}
# BuildKit's words, under the name InvalidBaseImagePlatform or, in older versions, without a name
_FOREIGN_BASE = re.compile(
    r"Base image (\S+) was pulled with platform \"([^\"]+)\", expected \"([^\"]+)\" for current build"
    r"(?: \(line (\d+)\))?"
)


def platform_checks(platforms: Sequence[str]) -> tuple[Check, ...]:
    """Return a failing check for every name of a platform that BuildKit would refuse, or take as it is."""
    return tuple(
        Check(
            subject="build platform",
            found=f"`build.platforms`: {platform!r} is no platform",
            problem=Problem.CONFIGURATION,
            advice=f"{_hint(platform)}Write it as os/architecture, such as linux/amd64 or linux/arm64.",
        )
        for platform in platforms
        if not _known(platform)
    )


def refuse_foreign_base(line: str, dockerfile: str) -> None:
    """Refuse a base image for another platform, of which BuildKit only warns: its programs cannot run there.

    Raises:
        StageFailed: this line of BuildKit's output tells of one.
    """
    found = _FOREIGN_BASE.search(line)
    if found is None:
        return
    image, there, wanted, number = found.groups()
    place = f"{dockerfile}:{number}" if number else dockerfile
    raise StageFailed(
        f"{place}: the base image {image} is for {there}, but the build is for {wanted}",
        advice=f"Get the base for it (`docker pull --platform {wanted} {image}`), or set `build.platforms` "
        f"to {there}. A build stage that only prepares files begins with `FROM --platform=$BUILDPLATFORM`.",
    )


def refuse_fixed_base(
    flag: str | None, platforms: Sequence[str], builder: str | None, dockerfile: str
) -> None:
    """Refuse an image that starts from one platform and is labelled as another; BuildKit does not mind.

    `flag` is the `--platform` of the last stage's base, `builder` the platform of the builder where known.

    Raises:
        StageFailed: the base is fixed to a platform that the build is not for.
    """
    own = flag in {"$BUILDPLATFORM", "${BUILDPLATFORM}"}
    fixed = builder if own else flag
    if flag is None or ("$" in flag and not own) or (fixed is None and len(platforms) < 2):
        return
    wrong = [platform for platform in platforms if fixed is None or _plain(platform) != _plain(fixed)]
    if wrong:
        raise StageFailed(
            f"{dockerfile}: the image would start `FROM --platform={flag}`, but the build is for "
            f"{', '.join(wrong)}",
            advice="Leave `--platform` out of that FROM: only stages that prepare files for others need it.",
        )


def _plain(platform: str) -> str:
    return "/".join(platform.split("/")[:2])


def _known(platform: str) -> bool:
    system, _, rest = platform.partition("/")
    architecture, slash, variant = rest.partition("/")
    well_formed = not slash or re.fullmatch(r"v\d+", variant) is not None
    return system in SYSTEMS and architecture in ARCHITECTURES and well_formed


def _hint(platform: str) -> str:
    words = platform.lower().split("/")
    system = words[0] if words[0] in SYSTEMS else "linux"
    last = words[1] if len(words) > 1 else words[0]
    near = difflib.get_close_matches(last, sorted(ARCHITECTURES), n=1)
    name = _OTHER_NAMES.get(last) or next(iter(near), None)
    return f"Did you mean {system}/{name}? " if name else ""
