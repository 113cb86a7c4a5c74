"""The list of contents as SPDX 2.3: what the scanner found installed, with the model and its files.

A file of the model is a package of the purpose FILE: SPDX's own kind of file needs a SHA-1, and for that all
weights would have to be read again.

Source: SPDX specification 2.3, chapters 6 to 11, in its JSON form.
"""

import json
import re
import uuid
from typing import Any

from pipeline.model import ModelFile
from pipeline.reference import Digest
from stages.oci.assemble import timestamp
from stages.scanners.model_card import spdx_expression
from stages.scanners.sbom_cyclonedx import NAMESPACE, OURS
from stages.scanners.sbom_subject import Subject, Weights

MEDIA_TYPE = "application/spdx+json"
_DOCUMENT = "SPDXRef-DOCUMENT"
_CONTAINER = "CONTAINER"
_LAYER = "DiffID: "
Document = dict[str, Any]


def complete(found: Document | None, subject: Subject) -> Document:
    """Return the list of an image; `found` is what a scanner says of its layers, None for nothing.

    The same image and the same scanner give the same bytes: what is random in the scanner's list is replaced.
    """
    document = found or {"packages": [], "relationships": []}
    created = timestamp(subject.created)
    packages = [_dated(one, created) for one in document["packages"]]
    root = next((one for one in packages if one.get("primaryPackagePurpose") == _CONTAINER), {})
    name = f"SPDXRef-ContainerImage-{subject.manifest.short}"
    names = {root.get("SPDXID", name): name}
    model = _model(subject.weights) if subject.weights is not None else []
    others = sorted((one for one in packages if one is not root), key=lambda one: str(one["SPDXID"]))
    relations = {_relation(one, names) for one in document.get("relationships") or ()}
    relations.add((_DOCUMENT, "DESCRIBES", name))
    relations.update(
        (name if number == 0 else model[0]["SPDXID"], "CONTAINS", one["SPDXID"])
        for number, one in enumerate(model)
    )
    words = _extracted(subject.weights)
    licences = {
        one["licenseId"]: one for one in (*(document.get("hasExtractedLicensingInfos") or ()), *words)
    }
    whole: Document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": _DOCUMENT,
        "name": subject.name,
        "creationInfo": {"creators": [*_creators(document), f"Tool: {OURS}"], "created": created},
        "packages": [_image(root, name, subject), *others, *model],
        **({"hasExtractedLicensingInfos": [licences[key] for key in sorted(licences)]} if licences else {}),
        "relationships": [
            {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}
            for one, kind, other in sorted(relations)
        ],
    }
    serial = uuid.uuid5(NAMESPACE, json.dumps(whole, sort_keys=True))
    return {**whole, "documentNamespace": f"urn:uuid:{serial}"}


def count(document: Document) -> int:
    """Return how many packages a list has beside the image itself."""
    return len(document["packages"]) - 1


def _creators(document: Document) -> list[str]:
    return [one for one in document.get("creationInfo", {}).get("creators") or () if one.startswith("Tool: ")]


def _dated(package: Document, created: str) -> Document:
    notes = [{**one, "annotationDate": created} for one in package.get("annotations") or ()]
    return {**package, "annotations": notes} if notes else package


def _relation(said: Document, names: dict[str, str]) -> tuple[str, str, str]:
    one, kind, other = (str(said[key]) for key in ("spdxElementId", "relationshipType", "relatedSpdxElement"))
    return names.get(one, one), kind, names.get(other, other)


def _image(root: Document, name: str, subject: Subject) -> Document:
    layers = [one for one in root.get("annotations") or () if one.get("comment", "").startswith(_LAYER)]
    return {
        **_package(name, subject.name, str(subject.manifest), _CONTAINER, subject.manifest),
        "externalRefs": [_purl(subject.purl)],
        "comment": f"platform {subject.platform}, configuration {subject.config}, image {subject.index}",
        **({"annotations": sorted(layers, key=lambda one: str(one["comment"]))} if layers else {}),
    }


def _model(weights: Weights) -> list[Document]:
    card = weights.card
    name = f"SPDXRef-Model-{weights.digest.short}"
    model = {
        **_package(name, weights.name, weights.version, "OTHER"),
        **({"downloadLocation": weights.url} if weights.url else {}),
        **({"licenseDeclared": _license(card.license)} if card is not None and card.license else {}),
        **({"externalRefs": [_purl(weights.purl)]} if weights.purl else {}),
        **({"comment": comment} if (comment := _told(weights)) else {}),
    }
    return [model, *(_file(file, name) for file, _ in weights.files)]


def _told(weights: Weights) -> str:
    """Return what SPDX 2.3 has no field for."""
    if weights.card is None:
        return ""
    card = weights.card
    said = (
        ("task", card.task),
        ("library", card.library),
        ("base model", ", ".join(card.base_models)),
        ("datasets", ", ".join(card.datasets)),
    )
    return "; ".join(f"{what}: {text}" for what, text in said if text)


def _file(file: ModelFile, model: str) -> Document:
    name = f"{model}-{Digest.of(file.path.encode()).short}"
    return _package(name, file.path, str(file.digest), "FILE", file.digest)


def _package(identity: str, name: str, version: str, purpose: str, digest: Digest | None = None) -> Document:
    return {
        "name": name,
        "SPDXID": identity,
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "primaryPackagePurpose": purpose,
        **({"checksums": [{"algorithm": "SHA256", "checksumValue": digest.encoded}]} if digest else {}),
    }


def _purl(purl: str) -> Document:
    return {
        "referenceCategory": "PACKAGE-MANAGER",
        "referenceType": "purl",
        "referenceLocator": purl,
    }


def _license(text: str) -> str:
    """Return an expression that SPDX understands: words of the card's own are given a name."""
    if spdx_expression(text) == text and "LicenseRef" not in text:
        return text
    return f"LicenseRef-model-{re.sub(r'[^A-Za-z0-9.-]+', '-', text).strip('-') or 'card'}"


def _extracted(weights: Weights | None) -> list[Document]:
    card = weights.card if weights is not None else None
    if (
        card is None
        or not card.license
        or not (name := _license(card.license)).startswith("LicenseRef-model-")
    ):
        return []
    return [
        {
            "licenseId": name,
            "name": card.license,
            "extractedText": f"The model card says: {card.license} {card.license_url}".rstrip(),
        }
    ]
