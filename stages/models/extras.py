"""Libraries that only some model sources need: imported on use; a missing one names its install line."""

import importlib
from types import ModuleType

from pipeline.errors import ToolMissing


def require(module: str, extra: str, source: str) -> ModuleType:
    """Return the module.

    Raises:
        ToolMissing: the optional dependency is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ToolMissing(
            f"{source} is read with the Python package {error.name!r}, which is not installed",
            advice=f"pip install 'model-image-pipeline[{extra}]'",
        ) from error
