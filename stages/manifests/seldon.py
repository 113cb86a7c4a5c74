"""Seldon Core: SeldonDeployment of version 1; Model, Server and ServerConfig of version 2.

Fields as in its API types: machinelearning.seldon.io v1 and mlops.seldon.io v1alpha1.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from stages.manifests.cursor import Cursor
from stages.manifests.interface import Place, Target
from stages.manifests.kubernetes import container_image, pod_images
from stages.manifests.whole_reference import address_at, image_at

_DEPLOYMENT = ("machinelearning.seldon.io", "SeldonDeployment")
_MODEL = ("mlops.seldon.io", "Model")
_SERVERS = {("mlops.seldon.io", "Server"), ("mlops.seldon.io", "ServerConfig")}
CANARY = "canary"
"""The name of the predictor that gets a new image first."""
_OVERRIDES = ("init", "agent", "rclone")


@dataclass(frozen=True, slots=True)
class Seldon:
    """A resource of Seldon Core that names images."""

    name: ClassVar[str] = "seldon"
    understands: ClassVar[frozenset[str]] = frozenset({"container"})

    def recognises(self, document: Cursor, target: Target) -> bool:
        """Tell whether the document is one of Seldon's."""
        return document.kind() in {_DEPLOYMENT, _MODEL, *_SERVERS}

    def places(self, document: Cursor, target: Target) -> Iterator[Place]:
        """Return the images of the servers, and where the weights come from if that is an image."""
        spec = document.get("spec")
        if spec is None:
            return
        if document.kind() == _DEPLOYMENT:
            predictors = spec.list_at("predictors")
            canaries = [each for each in predictors if each.text("name") == CANARY]
            # with a strategy, what was delivered last stands in the canary alone
            for predictor in canaries if target.traffic is not None and canaries else predictors:
                yield from predictor_images(predictor)
        elif document.kind() == _MODEL:
            yield from address_at(spec.get("storageUri"))
        else:
            yield from pod_images(spec.get("podSpec"))
            for container in _OVERRIDES:
                yield from container_image(spec.at("imageOverrides", container))


def predictor_images(predictor: Cursor) -> Iterator[Place]:
    """Return the images of one predictor of a SeldonDeployment."""
    for component in predictor.list_at("componentSpecs"):
        yield from pod_images(component.get("spec"))
    yield from _unit(predictor.get("graph"))
    explainer = predictor.get("explainer")
    if explainer is not None:
        yield from container_image(explainer.get("containerSpec"))
        yield from _fetched(explainer)


def _unit(unit: Cursor | None) -> Iterator[Place]:
    if unit is None:
        return
    yield from _fetched(unit)
    for child in unit.list_at("children"):
        yield from _unit(child)


def _fetched(part: Cursor) -> Iterator[Place]:
    yield from address_at(part.get("modelUri"))
    yield from image_at(part.get("storageInitializerImage"))
