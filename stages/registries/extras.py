"""The clouds' own libraries: imported on use; a missing one names its install line."""

import importlib

from pipeline.errors import ToolMissing


def require(module: str, extra: str, host: str) -> None:
    """See to it that a library can be imported.

    Raises:
        ToolMissing: the optional dependency is not installed.
    """
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ToolMissing(
            f"{host} is spoken to with the Python package {error.name!r}, which is not installed",
            advice=f"pip install 'model-image-pipeline[{extra}]'",
        ) from error
