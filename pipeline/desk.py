"""What the runner lends a stage for its work: a folder, commands, progress, and what to clean up."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TextIO

from pipeline.process import Command, Outcome, run, uninterrupted
from pipeline.redaction import Redactor

Say = Callable[[str], None]


def _silent(_: str) -> None:
    return None


@dataclass(slots=True, kw_only=True)
class Desk:
    """The work place of one stage; what is on it belongs to this run alone."""

    folder: Path
    """The stage's own folder inside the run; it exists and is empty when the stage starts."""
    cache: Path
    """A folder that is kept between runs of this project."""
    run_name: str = ""
    """The run's name, for commit messages and labels."""
    dry_run: bool = False
    """Nothing may leave the machine."""
    redact: Redactor = field(default_factory=Redactor)
    say: Say = _silent
    """Shows one line of progress, which the next one may replace; redacted by the receiver."""
    commands: list[str] = field(default_factory=list)
    """Names of the log files written so far."""
    _undo: list[Callable[[], None]] = field(default_factory=list)

    def run(self, command: Command, *, log: str | None = None, live: bool = False) -> Outcome:
        """Run a command with its output in a log file `<log>.log`; `live` shows its lines as progress.

        Raises:
            ToolMissing: there is no such program.
        """
        lock = threading.Lock()
        with self.log(log or Path(command.arguments[0]).name) as stream:
            stream.write(self.redact(f"$ {command}\n"))

            def sink(_: str, line: str) -> None:
                text = self.redact(line)
                with lock:
                    stream.write(f"{text}\n")
                    stream.flush()
                if live and text.strip():
                    self.say(text)

            outcome = run(command, sink)  # as it was said: a mask inside would be taken for data
            stream.write(f"= exit code {outcome.exit_code} after {outcome.duration_s:.2f} s\n")
        return outcome

    @contextlib.contextmanager
    def log(self, name: str) -> Iterator[TextIO]:
        """Open a new log file for appending; the caller redacts what it writes."""
        path = self.folder / f"{name}.log"
        if path.name not in self.commands:
            self.commands.append(path.name)
        with path.open("a", encoding="utf-8") as stream:
            yield stream

    def on_exit(self, undo: Callable[[], None]) -> None:
        """Remember something to undo when the stage ends, whatever happened; the last one first."""
        self._undo.append(undo)

    def part(self) -> "Desk":
        """Return a desk for one part of the work, whose `close` undoes what was done there before the end."""
        inner = replace(self, _undo=[])
        self.on_exit(inner.clear)
        return inner

    def close(self) -> None:
        """Undo everything now; what an interruption keeps from its end stays on the list for `clear`."""
        while self._undo:
            self._attempt(self._undo[-1])
            self._undo.pop()

    def clear(self) -> None:
        """Undo everything that was remembered; one that fails does not keep the others from running."""
        with uninterrupted():
            while self._undo:
                self._attempt(self._undo.pop())

    def _attempt(self, undo: Callable[[], None]) -> None:
        try:
            undo()
        except Exception as error:  # cleaning up goes on, whatever it is
            self.say(f"could not clean up: {error}")
