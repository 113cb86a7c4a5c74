"""After the commit has landed: wait until it is live, and say what became of it."""

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import (
    ConfigurationError,
    Interrupted,
    PipelineError,
    RemoteError,
    StageFailed,
    ToolMissing,
)
from pipeline.model import ManifestUpdate, PushedImage, Rollout, Source
from stages.rollouts.interface import Awaited
from stages.rollouts.revisions import History

if TYPE_CHECKING:
    from stages.gitops.destination import Destination

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PAUSED = frozenset({"Paused", "Suspended"})
"""Reasons why nothing goes on until people say so: a step of a canary that waits for them breaks nothing."""
_BY_HAND = "The manifests still name the new image: mend it and run again, or go back by `pipeline rollback`."


def until_live(
    made: ManifestUpdate, destination: "Destination", have: Artifacts, desk: Desk
) -> ManifestUpdate:
    """Return what was made with what became of it in the cluster, where the configuration asks to wait.

    Raises:
        StageFailed: it is broken there, or not live in time. The manifests stay as they are, unless
            `on_failure: rollback` and this is no rollback itself.
        RemoteError: an API does not accept us.
        Interrupted: somebody did not want to wait.
    """
    commit = made.commit or made.head
    asked = destination.wait is not None and not desk.dry_run
    if not asked or commit is None or made.status not in {"committed", "unchanged"}:
        return made
    try:
        made = _watched(made, commit, destination, have, desk)
    except KeyboardInterrupt as error:
        stopped = Interrupted(
            f"interrupted while waiting until {commit[:12]} is live",
            advice="The commit stands. Run again to go on waiting, or go back by `pipeline rollback`.",
        )
        stopped.made = made
        raise stopped from error
    except (RemoteError, ConfigurationError, ToolMissing) as error:
        words = f"{commit[:12]} has landed, but nobody knows whether it is live: {error.message}"
        unknown = type(error)(words, advice=error.advice)
        unknown.made = made
        raise unknown from error
    if made.rollout is not None and made.rollout.status != "live":
        raise failure(made)
    return made


def _watched(
    made: ManifestUpdate, commit: str, destination: "Destination", have: Artifacts, desk: Desk
) -> ManifestUpdate:
    """Return what was made with its rollout, which is undone where that is asked for."""
    wait = destination.wait
    assert wait is not None  # noqa: S101 - whoever comes here has looked
    history = History(destination.git_branch(), desk)
    awaited = Awaited(commit=commit, digests=digests_of(made), includes=history.includes)
    rollout = wait.until_live(awaited, desk)
    is_rollback = have.get(PushedImage) is None  # back from there is what was broken before
    if rollout.status != "live" and wait.on_failure == "rollback" and not is_rollback:
        rollout = _undone(rollout, awaited, destination, have, desk)
    return made.model_copy(update={"rollout": rollout})


def digests_of(made: ManifestUpdate) -> tuple[str, ...]:
    """Return the digests that a commit has put into the manifests; of none, those that stand there."""
    fields = [field for file in made.files for field in file.fields]
    new = [
        digest for field in fields for digest in _DIGEST.findall(field.new) if digest not in (field.old or "")
    ]
    standing = [digest for image in made.before for digest in _DIGEST.findall(image.reference)]
    return tuple(dict.fromkeys(new or standing))


def failure(made: ManifestUpdate) -> StageFailed:
    """Return the error for a rollout that went wrong: what, where, why, and what stands in the manifests."""
    rollout = made.rollout
    assert rollout is not None  # noqa: S101 - asked only then
    commit = (made.commit or made.head or "")[:12]
    why = ": ".join(filter(None, (rollout.reason, rollout.message))) or "nothing was seen"
    if rollout.status == "degraded":
        message = f"{commit} has landed, but {rollout.subject} is broken: {why}"
    else:
        message = (
            f"{commit} has landed, but is not live after {rollout.duration_s:.0f} s. "
            f"Last seen of {rollout.subject}: {why}"
        )
    if rollout.undone_by is not None:
        advice = f"It was rolled back: commit {rollout.undone_by[:12]} names again what stood there before."
    else:
        advice = f"{rollout.not_undone}. {_BY_HAND}" if rollout.not_undone else _BY_HAND
    return StageFailed(message, advice=advice, made=made)


def _undone(
    rollout: Rollout, awaited: Awaited, destination: "Destination", have: Artifacts, desk: Desk
) -> Rollout:
    """Return the rollout with the commit that undid it, or with why there is none."""
    from stages.gitops.rollback import Rollback  # imports what imports us

    if not rollout.answered:
        return rollout.model_copy(update={"not_undone": "Not rolled back: nobody knows how it is"})
    if rollout.status == "timeout" and rollout.reason in _PAUSED:
        return rollout.model_copy(
            update={"not_undone": "Not rolled back: it waits until people let it go on"}
        )
    desk.say("rolling back")
    alone = replace(destination, wait=None)
    try:
        rollback = Rollback(destination=alone, still=frozenset(awaited.digests))
        back = rollback.run(Artifacts(have[Source]), desk)
    except PipelineError as error:
        return rollout.model_copy(update={"not_undone": f"Not rolled back: {error.message}"})
    return rollout.model_copy(update={"undone_by": back.commit or back.head})
