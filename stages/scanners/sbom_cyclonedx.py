"""The list of contents as CycloneDX: what the scanner found installed, and the model as a component (ML-BOM).

The scanner's document is edited and not read into a library's types: cyclonedx-python-lib has no model cards,
and would drop what it does not know. The tests hold the result against the published schema.

Source: CycloneDX 1.5 to 1.7, JSON reference (`machine-learning-model`, `modelCard`).
"""

import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

from pipeline.model import ModelFile, ModelLayer
from stages.oci.assemble import timestamp
from stages.scanners.model_card import spdx_expression
from stages.scanners.sbom_subject import Subject, Weights

MEDIA_TYPE = "application/vnd.cyclonedx+json"
NAMESPACE = uuid.UUID("9f2b6a3c-5a0e-5b1f-8f43-0d8f6d0c2f57")  # ours; any constant serves
OURS = "model-image-pipeline"
_TOOL = {"type": "application", "name": OURS}
_RANDOM = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
_LAYERS = "aquasecurity:trivy:DiffID"
Document = dict[str, Any]


def complete(found: Document | None, subject: Subject) -> Document:
    """Return the list of an image; `found` is what a scanner says of its layers, None for nothing.

    The same image and the same scanner give the same bytes: what is random in the scanner's list is replaced.
    """
    document = found or {"bomFormat": "CycloneDX", "specVersion": "1.6", "components": []}
    document.pop("vulnerabilities", None)  # those of today's database; they are looked up anew each time
    names = _stable_names(document)
    root = document.get("metadata", {}).get("component", {})
    names[root.get("bom-ref", "")] = subject.purl
    model = [_model(subject.weights)] if subject.weights is not None else []
    components = [{**one, "bom-ref": names[one["bom-ref"]]} for one in document["components"]]
    dependencies = _dependencies(document, names, subject, [one["bom-ref"] for one in model])
    whole: Document = {
        **{key: document[key] for key in ("$schema", "bomFormat", "specVersion") if key in document},
        "version": 1,
        "metadata": {
            "timestamp": timestamp(subject.created),
            "tools": {"components": [*_tools(document), _TOOL]},
            "component": _image(subject, root),
        },
        "components": sorted([*components, *model], key=lambda one: str(one["bom-ref"])),
        "dependencies": dependencies,
    }
    serial = uuid.uuid5(NAMESPACE, json.dumps(whole, sort_keys=True))
    return {**whole, "serialNumber": f"urn:uuid:{serial}"}


def count(document: Document) -> int:
    """Return how many components a list has, those inside others among them."""
    return sum(1 + count(one) for one in document.get("components") or ())


def _tools(document: Document) -> list[Document]:
    tools: list[Document] = document.get("metadata", {}).get("tools", {}).get("components") or []
    return tools


def _stable_names(document: Document) -> dict[str, str]:
    """Return a name for each component that depends on what it is; a package's URL is one already."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for component in sorted(document["components"], key=_content):
        name = component["bom-ref"]
        stable = str(uuid.uuid5(NAMESPACE, _content(component))) if _RANDOM.match(name) else name
        while stable in taken:  # the very same thing twice
            stable = str(uuid.uuid5(NAMESPACE, stable))
        taken.add(stable)
        names[name] = stable
    return names


def _content(component: Document) -> str:
    name = component["bom-ref"]
    known = {} if _RANDOM.match(name) else {"bom-ref": name}
    return json.dumps({**component, "bom-ref": None, **known}, sort_keys=True)


def _dependencies(
    document: Document, names: dict[str, str], subject: Subject, model: list[str]
) -> list[Document]:
    known = {
        names.get(one["ref"], one["ref"]): [names.get(each, each) for each in one.get("dependsOn") or ()]
        for one in document.get("dependencies") or ()
    }
    known[subject.purl] = [*known.get(subject.purl, ()), *model]
    known.update({name: [] for name in model})
    return [{"ref": ref, "dependsOn": sorted(known[ref])} for ref in sorted(known)]


def _image(subject: Subject, root: Document) -> Document:
    layers = [one for one in root.get("properties") or () if one.get("name") == _LAYERS]
    ours = {"platform": subject.platform, "config": str(subject.config), "index": str(subject.index)}
    return {
        "bom-ref": subject.purl,
        "type": "container",
        "name": subject.name,
        "version": str(subject.manifest),
        "hashes": [{"alg": "SHA-256", "content": subject.manifest.encoded}],
        "purl": subject.purl,
        "properties": [*layers, *_properties(**ours)],
    }


# --- the model ---------------------------------------------------------------------------------------


def _model(weights: Weights) -> Document:
    card = weights.card
    reference = [{"type": "distribution", "url": weights.url}] if weights.url else []
    if card is not None and card.license_url.startswith(("https://", "http://")):
        reference.append({"type": "license", "url": card.license_url})
    component: Document = {
        "bom-ref": f"model:{weights.digest}",
        "type": "machine-learning-model",
        "name": weights.name,
        "version": weights.version,
        **({"licenses": _licenses(card.license)} if card is not None and card.license else {}),
        **({"purl": weights.purl} if weights.purl else {}),
        **({"externalReferences": reference} if reference else {}),
        **({"pedigree": _pedigree(card.base_models)} if card is not None and card.base_models else {}),
        "modelCard": _card(weights),
        "components": [_file(file, layer, weights) for file, layer in weights.files],
    }
    return (
        {**component, "properties": list(_properties(library=card.library))}
        if card and card.library
        else component
    )


def _card(weights: Weights) -> Document:
    card = weights.card
    parameters: Document = {}
    if card is not None and card.task:
        parameters["task"] = card.task
    if card is not None and card.datasets:
        parameters["datasets"] = [{"type": "dataset", "name": name} for name in card.datasets]
    return {"modelParameters": parameters} if parameters else {}


def _pedigree(names: tuple[str, ...]) -> Document:
    return {"ancestors": [{"type": "machine-learning-model", "name": name} for name in names]}


def _licenses(text: str) -> list[Document]:
    if spdx_expression(text) != text:
        return [{"license": {"name": text}}]
    return [{"license": {"id": text}} if re.fullmatch(r"[\w.-]+", text) else {"expression": text}]


def _file(file: ModelFile, layer: ModelLayer, weights: Weights) -> Document:
    """Return a file of the model: its name is the one in the model's folder."""
    return {
        "bom-ref": f"model:{weights.digest}/{file.path}",
        "type": "file",
        "name": file.path,
        "hashes": [{"alg": "SHA-256", "content": file.digest.encoded}],
        "evidence": {"occurrences": [{"location": f"{layer.path.rstrip('/')}/{file.path}"}]},
        "properties": list(_properties(size_bytes=str(file.size_bytes), layer=str(layer.descriptor.digest))),
    }


def _properties(**said: str) -> Iterator[Document]:
    return ({"name": f"{OURS}:{name}", "value": value} for name, value in said.items())
