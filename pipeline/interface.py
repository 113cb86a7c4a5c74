"""The two contracts: a stage measures or does, a policy judges. Neither knows the other."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, Self, runtime_checkable

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.model import Artifact, Check, Destinations, DiskNeed, Verdict


class Stage(Protocol):
    """A small frozen object: its fields are its options, its header says what it needs and gives."""

    @property
    def name(self) -> str:
        """The name in `pipeline.yaml`, the record and the summary."""
        ...

    @property
    def needs(self) -> tuple[type[Artifact], ...]:
        """What must have been made before, or left out for a stated reason."""
        ...

    @property
    def gives(self) -> type[Artifact]:
        """What `run` returns."""
        ...

    def check(self, desk: Desk) -> tuple[Check, ...]:
        """Return what the stage needs and whether it is there; a missing thing is no exception."""
        ...

    def identity(self, have: Artifacts) -> str | None:
        """Return all that the result depends on (content, options, tool versions; no time but the day).

        A recorded result with the same identity is taken again. None: the stage always runs. A result that
        is judged as of its day, such as a scan's, has the day in its identity.
        """
        ...

    def run(self, have: Artifacts, desk: Desk) -> Artifact:
        """Do the work and return what it made.

        Raises:
            PipelineError: the work could not be done; the run stops with its message and advice.
        """
        ...


@runtime_checkable
class Perishable(Protocol):
    """A stage whose recorded result may be gone (a deleted layout, say): asked before it is reused."""

    def usable(self, made: Any) -> bool:  # of the type `gives`
        """Tell whether what the record describes is still there and unchanged."""
        ...


@runtime_checkable
class Preparing(Protocol):
    """A stage whose identity takes work (hashing gigabytes, say): done once, and it shows how far it is."""

    def prepared(self, desk: Desk) -> Stage:
        """Return the stage with what it found; the runner goes on with that one.

        Raises:
            PipelineError: the work could not be done; the run stops with its message and advice.
        """
        ...


@runtime_checkable
class Continuing(Protocol):
    """A stage that takes over what another run made, maybe on another machine."""

    @property
    def continues(self) -> str:
        """The name of that run."""
        ...


@runtime_checkable
class Salvaging(Protocol):
    """A stage that may run although the one before it has failed, where what that one made is enough."""

    def lacking(self, made: Any) -> str:  # an artifact of any type
        """Return why what a failed stage made is not enough, as a sentence for the user; empty where it is.

        The run has failed in any case, and its exit code is that of the stage that failed.
        """
        ...


@runtime_checkable
class Storing(Protocol):
    """A stage that takes room on a disk: the plan adds up what all of them need, and refuses a run that does
    not fit."""

    def disk_needs(self, have: Artifacts, desk: Desk) -> tuple[DiskNeed, ...]:
        """Return what the stage will write, with a reason for each number; nothing for what is there already.

        `have` holds the source, and what is known to be taken again from an earlier run. What cannot be asked
        (no engine answers, say) is left out: `check` says so.
        """
        ...


@runtime_checkable
class Publishing(Protocol):
    """A stage that sends something away: the policies judge where to before anything starts."""

    def sends_to(self) -> Destinations | None:
        """Return where it sends what it has; None where nothing leaves the machine."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What else is known while a policy judges."""

    have: Artifacts
    """All that was made so far, what is judged among it."""
    now: datetime
    """The time of the judgement: what is young enough is so now, not when it was measured."""

    @classmethod
    def alone(cls, artifact: Artifact) -> Self:
        """Return the case of an artifact of which nothing else is known, judged now."""
        return cls(have=Artifacts(artifact), now=datetime.now(UTC))


class Policy(Protocol):
    """A rule over one type of artifact, or a few; pure, so that a stored record can be judged again."""

    @property
    def name(self) -> str:
        """The name in the policy pack and in the verdict."""
        ...

    @property
    def judges(self) -> type[Artifact] | tuple[type[Artifact], ...]:
        """The type, or the types, that `judge` accepts."""
        ...

    def judge(self, artifact: Any) -> Verdict:  # of the type `judges`, which the runner sees to
        """Return the verdict, with every reason and not only the first."""
        ...


@runtime_checkable
class WideView(Protocol):
    """A policy that looks at more than the one artifact: at what was made before, or at the time."""

    def judge_in(self, artifact: Any, case: Case) -> Verdict:  # of the type `judges`
        """Return the verdict on an artifact among all that is known."""
        ...
