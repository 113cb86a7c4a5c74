"""What `pipeline bench` shows: an image's numbers, the comparison, and what the rules say of both."""

from collections.abc import Callable, Sequence

from rich.table import Table

from pipeline.commands.options import print_json
from pipeline.errors import PolicyRefused
from pipeline.model import BenchmarkReport, Comparison, Verdict
from pipeline.report.benchmark import benchmark_rows
from pipeline.report.comparison import HEADS, HOW, rows, told
from pipeline.report.phrases import describe
from pipeline.report.terminal import make_console
from pipeline.report.verdicts import escape, print_verdict


def report(
    made: BenchmarkReport, verdicts: Sequence[Verdict], redact: Callable[[object], object], *, as_json: bool
) -> int:
    """Show what was measured and judged, and return the exit code: 3 where a rule refuses it."""
    refused = any(verdict.refuses for verdict in verdicts)
    if as_json:
        document = {
            "benchmark": made.model_dump(mode="json"),
            "verdicts": [verdict.model_dump(mode="json") for verdict in verdicts],
        }
        print_json(redact(document))
    else:
        _show(made, verdicts)
    return PolicyRefused.exit_code if refused else 0


def _show(made: BenchmarkReport, verdicts: Sequence[Verdict]) -> None:
    console = make_console()
    console.print(f"[bold]{made.digest}[/]  {escape(describe(made))}", soft_wrap=True)
    for name, text in benchmark_rows(made):
        console.print(f"  [dim]{name:<15}[/] {escape(text)}", soft_wrap=True)
    if (comparison := made.comparison) is not None:
        how = HOW[comparison.how]
        console.print(f"\ncompared with [bold]{escape(comparison.reference)}[/], {how}", soft_wrap=True)
        if comparison.metrics:
            console.print(_table(comparison))
        for note in told(comparison):
            console.print(f"  {escape(note)}", soft_wrap=True)
    for verdict in verdicts:
        print_verdict(console, verdict, verbose=True)


def _table(comparison: Comparison) -> Table:
    table = Table(box=None, pad_edge=False)
    for head in HEADS:
        table.add_column(head, justify="right" if head in HEADS[1:4] else "left")
    for row in rows(comparison):
        table.add_row(*row)
    return table
