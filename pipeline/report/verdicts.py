"""What policies say, on a terminal."""

from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape as without_markup

from pipeline.markup import visible
from pipeline.model import Level, Verdict


def escape(text: str) -> str:
    """Return text that neither Rich nor the terminal takes for anything but text."""
    return without_markup(visible(text))


def print_judged(console: Console, judged: Iterable[tuple[str, Iterable[Verdict]]], *, verbose: bool) -> None:
    """Print what policies say of what each stage made."""
    for stage, verdicts in judged:
        console.print(f"[bold]{escape(stage)}[/]")
        for verdict in verdicts:
            print_verdict(console, verdict, verbose=verbose)


def print_verdict(console: Console, verdict: Verdict, *, verbose: bool) -> None:
    """Print what a rule says: what it refuses or warns of, and what somebody should look at in any case."""
    for note in verdict.notes:
        console.print(f"    [yellow]note[/]    {escape(verdict.policy)}: {escape(note)}", soft_wrap=True)
    if verdict.passed:
        if verbose:
            console.print(f"    [green]passed[/]  {escape(verdict.policy)}: {escape(verdict.summary)}")
        return
    word = "[red]refused[/]" if verdict.level is Level.ENFORCE else "[yellow]warning[/]"
    for reason in verdict.reasons:
        origin = f" [dim]({escape(verdict.origin)})[/]" if verdict.origin else ""
        console.print(
            f"    {word} {escape(verdict.policy)}: {escape(reason.message)}{origin}", soft_wrap=True
        )
        if reason.advice and verdict.level is Level.ENFORCE:
            print_indented(console, reason.advice, 12, style="dim")


def print_indented(console: Console, text: str, indent: int, style: str = "") -> None:
    """Print text as it is, each line moved to the right; never cut, so that it can be copied."""
    for line in text.splitlines():
        console.print(f"{' ' * indent}{escape(line)}", style=style, soft_wrap=True)
