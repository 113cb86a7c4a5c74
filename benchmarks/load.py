"""Compares our load engine with others on servers of known truth: percentiles, cost, highest honest rate.

    python benchmarks/load.py --markdown docs/performance.md

Needs Linux. wrk comes from Debian, MLPerf LoadGen and perf_analyzer from PyPI, each where it can be had. All
take turns within each round; server and generator share the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a program, it knows its own folder only

from benchmarks import tables
from benchmarks.load_generators import PERCENTILES, Generator, Load, Ours, Outcome, generators
from benchmarks.load_tables import BEGIN, Highest, Measure, markdown
from benchmarks.machine import describe

HERE = Path(__file__).resolve().parent
RATES = (500, 1000, 2000, 5000)
CLIENTS = (1, 16, 64)
STALL_RPS = 400
STALLING_LOAD_S = 8
STALL_S = 0.6
INFER = "/v2/models/digits/infer"
STEPS_RPS = (250, 500, 1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 10_000, 12_000, 15_000)
HELD = 0.97  # of the rate must be answered: less is the server's end, or ours
SERVERS = {
    "http": "load_server.py",
    "v2": "load_server.py",
    "v2-grpc": "load_grpc_server.py",
    "openai": "load_server.py",  # its answers are streams of sixteen tokens
}


@dataclass(frozen=True, slots=True)
class Server:
    """A server of known truth."""

    port: int

    def held_ms(self) -> list[float]:
        """Return for how long each request since the last question was held, shortest first."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/held", timeout=10) as answer:
            return sorted(1000 * held for held in json.load(answer))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; return 1 where a goal is missed."""
    options = _options(arguments)
    unavailable = {each.name: why for each in generators() if (why := each.missing())}
    available = [each for each in generators() if each.name not in unavailable]
    before = os.getloadavg()[0]
    measures = list(_measures(available, options))
    highest = list(_highest(options))
    text = markdown(
        machine=describe(HERE),
        command=f"python benchmarks/load.py --runs {options.runs} --seconds {options.seconds:g}",
        busy=(before, os.getloadavg()[0]),
        generators={each.name: each.what for each in available},
        unavailable=unavailable,
        measures=measures,
        highest=highest,
    )
    if options.markdown:
        tables.write_into(options.markdown, text, BEGIN)
    print(text)
    return int("**no**" in text)


@contextmanager
def running_server(program: str) -> Iterator[Server]:
    """Lend a server, in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, str(HERE / program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None  # noqa: S101 - for the type checker
    assert process.stdout is not None  # noqa: S101 - for the type checker
    try:
        yield Server(int(process.stdout.readline()))
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(10)


def _measures(available: Sequence[Generator], options: argparse.Namespace) -> Iterator[Measure]:
    loads = [Load(INFER, "poisson", rate, options.seconds) for rate in RATES]
    loads += [Load(INFER, "closed", clients, options.seconds) for clients in CLIENTS]
    loads += [Load("/once", "closed", clients, options.seconds) for clients in CLIENTS]
    stall = Load("/stall", "constant", STALL_RPS, STALLING_LOAD_S)
    loads += [stall, replace(stall, shape="poisson"), Load("/stall", "closed", 16, STALLING_LOAD_S)]
    with running_server("load_server.py") as server:
        for number in range(1, options.runs + 1):
            for load in loads:
                for each in available:
                    if load.shape in each.shapes and (each.name != "perf_analyzer" or load.path == INFER):
                        yield _measure(server, each, load, number)


def _measure(server: Server, generator: Generator, load: Load, number: int) -> Measure:
    time.sleep(STALL_S)  # what the load before has left behind is answered by then, and counts for nobody
    server.held_ms()
    outcome = generator.run(server.port, load)
    held = server.held_ms()
    truth = {name: held[min(len(held) - 1, int(len(held) * float(name) / 100))] for name in PERCENTILES}
    measure = Measure(generator.name, load, outcome, truth, len(held))
    _say(f"round {number}", load, generator.name, outcome)
    return measure


def _highest(options: argparse.Namespace) -> Iterator[Highest]:
    for number in range(1, options.runs + 1):
        for protocol, program in SERVERS.items():
            with running_server(program) as server:
                yield _climb(protocol, server.port, options.seconds, number)


def _climb(protocol: str, port: int, seconds: float, number: int) -> Highest:
    """Raise the rate for as long as the generator does not doubt itself and the server keeps up."""
    best = Highest(protocol, 0, 0.0, 0.0, "")
    for rate in STEPS_RPS:
        outcome = Ours(protocol).run(port, load := Load("/once", "constant", rate, seconds))
        _say(f"round {number}", load, protocol, outcome)
        behind = outcome.throughput_rps < HELD * rate
        doubt = outcome.doubt or (f"{outcome.throughput_rps:.0f}/s were answered" if behind else "")
        if doubt:
            return replace(best, end=f"{rate}/s: {doubt}")
        best = Highest(protocol, rate, outcome.cpu_s / seconds, outcome.lag_p99_ms, "")
    return replace(best, end="no higher rate was tried")


def _say(when: str, load: Load, who: str, outcome: Outcome) -> None:
    found = " ".join(f"p{name} {value:.2f}" for name, value in outcome.percentiles.items())
    told = f"{when}  {load.path:24} {load.shape:8} {load.amount:6.0f}  {who:14} {found}  {outcome.doubt}"
    print(told, file=sys.stderr, flush=True)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python benchmarks/load.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--runs", type=int, default=5, help="rounds; the tables show medians (default: 5)")
    parser.add_argument("--seconds", type=float, default=5, help="length of a load (default: 5)")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="document to put the tables into")
    options = parser.parse_args(arguments)
    if options.markdown and options.markdown.exists() and BEGIN not in options.markdown.read_text():
        parser.error(f"{options.markdown} has no place for the tables: {BEGIN}")
    return options


if __name__ == "__main__":
    sys.exit(main())
