"""Which results of earlier runs are taken again."""

import hashlib
from collections.abc import Callable

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import PipelineError
from pipeline.interface import Perishable, Preparing, Stage
from pipeline.model import Artifact, DiskNeed, Evidence
from pipeline.plan import Plan
from pipeline.plan import disk_needs as needs_of
from pipeline.record import Runs


def identity(stage: Stage, have: Artifacts) -> str | None:
    """Return a digest of all that the stage's result depends on, or None where it always runs."""
    text = stage.identity(have)
    return None if text is None else hashlib.sha256(f"{stage.name}\n{text}".encode()).hexdigest()


def find(runs: Runs, stage: Stage, identity: str | None) -> tuple[str, Artifact] | None:
    """Return a recorded result that can be taken again, and the run that made it."""
    found = runs.reusable(stage.name, identity) if identity else None
    usable = found is not None and (not isinstance(stage, Perishable) or stage.usable(found[1]))
    return found if usable else None


def disk_needs(plan: Plan, runs: Runs, desk_of: Callable[[Stage], Desk]) -> tuple[DiskNeed, ...]:
    """Return what the stages need of a disk whose results will not be taken again.

    It asks as the runner will: a stage after one that works anew has nothing to be recognised by. Weights are
    read where nobody knows them yet, but only if there is a build that could be taken again.
    """
    have, needs = Artifacts(plan.source), list[DiskNeed]()
    for stage in plan.stages:
        desk = desk_of(stage)
        if stage.name in plan.skipped:
            have = have.plus(plan.skipped[stage.name])
        elif (made := _recorded(runs, stage, have, desk)) is not None:
            have = have.plus(made)
        else:
            needs += needs_of(stage, have, desk)
        desk.clear()
    return tuple(needs)


def _recorded(runs: Runs, stage: Stage, have: Artifacts, desk: Desk) -> Artifact | None:
    """Return what the stage would take from an earlier run, or None where it would work."""
    lacks = any(kind not in have for kind in stage.needs if not issubclass(kind, Evidence))
    if lacks or not runs.has_made(stage.name):
        return None
    try:
        ready = stage.prepared(desk) if isinstance(stage, Preparing) else stage
        found = find(runs, ready, identity(ready, have))
    except (PipelineError, LookupError):  # the run itself will say what is wrong, or make what is missing
        return None
    return None if found is None else found[1]
