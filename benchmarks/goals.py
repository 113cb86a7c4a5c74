"""What was wanted, and whether a report shows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.results import OURS, Report, quotient
from benchmarks.sizes import megabytes, size_name

COLD_TIMES_CURL = 1.2
CODE_TIMES_QUICKER = 5.0
CODE_SIZE_BYTES = 1 << 30
FLAT_SHARE = 0.10
NOTHING_S = 1.5
WRITTEN_SHARE = 0.01
MEMORY_BYTES = 150 << 20
BUILD_NOTHING = frozenset({"crane", "oras", "modelcar"})
"""They send files: they build no image from a Dockerfile, or no image at all."""


@dataclass(frozen=True, slots=True)
class Goal:
    """One goal beside what was measured."""

    what: str
    wanted: str
    found: str
    met: bool

    @property
    def word(self) -> str:
        """Say in a word how it stands."""
        return "yes" if self.met else "**no**"


def judge(report: Report) -> tuple[Goal, ...]:
    """Return every goal that the report has numbers for."""
    goals: list[Goal] = []
    for size_bytes in report.sizes:
        goals += [*_cold(report, size_bytes), *_code(report, size_bytes), *_nothing(report, size_bytes)]
        goals += [*_written(report, size_bytes), *_memory(report, size_bytes), *_pulls(report, size_bytes)]
    return (*goals, *_flat(report))


def _cold(report: Report, size_bytes: int) -> Iterator[Goal]:
    ratio = quotient(report.median_of(size_bytes, "cold", OURS), report.median_of(size_bytes, "cold", "curl"))
    if ratio is not None:
        what = f"cold delivery, {size_name(size_bytes)}"
        yield Goal(what, f"≤ {COLD_TIMES_CURL} times `curl -T`", f"{ratio:.2f}", ratio <= COLD_TIMES_CURL)


def _code(report: Report, size_bytes: int) -> Iterator[Goal]:
    if size_bytes == CODE_SIZE_BYTES:
        yield from _quicker(report, size_bytes, "code", "code-only change")
        yield from _quicker(report, size_bytes, "runner", "code-only change on a fresh machine")


def _quicker(report: Report, size_bytes: int, scenario: str, told: str) -> Iterator[Goal]:
    """Compare with the best, once among those that build an image and once among all."""
    peers = [peer for peer in report.peers_of(size_bytes, scenario) if peer != OURS]
    for among, chosen in (
        ("that builds", [peer for peer in peers if peer not in BUILD_NOTHING]),
        ("of all", peers),
    ):
        times = {peer: report.ratio(size_bytes, scenario, peer) for peer in chosen}
        known = {peer: ratio for peer, ratio in times.items() if ratio is not None}
        if known:
            best = min(known, key=known.__getitem__)
            what = f"{told}, {size_name(size_bytes)}, best tool {among}"
            yield Goal(
                what,
                f"≥ {CODE_TIMES_QUICKER:.0f} times faster",
                f"{known[best]:.2f} (`{best}`)",
                known[best] >= CODE_TIMES_QUICKER,
            )


def _nothing(report: Report, size_bytes: int) -> Iterator[Goal]:
    took = report.median_of(size_bytes, "run", OURS)
    if took is not None:
        what = f"nothing changed, whole run with cached evidence, {size_name(size_bytes)}"
        yield Goal(what, f"≤ {NOTHING_S} s", f"{took:.2f} s", took <= NOTHING_S)


def _written(report: Report, size_bytes: int) -> Iterator[Goal]:
    written = report.median_of(size_bytes, "cold", OURS, "written_bytes")
    if written is not None:
        share = written / size_bytes
        what = f"cold delivery, {size_name(size_bytes)}: written to disk"
        found = f"{share:.2%} ({megabytes(written)} MB)"
        yield Goal(what, f"< {WRITTEN_SHARE:.0%} of the weights", found, share < WRITTEN_SHARE)


def _memory(report: Report, size_bytes: int) -> Iterator[Goal]:
    """Take the highest of all deliveries; whole runs start a scanner and a load beside it."""
    deliveries = [name for name in report.scenarios(size_bytes) if not name.startswith(("pull", "run-"))]
    found = [report.highest_memory(size_bytes, name, OURS) for name in deliveries if name != "run"]
    if peaks := [peak[0] for peak in found if peak is not None]:
        what = f"memory of the pipeline and what it starts, {size_name(size_bytes)}"
        told = f"{max(peaks) / 2**20:.0f} MiB"
        yield Goal(what, f"≤ {MEMORY_BYTES >> 20} MiB", told, max(peaks) <= MEMORY_BYTES)


def _pulls(report: Report, size_bytes: int) -> Iterator[Goal]:
    for scenario in report.scenarios(size_bytes):
        ratio = report.ratio(size_bytes, scenario, "docker") if scenario.startswith("pull") else None
        if ratio is not None:
            what = f"{scenario}, {size_name(size_bytes)}"
            found = f"{ratio:.2f} times as long for docker's"
            yield Goal(what, "never slower than the image that docker pushed", found, ratio >= 1)


def _flat(report: Report) -> Iterator[Goal]:
    times = {size: report.median_of(size, "code", OURS) for size in report.sizes}
    known = {size: took for size, took in times.items() if took is not None}
    if len(known) > 1:
        small, big = min(known), max(known)
        share = known[big] / known[small] - 1
        what = f"code-only change, {size_name(big)} against {size_name(small)}"
        yield Goal(
            what, f"within {FLAT_SHARE:.0%}", f"{share:+.0%}", known[big] <= known[small] * (1 + FLAT_SHARE)
        )
