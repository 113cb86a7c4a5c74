"""Plain workloads of Kubernetes: the containers, init containers and image volumes of their pods."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from stages.manifests.cursor import Cursor
from stages.manifests.interface import NewImage, Place, Target, same_image
from stages.manifests.yaml_editing import Edit, SetScalar
from stages.manifests.yaml_tree import text_of

_TEMPLATE = ("spec", "template", "spec")
_POD_AT = {
    ("", "Pod"): ("spec",),
    ("apps", "Deployment"): _TEMPLATE,
    ("apps", "StatefulSet"): _TEMPLATE,
    ("apps", "DaemonSet"): _TEMPLATE,
    ("batch", "Job"): _TEMPLATE,
    ("batch", "CronJob"): ("spec", "jobTemplate", *_TEMPLATE),
}


def _group_and_kind(document: Cursor) -> tuple[str, str]:
    version, kind = document.document.kind()
    return version.rpartition("/")[0], kind


@dataclass(frozen=True, slots=True)
class WholeReference:
    """A value that is a whole reference, such as the `image:` of a container; it may begin with a scheme."""

    at: Cursor
    scheme: str = ""

    @property
    def current(self) -> str:
        """The reference as it stands there."""
        return (text_of(self.at.node) or "").removeprefix(self.scheme)

    @property
    def name(self) -> str:
        """What stands before the tag and the digest, or before a variable in their place."""
        name = self.current.partition("@")[0]
        for sign in ("${", "$(", "{{"):
            before = name.partition(sign)[0]
            name = before.rstrip() if before.endswith(":") and name != before else name
        slash, colon = name.rfind("/"), name.rfind(":")
        return name[:colon] if colon > slash else name

    def edits(self, image: NewImage) -> tuple[Edit, ...]:
        """Return the edit to `repository:tag@digest`; another spelling of the repository is kept."""
        name = self.name if same_image(self, image.repository) else image.repository
        digest = "" if image.digest is None else f"@{image.digest}"
        return (SetScalar(self.at, f"{self.scheme}{name}:{image.tag}{digest}"),)


@dataclass(frozen=True, slots=True)
class Workload:
    """A resource of Kubernetes that runs pods."""

    name: ClassVar[str] = "kubernetes"

    def recognises(self, document: Cursor, target: Target) -> bool:
        """Tell whether the document is one of the built-in workloads."""
        return _group_and_kind(document) in _POD_AT

    def places(self, document: Cursor, target: Target) -> Iterator[Place]:
        """Return the images of the containers, of the init containers, and of the volumes that are images."""
        pod = document.at(*_POD_AT[_group_and_kind(document)])
        if pod is None:
            return
        containers = (*pod.list_at("initContainers"), *pod.list_at("containers"))
        images = (container.get("image") for container in containers)
        references = (volume.at("image", "reference") for volume in pod.list_at("volumes"))
        for found in (*images, *references):
            if found is not None and text_of(found.node):
                yield WholeReference(found)
