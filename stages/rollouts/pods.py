"""What pods tell: whether they run the image, and why they do not become ready.

Source: Kubernetes API, core/v1 PodStatus and ContainerState.
"""

import json
from collections.abc import Iterable

from stages.rollouts.fields import first_line, items, part, text
from stages.rollouts.interface import Awaited, Json, Seen

_FATAL = frozenset(
    {
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImageInspectError",
        "ImagePullBackOff",
        "InvalidImageName",
        "RegistryUnavailable",
        "RunContainerError",
        "SignatureValidationFailed",
    }
)
"""Reasons why a container waits that do not pass by mere waiting."""


def ours(pods: Iterable[Json], awaited: Awaited) -> tuple[Json, ...]:
    """Return the pods that are of the new image and stay."""
    return tuple(pod for pod in staying(pods) if _has(pod, awaited))


def staying(pods: Iterable[Json]) -> tuple[Json, ...]:
    """Return the pods that are not on their way out, nor at their end.

    A pod that was evicted, or whose node went away, is replaced by another one and still listed for long.
    """
    return tuple(
        pod for pod in pods if "deletionTimestamp" not in part(pod, "metadata") and not _has_ended(pod)
    )


def is_ready(pod: Json) -> bool:
    """Tell whether a pod takes requests."""
    return _condition(pod, "Ready").get("status") == "True"


def trouble(pods: Iterable[Json]) -> Seen | None:
    """Return why the first pod in need does not start; None: none is, as far as they say."""
    return next((found for pod in pods if (found := _trouble(pod)) is not None), None)


def waiting(pods: Iterable[Json]) -> str:
    """Return why a pod is not ready yet where nothing is wrong: no node with room, a probe that fails."""
    for pod in pods:
        for kind in ("PodScheduled", "Initialized", "ContainersReady"):
            found = _condition(pod, kind)
            if found.get("status") == "False":
                said = ": ".join(filter(None, (text(found, "reason"), first_line(text(found, "message")))))
                return f"pod {text(pod, 'metadata', 'name')}: {said}"
    return ""


def failed(pods: Iterable[Json], awaited: Awaited) -> str:
    """Return why a pod of the new image was ended, such as Evicted; another one takes its place."""
    for pod in pods:
        if text(pod, "status", "phase") == "Failed" and _has(pod, awaited):
            said = first_line(text(pod, "status", "message")) or "the pod has failed"
            reason = text(pod, "status", "reason") or "Failed"
            return f"pod {text(pod, 'metadata', 'name')}: {reason}: {said}"
    return ""


def _has_ended(pod: Json) -> bool:
    return text(pod, "status", "phase") in {"Failed", "Succeeded"}


def _has(pod: Json, awaited: Awaited) -> bool:
    images = [text(status, "imageID") for status in _statuses(pod)]
    # a pod that has not pulled yet has no imageID; an image volume never has one
    return awaited.is_named_in(" ".join(images)) or awaited.is_named_in(json.dumps(part(pod, "spec")))


def _statuses(pod: Json) -> tuple[Json, ...]:
    return (*items(pod, "status", "initContainerStatuses"), *items(pod, "status", "containerStatuses"))


def _trouble(pod: Json) -> Seen | None:
    name = text(pod, "metadata", "name")
    for status in _statuses(pod):
        state = part(status, "state", "waiting")
        if text(state, "reason") in _FATAL:
            said = f"{first_line(text(state, 'message'))}{_last_end(status)}"
            return Seen(
                "degraded", text(state, "reason"), f"pod {name}, container {text(status, 'name')}: {said}"
            )
    return None


def _last_end(status: Json) -> str:
    ended = part(status, "lastState", "terminated")
    if not ended:
        return ""
    words = (f"it ended with {text(ended, 'reason') or 'Error'}, exit code {ended.get('exitCode')}",)
    return f" ({': '.join((*words, *filter(None, [first_line(text(ended, 'message'))])))})"


def _condition(pod: Json, kind: str) -> Json:
    found = (one for one in items(pod, "status", "conditions") if text(one, "type") == kind)
    return next(found, {})
