"""Measures how long a delivery takes, with us and with other tools: same weights, same registry, same run.

    python benchmarks/delivery.py --sizes 256M,1G --runs 3 --markdown docs/performance.md

Needs Linux; sets up engines, a registry and the tools as the tests do, and removes its own when it is done.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a program, it knows its own folder only

from benchmarks import results, tables
from benchmarks.bench import running_bench
from benchmarks.machine import describe
from benchmarks.peers import OTHERS, choose
from benchmarks.peers.interface import Peer
from benchmarks.results import Report
from benchmarks.rounds import SCENARIOS, Limits, Rounds
from benchmarks.sizes import parse_size, size_name
from benchmarks.whole import AGAIN
from tests.support.commands import cache_folder
from tests.support.engine import ImageStore
from tests.support.errors import SetupError

T = TypeVar("T")
ALL_SCENARIOS = (*SCENARIOS, AGAIN)
STORES: tuple[ImageStore, ...] = ("containerd", "classic")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, or render what was measured before; return the exit code."""
    options = _options(arguments)
    if options.render:
        report = results.merge(results.read(path) for path in options.render)
    else:
        try:
            report = _measured(options)
        except SetupError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    if options.markdown:
        tables.write_into(options.markdown, tables.markdown(report))
    print(tables.markdown(report))
    return 0


def _measured(options: argparse.Namespace) -> Report:
    """Set up, measure every size, and keep what is known after every sample."""
    begin = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - begin:7.1f} s  {line}", file=sys.stderr, flush=True)

    peers, unavailable = _available(options.peers)
    kept: Path = options.json or cache_folder() / "benchmarks" / "delivery.json"
    kept.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="delivery-", dir=options.work or kept.parent))
    report = Report(
        machine=describe(folder),
        command=_command(options),
        rounds=options.runs,
        peers={peer.name: peer.what for peer in peers},
        unavailable=unavailable,
    )
    try:
        with running_bench(folder, STORES) as bench:
            rounds = Rounds(
                bench=bench,
                peers=peers,
                scenarios=frozenset(options.scenarios),
                rounds=options.runs,
                limits=Limits(once_above_s=options.once_above, never_above_s=options.never_above),
                report=report,
                keep=lambda report: results.write(report, kept),
                say=say,
            )
            for size_bytes in options.sizes:
                rounds.run(size_bytes)
            return rounds.report
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        say(f"samples are in {kept}")


def _command(options: argparse.Namespace) -> str:
    """Return what was asked for, without the folders of this machine."""
    sizes = ",".join(size_name(size_bytes) for size_bytes in options.sizes)
    others = ",".join(peer.name for peer in options.peers if peer in OTHERS)
    words = ["--sizes", sizes, "--runs", str(options.runs), "--peers", others]
    if set(options.scenarios) != set(ALL_SCENARIOS):
        words += ["--scenarios", ",".join(options.scenarios)]
    words += ["--once-above", f"{options.once_above:g}", "--never-above", f"{options.never_above:g}"]
    return " ".join(["python", "benchmarks/delivery.py", *words])


def _available(names: Sequence[Peer]) -> tuple[list[Peer], dict[str, str]]:
    """Return who can be measured here, and why the others cannot."""
    reasons = {peer.name: peer.missing() for peer in names}
    available = [peer for peer in names if reasons[peer.name] is None]
    return available, {name: reason for name, reason in reasons.items() if reason is not None}


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python benchmarks/delivery.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--sizes", type=_several(parse_size), default=(parse_size("256M"),), help="such as 256M,1G,4G"
    )
    parser.add_argument(
        "--peers", type=_peers, default=choose("all"), help="such as docker,buildx; default: all"
    )
    parser.add_argument(
        "--scenarios",
        type=_several(_scenario),
        default=ALL_SCENARIOS,
        help=f"some of {','.join(ALL_SCENARIOS)}; default: all",
    )
    parser.add_argument("--runs", type=int, default=3, help="rounds; the tables show medians (default: 3)")
    parser.add_argument(
        "--once-above",
        type=float,
        default=15,
        metavar="SECONDS",
        help="what takes longer than this is measured in the first round only (default: 15)",
    )
    parser.add_argument(
        "--never-above",
        type=float,
        default=90,
        metavar="SECONDS",
        help="what should take longer, as a smaller size tells, is left out, and said so (default: 90)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the samples are kept, one by one")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="document to put the tables into")
    parser.add_argument(
        "--work", type=Path, metavar="FOLDER", help="where to work; default: the user's cache"
    )
    parser.add_argument(
        "--render", type=Path, nargs="+", metavar="FILE", help="measure nothing: make tables of these samples"
    )
    return parser.parse_args(arguments)


def _several(parse: Callable[[str], T]) -> Callable[[str], tuple[T, ...]]:
    """Return a parser of words with commas between them."""

    def words(text: str) -> tuple[T, ...]:
        try:
            return tuple(parse(word.strip()) for word in text.split(",") if word.strip())
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return words


def _scenario(name: str) -> str:
    if name not in ALL_SCENARIOS:
        raise ValueError(f"no scenario is called {name!r}; there are {', '.join(ALL_SCENARIOS)}")
    return name


def _peers(names: str) -> tuple[Peer, ...]:
    try:
        return choose(names)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


if __name__ == "__main__":
    sys.exit(main())
