"""What is known of an image that a manifest names already: asked of its registry, each digest once."""

import contextlib
import json
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.desk import Desk
from pipeline.errors import RemoteError
from pipeline.reference import Digest, Reference, Repository, Tag
from stages.oci.distribution import RepositoryClient
from stages.oci.order_key import OrderKey
from stages.registries.connections import Registries, client, connect
from stages.registries.readiness import explained

_ANNOTATIONS, _LABELS = "annotations", "Labels"
_VERSION = "org.opencontainers.image.version"
_LATEST = Tag("latest")  # what a name without tag and digest means


@dataclass(frozen=True, slots=True)
class Deployed:
    """An image in its registry, as far as it is known there."""

    digest: Digest | None
    """None: the registry has nothing under this name."""
    key: OrderKey | None = None
    tag: str | None = None
    """The tag that it was made for, as it says itself."""
    problem: RemoteError | None = None
    """Why the registry could not be asked."""


@dataclass(frozen=True, slots=True)
class DeployedImages:
    """Reads images by what a manifest says of them; what has a digest is read once."""

    registries: Registries
    desk: Desk
    _known: dict[tuple[Repository, Digest], Deployed] = field(default_factory=dict)

    def find(self, reference: Reference) -> Deployed:
        """Return what the registry has under this reference; a tag counts only where there is no digest."""
        place = (reference.repository, reference.digest) if reference.digest is not None else None
        if place is not None and place in self._known:
            return self._known[place]
        try:
            found = self._ask(reference)
        except RemoteError as error:
            return Deployed(reference.digest, problem=error)
        if found.digest is not None:
            self._known[reference.repository, found.digest] = found
        return found

    def _ask(self, reference: Reference) -> Deployed:
        repository = reference.repository
        registry = self.registries.of(repository)
        wanted = reference.digest or reference.tag or _LATEST
        with contextlib.closing(connect(registry, self.desk)) as transport, explained(registry, repository):
            reader = replace(client(repository, registry, transport, self.desk), actions="pull")
            manifest = reader.read_manifest(wanted)
            if manifest is None:
                return Deployed(None)
            said = _said(reader, _document(manifest[1]))
        return Deployed(manifest[0].digest, OrderKey.said_by(said), said.get(_VERSION))


def _said(reader: RepositoryClient, document: dict[str, Any]) -> dict[str, str]:
    """Return the annotations, and the labels of the configuration where those have no order key."""
    annotations = _texts(document.get(_ANNOTATIONS))
    if OrderKey.said_by(annotations) is not None:
        return annotations
    children = document.get("manifests") or []
    if children:
        first = reader.read_manifest(Digest(children[0]["digest"]))
        return {**(_said(reader, _document(first[1])) if first else {}), **annotations}
    config = document.get("config") or {}
    if "digest" not in config:
        return annotations
    settings = _document(reader.read_blob(Digest(config["digest"]))).get("config") or {}
    return {**_texts(settings.get(_LABELS)), **annotations}


def _document(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _texts(found: object) -> dict[str, str]:
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}
