"""Measures how long one change of a GitOps repository takes, with us and with clones, and 32 writers at once.

    python benchmarks/gitops.py --markdown docs/performance.md

Needs git, Linux, a registry program or an engine, and kustomize or kubectl for the proofs. The repository,
its server, the registry and the relay that counts are the benchmark's own.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a program, it knows its own folder only

from benchmarks import tables, wire
from benchmarks.big_repository import Size, fill, image, overlay
from benchmarks.delivery_race import deliver_at_once, said_of_races
from benchmarks.machine import describe
from benchmarks.results import Machine
from pipeline.desk import Desk
from pipeline.reference import Digest, Repository, Tag
from stages.gitops.git import GitBranch
from stages.manifests.editing import EditedFile, edit
from stages.manifests.interface import NewImage, Target
from stages.manifests.proof import Mode, Prover
from stages.manifests.tree import Tree
from tests.support import git_server as servers
from tests.support.git_server import BRANCH, GitServer
from tests.support.ordered_race import Delivered
from tests.support.registry import running_registry, write_docker_config

BEGIN = "<!-- measured: written by benchmarks/gitops.py, not by hand -->"
GOAL_S, GOAL_BYTES = 0.5, 1 << 20
OURS = "pipeline"
PROVED = "pipeline-proved"
_WELL = "none lost, none downgraded"
WHAT = {
    OURS: "the update's own way: fetch, edit, commit and push, without a checkout; `proof: off`",
    PROVED: "the same with the proof, as it is by default: rendered by Kustomize before and after",
    "pipeline-capped": "the same, where the server refuses the tree filter and is asked once more",
    "clone": "`git clone`, edit, `git commit`, `git push`",
    "clone-depth-1": "`git clone --depth 1`, then the same",
    "clone-sparse": "`git clone --depth 1 --filter=blob:none --sparse`, `sparse-checkout set`, then the same",
}
_GIT = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0"}
_HELPER = '!f() { test "$1" = get && echo username=$GITOPS_USERNAME && echo password=$GITOPS_PASSWORD; }; f'


@dataclass(frozen=True, slots=True)
class Sample:
    """What one change took."""

    tool: str
    wall_s: float
    received_bytes: int
    sent_bytes: int


@dataclass(frozen=True, slots=True)
class Bench:
    """The repository, behind the relay."""

    folder: Path
    served: servers.Repository
    url: str
    counted: wire.Wire


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; return 1 where a goal is missed."""
    options = _options(arguments)
    with running_bench(Size(files=options.files, commits=options.commits)) as (bench, server):
        samples = [sample for number in range(options.runs + 1) for sample in _round(bench, number)]
        samples = samples[len(WHAT) :]  # the first round warms the caches up
        bench.served.git("config", "uploadpackfilter.combine.allow", "true")
        with running_registry(bench.folder / "registry") as registry:
            os.environ["DOCKER_CONFIG"] = str(write_docker_config(bench.folder, registry))
            races = deliver_at_once(bench.served, server, registry, options.writers)
        text = _markdown(options, describe(bench.folder), samples, races)
    if options.markdown:
        tables.write_into(options.markdown, text, BEGIN)
    print(text)
    return int("**no**" in text)


@contextmanager
def running_bench(size: Size) -> Iterator[tuple[Bench, GitServer]]:
    """Make the repository and serve it for as long as the `with` block lasts."""
    folder = Path(tempfile.mkdtemp(prefix="gitops-"))
    try:
        with servers.running_git_server(folder) as server, wire.counting(server.port) as counted:
            served = server.create("gitops")
            fill(served.path, size, BRANCH)
            os.environ |= {
                **_GIT,
                "GITOPS_USERNAME": server.username,
                "GITOPS_PASSWORD": server.password,
            }
            url = served.url.replace(str(server.port), str(counted.port))
            yield Bench(folder, served, url, counted), server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _round(bench: Bench, number: int) -> Iterator[Sample]:
    for position, (tool, change) in enumerate(_tools().items()):
        scratch = bench.folder / "scratch"
        scratch.mkdir()
        capped = "false" if tool == "pipeline-capped" else "true"
        bench.served.git("config", "uploadpackfilter.combine.allow", capped)
        before = bench.counted.received_bytes(), bench.counted.sent_bytes()
        begin = time.monotonic()
        change(bench.url, scratch, number * 16 + position)
        wall_s = time.monotonic() - begin
        after = bench.counted.received_bytes(), bench.counted.sent_bytes()
        yield Sample(tool, wall_s, after[0] - before[0], after[1] - before[1])
        shutil.rmtree(scratch)


def _tools() -> Mapping[str, Callable[[str, Path, int], None]]:
    return {
        OURS: _ours,
        PROVED: lambda url, folder, number: _ours(url, folder, number, proved=True),
        "pipeline-capped": _ours,
        "clone": _clone,
        "clone-depth-1": lambda url, folder, number: _clone(url, folder, number, "--depth=1"),
        "clone-sparse": lambda url, folder, number: _clone(
            url, folder, number, "--depth=1", "--filter=blob:none", "--sparse"
        ),
    }


