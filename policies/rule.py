"""What every rule has in common: options that are read from YAML, a level, where it stands, and its texts."""

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Self

from pydantic import ByteSize, PrivateAttr, StringConstraints

from pipeline.documented import Documented
from pipeline.interface import Case
from pipeline.model import Artifact, Level, Reason, Verdict

Word = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Options(Documented):
    """Options as they are written in YAML."""


class Entry(Options):
    """What can be said of every entry of a pack."""

    level: Level = Level.ENFORCE
    """What follows when it is not met: `enforce` stops the run, `warn` only says so."""
    id: Word | None = None
    """Name of the entry, by which a pack that extends this one replaces it or leaves it out; default: its
    rule's name."""
    replaces: Word | None = None
    """The entry of the extended pack, by its id, that this one stands in for."""

    why: ClassVar[str]
    """What goes wrong without it; for the documentation, as are the next three."""
    example: ClassVar[str]
    """The rule in YAML."""
    remedy: ClassVar[str]
    """What a team does that is refused."""
    exception: ClassVar[str]
    """What is written into the rule so that it accepts this one."""


class Rule(Entry):
    """A policy with options; a subclass says what it judges, and how.

    It defines `judge`, or `judge_in` where it looks at more than the one artifact.
    """

    rule: str
    """Which rule this is."""
    _origin: str = PrivateAttr(default="")

    judges: ClassVar[type[Artifact] | tuple[type[Artifact], ...]]

    @property
    def name(self) -> str:
        """The name in the pack and in the verdict."""
        return self.id or self.rule

    @property
    def origin(self) -> str:
        """Pack or file and line where the rule stands."""
        return self._origin

    def standing_at(self, origin: str) -> Self:
        """Return the same rule with the place where it was written."""
        copy = self.model_copy()
        copy._origin = origin
        return copy

    def judge(self, artifact: Any) -> Verdict:  # of the type `judges`
        """Return the verdict on an artifact of which nothing else is known."""
        return self.judge_in(artifact, Case.alone(artifact))

    def judge_in(self, artifact: Any, case: Case) -> Verdict:  # of the type `judges`
        """Return the verdict on an artifact among all that is known."""
        del case
        return self.judge(artifact)

    def verdict(self, reasons: Iterable[Reason], summary: str, notes: Iterable[str] = ()) -> Verdict:
        """Return the verdict of this rule; each reason gets how an exception is written."""
        return Verdict(
            policy=self.name,
            level=self.level,
            reasons=tuple(self._with_exception(reason) for reason in reasons),
            summary=summary,
            notes=tuple(notes),
            origin=self.origin,
        )

    def _with_exception(self, reason: Reason) -> Reason:
        if "Exception: " in reason.advice:  # it is about this one finding
            return reason
        exception = self.exception_text(f"`{self.exception}`")
        return reason.model_copy(update={"advice": f"{reason.advice} {exception}".strip()})

    def exception_text(self, what: str) -> str:
        """Return where to write an exception: a pack of ours is changed by one that extends it."""
        if not self.origin.startswith("pack "):
            return f"Exception: {what} in the rule at {self.origin or 'its place'}."
        pack = self.origin.removeprefix("pack ").partition(":")[0]
        return (
            f"Exception: {what} in your own copy of the rule: `policies: {{extends: {pack}, rules: "
            f"[{{replaces: {self.name}, rule: {self.rule}, …}}]}}`."
        )


def size(size_bytes: int) -> str:
    """Return a size as people read it: `1.5GiB`."""
    return ByteSize(size_bytes).human_readable()


def plural(count: int, word: str) -> str:
    """Return a count with its word: `1 test`, `2 tests`."""
    if count == 1:
        return f"1 {word}"
    return f"{count} {word[:-1]}ies" if word.endswith("ty") else f"{count} {word}s"


def listed(items: Iterable[str], shown: int = 5) -> str:
    """Return the first items, and how many more there are."""
    every = list(items)
    more = f" and {len(every) - shown} more" if len(every) > shown else ""
    return f"{', '.join(every[:shown])}{more}"
