"""How often the verdict on a regression is wrong: simulated from rounds that a real server was measured in.

    python benchmarks/verdicts.py                      # the table, from benchmarks/data/rounds.json
    python benchmarks/verdicts.py --record IMAGE …     # measure the same image again and again, and keep that

Every recorded turn is of the same image, so any difference between two of them is noise. A simulated verdict
draws pairs of neighbouring turns, calls one of each pair the new image, and plants a slowdown in it.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from pipeline.desk import Desk
from pipeline.errors import ConfigurationError
from pipeline.model import METRICS, ColdStart, Metric, RegressionLimit
from stages.load.closed_loop import ClosedLoop
from stages.load.open_loop import OpenLoop
from stages.servers import PROTOCOLS
from stages.servers.engine import Engine
from stages.servers.found import EngineImage, Near
from stages.servers.interface import Payload
from stages.servers.machine import kind_of
from stages.servers.rounds import CLIENTS, RoundsPlan, Turn, TurnTaker, take_turns
from stages.servers.serving import Serving
from stages.servers.session import Session
from stages.servers.site import our_site
from stages.servers.turn import our_turn

DATA = Path(__file__).parent / "data" / "rounds.json"
JUDGED: tuple[Metric, ...] = ("p99_ms", "throughput_rps")
VERDICTS = 100
SEED = 20_263
Standing = Literal["within", "beyond", "inconclusive"]
_START = ColdStart(port_open_ms=1, ready_ms=1, first_answer_ms=1)


class Recording(BaseModel):
    """Turns of one image, in the order in which they were measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    machine: str
    server: str
    load: str
    turns: tuple[dict[Metric, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is simulated: a slowdown, a limit, and how many rounds there may be."""

    metric: Metric
    slowdown: float
    limit: float
    most: int


def simulate(recording: Recording, case: Case, verdicts: int = VERDICTS) -> dict[Standing, int]:
    """Return how many verdicts came out which way."""
    draw = random.Random(f"{SEED} {case}")  # noqa: S311 - a simulation, no secrets
    found: dict[Standing, int] = {"within": 0, "beyond": 0, "inconclusive": 0}
    for _ in range(verdicts):
        found[_verdict(recording, case, draw)] += 1
    return found


def _verdict(recording: Recording, case: Case, draw: random.Random) -> Standing:
    limit = RegressionLimit(metric=case.metric, relative=case.limit)
    drawn = _pairs(recording, case, draw)
    waiting: list[tuple[Turn, Turn]] = []

    def take(which: int) -> Callable[[], Turn]:
        def turn() -> Turn:
            # whoever comes first in a round draws it for both
            if waiting:
                return waiting.pop()[which]
            waiting.append(next(drawn))
            return waiting[0][which]

        return turn

    plan = RoundsPlan(most=case.most, limits=(limit,), time_limit_s=1e9)
    rounds = take_turns(take(0), take(1), plan, lambda _: None)
    compared = rounds.metric(case.metric)
    assert compared is not None  # noqa: S101 - every recorded turn has every metric
    return compared.standing(limit)


def _pairs(recording: Recording, case: Case, draw: random.Random) -> Iterator[tuple[Turn, Turn]]:
    factor = 1 / (1 + case.slowdown) if METRICS[case.metric].higher_is_better else 1 + case.slowdown
    neighbours = list(zip(recording.turns[::2], recording.turns[1::2], strict=False))
    while True:
        pair = list(draw.choice(neighbours))
        draw.shuffle(pair)
        old, new = (each[case.metric] for each in pair)
        yield _turn(case.metric, old), _turn(case.metric, new * factor)


def _turn(metric: Metric, value: float) -> Turn:
    return Turn(values={metric: value}, cold_start=_START)


def record(asked: argparse.Namespace) -> Iterator[Recording]:
    """Start and measure the same image so many times; yield what is known after each."""
    with tempfile.TemporaryDirectory(prefix="verdicts-") as folder:
        desk = Desk(folder=Path(folder), cache=Path(folder), run_name="verdicts", say=_progress)
        try:
            yield from _recorded(asked, desk)
        finally:
            desk.clear()


def _recorded(asked: argparse.Namespace, desk: Desk) -> Iterator[Recording]:
    site, facts = our_site(desk)
    image = EngineImage.find(asked.record, Engine(desk.run))
    if image is None:
        raise ConfigurationError(f"the engine has no image {asked.record}", advice="Build it first.")
    payloads = (Payload(body=asked.request.read_bytes()),) if asked.request else ()
    serving = Serving(
        port=asked.port, protocol=PROTOCOLS["v2"], model=asked.model, payloads=payloads, check_answers=False
    )
    taker = TurnTaker(
        session=Session(site=site, subject=image.place(Near(), facts, site), serving=serving),
        load=OpenLoop(rate_rps=asked.rate, duration_s=asked.duration),
        capacity=ClosedLoop(concurrency=CLIENTS, duration_s=asked.duration / 2),
        warmup=OpenLoop(rate_rps=asked.rate, duration_s=1.0),
    )
    turns: list[dict[Metric, float]] = []
    with our_turn(desk.say):
        while len(turns) < asked.turns:
            turn = taker.take()
            for metric, why in turn.lacking.items():
                print(f"{metric} is lacking: {why}", file=sys.stderr)
            if turn.lacking:  # its neighbour would stand alone
                continue
            turns.append({metric: round(value, 4) for metric, value in turn.values.items()})
            yield Recording(
                machine=kind_of(facts, site.reach),
                server=asked.server,
                load=f"{asked.rate:g} requests/s for {asked.duration:g} s, {CLIENTS} clients for half of it",
                turns=tuple(turns),
            )


def _progress(line: str) -> None:
    print(f"\r{line[:100]:<100}", end="", file=sys.stderr)


def table(recording: Recording, metrics: Sequence[Metric] = JUDGED) -> Iterator[str]:
    """Yield the table in Markdown: how many of 100 verdicts came out which way."""
    yield f"{recording.server} on {recording.machine}; {len(recording.turns)} turns of {recording.load}."
    yield ""
    yield "| metric | noise of a turn | planted | limit | rounds | refused | inconclusive | passed |"
    yield "|---|---:|---:|---:|---:|---:|---:|---:|"
    for metric in metrics:
        for slowdown, limit, most in ((0.0, 0.1, 5), (0.0, 0.1, 15), (0.15, 0.1, 5), (0.15, 0.1, 15)):
            found = simulate(recording, Case(metric=metric, slowdown=slowdown, limit=limit, most=most))
            rounds = "5" if most == 5 else f"5 to {most}"
            yield (
                f"| {METRICS[metric].words} | {spread(recording, metric):.0%} | {slowdown:.0%} | {limit:.0%} "
                f"| {rounds} | {found['beyond']} | {found['inconclusive']} | {found['within']} |"
            )


def spread(recording: Recording, metric: Metric) -> float:
    """Return the deviation of single turns over their mean."""
    from statistics import fmean, pstdev

    values = [turn[metric] for turn in recording.turns]
    return pstdev(values) / fmean(values)


def read(path: Path = DATA) -> Recording:
    """Return what was recorded."""
    return Recording.model_validate_json(path.read_bytes())


def main() -> None:
    """Record where asked to; print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--record", metavar="IMAGE", help="an image that the engine has")
    parser.add_argument("--server", default="the server", help="how the table calls it")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--model")
    parser.add_argument("--request", type=Path)
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--duration", type=float, default=4.0)
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--data", type=Path, default=DATA)
    asked = parser.parse_args()
    if asked.record:
        for recording in record(asked):
            asked.data.write_text(recording.model_dump_json(indent=1) + "\n", encoding="utf-8")
    for line in table(read(asked.data)):
        print(line, flush=True)


if __name__ == "__main__":
    main()
