"""Weights in a folder of this machine."""

import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.desk import Desk
from pipeline.errors import ConfigurationError, PipelineError, StageFailed
from pipeline.model import Check, Problem
from stages.models.interface import SourceFile
from stages.models.names import fits
from stages.oci.layout import CHUNK_BYTES
from stages.oci.progress import in_words

# A file system counts time in ticks: two writes within one leave the same times behind. Two seconds are the
# coarsest tick in use (FAT), so older times cannot come again. Git calls a file as young as this "racy".
TICK_NS = 2_000_000_000

LEFT_OUT = frozenset({".git", ".pipeline"})
"""What git and we ourselves keep in a folder: no part of the model, and another thing after every run."""
HUB_SNAPSHOT = re.compile(
    r"/models--(?P<team>[^/]+)--(?P<name>[^/]+)/snapshots/(?P<commit>[0-9a-f]{40})(/|$)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderFiles:
    """All files below a folder, but for what git and we ourselves keep there."""

    folder: Path
    exclude: tuple[str, ...] = ()
    """Patterns of what is no reason to refuse, such as a link: it is left out anyway."""

    @property
    def name(self) -> str:
        """The absolute path of the folder, so that a later run may stand elsewhere."""
        return str(self.folder.resolve())

    @property
    def local_folder(self) -> Path:
        """The folder itself."""
        return self.folder

    def check(self, desk: Desk) -> tuple[Check, ...]:
        """Look whether there are files, and whether all of them can go into a layer."""
        subject = f"model {self.folder}"
        try:
            files = self.list(desk)
        except PipelineError as error:
            found, advice = error.message, error.advice
            return (Check(subject=subject, found=found, problem=Problem.CONFIGURATION, advice=advice),)
        size_bytes = sum(file.size_bytes for file in files)
        count = f"{len(files)} file{'s' if len(files) != 1 else ''}"
        return (Check(subject=subject, found=f"{count}, {in_words(size_bytes)}"),)

    def list(self, desk: Desk) -> tuple[SourceFile, ...]:
        """Return every file with what `stat` says of it.

        Raises:
            ConfigurationError: there are none, or there is an entry that is neither file nor folder.
        """
        del desk
        return list_folder(self.folder, self.exclude)

    def read(self, file: SourceFile, offset: int = 0) -> Iterator[bytes]:
        """Yield exactly as many bytes as were listed; see `Files.read`."""
        path = self.folder / file.path
        with _opened(path) as descriptor:
            _require_unchanged(path, descriptor, file)
            os.lseek(descriptor, offset, os.SEEK_SET)
            left = file.size_bytes - offset
            while left and (chunk := os.read(descriptor, min(CHUNK_BYTES, left))):
                left -= len(chunk)
                yield chunk
            if left:
                raise changed(path)
            _require_unchanged(path, descriptor, file)


def list_folder(folder: Path, exclude: tuple[str, ...] = ()) -> tuple[SourceFile, ...]:
    """Return every file below a folder with what `stat` says of it; see `FolderFiles.list`."""
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise ConfigurationError(
            f"the model folder {folder} {what}",
            advice="Set `model.source` to the folder of the model's files.",
        )
    now_ns = time.time_ns()  # taken before: what is written while we look is too young
    files = tuple(_walk(folder, "", exclude, now_ns))
    if not files:
        raise ConfigurationError(
            f"the model folder {folder} holds no file",
            advice="Train or fetch the model first, or mend `model.source`.",
        )
    return files


def changed(path: Path) -> StageFailed:
    """Return the error for a file that is not what it was when its layer was described."""
    return StageFailed(
        f"{path} changed since its layer was described",
        advice="Let nothing write to the model folder during a run, and run again.",
    )


def _walk(folder: Path, prefix: str, exclude: tuple[str, ...], now_ns: int) -> Iterator[SourceFile]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                path = f"{prefix}{entry.name}"
                if entry.name in LEFT_OUT:
                    continue
                if refusal := _refusal(entry):
                    if fits(path, exclude) or fits(f"{path}/", exclude):
                        continue
                    raise refusal
                if entry.is_dir(follow_symlinks=False):
                    yield from _walk(Path(entry.path), f"{path}/", exclude, now_ns)
                else:
                    yield _listed(path, entry.stat(follow_symlinks=False), now_ns)
    except PermissionError as error:
        raise _unreadable(Path(error.filename or folder), error) from error
    except FileNotFoundError as error:
        raise changed(Path(error.filename or folder)) from error


def _listed(path: str, status: os.stat_result, now_ns: int) -> SourceFile:
    youngest_ns = max(status.st_mtime_ns, status.st_ctime_ns)
    return SourceFile(
        path=path,
        size_bytes=status.st_size,
        identity=file_identity(status),
        settled=youngest_ns < now_ns - TICK_NS,
    )


def file_identity(status: os.stat_result) -> str:
    """Return what changes when the file does; the time of the last change (ctime) cannot be set back."""
    times = f"{status.st_mtime_ns}:{status.st_ctime_ns}"
    return f"file:{status.st_dev}:{status.st_ino}:{status.st_size}:{times}"


def _require_unchanged(path: Path, descriptor: int, file: SourceFile) -> None:
    status = os.fstat(descriptor)
    same = status.st_size == file.size_bytes and stat.S_ISREG(status.st_mode)
    # with a known digest its content is compared by the caller, so that a touched file does no harm
    if not same or (file.digest is None and file_identity(status) != file.identity):
        raise changed(path)


def _refusal(entry: "os.DirEntry[str]") -> ConfigurationError | None:
    """Return why an entry cannot go into a layer; None where it can."""
    path = Path(entry.path)
    if entry.is_symlink():
        return ConfigurationError(
            f"{path} is a symbolic link to {path.readlink()}, which cannot go into a model layer",
            advice=_way_out(path),
        )
    if not entry.is_dir(follow_symlinks=False) and not entry.is_file(follow_symlinks=False):
        kind = stat.filemode(entry.stat(follow_symlinks=False).st_mode)
        return ConfigurationError(
            f"{path} is neither a file nor a folder ({kind})",
            advice="Remove it from the model folder, or name it in `model.exclude`.",
        )
    try:
        entry.name.encode()
    except UnicodeEncodeError:
        return ConfigurationError(f"the name {os.fsencode(entry.path)!r} is not UTF-8", advice="Rename it.")
    return None


def _way_out(link: Path) -> str:
    """Return what to do instead of a link; a snapshot in Hugging Face's cache is made of them."""
    if found := HUB_SNAPSHOT.search(str(link.absolute())):
        source = f"hf://{found['team']}/{found['name']}@{found['commit']}"
        return f"This is Hugging Face's cache: write `source: {source}`."
    copy = f"`cp -rL {link.parent} NEW-FOLDER` makes a copy with the files themselves"
    return f"{copy}: name that in `model.source`. Or leave the link out by `model.exclude`."


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    try:  # without O_NONBLOCK, a pipe that took the file's place would be waited for
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError as error:
        raise _unreadable(path, error) from error
    except OSError as error:
        raise changed(path) from error
    try:
        yield descriptor
    except OSError as error:  # inside an upload it would pass for a broken connection
        raise StageFailed(
            f"{path} cannot be read: {error.strerror}", advice="Check the disk that the model is on."
        ) from error
    finally:
        os.close(descriptor)


def _unreadable(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"{path} cannot be read: {error.strerror}", advice=f"Try `chmod -R u+rX {path.parent}`."
    )
