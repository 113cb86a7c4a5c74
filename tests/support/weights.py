"""Model layers of a folder, for tests of what is made of them."""

import tempfile
from pathlib import Path

from pipeline.desk import Desk
from pipeline.model import ModelLayer
from stages.models.file import FolderFiles
from stages.models.model import Model
from stages.oci.model_layer import stream


def describe_all(folder: Path, path: str) -> tuple[ModelLayer, ...]:
    """Return the layers that put a folder's files below `path`; nothing is remembered of them."""
    with tempfile.TemporaryDirectory() as cache:
        model = Model(files=FolderFiles(folder=folder), path=path)
        return model.layers(Desk(folder=Path(cache), cache=Path(cache)))


def describe(folder: Path, path: str) -> ModelLayer:
    """Return the only layer of a folder of small files."""
    (layer,) = describe_all(folder, path)
    return layer


def content(layer: ModelLayer) -> bytes:
    """Return the whole layer, read from the folder that it names."""
    return b"".join(stream(layer, FolderFiles(folder=Path(layer.source))))
