"""What the status of a Deployment, StatefulSet or DaemonSet tells, as `kubectl rollout status` reads it."""

import json
from collections.abc import Callable, Mapping, Sequence

from stages.rollouts import pods as look
from stages.rollouts.fields import condition, first_line, lagging, number, part, text
from stages.rollouts.interface import Awaited, Json, Seen


def judge(resource: Json, pods: Sequence[Json], awaited: Awaited) -> Seen:
    """Return how far the rollout of a workload is; `pods` are those that its selector chooses."""
    kind = text(resource, "kind")
    if not awaited.is_named_in(json.dumps(part(resource, "spec", "template"))):
        return Seen("progressing", "NotApplied", f"the {kind} in the cluster does not name the new image yet")
    if lagging(resource):
        return Seen("progressing", "NotObserved", "Kubernetes has not taken up the change yet")
    new = look.ours(pods, awaited)
    if (trouble := look.trouble(new)) is not None:
        return trouble
    missing = _MISSING[kind](resource)
    if isinstance(missing, Seen):
        return missing
    wanted = _wanted(resource)
    ready = sum(look.is_ready(pod) for pod in new)
    if not missing and ready < wanted:
        missing = f"{ready} of {wanted} pods of the new image are ready"
    if missing:
        why = look.waiting(new) or look.failed(pods, awaited)
        return Seen("progressing", "RollingOut", "; ".join(filter(None, (missing, why))))
    return Seen("live", "", f"{ready} of {wanted} pods run the new image")


def _wanted(resource: Json) -> int:
    if text(resource, "kind") == "DaemonSet":
        return number(resource, "status", "desiredNumberScheduled")
    wanted = number(resource, "spec", "replicas", default=1)
    if text(resource, "kind") == "StatefulSet":
        return max(0, wanted - _partition(resource))
    return wanted


def _partition(resource: Json) -> int:
    """Return below which number the pods of a StatefulSet keep the old image, on purpose."""
    return number(resource, "spec", "updateStrategy", "rollingUpdate", "partition")


def _deployment(resource: Json) -> str | Seen:
    progressing = condition(resource, "Progressing")
    if text(progressing, "reason") == "ProgressDeadlineExceeded":
        return Seen("degraded", "ProgressDeadlineExceeded", first_line(text(progressing, "message")))
    failure = condition(resource, "ReplicaFailure")
    if failure.get("status") == "True":  # a quota, or an admission webhook
        return Seen("degraded", text(failure, "reason"), first_line(text(failure, "message")))
    wanted = number(resource, "spec", "replicas", default=1)
    status = part(resource, "status")
    updated, available = number(status, "updatedReplicas"), number(status, "availableReplicas")
    if updated < wanted:
        return f"{updated} of {wanted} pods are new"
    if number(status, "replicas") > updated:
        return f"{number(status, 'replicas') - updated} old pods are still to end"
    return f"{available} of {updated} new pods are available" if available < updated else ""


def _stateful_set(resource: Json) -> str | Seen:
    if text(resource, "spec", "updateStrategy", "type") == "OnDelete":
        return "its update strategy is OnDelete: pods become new when somebody deletes them"
    status, wanted = part(resource, "status"), _wanted(resource)
    updated, ready = number(status, "updatedReplicas"), number(status, "readyReplicas")
    whole = number(resource, "spec", "replicas", default=1)
    if not _partition(resource) and text(status, "updateRevision") == text(status, "currentRevision"):
        updated = max(updated, number(status, "currentReplicas"))
    if updated < wanted:
        return f"{updated} of {wanted} pods are new"
    available = number(status, "availableReplicas", default=ready)
    return f"{available} of {whole} pods are available" if available < whole else ""


def _daemon_set(resource: Json) -> str | Seen:
    if text(resource, "spec", "updateStrategy", "type") == "OnDelete":
        return "its update strategy is OnDelete: pods become new when somebody deletes them"
    status, wanted = part(resource, "status"), _wanted(resource)
    updated, available = number(status, "updatedNumberScheduled"), number(status, "numberAvailable")
    if updated < wanted:
        return f"{updated} of {wanted} pods are new"
    return f"{available} of {wanted} pods are available" if available < wanted else ""


_MISSING: Mapping[str, Callable[[Json], str | Seen]] = {
    "Deployment": _deployment,
    "StatefulSet": _stateful_set,
    "DaemonSet": _daemon_set,
}
KINDS = frozenset(_MISSING)
