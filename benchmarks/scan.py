"""Measures how long the scan of an image takes with and without weights, and `trivy image` on the same image.

    python benchmarks/scan.py --markdown docs/performance.md

Needs a container engine, Linux and Trivy. Database, registry, model and caches are the benchmark's own.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a program, it knows its own folder only

from benchmarks import tables, weights
from benchmarks.machine import describe
from benchmarks.results import Machine
from benchmarks.sizes import parse_size
from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.model import SbomFormat, Source, SuiteReport
from pipeline.reference import Tag
from stages.build import Build
from stages.models.file import FolderFiles
from stages.models.model import Model
from stages.oci.export import export
from stages.oci.image_content import ImageContent
from stages.scan import Scan
from stages.scanners.model_files.addition import NAME, ModelFiles
from stages.scanners.model_files.weights import Weights
from stages.scanners.sbom import Sboms, Shelf
from stages.scanners.trivy import Trivy
from stages.scanners.trivy_program import find
from tests.support import vulnerability_database as databases
from tests.support.base_image import BASE_IMAGE, ensure_base_image
from tests.support.engine import ensure_engine
from tests.support.registry import running_registry, write_docker_config

BEGIN = "<!-- measured: written by benchmarks/scan.py, not by hand -->"
GOAL = 1.10
LISTS: tuple[SbomFormat, ...] = ("cyclonedx", "spdx")
OURS, PLAIN = "pipeline", "trivy image"
COLD, WARM = "layers seen for the first time", "layers in the cache"
_WALL = ("tool", "cache", "wall s without", "with weights", "with / without")
DOCKERFILE = f"FROM {BASE_IMAGE}\nCOPY app.py /app.py\nUSER 10001\n"


@dataclass(frozen=True, slots=True)
class Subject:
    """An image, as a stage has it and as a layout that holds all of it."""

    built: Artifacts
    layout: Path
    cache: Path
    """What the build left behind for the scan, such as the digests of the weights."""
    model: Model | None


@dataclass(frozen=True, slots=True)
class Sample:
    """What one scan took."""

    tool: str
    weights: bool
    cache: str
    wall_s: float
    processor_s: float
    """Of us and of the programs that were started; others on the machine change it less."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; return 1 where the goal is missed."""
    options = _options(arguments)
    folder = Path(tempfile.mkdtemp(prefix="scan-", dir=options.folder))
    try:
        ensure_base_image(ensure_engine())
        subjects = {with_weights: _made(folder, options.size, with_weights) for with_weights in (False, True)}
        with _scanner(folder) as trivy:
            rounds = [_round(trivy, subjects, folder, number) for number in range(options.runs + 1)]
        samples = [sample for samples in rounds[1:] for sample in samples]  # the first one warms up
        text = _markdown(options, describe(folder), samples)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if options.markdown:
        tables.write_into(options.markdown, text, BEGIN)
    print(text)
    return int("**no**" in text)


def _made(folder: Path, size_bytes: int, with_weights: bool) -> Subject:
    """Build the image and export it whole."""
    place = folder / ("with" if with_weights else "without")
    project, work = place / "project", place / "work"
    project.mkdir(parents=True)
    work.mkdir()
    (project / "app.py").write_text("print('served')\n")
    (project / "Dockerfile").write_text(DOCKERFILE)
    model = None
    if with_weights:
        weights.make(place / "made", size_bytes)
        model = Model(files=FolderFiles(folder=place / "made" / "model"), path="/models/bench")
    source = Source(root=project, commit="a" * 40, committed_at=datetime(2026, 1, 1, tzinfo=UTC))
    suite = SuiteReport(command=("true",), exit_code=0, duration_s=0.0)
    stage = Build(
        image="scanned",
        tag=Tag("1"),
        context=project,
        dockerfile=project / "Dockerfile",
        model=model,
    )
    built = stage.run(Artifacts(source, suite), Desk(folder=work, cache=place))
    layout = export(ImageContent.of(built), built.tag, place / "whole", lambda _: None)
    return Subject(Artifacts(built), layout, place, model)


@contextmanager
def _scanner(folder: Path) -> Iterator[Trivy]:
    """Serve a database for as long as the `with` block lasts."""
    with running_registry(folder / "registry") as registry:
        os.environ["DOCKER_CONFIG"] = str(write_docker_config(folder, registry))
        yield Trivy(databases=(databases.publish(registry),))


def _round(trivy: Trivy, subjects: dict[bool, Subject], folder: Path, number: int) -> list[Sample]:
    """Scan either image with either tool, one right after the other, first and again; who begins changes."""
    order = sorted(subjects, reverse=bool(number % 2))
    samples = []
    for tool, scan in ((OURS, _ours), (PLAIN, _plain)):
        for with_weights in order:
            subject = subjects[with_weights]
            cache = folder / "cache"
            _fill(trivy, cache, subject, folder)
            for seen in (COLD, WARM):
                begin, used_s = time.monotonic(), _processor_s()
                scan(trivy, cache, subject, folder)
                wall_s = time.monotonic() - begin
                samples.append(Sample(tool, with_weights, seen, wall_s, _processor_s() - used_s))
            shutil.rmtree(cache)
    return samples


