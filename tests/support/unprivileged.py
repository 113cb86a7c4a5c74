"""Programs that the modes of files hold for, also where the tests run as root, whom nothing is denied."""

import os
import subprocess
from pathlib import Path

_POWERS = "-dac_override,-dac_read_search,-fowner"


def unprivileged(command: tuple[str, ...], cwd: Path) -> str:
    """Run a command without root's right to read everything, and return what it printed."""
    without = ("setpriv", f"--bounding-set={_POWERS}") if os.getuid() == 0 else ()
    outcome = subprocess.run(
        (*without, *command), cwd=cwd, check=False, capture_output=True, text=True, timeout=60
    )
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout
