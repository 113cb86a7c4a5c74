"""Commands to GitHub's runner, which reads them in what a step prints.

Source: GitHub, "Workflow commands". The runner looks for them in standard error too, and there before it
looks at standard output; the latter is left to the record that `--json` prints.
"""

import os
import stat
import sys
from collections.abc import Mapping


def runs_us(environment: Mapping[str, str]) -> bool:
    """Tell whether this is a step of a job on GitHub."""
    return environment.get("GITHUB_ACTIONS") == "true"


def mask(secret: str) -> None:
    """Tell the runner a secret of one line, so that it shows `***` in its place, whoever prints it.

    Where standard error goes into a file, the runner does not read it, and the file may be kept: it is told
    nothing.
    """
    if not _is_kept():
        sys.stderr.write(f"::add-mask::{escaped(secret)}\n")  # in one piece: other threads write too
        sys.stderr.flush()


def escaped(value: str) -> str:
    """Return a value as it stands in a command."""
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _is_kept() -> bool:
    try:
        return stat.S_ISREG(os.fstat(sys.stderr.fileno()).st_mode)
    except (OSError, ValueError):  # closed, or not the process's own
        return True
