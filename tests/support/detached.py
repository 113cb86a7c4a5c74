"""Processes that outlive their starter, yet end by themselves and are never taken for another's."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from tests.support.commands import tail
from tests.support.errors import SetupError

# A process with the recorded command that started this close to the recorded time is the recorded one.
START_TOLERANCE_S = 2.0


@dataclass(frozen=True, slots=True)
class Detached:
    """A process in a session of its own, as its record on disk describes it."""

    pid: int
    started_at: float
    command: tuple[str, ...]

    def alive(self) -> bool:
        """Say whether this very process still runs: not another one that got its pid."""
        try:
            process = psutil.Process(self.pid)
            return (
                process.status() != psutil.STATUS_ZOMBIE
                and tuple(process.cmdline()) == self.command
                and abs(process.create_time() - self.started_at) < START_TOLERANCE_S
            )
        except psutil.Error:
            return False

    def stop(self, *, grace_s: float = 20) -> None:
        """Ask the process to end, and end it with its children if it has not after `grace_s` seconds."""
        if self.alive():
            os.kill(self.pid, signal.SIGTERM)
            if not _wait(lambda: not self.alive(), grace_s):
                os.killpg(self.pid, signal.SIGKILL)
                _wait(lambda: not self.alive(), grace_s)
        _reap(self.pid)

    def save(self, record: Path) -> None:
        """Write the record that `load` reads."""
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(json.dumps(asdict(self)))


def load(record: Path) -> Detached | None:
    """Return the process that a record describes if it still runs, else None."""
    try:
        fields = json.loads(record.read_text())
        process = Detached(int(fields["pid"]), float(fields["started_at"]), tuple(fields["command"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return process if process.alive() else None


def start(
    command: Sequence[str], *, log: Path, lifetime_s: int, environment: Mapping[str, str] | None = None
) -> Detached:
    """Start a command that ends by itself after `lifetime_s` seconds, with its output appended to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    limited = ("timeout", "--kill-after=30", str(lifetime_s), *command)
    with log.open("a") as sink:
        process = subprocess.Popen(
            limited,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    started = Detached(process.pid, psutil.Process(process.pid).create_time(), limited)
    # The system shows a program's command line a moment after it has begun.
    _wait(lambda: started.alive() or process.poll() is not None, timeout_s=5)
    # Nobody waits for the child, which outlives this program; its Popen should not warn about that.
    process.returncode = 0
    return started


def wait_until_ready(
    what: str, ready: Callable[[], bool], *, process: Detached, log: Path, timeout_s: float = 30
) -> None:
    """Wait for `ready`; stop the process and raise SetupError with its log if it dies or takes too long."""
    if _wait(lambda: ready() or not process.alive(), timeout_s) and ready():
        return
    died = not process.alive()
    process.stop()
    reason = "ended at once" if died else f"was not ready after {timeout_s:.0f} s"
    raise SetupError(
        f"{what} {reason}:\n{tail(log)}", advice="read the log, mend the cause, start again", log=log
    )


def _wait(done: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _reap(pid: int) -> None:
    """Collect the exit status when the process is a child of this one."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
