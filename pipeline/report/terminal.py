"""The run as a person watches it in a terminal or reads it in a CI log."""

import codecs
import io
import json
import os
import sys
import threading
import time
from pathlib import Path

from rich.console import Console
from rich.status import Status as Spinner
from rich.table import Table

from pipeline.model import AttestedImage, Check, ManifestUpdate, Pushed, PushedImage
from pipeline.record import FILE_NAME, Failure, Record, Setting, StageRecord, Status
from pipeline.report.phrases import describe, duration, told_by
from pipeline.report.verdicts import escape, print_indented, print_verdict

WORDS = {Status.PLANNED: "not run"}
LOG_WIDTH = 110  # of a sign of life; the log file of the stage has every line whole
QUIET_S = 2.0  # a stage that takes longer than this says that it lives; after several lines so much longer
NEXT_LINE = "\n" + 13 * " "  # progress of several lines stands below the name of its stage
MARKS = {
    Status.PASSED: "[green]✔[/]",
    Status.REUSED: "[cyan]↻[/]",
    Status.SKIPPED: "[yellow]-[/]",
    Status.REFUSED: "[red]✘[/]",
    Status.FAILED: "[red]✘[/]",
    Status.INTERRUPTED: "[red]■[/]",
    Status.INCOMPLETE: "[yellow]![/]",
    Status.RUNNING: "[blue]…[/]",
    Status.PLANNED: "[dim]·[/]",
}

PLAIN = {"✔": "+", "✘": "x", "↻": "=", "■": "#", "…": ".", "·": ".", "→": ">", "≥": ">=", "≤": "<="}
"""What stands for a character in a log that can hold only ASCII."""


class TerminalReporter:
    """Shows each stage as it comes: a spinner in a terminal, a line every few seconds in a log."""

    def __init__(self, *, verbosity: int = 0, console: Console | None = None, log: bool = False) -> None:
        self._console = console or make_console()
        self._verbosity = verbosity
        self._spins = self._console.is_terminal and not log  # logs with colours pass for terminals
        self._spinner: Spinner | None = None
        self._current = ""
        self._silent_until = 0.0
        self._lock = threading.Lock()  # progress comes from the threads that read a child's output

    def checked(self, record: Record) -> None:
        """Show what is delivered; everything that was checked when asked for more."""
        if self._verbosity < 0:
            return
        if record.source is not None:
            dirty = f" [yellow]+ {len(record.source.changes)} uncommitted[/]" if record.source.dirty else ""
            self._console.print(f"commit [bold]{record.source.commit[:12]}[/]{dirty}  run {record.run}")
        if self._verbosity > 0:
            print_checks(self._console, record.checks)

    def begins(self, stage: StageRecord) -> None:
        """Show that a stage has begun."""
        with self._lock:
            self._current = stage.name
            self._silent_until = time.monotonic() + QUIET_S
            if self._spins and self._verbosity >= 0:
                self._spinner = self._console.status(f"{stage.name:<10}")
                self._spinner.start()

    def say(self, line: str) -> None:
        """Show the newest progress: one line, or one and its parts."""
        with self._lock:
            if self._verbosity > 0:
                text = escape(NEXT_LINE.join(line.splitlines()))
                self._console.print(f"  [dim]{self._current:<10} {text}[/]", highlight=False)
            elif self._spinner is not None:
                lines = (escape(one[: max(20, self._console.width - 16)]) for one in line.splitlines())
                self._spinner.update(f"{self._current:<10} [dim]{NEXT_LINE.join(lines)}[/]")
            elif self._verbosity == 0 and self._current and time.monotonic() >= self._silent_until:
                lines = (
                    f"{one[:LOG_WIDTH]}{'…' if len(one) > LOG_WIDTH else ''}" for one in line.splitlines()
                )
                text = escape(NEXT_LINE.join(lines))
                self._silent_until = time.monotonic() + QUIET_S * (1 + text.count("\n"))
                self._console.print(f"… {self._current:<10} {text}", highlight=False, style="dim")

    def ended(self, stage: StageRecord) -> None:
        """Show what became of a stage."""
        with self._lock:
            self._current = ""
            if self._spinner is not None:
                self._spinner.stop()
                self._spinner = None
        if self._verbosity >= 0:
            self._console.print(stage_line(stage), soft_wrap=True, highlight=False)
        for verdict in stage.verdicts:
            if self._verbosity >= 0 or verdict.refuses:  # the error at the end speaks of these
                print_verdict(self._console, verdict, verbose=self._verbosity > 0)

    def finished(self, record: Record, folder: Path) -> None:
        """Show the end: what failed and what to do, or what was delivered."""
        if record.failure is not None:
            print_failure(self._console, record.failure)
        elif self._verbosity >= 0:
            self._console.print()
            print_delivery(self._console, record)
        if self._verbosity >= 0:
            for path in (*_failed_logs(record), FILE_NAME):
                word = "record" if path == FILE_NAME else "log"
                self._console.print(
                    f"{word:<7} {_near(folder)}/{path}", style="dim", highlight=False, soft_wrap=True
                )


