"""The files of `model:`, each looked into where it lies; remote ones are fetched, unless they are known."""

import hashlib
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.desk import Desk
from pipeline.model import ModelFile, ModelLayer
from pipeline.reference import Digest
from stages.models.fetch import fetch
from stages.models.file import TICK_NS, changed, file_identity
from stages.models.interface import Files
from stages.models.registry_layers import RegistryLayers
from stages.oci.known_digests import KnownDigests
from stages.oci.parallel import for_each
from stages.scanners.model_files.memory import Memory
from stages.scanners.model_files.result import Result, look_into

THREADS = 3
"""Files at a time: each takes up to some 60 MiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """A file and what was found in it."""

    path: str
    digest: Digest
    size_bytes: int
    result: Result
    reused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Where remote weights come from, and how long a file may take."""

    files: Files | None = None
    registries: RegistryLayers | None = None
    timeout_s: float = 600.0

    def look(self, layers: Sequence[ModelLayer], memory: Memory, desk: Desk) -> tuple[Looked, ...]:
        """Return every file of the layers.

        Raises:
            StageFailed: a file changed since its layer was described.
            PipelineError: remote weights cannot be fetched.
        """
        files = [file for layer in layers for file in layer.files]
        known = {digest: memory.find(digest, Result) for digest in {file.digest for file in files}}
        new = [layer for layer in layers if any(known[file.digest] is None for file in layer.files)]
        here = self._here(new, layers, desk) if new else {}
        wanted = [digest for digest, result in known.items() if result is None]
        made = self._look_into([(digest, here[digest]) for digest in wanted], memory, desk)
        results = {digest: result for digest, result in known.items() if result is not None} | made
        return tuple(
            Looked(
                path=file.path,
                digest=file.digest,
                size_bytes=file.size_bytes,
                result=results[file.digest],
                reused=file.digest not in made,
            )
            for file in sorted(files, key=lambda one: one.path)
        )

    def _here(
        self, new: Sequence[ModelLayer], layers: Sequence[ModelLayer], desk: Desk
    ) -> dict[Digest, Path]:
        local = fetch(new, self.files, desk, self.registries, keep=layers)
        return {file.digest: _path(layer, file) for layer in local for file in layer.files}

    def _look_into(
        self, wanted: Sequence[tuple[Digest, Path]], memory: Memory, desk: Desk
    ) -> dict[Digest, Result]:
        digests = KnownDigests(desk.cache / "model-digests.json")
        if wanted:
            desk.say(f"looking into {len(wanted)} model file{'s' if len(wanted) > 1 else ''}")

        def look(one: tuple[Digest, Path]) -> Result:
            digest, path = one
            before = _require(path, digest, digests)
            result = look_into(path, self.timeout_s)
            if file_identity(path.stat()) != before:
                raise changed(path)
            if result.lasts:
                memory.keep(digest, result)
            return result

        results = for_each(look, wanted, threads=THREADS, stopped=threading.Event())
        return {digest: result for (digest, _), result in zip(wanted, results, strict=True)}


def _path(layer: ModelLayer, file: ModelFile) -> Path:
    return Path(layer.source) / file.path


def _require(path: Path, digest: Digest, known: KnownDigests) -> str:
    """Return what names the file as it is now; it must have this content.

    The build has just hashed it, so this reads nothing; but for a file that was written a moment ago.
    """
    try:
        status = path.stat()
        name = file_identity(status)
        settled = max(status.st_mtime_ns, status.st_ctime_ns) < time.time_ns() - TICK_NS
        if settled and known.find(name) == digest:
            return name
        with path.open("rb") as file:
            found = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
            same = found == digest and file_identity(os.fstat(file.fileno())) == name
    except OSError as error:
        raise changed(path) from error
    if not same:
        raise changed(path)
    return name
