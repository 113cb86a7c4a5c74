"""Which names a pickle may import: a list of what is known to be harmless, and everything else is not.

Importing a name is all that a pickle needs to run code, since it may call what it imported. Names on the list
only build data. Of big libraries whole families of classes are on it (a class's name begins with a capital):
building one of them runs nothing that the pickle chooses.
"""

import re
from typing import Literal

from stages.scanners.model_files.pickle_lists import (
    BORROWED,
    CLASSES,
    DANGEROUS,
    DANGEROUS_NAMES,
    NOT_IN,
    SAFE,
)

Judgement = Literal["listed", "dangerous", "unlisted"]

_CLASS = re.compile(r"_{0,2}[A-Z]\w*")
_SPARSE_CLASS = re.compile(r"(bsr|coo|csc|csr|dia|dok|lil)_(matrix|array)")
_TORCH_STORAGE = re.compile(
    r"(Half|Float|Double|BFloat16|Byte|Char|Short|Int|Long|Bool|Complex\w+|Q\w+)Storage"
)
_CYTHON_UNPICKLE = re.compile(r"__pyx_unpickle_[A-Z_]\w*")


def judge(module: str, name: str) -> Judgement:
    """Return what is known of a name by its module, as pickles spell it (also those of Python 2)."""
    for one, attribute in {(module, name), _modern(module, name)}:
        if _listed(one, attribute):
            return "listed"
    spellings = {(module, name), _modern(module, name)}
    return "dangerous" if any(_dangerous(*one) for one in spellings) else "unlisted"


def _dangerous(module: str, name: str) -> bool:
    parts = module.split(".")
    modules = {".".join(parts[: count + 1]) for count in range(len(parts))}
    return bool(modules & DANGEROUS) or f"{module}.{name}" in DANGEROUS_NAMES


def _modern(module: str, name: str) -> tuple[str, str]:
    """Return the name in today's Python and NumPy, as the unpickler maps it."""
    from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING

    module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
    return (
        (f"numpy._core{module.removeprefix('numpy.core')}", name) if _is_old_numpy(module) else (module, name)
    )


def _is_old_numpy(module: str) -> bool:
    return module == "numpy.core" or module.startswith("numpy.core.")


def _listed(module: str, name: str) -> bool:
    if name in SAFE.get(module, "").split():
        return True
    if module == "torch":
        return _TORCH_STORAGE.fullmatch(name) is not None
    if not any(module == package or module.startswith(f"{package}.") for package in CLASSES):
        return False
    if name in BORROWED or NOT_IN & set(module.split(".")):
        return False
    patterns = (_CLASS, _SPARSE_CLASS, _CYTHON_UNPICKLE)
    return any(pattern.fullmatch(name) is not None for pattern in patterns)
