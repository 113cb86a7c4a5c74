"""What the status of Flux's Kustomization and HelmRelease tells.

Source: Flux's specifications kustomize.toolkit.fluxcd.io/v1 and helm.toolkit.fluxcd.io/v2.
"""

import json
from collections.abc import Sequence

from stages.rollouts.fields import condition, first_line, lagging, part, text
from stages.rollouts.interface import Awaited, Json, Seen

_PASSING = frozenset(
    {"", "DependencyNotReady", "Progressing", "ProgressingWithRetry", "SourceNotReady", "HelmChartNotReady"}
)
"""Reasons why something is not ready that pass when others are."""


def judge(resource: Json, pods: Sequence[Json], awaited: Awaited) -> Seen:
    """Return how far Flux is with a resource; `pods` are of no interest."""
    del pods
    if part(resource, "spec").get("suspend") is True:
        return Seen("progressing", "Suspended", "Flux applies nothing: its `suspend` is true")
    if text(resource, "kind") == "HelmRelease":
        return _helm_release(resource, awaited)
    return _kustomization(resource, awaited)


def _kustomization(resource: Json, awaited: Awaited) -> Seen:
    status = part(resource, "status")
    applied, tried = text(status, "lastAppliedRevision"), text(status, "lastAttemptedRevision")
    ready = condition(resource, "Ready")
    if not lagging(resource) and ready.get("status") == "True" and awaited.is_in(applied):
        return Seen("live", "", first_line(text(ready, "message")))
    if tried and awaited.is_in(tried):
        return _told(resource)
    said = f"Flux is at {applied or 'no revision'}"
    if ready.get("status") == "False":  # perhaps it is what keeps the commit from being fetched
        said += f"; {text(ready, 'reason')}: {first_line(text(ready, 'message'))}"
    return Seen("progressing", "NotApplied", said)


def _helm_release(resource: Json, awaited: Awaited) -> Seen:
    if not awaited.is_named_in(json.dumps(part(resource, "spec"))):
        return Seen(
            "progressing", "NotApplied", "the HelmRelease in the cluster does not name the new image yet"
        )
    if lagging(resource):
        return Seen("progressing", "NotObserved", "Flux has not taken up the change yet")
    ready = condition(resource, "Ready")
    if ready.get("status") == "True":
        return Seen("live", "", first_line(text(ready, "message")))
    return _told(resource)


def _told(resource: Json) -> Seen:
    ready, stalled = condition(resource, "Ready"), condition(resource, "Stalled")
    if stalled.get("status") == "True":
        told = ready if ready.get("status") == "False" else stalled
        return Seen("degraded", text(told, "reason"), first_line(text(told, "message")))
    reason, said = text(ready, "reason"), first_line(text(ready, "message"))
    if ready.get("status") == "False" and reason not in _PASSING:
        return Seen("degraded", reason, said)
    return Seen("progressing", reason or "Progressing", said)
