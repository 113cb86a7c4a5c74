"""Other programs: a command is a value before it runs and an outcome after.

Nothing else of ours starts programs; python-on-whales starts BuildKit's client by itself. Input, output
and errors are passed on side by side, so a child that writes much to one of them never hangs. A child is the
leader of its own process group: when it ends, what it left running in the group ends too; on interruption,
or when its time is up, the whole group gets INT, TERM, KILL.
"""

import contextlib
import errno
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, TextIO, cast

from pipeline.errors import DiskFull, ToolMissing

if TYPE_CHECKING:
    import psutil

GRACE_S = 5.0
LONGEST_LINE = 64 * 1024  # a longer one is passed on in parts
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
        ToolMissing: there is no such program, or it cannot be started.
        DiskFull: its output could not be written down.
        PipelineError: whatever the iterable that feeds it raises.
    """
    begin = time.monotonic()
    child = _start(command)
    try:
        readers = [_Reader(name, stream, sink) for name, stream in _streams(child)]
        feeder = _Feeder(child, command.stdin)
        timed_out = _wait(child, command.timeout_s)
        if timed_out:
            stop(child)
        _end_group(child)
        feeder.finish()
        texts = [reader.text() for reader in readers]
    except BaseException:
        stop(child)
        raise
    return Outcome(
        command=command,
        exit_code=child.returncode,
        stdout=texts[0],
        stderr=texts[1],
        duration_s=time.monotonic() - begin,
        timed_out=timed_out,
    )


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Let the signals that end a run wait while it is cleaned up: impatience must not leave things behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    # a handler, and not SIG_IGN, which the programs that clean up would inherit
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
    _end_group(child)


def _end_group(child: "subprocess.Popen[str]") -> None:
    """End what the leader of a group left behind: it would hold our pipes open for ever."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)


def children() -> frozenset["psutil.Process"]:
    """Return the processes that this one has started and that still run."""
    import psutil

    return frozenset(psutil.Process().children())


def stop_descendants(besides: Collection["psutil.Process"] = (), grace_s: float = GRACE_S) -> None:
    """End every process that this one started, however deep: the last resort on the way out.

    `besides` are children to leave alone, with all that they started.
    """
    import psutil

    for method in ("terminate", "kill"):
        found: list[psutil.Process] = []
        for child in children().difference(besides):
            with contextlib.suppress(psutil.NoSuchProcess):
                found += (child, *child.children(recursive=True))
        for one in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                getattr(one, method)()
        psutil.wait_procs(found, timeout=grace_s)


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
    except (OSError, ValueError) as error:
        script = isinstance(error, OSError) and error.errno == errno.ENOEXEC
        raise ToolMissing(
            f"{command.arguments[0]} cannot be started: {error}",
            advice="A script begins with a line such as `#!/bin/sh`." if script else "",
        ) from error


def _streams(child: "subprocess.Popen[str]") -> tuple[tuple[str, IO[str]], tuple[str, IO[str]]]:
    assert child.stdout is not None  # noqa: S101 - both were asked for as pipes
    assert child.stderr is not None  # noqa: S101
    return ("stdout", child.stdout), ("stderr", child.stderr)


def _wait(child: "subprocess.Popen[str]", timeout_s: float | None) -> bool:
    """Wait for the end; return True when the time was up before it."""
    if timeout_s is not None and child.poll() is None and sys.platform == "linux":
        with contextlib.suppress(OSError):  # a kernel before 5.3 has no such descriptors
            return not _ends_within(child, timeout_s)
    try:
        child.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return True
    return False


def _ends_within(child: "subprocess.Popen[str]", timeout_s: float) -> bool:
    """Let the kernel tell the end; Popen looks every 50 ms, which is longer than a call of git takes."""
    descriptor = os.pidfd_open(child.pid)
    try:
        waiting = select.poll()
        waiting.register(descriptor, select.POLLIN)
        ended = bool(waiting.poll(timeout_s * 1000))
    finally:
        os.close(descriptor)
    if ended:
        child.wait()
    return ended


class _Feeder:
    """Writes a child's input in a thread, so that a child that does not read is still stopped in time."""

    def __init__(self, child: "subprocess.Popen[str]", content: str | Iterable[bytes] | None) -> None:
        self._content = (content.encode(),) if isinstance(content, str) else content
        self._stream = child.stdin
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._feed, name="feed", daemon=True)
        self._thread.start()

    def _feed(self) -> None:
        if self._stream is None or self._content is None:
            return
        try:
            with cast("TextIO", self._stream) as stream:
                for piece in self._content:
                    stream.buffer.write(piece)
        except BrokenPipeError:
            pass  # its exit code says why it did not read
        except Exception as error:  # raised where the command is waited for
            self._error = error

    def finish(self) -> None:
        """Raise what went wrong with the input, once the child has ended."""
        self._thread.join(GRACE_S)
        if self._error is not None:
            raise self._error


class _Reader:
    """Reads one stream in a thread: every line to the sink, the last megabytes into memory."""

    def __init__(self, name: str, stream: IO[str], sink: Sink | None) -> None:
        self._name, self._stream, self._sink = name, stream, sink
        self._lines: deque[str] = deque()
        self._kept = 0
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._read, name=f"read {name}", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with self._stream:
            while line := self._stream.readline(LONGEST_LINE):
                self._keep(line)
                if self._sink is not None and self._error is None:
                    try:
                        self._sink(self._name, line.rstrip("\r\n"))
                    except Exception as error:  # the child is read to its end all the same
                        self._error = error

    def _keep(self, line: str) -> None:
        self._lines.append(line)
        self._kept += len(line)
        while self._kept > KEPT_BYTES and len(self._lines) > 1:
            self._kept -= len(self._lines.popleft())

    def text(self) -> str:
        """Return what was kept, once the stream has ended.

        A process that left the group may hold the stream open: what it says later is not waited for.
        """
        self._thread.join(GRACE_S)
        if isinstance(self._error, OSError):
            raise DiskFull(
                f"the output of a command cannot be written: {self._error.strerror}", advice="Free some disk."
            ) from self._error
        if self._error is not None:
            raise self._error
        return "".join(self._lines)
