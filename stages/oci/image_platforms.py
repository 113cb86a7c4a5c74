"""The platforms of an image that somebody else has: their manifests, and which layers are weights.

Layers of weights say in the image's history what they are (`assemble` writes it there).
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from pipeline.errors import RemoteError
from pipeline.model import Descriptor
from pipeline.reference import Digest
from stages.oci.assemble import ATTESTATION, MODEL_LAYER, MODEL_STEP
from stages.oci.layout import to_descriptor

Read = Callable[[Descriptor], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePlatform:
    """One platform of an image."""

    platform: str
    manifest: Descriptor
    content: bytes
    """The manifest's own bytes."""
    config: bytes
    """Those of the configuration."""

    @property
    def layers(self) -> tuple[Descriptor, ...]:
        """All layers."""
        return tuple(map(to_descriptor, json.loads(self.content)["layers"]))

    @property
    def application_layers(self) -> tuple[Descriptor, ...]:
        """All layers but those of weights."""
        weights = self.model_layers
        return tuple(each for each in self.layers if each.digest not in weights)

    @property
    def weights_layers(self) -> tuple[Descriptor, ...]:
        """The layers of weights; none where the history does not tell."""
        weights = self.model_layers
        return tuple(each for each in self.layers if each.digest in weights)

    @property
    def model_layers(self) -> Mapping[Digest, str]:
        """The layers of weights with their folders in the image; none where the history does not tell."""
        document = json.loads(self.config)
        steps = [step for step in document.get("history") or () if not step.get("empty_layer")]
        diff_ids = document["rootfs"]["diff_ids"]
        if not len(steps) == len(diff_ids) == len(self.layers):
            return {}
        told = zip(self.layers, diff_ids, steps, strict=True)
        return {
            layer.digest: str(step["created_by"]).removeprefix(MODEL_STEP)
            for layer, diff_id, step in told
            if _is_model(layer, diff_id, step)
        }


def platforms_of(name: str, found: Descriptor, content: bytes, read: Read) -> tuple[ImagePlatform, ...]:
    """Return the platforms of a manifest or an index; `read` returns small blobs and manifests.

    Raises:
        RemoteError: it is no image; or whatever `read` raises.
    """
    try:
        return tuple(_platforms(found, content, read))
    except (ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
        raise RemoteError(f"{name} is no image that can be read") from error


def _platforms(found: Descriptor, content: bytes, read: Read) -> Iterator[ImagePlatform]:
    document: dict[str, Any] = json.loads(content)
    if "manifests" not in document:
        config = read(to_descriptor(document["config"]))
        yield ImagePlatform(
            platform=_platform(json.loads(config)), manifest=found, content=content, config=config
        )
        return
    for child in document["manifests"]:
        if ATTESTATION not in (child.get("annotations") or {}):
            inner = to_descriptor(child)
            yield from _platforms(inner, read(inner), read)


def _platform(config: Mapping[str, Any]) -> str:
    return "/".join(str(config[key]) for key in ("os", "architecture", "variant") if config.get(key))


def _is_model(layer: Descriptor, diff_id: str, step: Mapping[str, Any]) -> bool:
    """Tell whether a layer is one of weights: its step says so, and it is a plain tar, as those all are."""
    return (
        str(step.get("comment") or "").startswith(MODEL_LAYER)
        and str(step.get("created_by") or "").startswith(f"{MODEL_STEP}/")
        and layer.digest == Digest(diff_id)
    )
