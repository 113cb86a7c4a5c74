"""Renders a report as Markdown: what it was measured on, one table for each size and scenario, the goals."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from benchmarks.goals import judge
from benchmarks.results import OURS, Quantity, Report
from benchmarks.sizes import megabytes, size_name

BEGIN = "<!-- measured: written by benchmarks/delivery.py, not by hand -->"
END = "<!-- measured: end -->"
EXPLAINED = {
    "cold": "Nothing is in the registry, in the build cache or remembered.",
    "nothing": "The same again.",
    "code": "One line of the server changed.",
    "runner": "One line of the server changed, on a fresh machine: no build cache, nothing remembered.",
    "move": "The image of before goes to another repository of the registry.",
    "shard": "One weight file of eight was exchanged.",
    "run-first": "The whole run with tests, scan, benchmark and manifest, on a base image with Python.",
    "run": "The whole run again: all evidence is cached.",
}
HEADER = ("tool", "wall s", "x ours", "x curl", "sent MB", "written MB", "device MB", "memory MB", "n")


def write_into(path: Path, text: str, begin: str = BEGIN) -> None:
    """Put the tables between their marks in a document, or make a document of them."""
    marked = f"{begin}\n\n{text.strip()}\n\n{END}"
    if not path.exists() or begin not in path.read_text():
        path.write_text(f"{marked}\n")
        return
    before, _, rest = path.read_text().partition(begin)
    path.write_text(f"{before}{marked}{rest.partition(END)[2]}")


def markdown(report: Report) -> str:
    """Return everything that was measured."""
    parts = [_machine(report), _tools(report), _goals(report)]
    for size_bytes in report.sizes:
        parts += [_scenario(report, size_bytes, scenario) for scenario in report.scenarios(size_bytes)]
    return "\n\n".join(parts) + "\n"


def _machine(report: Report) -> str:
    machine = report.machine
    tools = ", ".join(f"{name} {version}" for name, version in machine.tools.items())
    processors = f"{machine.processors} processors ({machine.processor})"
    facts = (
        f"{machine.date}, commit {machine.commit}",
        f"{processors}, {machine.memory_bytes / 2**30:.0f} GiB of memory, {machine.disk}",
        machine.system,
        tools,
        *(f"`{line}`" for line in report.command.splitlines()),
    )
    return "\n".join(f"- {fact}" for fact in facts)


def _tools(report: Report) -> str:
    rows = [(f"`{name}`", what) for name, what in report.peers.items()]
    rows += [(f"`{name}`", f"not available: {why}") for name, why in report.unavailable.items()]
    return table(("name", "what it runs"), rows)


def _goals(report: Report) -> str:
    rows = [(goal.what, goal.wanted, goal.found, goal.word) for goal in judge(report)]
    return "### Goals\n\n" + table(("goal", "wanted", "measured", "met"), rows)


def _scenario(report: Report, size_bytes: int, scenario: str) -> str:
    title = f"### {size_name(size_bytes)}, {scenario}"
    explained = EXPLAINED.get(scenario, _pull(scenario))
    rows = [_row(report, size_bytes, scenario, peer) for peer in report.peers_of(size_bytes, scenario)]
    return f"{title}\n\n{explained}\n\n{table(HEADER, rows)}"


def _pull(scenario: str) -> str:
    onto = " of the changed code onto the image of before" if scenario.startswith("pull-code") else ""
    return f"The engine pulls and unpacks the image{onto}; the bytes are those that it received."


def _row(report: Report, size_bytes: int, scenario: str, peer: str) -> tuple[str, ...]:
    where = (size_bytes, scenario, peer)
    measures = report.of(*where)
    notes = "; ".join(note.splitlines()[0][:90] for note in report.notes(*where))
    if not measures:
        return (f"`{peer}`", notes, *([""] * (len(HEADER) - 2)))
    times = sorted(measure.wall_s for measure in measures)
    travelled: Quantity = "received_bytes" if scenario.startswith("pull") else "sent_bytes"
    memory = report.highest_memory(*where) or (0, 0)
    return (
        f"`{peer}`" if peer != OURS else f"**`{peer}`**",
        f"{report.median_of(*where):.2f} ({times[0]:.2f}-{times[-1]:.2f})",
        _ratio(report.ratio(*where)),
        _ratio(report.ratio(*where, to="curl")),
        megabytes(report.median_of(*where, travelled) or 0),
        megabytes(report.median_of(*where, "written_bytes") or 0),
        megabytes(report.median_of(*where, "device_bytes") or 0),
        f"{megabytes(memory[0])} + {megabytes(memory[1])}",
        f"{len(measures)}" + (" (once only)" if "once only" in notes else ""),
    )


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def table(header: Iterable[str], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table in Markdown."""
    head = list(header)
    lines = [head, ["---"] * len(head), *(list(row) for row in rows)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
