"""Small images in a real registry, with or without the order key that deliveries are compared by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urljoin

from pipeline.reference import Digest
from stages.oci.order_key import NAME, OrderKey
from tests.support.registry import Registry

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"


def push(  # noqa: PLR0913 - each of them is plain at the call
    registry: Registry,
    name: str,
    tag: str,
    *,
    annotations: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    index: bool = False,
) -> Digest:
    """Push an image without layers, or an index of it; return what the tag names then."""
    config = _json(
        {"os": "linux", "architecture": "amd64", "config": {"Labels": dict(labels or {})}, "x": tag}
    )
    _push_blob(registry, name, config)
    described = {"mediaType": CONFIG_TYPE, "digest": Digest.of(config), "size": len(config)}
    manifest: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": described,
        "layers": [],
        "annotations": dict(annotations or {}),
    }
    if not index:
        return _push_manifest(registry, name, tag, manifest)
    child = _push_manifest(registry, name, f"{tag}-child", manifest)
    size = len(_json(manifest))
    below = {"mediaType": MANIFEST_TYPE, "digest": child, "size": size}
    return _push_manifest(
        registry, name, tag, {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [below]}
    )


def push_build(registry: Registry, name: str, commit: str, moment: datetime) -> Digest:
    """Push the build of a commit, as the pipeline makes it; its tag is the commit."""
    said = {NAME: str(OrderKey.at(moment, commit)), "org.opencontainers.image.version": commit}
    return push(registry, name, commit, annotations=said)


def _push_blob(registry: Registry, name: str, content: bytes) -> None:
    with registry.session() as session:
        begin = registry.url(f"{name}/blobs/uploads/")
        begun = session.post(begin, timeout=30)
        begun.raise_for_status()
        where = urljoin(begin, begun.headers["Location"])
        done = session.put(where, params={"digest": Digest.of(content)}, data=content, timeout=30)
        done.raise_for_status()


def _push_manifest(registry: Registry, name: str, tag: str, document: Mapping[str, object]) -> Digest:
    content = _json(document)
    headers = {"Content-Type": str(document["mediaType"])}
    with registry.session() as session:
        url = registry.url(f"{name}/manifests/{tag}")
        session.put(url, data=content, headers=headers, timeout=30).raise_for_status()
    return Digest.of(content)


def _json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
