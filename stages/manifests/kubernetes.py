"""Plain workloads of Kubernetes, and every other resource that holds the template of a pod."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from stages.manifests.cursor import Cursor
from stages.manifests.interface import Place, Target
from stages.manifests.whole_reference import image_at

TEMPLATE = ("spec", "template", "spec")


@dataclass(frozen=True, slots=True)
class PodForm:
    """Resources that run pods; `pods_at` says for each group and kind below which keys the pod stands."""

    name: str
    pods_at: Mapping[tuple[str, str], tuple[str, ...]]

    understands: ClassVar[frozenset[str]] = frozenset({"container"})

    def recognises(self, document: Cursor, target: Target) -> bool:
        """Tell whether the document is one of these resources."""
        return document.kind() in self.pods_at

    def places(self, document: Cursor, target: Target) -> Iterator[Place]:
        """Return the images of the pod."""
        yield from pod_images(document.at(*self.pods_at[document.kind()]))


WORKLOADS = PodForm(
    "kubernetes",
    {
        ("", "Pod"): ("spec",),
        ("", "PodTemplate"): ("template", "spec"),
        ("", "ReplicationController"): TEMPLATE,
        ("apps", "Deployment"): TEMPLATE,
        ("apps", "StatefulSet"): TEMPLATE,
        ("apps", "DaemonSet"): TEMPLATE,
        ("apps", "ReplicaSet"): TEMPLATE,
        ("batch", "Job"): TEMPLATE,
        ("batch", "CronJob"): ("spec", "jobTemplate", *TEMPLATE),
    },
)
"""What Kubernetes brings along."""


def pod_images(pod: Cursor | None) -> Iterator[Place]:
    """Return the images of a pod's init containers (sidecars among them), containers and volumes.

    Ephemeral containers are not ours: nobody keeps them in a manifest.
    """
    if pod is None:
        return
    for container in (*pod.list_at("initContainers"), *pod.list_at("containers")):
        yield from container_image(container)
    for volume in pod.list_at("volumes"):
        yield from image_at(volume.at("image", "reference"), volume.text("name") or "")


def container_image(container: Cursor | None) -> Iterator[Place]:
    """Return the image of a container."""
    if container is not None:
        yield from image_at(container.get("image"), container.text("name") or "")
