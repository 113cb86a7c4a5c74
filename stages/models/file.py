"""Weights in a folder of this machine."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.desk import Desk
from pipeline.errors import ConfigurationError
from pipeline.model import Check, ModelLayer, Problem
from stages.oci import model_layer


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSource:
    """A folder of model files, put below `path` in the image as they are."""

    folder: Path
    path: str

    @property
    def local_folder(self) -> Path:
        """The folder itself."""
        return self.folder

    def check(self) -> tuple[Check, ...]:
        """Look whether there are files, and whether all of them can go into a layer."""
        subject = f"model {self.folder}"
        try:
            model_layer.image_path(self.path)
            names = model_layer.list_files(self.folder)
        except ConfigurationError as error:
            return (
                Check(
                    subject=subject,
                    found=error.message,
                    problem=Problem.CONFIGURATION,
                    advice=error.advice,
                ),
            )
        size_bytes = sum((self.folder / name).stat().st_size for name in names)
        files = f"{len(names)} file{'s' if len(names) != 1 else ''}"
        return (Check(subject=subject, found=f"{files}, {size_bytes / 1e6:.1f} MB, for {self.path}"),)

    def identity(self) -> str:
        """Return the digest of the layer."""
        return str(model_layer.describe(self.folder, self.path).descriptor.digest)

    def layers(self, desk: Desk) -> tuple[ModelLayer, ...]:
        """Return one layer of all files."""
        desk.say(f"reading the model in {self.folder}")
        return (model_layer.describe(self.folder.resolve(), self.path),)
