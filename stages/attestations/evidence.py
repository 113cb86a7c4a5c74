"""The whole evidence inside a predicate, so that whoever reads it elsewhere can judge it again.

A predicate of a known type says the little that everybody understands; beside it the evidence stands under a
key of our own, as SLSA wants extensions to be named (`<vendor>_<field>`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline.model import Artifact, BuiltImage, ModelLayer, Source

EVIDENCE = "modelimagepipeline_evidence"
ATTESTED = "modelimagepipeline_attested"
VERDICTS = "modelimagepipeline_verdicts"
HERE = Path()


@dataclass(frozen=True, slots=True)
class Kept:
    """A piece of evidence as plain data, with the name of its type."""

    type: str
    content: Mapping[str, Any]


def embed(artifacts: Iterable[Artifact], at: datetime) -> dict[str, Any]:
    """Return what stands in a predicate for these artifacts."""
    kept = [{"type": type(each).__name__, "content": each.model_dump(mode="json")} for each in artifacts]
    return {"at": at.isoformat(), "artifacts": kept}


def kept_in(predicate: Mapping[str, Any]) -> tuple[Kept, ...]:
    """Return the evidence in a predicate; nothing where somebody else wrote it."""
    stored = predicate.get(EVIDENCE)
    found = stored.get("artifacts") if isinstance(stored, dict) else None
    entries = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    return tuple(
        Kept(str(each.get("type")), each["content"])
        for each in entries
        if isinstance(each.get("content"), dict)
    )


def moment(predicate: Mapping[str, Any]) -> str:
    """Return when the evidence was attested, in a form that sorts; empty where nobody says so."""
    stored = predicate.get(EVIDENCE)
    return str(stored.get("at", "")) if isinstance(stored, dict) else ""


def portable(artifact: Artifact, source: Source) -> Artifact:
    """Return an artifact without the folders of this machine, which are nobody's business elsewhere."""
    if isinstance(artifact, Source):
        return artifact.model_copy(update={"root": HERE})
    if not isinstance(artifact, BuiltImage):
        return artifact
    own = artifact.model_image
    if own is not None:
        own = own.model_copy(
            update={"layout": HERE, "model_layers": _portable_layers(own.model_layers, source)}
        )
    layers = _portable_layers(artifact.model_layers, source)
    return artifact.model_copy(update={"layout": HERE, "model_layers": layers, "model_image": own})


def _portable_layers(layers: tuple[ModelLayer, ...], source: Source) -> tuple[ModelLayer, ...]:
    return tuple(layer.model_copy(update={"source": place(layer.source, source)}) for layer in layers)


def place(folder_or_url: str, source: Source) -> str:
    """Return where a model comes from: a URL as it is, a folder as seen from pipeline.yaml."""
    path = Path(folder_or_url)
    if not path.is_absolute():
        return folder_or_url
    root = source.root.resolve()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
