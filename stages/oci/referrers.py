"""What points at an image: signatures, SBOMs, reports. Listed and pushed, also where a registry is older.

Source: OCI distribution specification 1.1, "Listing Referrers" and "Referrers Tag Schema".
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from pydantic import ValidationError

from pipeline.errors import RemoteError, TemporaryRemoteError
from pipeline.model import Descriptor
from pipeline.reference import Digest, Tag
from stages.oci.blob_stream import Blob
from stages.oci.distribution import RepositoryClient
from stages.oci.layout import INDEX_TYPE, to_descriptor, to_document, to_json

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
EMPTY_TYPE, EMPTY = "application/vnd.oci.empty.v1+json", b"{}"
LONGEST_LIST = 100  # pages; a registry that pages for ever is not followed


@dataclass(frozen=True, slots=True, kw_only=True)
class Referrer:
    """A manifest that points at another one."""

    descriptor: Descriptor
    artifact_type: str
    annotations: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return it as it stands in an index."""
        document = {**to_document(self.descriptor), "artifactType": self.artifact_type}
        return {**document, "annotations": dict(self.annotations)} if self.annotations else document


@dataclass(frozen=True, slots=True, kw_only=True)
class Referrers:
    """The referrers of the manifests in one repository; all methods raise RemoteError."""

    client: RepositoryClient

    def of(self, subject: Digest, artifact_type: str | None = None) -> tuple[Referrer, ...]:
        """Return what points at a manifest, of one type or of all."""
        found = self._listed(subject)
        if found is None:
            found = self._tagged(subject)
        return tuple(each for each in found if artifact_type in {None, each.artifact_type})

    def push(
        self,
        subject: Descriptor,
        artifact_type: str,
        content: bytes,
        media_type: str,
        annotations: Mapping[str, str] | None = None,
    ) -> Referrer:
        """Push a small document that points at a manifest, and see to it that it is listed there."""
        config, layer = self._push_blob(EMPTY, EMPTY_TYPE), self._push_blob(content, media_type)
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": artifact_type,
            "config": to_document(config),
            "layers": [to_document(layer)],
            "subject": to_document(subject),
            **({"annotations": dict(annotations)} if annotations else {}),
        }
        written = to_json(manifest)
        descriptor = _describe(written, MANIFEST_TYPE)
        referrer = Referrer(descriptor=descriptor, artifact_type=artifact_type, annotations=annotations or {})
        if self.client.push_manifest(descriptor.digest, written, MANIFEST_TYPE) != subject.digest:
            # the registry did not notice the subject: it is for us to keep the list
            self.client.retries.run(
                lambda: self._add_to_tag(subject.digest, referrer),
                self.client.transport.stopped,
                self.client.say,
            )
        return referrer

    def _push_blob(self, content: bytes, media_type: str) -> Descriptor:
        descriptor = _describe(content, media_type)
        self.client.push_blob(Blob(descriptor=descriptor, read=lambda offset: iter((content[offset:],))))
        return descriptor

    def _listed(self, subject: Digest) -> tuple[Referrer, ...] | None:
        """Return what the registry lists; None where it keeps no lists."""
        found: list[Referrer] = []
        page = f"/v2/{self.client.repository.path}/referrers/{subject}"
        for _ in range(LONGEST_LIST):
            answer = self.client.list_referrers(page, subject)
            if answer.status == HTTPStatus.NOT_FOUND:
                return None
            found += _read(answer.content)
            if answer.next_page is None:
                return tuple(found)
            page = answer.next_page
        raise RemoteError(
            f"{self.client.repository}: the list of what points at {subject} has no end",
            advice="Ask the registry's administrator.",
        )

    def _tagged(self, subject: Digest) -> tuple[Referrer, ...]:
        found = self.client.read_manifest(_fallback(subject))
        return _read(found[1]) if found is not None else ()

    def _add_to_tag(self, subject: Digest, referrer: Referrer) -> None:
        """Add to the list under the fallback tag, unless another writer was quicker: then once more."""
        listed = self._tagged(subject)
        if referrer in listed:
            return
        documents = [each.document() for each in (*listed, referrer)]
        index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": documents}
        self.client.push_manifest(_fallback(subject), to_json(index), INDEX_TYPE)
        if referrer not in self._tagged(subject):
            raise TemporaryRemoteError(
                f"{self.client.repository}: another run wrote {_fallback(subject)} at the same time",
                advice="Run again.",
            )


def _fallback(subject: Digest) -> Tag:
    return Tag(subject.replace(":", "-"))


def _describe(content: bytes, media_type: str) -> Descriptor:
    return Descriptor(media_type=media_type, digest=Digest.of(content), size_bytes=len(content))


def _read(content: bytes) -> tuple[Referrer, ...]:
    try:
        document = json.loads(content)
        return tuple(
            Referrer(
                descriptor=to_descriptor(entry),
                artifact_type=str(entry.get("artifactType", "")),
                annotations=entry.get("annotations") or {},
            )
            for entry in document["manifests"] or ()
        )
    except (ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
        raise RemoteError(
            "the registry's list of referrers is no index", advice="Ask the registry's administrator."
        ) from error
