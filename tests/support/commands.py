"""Runs commands whose output belongs in a log file."""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.errors import SetupError

LOG_TAIL_LINES = 15


def cache_folder() -> Path:
    """Return the machine's folder for what is worth keeping between runs: engine data, images, logs."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "model-image-pipeline"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def log_file(name: str) -> Path:
    """Return the path of the machine-wide log called `name`."""
    folder = cache_folder() / "logs"
    folder.mkdir(exist_ok=True)
    return folder / f"{name}.log"


@contextmanager
def one_at_a_time(name: str) -> Iterator[None]:
    """Wait until no other process of this user is in the section of this name."""
    with (cache_folder() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def answers(command: Sequence[str], *, timeout_s: float = 20) -> bool:
    """Say whether a command exists, ends in time and succeeds; its output is dropped."""
    try:
        return subprocess.run(command, capture_output=True, timeout=timeout_s, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def run_logged(  # noqa: PLR0913 - each of them is plain at the call
    command: Sequence[str],
    *,
    log: Path,
    advice: str,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    timeout_s: float = 600,
) -> None:
    """Run a command with its output appended to `log`; raise SetupError with the log's tail if it fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as sink:
        print(f"$ {' '.join(command)}", file=sink, flush=True)
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                cwd=folder,
                timeout=timeout_s,
                check=False,
            )
        except FileNotFoundError as error:
            raise SetupError(f"{command[0]} is not installed", advice=advice, log=log) from error
        except subprocess.TimeoutExpired as error:
            raise SetupError(
                f"{command[0]} did not end within {timeout_s:.0f} s", advice=advice, log=log
            ) from error
    if done.returncode != 0:
        failed = f"{' '.join(command[:3])} … ended with exit code {done.returncode}:\n{tail(log)}"
        raise SetupError(failed, advice=advice, log=log)


def tail(log: Path) -> str:
    """Return the last lines of a log, indented."""
    lines = log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
    return "\n".join(f"    {line}" for line in lines)