def _failed_logs(record: Record) -> tuple[str, ...]:
    """Return the logs of the stage at which the run ended, where it did before its end."""
    bad = {Status.FAILED, Status.REFUSED, Status.INTERRUPTED}
    return next((stage.logs for stage in record.stages if stage.status in bad), ())


class _Console(Console):
    """A console whose reader may leave: a delivery is none the less done, and its record tells all."""

    def on_broken_pipe(self) -> None:
        """Print nothing more and go on, where the library would end the process."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.file.fileno())
        os.close(nowhere)


def make_console(*, stderr: bool = False) -> Console:
    """Return a console; a log that is no terminal is not cut at 80 columns.

    What the stream's encoding cannot say is replaced: an ASCII log gets `+` for a check mark.
    """
    stream = sys.stderr if stderr else sys.stdout
    if isinstance(stream, io.TextIOWrapper):
        codecs.register_error("pipeline.plain", _plain)
        stream.reconfigure(errors="pipeline.plain")
    wide = None if stream.isatty() else 160
    return _Console(file=stream, width=wide, highlight=False, emoji=False)


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(PLAIN.get(letter, "?") for letter in text), error.end


def stage_line(stage: StageRecord) -> str:
    """Return one line that says what a stage made, in how much time."""
    made = stage.made()
    text = escape(describe(made)) if made is not None else WORDS.get(stage.status, str(stage.status))
    again = f" [dim](reused from {stage.reused_from})[/]" if stage.reused_from else ""
    took = "" if stage.duration_s is None else duration(stage.duration_s)
    return f"{MARKS[stage.status]} [bold]{stage.name:<10}[/]{took:>9}  {text}{again}"


def print_failure(console: Console, failure: Failure) -> None:
    """Show why the run ended, the end of what was printed, and what to do next."""
    if failure.tail:
        console.print()
        print_indented(console, failure.tail.rstrip(), 4, style="dim")
    console.print(f"\n[bold red]error[/] {escape(failure.message)}", soft_wrap=True)
    if failure.advice:
        print_indented(console, failure.advice, 6)
    console.print(f"exit code {failure.exit_code} ({failure.kind})", style="dim")


def print_delivery(console: Console, record: Record) -> None:
    """Show where the image is, and what the manifests say now."""
    for made in record.made():
        if isinstance(made, PushedImage):
            _print_pushed(console, "image", made)
            if made.model_image is not None:
                _print_pushed(console, "model", made.model_image)
        if isinstance(made, AttestedImage) and made.command:
            console.print(f"verify  [bold]{escape(made.command)}[/]", soft_wrap=True)
        if isinstance(made, ManifestUpdate):
            _print_update(console, made)
    if record.until is not None:
        console.print(f"stopped after {record.until}, as asked", style="dim")
    if record.out_of_reach:
        told = " and ".join(record.out_of_reach)
        console.print(f"[yellow]incomplete[/] {escape(told)} was not done: see the warning", soft_wrap=True)
    if record.proposal is not None:
        console.print(
            f"for {escape(record.proposal)}: nothing was pushed and no manifest was written", style="dim"
        )
    elif record.dry_run:
        console.print("dry run: nothing left this machine", style="dim")


def _print_pushed(console: Console, word: str, image: Pushed) -> None:
    for reference in image.references:
        console.print(f"{word:<7} [bold]{reference}[/]", soft_wrap=True)
        if note := told_by(reference):
            console.print(f"        {escape(note)}", style="dim", soft_wrap=True)
    if image.layout is not None:
        console.print(f"{word:<7} [bold]oci:{image.layout}:{image.tag}[/]", soft_wrap=True)


def _print_update(console: Console, update: ManifestUpdate) -> None:
    if update.commit is not None:
        console.print(
            f"commit  [bold]{update.commit}[/] on {escape(update.branch or '')} of "
            f"{escape(update.repository_url or '')}",
            soft_wrap=True,
        )
    for file in update.files if update.status == "preview" else ():
        console.print(escape(file.diff.rstrip()), soft_wrap=True)
    if update.note:
        console.print(escape(update.note), soft_wrap=True)
    for proof in update.proofs:
        if proof.note:
            print_indented(console, f"{proof.file}: {proof.note}", 4, style="dim")


def print_checks(console: Console, checks: tuple[Check, ...]) -> None:
    """Show what was checked before any work, one line each."""
    width = max((len(check.subject) for check in checks), default=0)
    for check in checks:
        mark = "[green]✔[/]" if check.passed else "[red]✘[/]"
        console.print(f"{mark} {escape(check.subject):<{width}}  {escape(check.found)}", soft_wrap=True)


def stages_table(record: Record) -> Table:
    """Return the stages with their times, verdicts and findings."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("", "stage", "time", "verdict", "result"):
        table.add_column(column, justify="right" if column == "time" else "left")
    for stage in record.stages:
        made = stage.made()
        took = "" if stage.duration_s is None else duration(stage.duration_s)
        table.add_row(
            MARKS[stage.status], stage.name, took, _verdict(stage), escape(describe(made)) if made else ""
        )
    return table


