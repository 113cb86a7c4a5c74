"""An example of a model server as a user has it: its own repository, measured by the pipeline's command."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.artifacts import Artifacts
from pipeline.model import BenchmarkReport
from pipeline.record import Record
from tests.support.commands import one_at_a_time
from tests.support.git_server import run_git

SERVERS = Path(__file__).parents[3] / "examples" / "servers"
NOT_IN_GIT = ("model", "wheels")


@dataclass(frozen=True, slots=True)
class Benchmarked:
    """One run of the pipeline, up to its benchmark."""

    record: Record
    report: BenchmarkReport
    refused: tuple[str, ...]
    """Why the policies refuse the benchmark; nothing when they do not."""
    log: str
    """What the server said."""


@dataclass(frozen=True, slots=True)
class ServerExample:
    """A copy of an example with everything that git does not hold."""

    folder: Path

    def benchmark(self, **settings: str) -> Benchmarked:
        """Run the pipeline until the benchmark; `benchmark__port="8001"` sets what pipeline.yaml says."""
        done = self._run(settings)
        assert done.returncode in {0, 3}, done.stderr  # 3: a policy refuses what was measured
        record = Record.model_validate_json(done.stdout)
        return Benchmarked(
            record=record,
            report=Artifacts(*record.made())[BenchmarkReport],
            refused=_refused(record),
            log=(self.folder / ".pipeline" / "runs" / record.run / "benchmark" / "server.log").read_text(),
        )

    def failure(self, **settings: str) -> str:
        """Run the pipeline into a benchmark that fails, and return what it says, on one line."""
        done = self._run(settings)
        assert done.returncode == 1, done.stderr
        return " ".join(done.stderr.split())

    def _run(self, settings: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        chosen = {f"PIPELINE_{key.upper()}": value for key, value in settings.items()}
        return subprocess.run(
            [sys.executable, "-I", "-m", "pipeline", "run", "--json", "--until", "benchmark"],
            cwd=self.folder,
            env={
                **os.environ,
                "PIPELINE_SKIP__TEST": "of no use here",
                "PIPELINE_SKIP__SCAN": "nor this",
                **chosen,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )


def copy_of(source: Path, folder: Path) -> ServerExample:
    """Return a repository of the example alone; its model and wheels stay outside git."""
    left_out = shutil.ignore_patterns(
        ".*_cache", ".pipeline", ".metrics", ".venv", "__pycache__", *NOT_IN_GIT
    )
    shutil.copytree(source, folder, ignore=left_out)
    (folder / ".gitignore").write_text("/model/\n/wheels/\n/.pipeline/\n")
    run_git("init", "--quiet", "--initial-branch=main", str(folder))
    run_git("-C", str(folder), "add", "--all")
    run_git("-C", str(folder), "commit", "--quiet", "--message", "a model server")
    for name in NOT_IN_GIT:
        if (source / name).is_dir():
            shutil.copytree(source / name, folder / name, copy_function=_link)
    return ServerExample(folder)


def prepare(name: str) -> Path:
    """Make what git does not hold of an example: its model and its wheels."""
    command = ["make", "--silent", "--directory", str(SERVERS), f"PYTHON={sys.executable}", name]
    with one_at_a_time(f"example-{name}"):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return SERVERS / name


def _refused(record: Record) -> tuple[str, ...]:
    stage = record.stage("benchmark")
    assert stage is not None
    return tuple(
        reason.message for verdict in stage.verdicts if verdict.refuses for reason in verdict.reasons
    )


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:  # another disk
        shutil.copy2(source, target)
    return target
