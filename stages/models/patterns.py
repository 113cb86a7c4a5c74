"""Which of a source's files are the model: include and exclude patterns, read as Hugging Face does."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.desk import Desk
from pipeline.errors import ConfigurationError
from pipeline.model import Check
from stages.models.checks import check_list
from stages.models.file import FolderFiles
from stages.models.interface import Files, SourceFile
from stages.models.names import fits


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """The files of another source that fit: `*` goes across folders, a final `/` means all below."""

    files: Files
    include: tuple[str, ...] = ()
    """Default: every file."""
    exclude: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the source itself: the patterns do not change where a file is read from."""
        return self.files.name

    @property
    def local_folder(self) -> Path | None:
        """The folder of the source itself: a build leaves out all of it."""
        return self.files.local_folder

    def check(self, desk: Desk) -> tuple[Check, ...]:
        """List what is left: that takes all that the source itself needs."""
        return check_list(self, desk)

    def list(self, desk: Desk) -> tuple[SourceFile, ...]:
        """Return the files that some pattern includes and none excludes.

        Raises:
            ConfigurationError: an include pattern fits no file, or all files are excluded.
        """
        files = self.files
        if isinstance(files, FolderFiles):  # a link that is left out does no harm
            files = replace(files, exclude=self.exclude)
        everything = files.list(desk)
        for pattern in self.include:
            if not any(fits(file.path, (pattern,)) for file in everything):
                raise ConfigurationError(
                    f"`model.include`: {pattern!r} fits no file of {self.name}",
                    advice=f"There are {_some(everything)}. `*` goes across folders; case matters.",
                )
        chosen = tuple(file for file in everything if self._chosen(file.path))
        if not chosen and everything:
            raise ConfigurationError(
                f"`model.include` and `model.exclude` leave no file of {self.name}",
                advice=f"There are {_some(everything)}.",
            )
        return chosen

    def read(self, file: SourceFile, offset: int = 0) -> Iterator[bytes]:
        """Read from the source itself."""
        return self.files.read(file, offset)

    def _chosen(self, path: str) -> bool:
        return (not self.include or fits(path, self.include)) and not fits(path, self.exclude)


def _some(files: tuple[SourceFile, ...]) -> str:
    shown = ", ".join(file.path for file in files[:5])
    return f"{shown} and {len(files) - 5} more" if len(files) > 5 else shown
