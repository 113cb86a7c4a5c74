"""Renders the comparison of load generators as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.load_generators import PERCENTILES, Load, Outcome
from benchmarks.results import Machine
from benchmarks.tables import table

BEGIN = "<!-- measured: written by benchmarks/load.py, not by hand -->"
OURS = "pipeline"
WITHIN = 0.05
WANTED_RPS = 5000
COMPARED = ("50", "90", "95", "99")
# Whose percentiles ours must equal: the others count from elsewhere, or not at all at such rates.
LIKE = {"poisson": "loadgen", "closed": "wrk"}


@dataclass(frozen=True, slots=True)
class Measure:
    """What one generator said of a load, and what the server knows of it."""

    generator: str
    load: Load
    outcome: Outcome
    truth: Mapping[str, float]
    """For how long the server held requests, by percentile, in milliseconds."""
    requests: int
    """As the server counted them."""


@dataclass(frozen=True, slots=True)
class Highest:
    """The highest rate at which our generator did not doubt itself, and what came above it."""

    protocol: str
    rate_rps: float
    cpu: float
    lag_p99_ms: float
    end: str


def markdown(  # noqa: PLR0913 - each of them is plain at the call
    *,
    machine: Machine,
    command: str,
    busy: tuple[float, float],
    generators: Mapping[str, str],
    unavailable: Mapping[str, str],
    measures: Sequence[Measure],
    highest: Sequence[Highest],
) -> str:
    """Return everything that was measured."""
    memory_gib = machine.memory_bytes / 2**30
    facts = (
        f"{machine.date}, commit {machine.commit}",
        f"{machine.processors} processors ({machine.processor}), {memory_gib:.0f} GiB of memory",
        machine.system,
        f"load average before and after: {busy[0]:.1f}, {busy[1]:.1f}",
        f"`{command}`",
    )
    known = [(f"`{name}`", what) for name, what in generators.items()]
    known += [(f"`{name}`", f"not available: {why}") for name, why in unavailable.items()]
    parts = [
        "\n".join(f"- {fact}" for fact in facts),
        table(("name", "what it runs"), known),
        table(("goal", "wanted", "measured", "met"), list(_goals(measures, highest))),
    ]
    for title, path, shapes in (
        ("Answers after 10 to 19 ms", "/v2/models/digits/infer", ("poisson", "closed")),
        ("Answers at once: what the generators add", "/once", ("closed",)),
        ("Stands still for 500 ms of every 2 s", "/stall", ("constant", "poisson", "closed")),
    ):
        parts += [f"### {title}", _section(measures, path, shapes)]
    parts += ["### Our highest honest rate", _highest(highest)]
    return "\n\n".join(parts) + "\n"


def _section(measures: Sequence[Measure], path: str, shapes: Sequence[str]) -> str:
    header = ("load", "generator", "answers/s", *(f"p{name} ms" for name in PERCENTILES), "CPU s per 1,000")
    rows: list[tuple[str, ...]] = []
    here = [each for each in measures if each.load.path == path and each.load.shape in shapes]
    for load in dict.fromkeys(each.load for each in here):
        of_load = [each for each in here if each.load == load]
        for name in dict.fromkeys(each.generator for each in of_load):
            own = [each for each in of_load if each.generator == name]
            cpu = median(1000 * each.outcome.cpu_s / max(1, each.requests) for each in own)
            bold = f"**`{name}`**" if name == OURS else f"`{name}`"
            rate = median(each.outcome.throughput_rps for each in own)
            cells = (_cell(own, percent) for percent in PERCENTILES)
            rows.append((_named(load), bold, f"{rate:.0f}", *cells, f"{cpu:.3f}"))
    return table(header, rows)


def _cell(own: Sequence[Measure], percent: str) -> str:
    """Return what the generator said, and in brackets what the server knows of the same requests."""
    said = _said(own, percent)
    if said is None:
        return ""
    return f"{said:.2f} ({median(each.truth[percent] for each in own):.2f})"


def _said(own: Sequence[Measure], percent: str) -> float | None:
    values = [each.outcome.percentiles[percent] for each in own if percent in each.outcome.percentiles]
    return median(values) if values else None


def _named(load: Load) -> str:
    if load.shape == "closed":
        return f"{load.amount:.0f} client{'s' if load.amount > 1 else ''}"
    return f"{load.amount:.0f}/s, {load.shape}"


def _goals(measures: Sequence[Measure], highest: Sequence[Highest]) -> Iterator[tuple[str, str, str, str]]:
    for load in dict.fromkeys(each.load for each in measures if not each.load.path.endswith("/once")):
        of_load = [each for each in measures if each.load == load]
        ours = [each for each in of_load if each.generator == OURS]
        peers = [each for each in of_load if each.generator == LIKE.get(load.shape)]
        if ours and peers and load.path.endswith("/infer"):
            known = [_said(peers, name) for name in COMPARED]
            yield _judged(f"percentiles like those of {peers[0].generator}, {_named(load)}", ours, known)
        if ours and load.path == "/stall" and load.shape != "closed":
            known = [None, *(median(each.truth[name] for each in ours) for name in COMPARED[1:])]
            yield _judged(f"percentiles like the stalling server's own, {_named(load)}", ours, known)
    rates = [each.rate_rps for each in highest if each.protocol == "http"]
    if rates:
        met = "yes" if median(rates) >= WANTED_RPS else "**no**"
        yield "highest honest rate, HTTP", f"≥ {WANTED_RPS}/s", f"{median(rates):.0f}/s", met


def _judged(what: str, ours: Sequence[Measure], known: Sequence[float | None]) -> tuple[str, str, str, str]:
    """Return the row of a goal; loads that our engine calls invalid are left out while others are left."""
    valid = [each for each in ours if not each.outcome.doubt]
    said = [_said(valid or ours, name) for name in COMPARED]
    ratios = {name: value / by for name, value, by in zip(COMPARED, said, known, strict=True) if value and by}
    found = ", ".join(f"p{name} {ratio:.3f}" for name, ratio in ratios.items())
    told = f"; {len(ours) - len(valid)} of {len(ours)} called invalid" if len(valid) < len(ours) else ""
    met = bool(valid) and all(abs(ratio - 1) <= WITHIN for ratio in ratios.values())
    return what, f"within {WITHIN:.0%}", f"{found} times{told}", "yes" if met else "**no**"


def _highest(highest: Sequence[Highest]) -> str:
    rows = []
    for protocol in dict.fromkeys(each.protocol for each in highest):
        own = sorted((each for each in highest if each.protocol == protocol), key=lambda each: each.rate_rps)
        middle = own[len(own) // 2]
        spread = f"{middle.rate_rps:.0f} ({own[0].rate_rps:.0f}-{own[-1].rate_rps:.0f})"
        rows.append((f"`{protocol}`", spread, f"{middle.cpu:.0%}", f"{middle.lag_p99_ms:.2f}", middle.end))
    return table(("protocol", "requests/s", "CPU of a core", "send lag p99 ms", "what ended it"), rows)
