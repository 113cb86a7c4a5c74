"""Results that are known by the digest of their content: what was looked into once is not read again."""

import contextlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from pipeline.reference import Digest
from stages.scanners.model_files.scan import VERSION

MOST_RESULTS = 10_000
T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Memory:
    """A folder of small files; what cannot be read there is looked into again, and nothing worse."""

    folder: Path

    def find(self, digest: Digest, kind: type[T]) -> T | None:
        """Return what was kept for a content by this version of the scanner."""
        path = self._path(digest, kind)
        try:
            made = kind.model_validate_json(path.read_bytes())
            os.utime(path)  # the longest unused go first
        except (OSError, ValidationError):
            return None
        return made

    def keep(self, digest: Digest, made: BaseModel) -> None:
        """Remember a result; it appears whole or not at all."""
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            number, name = tempfile.mkstemp(dir=self.folder, prefix=".incomplete-")
            with os.fdopen(number, "w", encoding="utf-8") as file:
                file.write(made.model_dump_json())
            Path(name).replace(self._path(digest, type(made)))

    def forget_oldest(self) -> None:
        """Keep the folder small."""
        with contextlib.suppress(OSError):
            results = sorted(self.folder.iterdir(), key=lambda path: path.stat().st_mtime)
            for path in results[:-MOST_RESULTS]:
                path.unlink(missing_ok=True)

    def _path(self, digest: Digest, kind: type[BaseModel]) -> Path:
        return self.folder / f"{digest.encoded}-{kind.__name__.lower()}-{VERSION}.json"
