"""KServe's InferenceService: weights that are an image of their own (a modelcar)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from stages.manifests.cursor import Cursor
from stages.manifests.interface import Place, Target
from stages.manifests.kubernetes import WholeReference
from stages.manifests.yaml_tree import text_of

# oci:// as the cluster is configured, oci+native:// as an image volume, oci+fetch:// fetched once
_SCHEME = re.compile(r"oci(\+[a-z]+)?://")


@dataclass(frozen=True, slots=True)
class InferenceService:
    """An InferenceService whose `storageUri` names an image."""

    name: ClassVar[str] = "kserve"

    def recognises(self, document: Cursor, target: Target) -> bool:
        """Tell whether the document is an InferenceService."""
        version, kind = document.document.kind()
        return version.startswith("serving.kserve.io/") and kind == "InferenceService"

    def places(self, document: Cursor, target: Target) -> Iterator[Place]:
        """Return where the weights come from, if that is an image."""
        found = document.at("spec", "predictor", "model", "storageUri")
        scheme = _SCHEME.match(text_of(found.node) or "") if found is not None else None
        if found is not None and scheme is not None:
            yield WholeReference(found, scheme[0])