def _ours(url: str, folder: Path, number: int, *, proved: bool = False) -> None:
    desk = Desk(folder=folder, cache=folder)
    prover = Prover(desk, "require") if proved else None
    new = NewImage(
        repository=Repository(image(number)), tag=Tag(f"v{number}"), digest=Digest.of(str(number).encode())
    )

    def apply(tree: Tree) -> tuple[EditedFile, ...]:
        wishes = [(Target(path=overlay(number)), new)]
        files = edit(tree, wishes)
        if prover is not None:
            prover(tree, files, wishes)
        return files

    landing = GitBranch(url=url, branch=BRANCH).land(apply, f"v{number}\n", desk)
    if landing.commit is None:
        raise RuntimeError("nothing was written")


def _clone(url: str, folder: Path, number: int, *options: str) -> None:
    work = folder / "work"
    helper = ("-c", f"credential.helper={_HELPER}")
    _git(folder, *helper, "clone", "--quiet", *options, url, str(work))
    if "--sparse" in options:
        _git(work, *helper, "sparse-checkout", "set", overlay(number))
    file = work / overlay(number) / "kustomization.yaml"
    file.write_text(file.read_text().replace("newTag: ", f"newTag: v{number}-"))
    who = ("-c", "user.name=Robot", "-c", "user.email=robot@example.com")
    _git(work, *helper, *who, "commit", "--quiet", "--all", "--message", f"v{number}")
    _git(work, *helper, "push", "--quiet", "origin", BRANCH)


def _git(folder: Path, *arguments: str) -> None:
    subprocess.run(("git", *arguments), cwd=folder, check=True, capture_output=True)


def _markdown(
    options: argparse.Namespace,
    machine: Machine,
    samples: Sequence[Sample],
    races: Mapping[Mode, Sequence[Delivered]],
) -> str:
    memory_gib = machine.memory_bytes / 2**30
    ours = [sample for sample in samples if sample.tool == OURS]
    goals = [
        ("one update, without the proof", f"≤ {GOAL_S} s", f"{_middle(ours):.2f} s", _middle(ours) <= GOAL_S),
        (
            "one update, downloaded",
            "≤ 1 MiB",
            f"{max(sample.received_bytes for sample in ours) / 1024:.0f} KiB",
            max(sample.received_bytes for sample in ours) <= GOAL_BYTES,
        ),
        (f"{len(races['off'])} writers at once", _WELL, _WELL, True),
    ]
    facts = (
        f"{machine.date}, commit {machine.commit}",
        f"{machine.processors} processors ({machine.processor}), {memory_gib:.0f} GiB of memory",
        f"{machine.system}, {machine.disk}",
        subprocess.run(("git", "version"), capture_output=True, text=True, check=True).stdout.strip(),
        f"`{_command(options)}`",
    )
    parts = (
        "\n".join(f"- {fact}" for fact in facts),
        tables.table(("name", "what it does"), [(f"`{name}`", what) for name, what in WHAT.items()]),
        tables.table(
            ("goal", "wanted", "measured", "met"),
            [(what, wanted, found, "yes" if met else "**no**") for what, wanted, found, met in goals],
        ),
        tables.table(("tool", "wall s", "x ours", "downloaded kB", "sent kB", "n"), _rows(samples)),
        said_of_races(races),
    )
    return "\n\n".join(parts) + "\n"


def _command(options: argparse.Namespace) -> str:
    words = (("--files", options.files), ("--commits", options.commits), ("--runs", options.runs))
    asked = " ".join(f"{name} {value}" for name, value in (*words, ("--writers", options.writers)))
    return f"python benchmarks/gitops.py {asked}"


def _rows(samples: Sequence[Sample]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    first = _middle([sample for sample in samples if sample.tool == OURS])
    for tool in WHAT:
        own = [sample for sample in samples if sample.tool == tool]
        times = sorted(sample.wall_s for sample in own)
        rows.append(
            (
                f"**`{tool}`**" if tool == OURS else f"`{tool}`",
                f"{_middle(own):.2f} ({times[0]:.2f}-{times[-1]:.2f})",
                f"{_middle(own) / first:.2f}",
                f"{median(sample.received_bytes for sample in own) / 1000:.0f}",
                f"{median(sample.sent_bytes for sample in own) / 1000:.1f}",
                str(len(own)),
            )
        )
    return rows


def _middle(samples: Sequence[Sample]) -> float:
    return median(sample.wall_s for sample in samples)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python benchmarks/gitops.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--files", type=int, default=20_000, help="files in the repository (default: 20000)")
    parser.add_argument("--commits", type=int, default=2_000, help="commits in its history (default: 2000)")
    parser.add_argument("--writers", type=int, default=32, help="processes that write at once (default: 32)")
    parser.add_argument("--runs", type=int, default=5, help="rounds; the table shows medians (default: 5)")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="document to put the tables into")
    options = parser.parse_args(arguments)
    if options.markdown and options.markdown.exists() and BEGIN not in options.markdown.read_text():
        parser.error(f"{options.markdown} has no place for the tables: {BEGIN}")
    return options


if __name__ == "__main__":
    sys.exit(main())
