"""The contract of a model source: it says which weights there are and turns them into layers."""

from pathlib import Path
from typing import Protocol

from pipeline.desk import Desk
from pipeline.model import Check, ModelLayer


class ModelSource(Protocol):
    """A small frozen object that knows where a model's files are and where they go in the image."""

    @property
    def path(self) -> str:
        """The folder in the image."""
        ...

    @property
    def local_folder(self) -> Path | None:
        """The folder on this machine that a build must leave out, or None where there is none."""
        ...

    def check(self) -> tuple[Check, ...]:
        """Return what the source needs and whether it is there."""
        ...

    def identity(self) -> str:
        """Return what names the weights' content, the same for the same bytes.

        Raises:
            PipelineError: the weights cannot be read.
        """
        ...

    def layers(self, desk: Desk) -> tuple[ModelLayer, ...]:
        """Return the layers that hold the weights.

        Raises:
            PipelineError: the weights cannot be read or cannot go into a layer.
        """
        ...
