"""Tools that are measured are installed where this machine allows it."""

from __future__ import annotations

import shutil

from tests.support import apt
from tests.support.errors import SetupError


def installed(package: str, *, sid: bool = False) -> str | None:
    """Make sure that a program is there; say why it is not, if it cannot be had."""
    if shutil.which(package) is not None:
        return None
    try:
        if sid:
            apt.install_from_sid([package], why=f"the comparison with {package}")
        else:
            apt.install([package], why=f"the comparison with {package}")
    except SetupError as error:
        return error.message
    return None if shutil.which(package) else f"its package brings no program {package}"
