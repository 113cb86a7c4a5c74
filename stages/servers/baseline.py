"""The image that the new one is compared with: found, put into the engine, and measured in turn with it.

Where it cannot be run here, its recorded benchmark stands in, if machine and settings are the same.
"""

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

from pipeline.desk import Desk
from pipeline.errors import Interrupted, PipelineError, RemoteError
from pipeline.model import BenchmarkReport, Comparison
from pipeline.reference import Digest, Reference, Tag
from stages.gitops.destination import Destination
from stages.gitops.promotion import deployed
from stages.load.closed_loop import ClosedLoop
from stages.registries.connections import Registries
from stages.servers.engine import EngineFacts
from stages.servers.found import FoundImage, Near
from stages.servers.recorded import against_recorded
from stages.servers.registry_image import RegistryImage, opened
from stages.servers.rounds import CLIENTS, RoundsPlan, Turn, TurnTaker, take_turns
from stages.servers.session import Session, Workload
from stages.servers.site import Site

_NO_REPOSITORY = "`update:` names no GitOps repository, so nobody knows what is deployed"
Recorded = Callable[[FoundImage, Desk], Iterable[BenchmarkReport]]
"""Yields earlier benchmarks of an image; the first that fits stands in."""


class Baseline(Protocol):
    """Where the image to compare with is to be found."""

    def find(self, desk: Desk) -> FoundImage:
        """Return it.

        Raises:
            PipelineError: there is none, or nobody can tell.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployedBaseline:
    """What the manifests name now."""

    destination: Destination
    registries: Registries

    def find(self, desk: Desk) -> RegistryImage:
        """Return the application's image, and the weights' own where there is one."""
        if self.destination.repository is None:
            raise RemoteError(_NO_REPOSITORY)
        found = dict.fromkeys(deployed(self.destination, desk))
        models = [one for one in found if one.repository in self.destination.model_repositories]
        return RegistryImage(
            application=_only([one for one in found if one not in models]),
            model=_only(models) if models else None,
            registries=self.registries,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedBaseline:
    """An image of a registry, by its tag or digest."""

    reference: Reference
    registries: Registries

    def find(self, desk: Desk) -> RegistryImage:
        """Return it under its digest."""
        pinned = self.reference
        if pinned.digest is None:
            with opened(pinned, self.registries, desk) as reader:
                digest = reader.find_manifest(pinned.tag or Tag("latest"))
            if digest is None:
                raise RemoteError(f"{pinned}: its registry has no such image")
            pinned = replace(pinned, digest=digest)
        return RegistryImage(application=pinned, registries=self.registries)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a comparison: it, or why there is none."""

    comparison: Comparison | None = None
    missing: str = ""
    name: str = ""
    records: Callable[[], Iterable[BenchmarkReport]] = tuple
    """Earlier benchmarks of the other image, asked for only where it could not be run."""

    def told_in(self, report: BenchmarkReport) -> BenchmarkReport:
        """Return the report with the comparison, or with that to a recorded benchmark, or with neither."""
        comparison, missing = self.comparison, self.missing
        if comparison is None:
            comparison, missing = self._standing_in(report)
        return report.model_copy(update={"comparison": comparison, "comparison_missing": missing})

    def _standing_in(self, report: BenchmarkReport) -> tuple[Comparison | None, str]:
        """Return the comparison with the first record that fits, or why the first of all does not."""
        misfit = ""
        for known in self.records():
            comparison, why = against_recorded(report, known, self.name, self.missing)
            if comparison is not None:
                return comparison, why
            misfit = misfit or why
        return None, misfit or self.missing


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """How the new image is compared with another one."""

    baseline: Baseline
    rounds: RoundsPlan = field(default_factory=RoundsPlan)
    recorded: Recorded = lambda *_: ()

    def held(
        self,
        session: Session,
        own: tuple[Digest, ...],
        near: Callable[[], Near],
        work: Workload,
        facts: EngineFacts,
    ) -> Outcome:
        """Let both take turns.

        `own` are the digests of the new image, as `FoundImage` has them; `near` is asked once it is needed.

        Raises:
            PipelineError: the *new* image could not be measured; what is wrong with the other one is told
                in the outcome.
        """
        desk = session.site.desk
        found: FoundImage | None = None
        try:
            desk.say("looking for the image to compare with")
            found = self.baseline.find(desk)
            if found.digests == own:
                return Outcome(comparison=Comparison(reference=found.name, how="same digest", rounds=0))
            site = _apart(session.site)
            rival = replace(session, site=site, subject=found.place(near(), facts, site))
            rival.start_once()  # not counted: the new image has been started before the rounds, too
        except Interrupted:
            raise
        except (PipelineError, OSError) as error:
            return self._without(error, found, desk)
        return self._rounds(session, rival, work, found)

    def _rounds(self, session: Session, rival: Session, work: Workload, found: FoundImage) -> Outcome:
        new = TurnTaker(
            session=session, load=work.loads[0], capacity=_capacity(work), warmup=work.warmup
        ).fair()
        old = replace(new, session=replace(new.session, site=rival.site, subject=rival.subject))
        desk = session.site.desk
        try:
            rounds = take_turns(lambda: _tried(old), new.take, self.rounds, desk.say)
        except _Unusable as unusable:
            return self._without(unusable.error, found, desk)
        comparison = rounds.comparison(found.name)
        if not comparison.metrics:
            why = "; ".join(filter(None, (comparison.ended, *comparison.notes)))
            return Outcome(missing=f"nothing could be compared: {why}")
        return Outcome(comparison=comparison)

    def _without(self, error: PipelineError | OSError, found: FoundImage | None, desk: Desk) -> Outcome:
        told = error.message if isinstance(error, PipelineError) else str(error)
        why = (told.splitlines() or [type(error).__name__])[0]
        missing = f"{found.name} cannot be run here: {why}" if found is not None else why
        desk.say(f"no comparison: {missing}")
        if found is None:
            return Outcome(missing=desk.redact(missing))
        return Outcome(
            missing=desk.redact(missing), name=found.name, records=lambda: self.recorded(found, desk)
        )


class _Unusable(Exception):
    """The image to compare with failed in a round."""

    def __init__(self, error: PipelineError) -> None:
        super().__init__(error.message)
        self.error = error


def _tried(old: TurnTaker) -> Turn:
    try:
        return old.take()
    except Interrupted:
        raise
    except PipelineError as error:
        raise _Unusable(error) from error


def _capacity(work: Workload) -> ClosedLoop | None:
    """Return the load that shows the throughput: the user's closed loop, or one of our own."""
    first = work.loads[0]
    if isinstance(first, ClosedLoop):
        return None
    asked = (each for each in work.loads[1:] if isinstance(each, ClosedLoop))
    return next(asked, ClosedLoop(concurrency=CLIENTS, duration_s=first.duration_s / 2))


def _apart(site: Site) -> Site:
    """Return a site whose files and logs lie apart from the new image's."""
    part = site.part()
    folder = site.desk.folder / "baseline"
    folder.mkdir()
    part.desk.on_exit(lambda: shutil.rmtree(folder / "image", ignore_errors=True))
    part.desk.on_exit(lambda: shutil.rmtree(folder / "weights", ignore_errors=True))
    return replace(part, desk=replace(part.desk, folder=folder))


def _only(found: list[Reference]) -> Reference:
    if len({one.digest for one in found}) != 1:
        named = ", ".join(map(str, found)) or "no build"
        raise RemoteError(f"the manifests name {named}, so there is no one image to compare with")
    return found[0]
