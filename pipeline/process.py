"""Other programs: a command is a value before it runs and an outcome after. Nothing else starts programs.

Standard output and standard error are read side by side, so a child that writes much to one of them never
hangs. A child is the leader of its own process group: on interruption the whole group gets INT, TERM, KILL.
"""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TextIO, cast

from pipeline.errors import ToolMissing

GRACE_S = 5.0
KEPT_BYTES = 16 * 1024 * 1024  # of each stream in memory; the log file has everything

Sink = Callable[[str, str], None]
"""Called with "stdout" or "stderr" and one line without its end, from a thread of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A program to run, never a shell string; secrets go in by `environment` or `stdin`."""

    arguments: tuple[str, ...]
    cwd: Path | None = None
    environment: Mapping[str, str | None] = field(default_factory=dict)  # on top of ours; None removes a name
    stdin: str | Iterable[bytes] | None = None  # bytes are streamed piece by piece
    timeout_s: float | None = None

    def __str__(self) -> str:
        return " ".join(self.arguments)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a command."""

    command: Command
    exit_code: int
    stdout: str
    stderr: str
    duration_s: float
    timed_out: bool = False

    @property
    def succeeded(self) -> bool:
        """Tell whether it ended by itself with exit code 0."""
        return self.exit_code == 0 and not self.timed_out


def run(command: Command, sink: Sink | None = None) -> Outcome:
    """Run a command to its end, or stop it when its time is up or when we are interrupted.

    Raises:
        ToolMissing: there is no such program.
    """
    begin = time.monotonic()
    child = _start(command)
    try:
        readers = [_Reader(name, stream, sink) for name, stream in _streams(child)]
        _feed(child, command.stdin)
        timed_out = _wait(child, command.timeout_s)
        if timed_out:
            stop(child)
    except BaseException:
        stop(child)
        raise
    texts = [reader.text() for reader in readers]
    return Outcome(
        command=command,
        exit_code=child.returncode,
        stdout=texts[0],
        stderr=texts[1],
        duration_s=time.monotonic() - begin,
        timed_out=timed_out,
    )


def stop(child: "subprocess.Popen[str]", grace_s: float = GRACE_S) -> None:
    """End a child and all it started: INT, then TERM, then KILL, each after a time of grace."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
        except ProcessLookupError:
            break
        if not _wait(child, grace_s):
            break
    child.wait()
    # what the leader left behind in its group would hold our pipes open for ever
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def stop_descendants(grace_s: float = GRACE_S) -> None:
    """End every process that this one started, however deep: the last resort on the way out."""
    import psutil

    for method in ("terminate", "kill"):
        children = psutil.Process().children(recursive=True)
        for child in children:
            try:
                getattr(child, method)()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(children, timeout=grace_s)


def _start(command: Command) -> "subprocess.Popen[str]":
    environment = {**os.environ, **{k: v for k, v in command.environment.items() if v is not None}}
    for name in (k for k, v in command.environment.items() if v is None):
        environment.pop(name, None)
    try:
        return subprocess.Popen(
            command.arguments,
            cwd=command.cwd,
            env=environment,
            stdin=subprocess.DEVNULL if command.stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
    except FileNotFoundError as error:
        if command.cwd is not None and not command.cwd.is_dir():
            raise ToolMissing(
                f"cannot run {command.arguments[0]}: the folder {command.cwd} does not exist"
            ) from error
        raise ToolMissing(
            f"there is no program called {command.arguments[0]!r}",
            advice="Install it, or put it on the PATH.",
        ) from error
    except PermissionError as error:
        raise ToolMissing(
            f"{command.arguments[0]} may not be executed", advice=f"Try `chmod +x {command.arguments[0]}`."
        ) from error


def _streams(child: "subprocess.Popen[str]") -> tuple[tuple[str, IO[str]], tuple[str, IO[str]]]:
    assert child.stdout is not None  # noqa: S101 - both were asked for as pipes
    assert child.stderr is not None  # noqa: S101
    return ("stdout", child.stdout), ("stderr", child.stderr)


def _feed(child: "subprocess.Popen[str]", content: str | Iterable[bytes] | None) -> None:
    if content is None or child.stdin is None:
        return
    with (
        contextlib.suppress(BrokenPipeError),
        cast("TextIO", child.stdin) as stream,
    ):  # its exit code says why it did not read
        for piece in (content.encode(),) if isinstance(content, str) else content:
            stream.buffer.write(piece)


def _wait(child: "subprocess.Popen[str]", timeout_s: float | None) -> bool:
    """Wait for the end; return True when the time was up before it."""
    try:
        child.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return True
    return False


class _Reader:
    """Reads one stream in a thread: every line to the sink, the last megabytes into memory."""

    def __init__(self, name: str, stream: IO[str], sink: Sink | None) -> None:
        self._name, self._stream, self._sink = name, stream, sink
        self._lines: deque[str] = deque()
        self._kept = 0
        self._thread = threading.Thread(target=self._read, name=f"read {name}", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with self._stream:
            for line in self._stream:
                self._keep(line)
                if self._sink is not None:
                    self._sink(self._name, line.rstrip("\r\n"))

    def _keep(self, line: str) -> None:
        self._lines.append(line)
        self._kept += len(line)
        while self._kept > KEPT_BYTES and len(self._lines) > 1:
            self._kept -= len(self._lines.popleft())

    def text(self) -> str:
        """Return what was kept, once the stream has ended."""
        self._thread.join()
        return "".join(self._lines)