def _verdict(stage: StageRecord) -> str:
    refused = sum(not verdict.passed and verdict.refuses for verdict in stage.verdicts)
    warned = sum(not verdict.passed and not verdict.refuses for verdict in stage.verdicts)
    if refused:
        return f"[red]{refused} refused[/]"
    if warned:
        return f"{stage.status}, [yellow]{warned} warning{'s' if warned > 1 else ''}[/]"
    return WORDS.get(stage.status, str(stage.status))


def print_record(console: Console, record: Record) -> None:
    """Show a whole record."""
    console.print(f"run [bold]{record.run}[/]  {record.status}, {duration(record.duration_s)}")
    if record.source is not None:
        dirty = " [yellow](dirty)[/]" if record.source.dirty else ""
        console.print(f"commit {record.source.commit}{dirty}")
    console.print(stages_table(record))
    for stage in record.stages:
        for verdict in stage.verdicts:
            print_verdict(console, verdict, verbose=False)
    if record.failure is not None:
        print_failure(console, record.failure)
    else:
        print_delivery(console, record)


def _near(folder: Path) -> Path:
    """Return the folder as seen from here, where that is shorter."""
    return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder


def settings_table(settings: tuple[Setting, ...]) -> Table:
    """Return every setting with its value and where it came from."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("setting", "value", "from"):
        table.add_column(column, overflow="fold")
    for setting in settings:
        style = "dim" if setting.origin == "default" else ""
        value = "" if setting.value is None else json.dumps(setting.value, ensure_ascii=False)
        table.add_row(setting.key, escape(value), escape(setting.origin), style=style)
    return table
