"""A cache that outlives the machine: what buildx is told of it, and why it is left alone.

A build never fails for its cache's sake: what stands in the way becomes a note, and the build goes on.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from pipeline.desk import Desk
from pipeline.model import Check
from stages.buildkit.builder import Builder
from stages.oci.authentication import Credentials

Mode = Literal["max", "min"]
SUBJECT = "build cache"
STAYS_HERE = "a dry run or a pull request writes nothing"
NO_BRANCH = "the commit is on no branch"
NO_EXPORT = (
    "the engine's classic image store writes no cache: make a builder (`docker buildx create --use`; on "
    "GitHub docker/setup-buildx-action), or turn on the engine's containerd image store"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheUse:
    """How one build uses its cache."""

    read: Mapping[str, Mapping[str, str]]
    """By the name that people know it by, what `--cache-from` takes."""
    written: Mapping[str, Mapping[str, str]]
    """As above, of `--cache-to`; one at most."""
    notes: tuple[str, ...] = ()
    """Why it is not read or not written, where it should be."""
    login: tuple[str, Credentials] | None = None
    """The host of the cache, and who we are to it."""

    @property
    def active(self) -> bool:
        """Tell whether the build has anything to do with a cache outside of its builder."""
        return bool(self.read or self.written)

    def less(self, reason: str) -> "CacheUse":
        """Return what is left of it after a build that failed with it: not read, and then not written either.

        It is written first, since that mends a cache of which the registry has lost a part.
        """
        if self.read:
            return replace(
                self, read={}, notes=(*self.notes, f"not read: the build failed with it: {reason}")
            )
        return replace(self, written={}, notes=(*self.notes, f"not written: the build failed: {reason}"))


UNUSED = CacheUse(read={}, written={})


class ExternalCache(Protocol):
    """Where BuildKit's cache is kept outside of the builder."""

    def check(self, builder: Builder, desk: Desk) -> Check:
        """Say what will be read and written; changes nothing."""
        ...

    def use(self, builder: Builder, desk: Desk) -> CacheUse:
        """Return how a build that begins now uses it; makes ready what it is written to."""
        ...


def in_words(use: CacheUse) -> str:
    """Return what a plan says of the cache."""
    read = f"read from {' and '.join(use.read)}" if use.read else "nothing to read yet"
    written = f"written to {next(iter(use.written))}" if use.written else ""
    return "; ".join(filter(None, (read, written, *use.notes)))
