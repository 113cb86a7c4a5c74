"""Digests that were computed before, so that gigabytes need not be read again."""

import contextlib
import json
import os
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.reference import Digest

MOST_ENTRIES = 20_000


@dataclass(slots=True)
class KnownDigests:
    """A map from what names a content (a source's identity, a layer's recipe) to the content's digest.

    It is a cache: what cannot be read is forgotten, and a file that cannot be written is none.
    """

    path: Path
    """A JSON file that later runs read; it appears whole or not at all."""
    verify: bool = False
    """Find nothing, so that everything is read again; what is learnt is kept all the same."""
    _known: dict[str, Digest] = field(default_factory=dict)
    _used: dict[str, Digest] = field(default_factory=dict)
    _learnt: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._known = _read(self.path)

    def find(self, name: str) -> Digest | None:
        """Return the digest of the content that this names, if it is known."""
        with self._lock:
            digest = None if self.verify else self._used.get(name) or self._known.get(name)
            if digest is not None:
                self._used[name] = digest
            return digest

    def learn(self, name: str, digest: Digest) -> None:
        """Remember a digest; the name must never come to mean another content."""
        with self._lock:
            self._learnt = self._learnt or self._known.get(name) != digest
            self._used[name] = digest

    def save(self) -> None:
        """Write what is known; when there are too many entries, those that were longest in no use go."""
        with self._lock:
            if not self._learnt:
                return
            earlier = {name: digest for name, digest in _read(self.path).items() if name not in self._used}
            entries = list((earlier | self._used).items())[-max(MOST_ENTRIES, len(self._used)) :]
            with contextlib.suppress(OSError):  # the next run reads the weights again, nothing worse
                _write(self.path, dict(entries))
                self._learnt = False


def _read(path: Path) -> dict[str, Digest]:
    try:
        document = json.loads(path.read_bytes())
        return {str(name): Digest(digest) for name, digest in document["digests"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _write(path: Path, digests: Mapping[str, Digest]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(dir=path.parent, prefix=".incomplete-")
    temporary = Path(name)
    try:
        with os.fdopen(number, "w", encoding="utf-8") as file:
            json.dump({"digests": digests}, file, indent=0)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