def _processor_s() -> float:
    return sum(os.times()[:4])


def _fill(trivy: Trivy, cache: Path, subject: Subject, folder: Path) -> None:
    """Make a cache that has the database and no layer, and forget what the model's files hold."""
    kept = folder / "database"
    if not kept.exists():
        _ours(trivy, kept, subject, folder)
        shutil.rmtree(kept / "fanal")
    shutil.rmtree(subject.cache / NAME, ignore_errors=True)
    shutil.copytree(kept, cache)


def _ours(trivy: Trivy, cache: Path, subject: Subject, folder: Path) -> None:
    """Scan as `pipeline run` does: Trivy, the lists of contents, and a look into the model's files."""
    work = Path(tempfile.mkdtemp(dir=folder))
    desk = Desk(folder=work, cache=subject.cache)
    own = Trivy(databases=trivy.databases, cache=cache, lists=LISTS)
    files = subject.model.files if subject.model is not None else None
    report = Scan(
        scanner=own,
        sboms=Sboms(shelf=Shelf(work), formats=LISTS, files=files),
        additions=(ModelFiles(weights=Weights(files=files)),),
    ).run(subject.built, desk)
    if report.model_files is None or bool(report.model_files.files) != (subject.model is not None):
        raise RuntimeError("the scan did not look into the model's files")
    desk.clear()
    shutil.rmtree(work)


def _plain(trivy: Trivy, cache: Path, subject: Subject, folder: Path) -> None:
    options = ("--scanners", "vuln", "--skip-db-update", "--offline-scan", "--skip-version-check", "--quiet")
    report = ("--format", "json", "--output", str(folder / "plain.json"), "--cache-dir", str(cache))
    program = str(find(trivy.program).path)
    command = (program, "image", "--input", str(subject.layout), *options, *report)
    subprocess.run(command, check=True, cwd=folder, capture_output=True)


def _markdown(options: argparse.Namespace, machine: Machine, samples: Sequence[Sample]) -> str:
    ratio = _middle(samples, OURS, True, COLD) / _middle(samples, OURS, False, COLD)
    processors = f"{machine.processors} processors ({machine.processor})"
    below = f"{BASE_IMAGE} below one small layer"
    facts = (
        f"{machine.date}, commit {machine.commit}",
        f"{processors}, {machine.memory_bytes / 2**30:.0f} GiB of memory",
        f"{machine.system}, {machine.disk}",
        f"Trivy {find(None).version}, {below}, weights of {options.size / 2**30:g} GiB",
        f"`python benchmarks/scan.py --size {options.size} --runs {options.runs}`",
    )
    goal = (
        "with weights, by the time without",
        f"≤ {GOAL:.2f}",
        f"{ratio:.2f}",
        "yes" if ratio <= GOAL else "**no**",
    )
    rows = [_row(samples, tool, seen) for seen in (COLD, WARM) for tool in (OURS, PLAIN)]
    parts = (
        "\n".join(f"- {fact}" for fact in facts),
        tables.table(("goal", "wanted", "measured", "met"), [goal]),
        tables.table((*_WALL, "processor s without", "with", "n"), rows),
    )
    return "\n\n".join(parts) + "\n"


def _row(samples: Sequence[Sample], tool: str, seen: str) -> tuple[str, ...]:
    without, weighed = (_of(samples, tool, with_weights, seen) for with_weights in (False, True))
    walls = [[one.wall_s for one in each] for each in (without, weighed)]
    used = [median(one.processor_s for one in each) for each in (without, weighed)]
    times = [f"{median(one):.2f} ({min(one):.2f}-{max(one):.2f})" for one in walls]
    name = f"**`{tool}`**" if tool == OURS else f"`{tool}`"
    ratios = (f"{median(walls[1]) / median(walls[0]):.2f}", f"{used[0]:.2f}", f"{used[1]:.2f}")
    return name, seen, *times, *ratios, str(len(without))


def _middle(samples: Sequence[Sample], tool: str, weighed: bool, seen: str) -> float:
    return median(one.wall_s for one in _of(samples, tool, weighed, seen))


def _of(samples: Sequence[Sample], tool: str, weighed: bool, seen: str) -> list[Sample]:
    return [one for one in samples if (one.tool, one.weights, one.cache) == (tool, weighed, seen)]


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python benchmarks/scan.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--size", type=parse_size, default=1 << 30, help="bytes of weights (default: 1G)")
    parser.add_argument("--runs", type=int, default=11, help="rounds; the table shows medians (default: 11)")
    parser.add_argument("--folder", type=Path, help="where the images are made (default: TMPDIR)")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="document to put the tables into")
    options = parser.parse_args(arguments)
    if options.markdown and options.markdown.exists() and BEGIN not in options.markdown.read_text():
        parser.error(f"{options.markdown} has no place for the tables: {BEGIN}")
    return options


if __name__ == "__main__":
    sys.exit(main())
