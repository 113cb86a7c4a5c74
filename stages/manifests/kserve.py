"""KServe: servers and weights of its InferenceService, ServingRuntime and LLMInferenceService.

Fields as in its API types: serving.kserve.io v1alpha1 and v1beta1.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from stages.manifests.cursor import Cursor
from stages.manifests.interface import Place, Target
from stages.manifests.kubernetes import container_image, pod_images
from stages.manifests.whole_reference import address_at
from stages.manifests.yaml_tree import MappingNode

COMPONENTS = ("predictor", "transformer", "explainer")
"""What an InferenceService consists of; each has an image and a part of the requests of its own."""
# what an InferenceService may call the server inside a component, each with an `image` and a `storageUri`
_FRAMEWORKS = (
    *("model", "sklearn", "xgboost", "tensorflow", "pytorch", "triton", "onnx", "huggingface"),
    *("pmml", "lightgbm", "paddle", "art", "alibi"),
)
_SERVICES = {"InferenceService"}
_RUNTIMES = {"ServingRuntime", "ClusterServingRuntime"}
_LANGUAGE_MODELS = {"LLMInferenceService", "LLMInferenceServiceConfig"}


@dataclass(frozen=True, slots=True)
class KServe:
    """A resource of KServe that names images."""

    name: ClassVar[str] = "kserve"
    understands: ClassVar[frozenset[str]] = frozenset({"container"})

    def recognises(self, document: Cursor, target: Target) -> bool:
        """Tell whether the document is one of KServe's services or runtimes."""
        group, kind = document.kind()
        return group == "serving.kserve.io" and kind in _SERVICES | _RUNTIMES | _LANGUAGE_MODELS

    def places(self, document: Cursor, target: Target) -> Iterator[Place]:
        """Return the images of the servers, and where the weights come from if that is an image."""
        spec, kind = document.get("spec"), document.kind()[1]
        if spec is None:
            return
        if kind in _SERVICES:
            for component in COMPONENTS:
                yield from _component(spec.get(component))
        elif kind in _RUNTIMES:
            yield from _workers(spec)
        else:
            yield from _language_model(spec)


def _component(component: Cursor | None) -> Iterator[Place]:
    if component is None:
        return
    yield from _workers(component)
    for framework in _FRAMEWORKS:
        server = component.get(framework)
        if server is not None and isinstance(server.node, MappingNode):
            yield from container_image(server)
            yield from address_at(server.get("storageUri"))
    for weights in component.list_at("storageUris"):
        yield from address_at(weights.get("uri"))


def _workers(pod: Cursor) -> Iterator[Place]:
    yield from pod_images(pod)
    yield from pod_images(pod.get("workerSpec"))


def _language_model(spec: Cursor) -> Iterator[Place]:
    models = (spec.get("model"), *_adapters(spec))
    for model in models:
        yield from address_at(model.get("uri") if model is not None else None)
    for path in (("template",), ("worker",), ("prefill", "template"), ("prefill", "worker")):
        yield from pod_images(spec.at(*path))
    yield from pod_images(spec.at("router", "scheduler", "template"))


def _adapters(spec: Cursor) -> tuple[Cursor, ...]:
    adapters = spec.at("model", "lora", "adapters")
    return adapters.items() if adapters is not None else ()
