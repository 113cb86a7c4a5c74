"""An in-toto statement: of which bytes something is said, and what.

Source: in-toto Attestation Framework, "Statement layer specification" v1.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.errors import NotVerified
from pipeline.reference import Digest
from stages.attestations.evidence import EVIDENCE
from stages.attestations.types import (
    CYCLONEDX,
    PROVENANCE,
    SPDX,
    STATEMENT,
    SUMMARY,
    VULNERABILITIES,
)

_PASSING: Mapping[str, tuple[str, ...]] = {
    PROVENANCE: ("runDetails.metadata",),
    VULNERABILITIES: ("metadata", "invocation"),
    SUMMARY: ("timeVerified",),
    CYCLONEDX: ("serialNumber", "metadata.timestamp"),
    SPDX: ("documentNamespace", "creationInfo.created"),
}
"""What is another in every run, and says nothing about the image."""
_DURATIONS = frozenset({"duration_s", "slowest"})
_DAY = len("2026-01-01")
_LONGEST_TYPE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What is said of the manifests with these digests."""

    predicate_type: str
    name: str
    """What people call the image; a hint, the digests count."""
    subjects: tuple[Digest, ...]
    predicate: Mapping[str, Any]

    def content(self) -> bytes:
        """Return the bytes that are signed; the same statement has the same."""
        document = {
            "_type": STATEMENT,
            "subject": [{"name": self.name, "digest": {"sha256": each.encoded}} for each in self.subjects],
            "predicateType": self.predicate_type,
            "predicate": self.predicate,
        }
        return json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()

    @classmethod
    def parse(cls, content: bytes) -> "Statement":
        """Read a statement of any version.

        Raises:
            NotVerified: it is none, or names no digest by SHA-256.
        """
        try:
            document = json.loads(content)
            subjects = [Digest(f"sha256:{each['digest']['sha256']}") for each in document["subject"]]
            name = str(document["subject"][0].get("name", ""))
            predicate = {} if document.get("predicate") is None else document["predicate"]
            if not isinstance(predicate, dict):
                raise TypeError("the predicate is no object")
            kind = str(document["predicateType"])
            if len(kind) > _LONGEST_TYPE or not kind.isprintable():  # it is told, and is given to cosign
                raise ValueError("its predicateType is no address")
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
            raise NotVerified(f"a signed document is no in-toto statement: {error}") from error
        return cls(predicate_type=kind, name=name, subjects=tuple(subjects), predicate=predicate)

    def says_the_same_as(self, other: "Statement") -> bool:
        """Tell whether both say the same of the same manifests, times and durations of runs aside.

        A measurement of another day is another one: its age counts.
        """
        same = self.predicate_type == other.predicate_type and set(self.subjects) == set(other.subjects)
        return same and self._lasting() == other._lasting()

    def _lasting(self) -> object:
        predicate = json.loads(json.dumps(self.predicate))
        for path in _PASSING.get(self.predicate_type, ()):
            _remove(predicate, path.split("."))
        if isinstance(stored := predicate.get(EVIDENCE), dict):
            stored.pop("at", None)
            predicate[EVIDENCE] = _of_the_day(stored)
        return predicate


def _remove(document: object, path: list[str]) -> None:
    for key in path[:-1]:
        document = document.get(key) if isinstance(document, dict) else None
    if isinstance(document, dict):
        document.pop(path[-1], None)


def _of_the_day(value: object) -> object:
    """Return plain data without durations, its moments cut down to their days."""
    if isinstance(value, list):
        return [_of_the_day(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: each[:_DAY] if key.endswith("_at") and isinstance(each, str) else _of_the_day(each)
        for key, each in value.items()
        if key not in _DURATIONS
    }
