"""Which of two builds is the newer one: the time of their commits, then what git and the runs tell.

The key stands in the image as an annotation and a label of our own. `org.opencontainers.image.created` is
no substitute: other tools write the time of the build there, and a label of a base image is inherited.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pipeline.model import Source

NAME = "io.model-image-pipeline.order"
"""Name of the annotation and the label: `2026-11-22T14:30:33Z COMMIT`."""

IsAncestor = Callable[[str, str], bool | None]
"""Tells whether the first commit comes before the second one; None where the history does not know."""


@dataclass(frozen=True, slots=True)
class OrderKey:
    """What a build is ordered by; `run` tells two builds of one commit apart."""

    moment: datetime
    """Time of the commit; of a rollback, the time at which it was asked for. In UTC, without fractions."""
    revision: str
    run: str = ""
    """Name of the run that deployed it, which begins with its time in UTC; empty: not known."""

    @classmethod
    def at(cls, moment: datetime, revision: str, run: str = "") -> "OrderKey":
        """Return the key, with the moment as it can be written down."""
        return cls(moment.astimezone(UTC).replace(microsecond=0), revision, run)

    @classmethod
    def of(cls, source: Source, run: str = "") -> "OrderKey":
        """Return the key of a build of this source."""
        return cls.at(source.committed_at, source.commit, run)

    @classmethod
    def parse(cls, text: str, run: str = "") -> "OrderKey | None":
        """Return the key that was written down; None where the text is none."""
        moment, _, revision = text.strip().partition(" ")
        try:
            parsed = datetime.fromisoformat(moment)
        except ValueError:
            return None
        if parsed.tzinfo is None or not revision or " " in revision:
            return None
        return cls.at(parsed, revision, run)

    @classmethod
    def said_by(cls, said: Mapping[str, object]) -> "OrderKey | None":
        """Return the key among annotations or labels; None where there is none."""
        text = said.get(NAME)
        return cls.parse(text) if isinstance(text, str) else None

    def __str__(self) -> str:
        return f"{self.moment:%Y-%m-%dT%H:%M:%SZ} {self.revision}"

    @property
    def time(self) -> str:
        """Its moment for people."""
        return f"{self.moment:%Y-%m-%d %H:%M:%S} UTC"

    @property
    def shown(self) -> str:
        """The key for people."""
        return f"commit {self.revision[:12]} of {self.time}"


def unknown_history(_: str, __: str) -> None:
    """Know nothing of any commit."""


def is_newer(one: OrderKey, other: OrderKey, is_ancestor: IsAncestor = unknown_history) -> bool:
    """Tell whether one build is newer than the other, and so must not be replaced by it.

    Commits of the same second are ordered by the history, where that knows both, else by their names: it
    matters little which one wins, but every writer must come to the same answer. Two builds of one commit
    are ordered by their runs; where a run is not known, neither is newer.
    """
    if one.moment != other.moment:
        return one.moment > other.moment
    if one.revision == other.revision:
        return bool(one.run and other.run) and one.run > other.run
    if is_ancestor(other.revision, one.revision):
        return True
    if is_ancestor(one.revision, other.revision):
        return False
    return one.revision > other.revision
