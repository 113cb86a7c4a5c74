"""The weights of an image: their files, and the folder that they get in it."""

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.desk import Desk
from pipeline.errors import ConfigurationError, PipelineError
from pipeline.model import Check, ModelLayer, Problem
from pipeline.reference import Digest
from stages.models.interface import Files, SourceFile
from stages.models.lock import Lock, LockedDigests, LockedFiles
from stages.models.names import image_path, in_order
from stages.oci.known_digests import KnownDigests
from stages.oci.model_groups import group
from stages.oci.model_recipes import describe, known_layers
from stages.oci.progress import in_words

UNREAD = "; no pipeline.lock: all weights are read once to hash them (see `pipeline lock`)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Files of a model, and where they go."""

    files: Files
    path: str
    """Folder in the image."""
    verify: bool = False
    """Read every file again, whatever is remembered of it."""
    lock: Lock | None = None
    """What the files must be; its digests are taken where the files are the locked ones."""

    def check(self, desk: Desk) -> tuple[Check, ...]:
        """Look for the files, and whether all of them can go into layers; no file is read."""
        checks = self.files.check(desk)
        if not all(check.passed for check in checks):
            return checks
        subject = f"model layers for {self.path}"
        try:
            image_path(self.path)
            files = in_order(self._files.list(desk))
        except PipelineError as error:
            problem = Problem.CONFIGURATION if isinstance(error, ConfigurationError) else Problem.REMOTE
            failed = Check(subject=subject, found=error.message, problem=problem, advice=error.advice)
            return (*checks, failed)
        return (*checks, Check(subject=subject, found=f"{len(group(files))}{self._unread(files, desk)}"))

    def _unread(self, files: Iterable[SourceFile], desk: Desk) -> str:
        """Say what must be read before the layers are known: no lock has been compared with it yet."""
        unread = [file for file, digest in self._with_digests(files, desk) if digest is None]
        if not unread:
            return ""
        if self.files.local_folder is None:
            return UNREAD
        return f"; {in_words(sum(file.size_bytes for file in unread))} are read and hashed first"

    def layers(self, desk: Desk) -> tuple[ModelLayer, ...]:
        """Return the layers that hold the weights.

        Raises:
            ConfigurationError: the files are not the locked ones.
            PipelineError: see `describe`.
        """
        layers = describe(self._files, self.path, desk, self._known(desk))
        if self.lock is not None:
            self.lock.refuse_other_contents(layers)
        return layers

    def known_layers(self, desk: Desk) -> tuple[tuple[int, ModelLayer | None], ...]:
        """Return the size of every layer, and the layer where it is known without reading a file."""
        return known_layers(self._files, self.path, desk, self._known(desk))

    def known_files(self, desk: Desk) -> tuple[tuple[SourceFile, Digest | None], ...]:
        """Return the files, each with its digest where that is known without reading it."""
        return self._with_digests(self._files.list(desk), desk)

    def _with_digests(
        self, files: Iterable[SourceFile], desk: Desk
    ) -> tuple[tuple[SourceFile, Digest | None], ...]:
        known = self._known(desk)
        return tuple(
            (file, file.digest or (known.find(file.identity) if file.settled else None)) for file in files
        )

    def locked(self, source: str, revision: str | None, desk: Desk) -> Lock:
        """Return a new lock of what is there now; see `describe` for what it raises."""
        return Lock.of(self.layers(desk), source, revision)

    @property
    def _files(self) -> Files:
        return self.files if self.lock is None else LockedFiles(files=self.files, lock=self.lock)

    def _known(self, desk: Desk) -> KnownDigests:
        path = desk.cache / "model-digests.json"
        if self.lock is None:
            return KnownDigests(path, verify=self.verify)
        return LockedDigests.of(self.lock, path, verify=self.verify)
