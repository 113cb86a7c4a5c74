"""The bundles that lie beside an image in one repository, as referrers of its manifests."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from pipeline.desk import Desk
from pipeline.errors import NotVerified, RemoteError, TemporaryRemoteError
from pipeline.model import Descriptor
from pipeline.reference import Digest, Repository, Tag
from stages.attestations.bundle import FAMILY, MEDIA_TYPE, PREDICATE_TYPE, Bundle
from stages.oci.distribution import RepositoryClient
from stages.oci.layout import to_descriptor
from stages.oci.referrers import EMPTY_TYPE, Referrer, Referrers
from stages.oci.retries import Retries
from stages.registries.connections import SOON, Registries, client, connect
from stages.registries.interface import Registry
from stages.registries.readiness import explained

LARGEST_BUNDLE_BYTES = 128 * 1024 * 1024
MOST_BUNDLES = 500
_MAY_BE_BUNDLES = frozenset({"", EMPTY_TYPE})
"""What lists of older registries say of bundles that cosign wrote itself."""
_READING = Retries(attempts=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """What one referrer of a manifest holds: a bundle, or why it is none."""

    referrer: Digest
    bundle: Bundle | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """One repository; all methods raise RemoteError."""

    client: RepositoryClient
    registry: Registry

    @property
    def repository(self) -> Repository:
        """Where it is."""
        return self.client.repository

    def find(self, reference: Tag | Digest) -> Descriptor | None:
        """Return the descriptor of a manifest, digested from its bytes; None where there is none."""
        with explained(self.registry, self.repository):
            found = self.client.read_manifest(reference)
        return found[0] if found is not None else None

    def manifest(self, digest: Digest) -> Descriptor:
        """Return the descriptor of a manifest that is there.

        Raises:
            RemoteError: it is not there.
        """
        if (found := self.find(digest)) is not None:
            return found
        raise RemoteError(
            f"{self.repository}@{digest} is not there", advice="It was deleted: deliver its commit again."
        )

    def placed(self, subject: Digest) -> tuple[Placed, ...]:
        """Return what lies beside a manifest: bundles, and what claims to be one and is not."""
        with explained(self.registry, self.repository):
            found = Referrers(client=self.client).of(subject)
            listed = {each.descriptor.digest for each in found if _may_be_bundle(each)}
            if len(listed) > MOST_BUNDLES:
                raise RemoteError(
                    f"{self.repository}: {len(listed)} attestations point at {subject}, too many to be read",
                    advice="Delete those that nobody needs.",
                )
            read = (self._read(each, subject) for each in sorted(listed))
            return tuple(each for each in read if each is not None)

    def put(self, subject: Descriptor, bundle: Bundle) -> None:
        """Lay a bundle beside a manifest, and see to it that it is listed there."""
        kind = bundle.statement.predicate_type
        said = {"dev.sigstore.bundle.content": "dsse-envelope", PREDICATE_TYPE: kind}
        try:
            with explained(self.registry, self.repository):
                Referrers(client=self.client).push(subject, MEDIA_TYPE, bundle.content, MEDIA_TYPE, said)
        except TemporaryRemoteError:
            raise
        except RemoteError as error:
            raise RemoteError(
                f"{self.repository}: an attestation cannot be laid beside the image: {error.message}",
                advice="\n".join(
                    filter(
                        None, (error.advice, "The registry has to take OCI artifacts (OCI 1.1, or by tag).")
                    )
                ),
            ) from error

    def _read(self, digest: Digest, subject: Digest) -> Placed | None:
        """Return what a referrer holds; None where it is something else, or of something else."""
        found = self.client.read_manifest(digest)
        if found is None:
            return Placed(referrer=digest, problem="it is listed, and is not there")
        document = _document(found[1])
        layer = next(iter(_layers(document)), None)
        kinds = (str(document.get("artifactType", "")), layer.media_type if layer is not None else "")
        if layer is None or not any(kind.startswith(FAMILY) for kind in kinds):
            return None
        about = document.get("subject")
        if not isinstance(about, dict) or about.get("digest") != subject:
            return Placed(referrer=digest, problem="it points at another manifest")
        try:
            return Placed(referrer=digest, bundle=Bundle.parse(self._content(layer)))
        except NotVerified as error:
            return Placed(referrer=digest, problem=error.message)

    def _content(self, layer: Descriptor) -> bytes:
        if layer.size_bytes > LARGEST_BUNDLE_BYTES:
            raise NotVerified(f"it has {layer.size_bytes:,} bytes, which is too much")
        content = self.client.retries.run(
            lambda: self._stream(layer), self.client.transport.stopped, self.client.say
        )
        if Digest.of(content) != layer.digest:
            raise NotVerified("its bytes are not those that its digest names: they were changed")
        return content

    def _stream(self, layer: Descriptor) -> bytes:
        gathered = bytearray()
        for piece in self.client.stream_blob(layer.digest):
            gathered += piece
            if len(gathered) > layer.size_bytes:
                break
        return bytes(gathered)


@contextlib.contextmanager
def opened(registries: Registries, repository: Repository, desk: Desk, *, write: bool) -> Iterator[Shelf]:
    """Lend the shelf of a repository, with the right to push where something is to be written."""
    registry = registries.of(repository)
    with contextlib.closing(connect(registry, desk, SOON)) as transport:
        reading = client(repository, registry, transport, desk, Retries() if write else _READING)
        yield Shelf(client=reading if write else replace(reading, actions="pull"), registry=registry)


def _may_be_bundle(referrer: Referrer) -> bool:
    return referrer.artifact_type.startswith(FAMILY) or referrer.artifact_type in _MAY_BE_BUNDLES


def _document(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _layers(document: dict[str, Any]) -> Iterator[Descriptor]:
    layers = document.get("layers")
    for each in layers if isinstance(layers, list) else []:
        with contextlib.suppress(ValueError, KeyError, TypeError):  # pydantic's errors are ValueErrors
            yield to_descriptor(each)
