"""What the status of a model server's own resource tells: KServe, Knative, Argo Rollouts, Seldon Core."""

import json
from collections.abc import Sequence

from stages.rollouts import pods as look
from stages.rollouts.fields import condition, first_line, items, lagging, part, text
from stages.rollouts.interface import Awaited, Json, Seen

_FATAL = frozenset(
    {
        "BlockedByFailedLoad",
        "ContainerMissing",
        "InvalidGPUAllocation",
        "InvalidPredictorSpec",
        "InvalidSpec",
        "ModelFailed",
        "ModelLoadFailed",
        "NoSupportingRuntime",
        "ProgressDeadlineExceeded",
        "RevisionFailed",
        "RuntimeDisabled",
        "RuntimeNotRecognized",
    }
)
"""Reasons of KServe, Knative and Seldon that waiting does not change; a model that still loads has others."""
_SELDON = {"Available": "live", "Failed": "degraded"}
_ROLLOUT = {"Healthy": "live", "Degraded": "degraded"}


def judge(resource: Json, pods: Sequence[Json], awaited: Awaited) -> Seen:
    """Return how far a resource is; `pods` are those that carry its label, where it has one."""
    kind = text(resource, "kind")
    named = awaited.is_named_in(json.dumps(part(resource, "spec")))
    new = look.ours(pods, awaited)
    if not named and not new:  # a runtime, or a workloadRef, may name it instead of the resource itself
        return Seen(
            "progressing", "NotApplied", f"neither this {kind} nor a pod of it names the new image yet"
        )
    if lagging(resource):
        return Seen("progressing", "NotObserved", "its controller has not taken up the change yet")
    if (trouble := look.trouble(new)) is not None:
        return trouble
    seen = _told(kind, resource)
    # a rolling update leaves Ready as it was: the old pods do the work. A Service of Knative is ready by its
    # newest revision alone, which may have no pod as long as it gets no requests
    counted = look.staying(pods) if new or kind != "Service" else ()
    if seen.state == "live" and counted and not (new and all(map(look.is_ready, new))):
        why = look.waiting(new) or look.failed(pods, awaited) or "the pods of the new image are not ready yet"
        return Seen("progressing", "RollingOut", why)
    if seen.state == "progressing" and (why := look.waiting(new) or look.failed(pods, awaited)):
        return Seen("progressing", seen.reason, "; ".join(filter(None, (seen.message, why))))
    return seen


def _told(kind: str, resource: Json) -> Seen:
    if kind == "Rollout":
        return _rollout(resource)
    if kind == "SeldonDeployment":
        state = text(resource, "status", "state")
        said = first_line(text(resource, "status", "description"))
        return _seen(_SELDON.get(state, "progressing"), state or "Creating", said)
    return _ready(resource)


def _rollout(resource: Json) -> Seen:
    phase, said = text(resource, "status", "phase"), first_line(text(resource, "status", "message"))
    if part(resource, "status").get("abort") is True:
        return Seen("degraded", "RolloutAborted", said or "the rollout was aborted")
    if phase == "Paused":
        return Seen("progressing", "Paused", said or "it waits for somebody to promote it")
    return _seen(_ROLLOUT.get(phase, "progressing"), phase or "Progressing", said)


def _ready(resource: Json) -> Seen:
    ready = condition(resource, "Ready")
    if ready.get("status") == "True":
        return Seen("live", "", first_line(text(ready, "message")) or "it is ready")
    if (failed := _failure(resource)) is not None:
        return failed
    failing = [one for one in items(resource, "status", "conditions") if one.get("status") == "False"]
    fatal = [one for one in failing if text(one, "reason") in _FATAL]
    if fatal:
        return Seen("degraded", text(fatal[0], "reason"), first_line(text(fatal[0], "message")))
    told = ready if text(ready, "message") or not failing else failing[0]
    return Seen("progressing", text(told, "reason") or "NotReady", first_line(text(told, "message")))


def _failure(resource: Json) -> Seen | None:
    """Return what KServe says of a model that cannot be loaded."""
    status = part(resource, "status", "modelStatus")
    told = part(status, "lastFailureInfo")
    if text(status, "transitionStatus") not in {"BlockedByFailedLoad", "InvalidSpec"}:
        return None
    return Seen(
        "degraded",
        text(told, "reason") or text(status, "transitionStatus"),
        first_line(text(told, "message")),
    )


def _seen(state: str, reason: str, message: str) -> Seen:
    if state == "live":
        return Seen("live", "", message or "it is available")
    return Seen("degraded" if state == "degraded" else "progressing", reason, message)
