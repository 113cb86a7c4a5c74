"""What an image was made from, each with its digest: source, base image, weights.

Source: SLSA v1.0 provenance, `resolvedDependencies`; in-toto ResourceDescriptor v1.
"""

from collections.abc import Iterator
from typing import Any

from pipeline.model import BaseImage, BuiltImage, ModelLayer, Source
from pipeline.reference import Reference
from stages.attestations.evidence import place

Resource = dict[str, Any]


def materials(source: Source, image: BuiltImage) -> list[Resource]:
    """Return the resource descriptors of all that went into the image."""
    own = image.model_image
    bases = [each for each in (image.base, own.base if own is not None else None) if each is not None]
    found = [commit(source), *(base for each in bases for base in _base(each)), *_weights(image, source)]
    return list({str(each): each for each in found}.values())


def commit(source: Source) -> Resource:
    """Return the commit, and how the work tree differed from it."""
    resource: Resource = {"name": "source", "digest": {"gitCommit": source.commit}}
    if source.repository_url is not None:
        at = f"@{source.branch}" if source.branch is not None else ""
        resource["uri"] = f"git+{source.repository_url}{at}"
    if source.dirty:
        changes = str(source.changes_digest) if source.changes_digest is not None else "unknown"
        resource["annotations"] = {"dirty": True, "changes": changes}
    return resource


def _base(base: BaseImage) -> Iterator[Resource]:
    if base.name == "scratch":
        return
    resource: Resource = {"name": base.name, "uri": f"docker://{Reference.parse(base.name).repository}"}
    if base.digest is not None:
        resource["digest"] = {"sha256": base.digest.encoded}
    yield {**resource, "annotations": {"role": "base image"}}


def _weights(image: BuiltImage, source: Source) -> Iterator[Resource]:
    for layer in image.weights:
        yield from _files(layer, place(layer.source, source))


def _files(layer: ModelLayer, origin: str) -> Iterator[Resource]:
    remote = "://" in origin
    for file in layer.files:
        annotations: Resource = {"role": "weights", "source": origin, "size_bytes": file.size_bytes}
        if file.identity:
            annotations["identity"] = file.identity
        resource: Resource = {"name": file.path, "digest": {"sha256": file.digest.encoded}}
        if remote:
            resource["uri"] = f"{origin.rstrip('/')}/{file.path}"
        yield {**resource, "annotations": annotations}
