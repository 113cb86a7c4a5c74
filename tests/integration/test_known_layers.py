"""What is known needs no bytes: whole runs, with every byte of the weights counted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipeline.artifacts import Artifacts
from pipeline.model import BenchmarkReport, BuiltImage, PushedImage
from pipeline.record import Runs, read_record
from tests.support.fault_proxy import fault_proxy
from tests.support.git_server import run_git
from tests.support.hub import running_hub
from tests.support.object_stores import running_store
from tests.support.opened_files import opened_files
from tests.support.registry import Registry

TINY = Path(__file__).parents[1] / "data" / "tiny"
WEIGHTS = {"weight.txt": (TINY / "model/weight.txt").read_bytes(), "big.bin": bytes(range(256)) * 40_000}
SKIPPED = dict.fromkeys(("test", "scan", "benchmark", "update"), "nothing to see")
REST_S = 2.2  # until a file's times say for sure that nobody wrote to it


@dataclass
class Machine:
    """A clone of the project on a machine that has never seen it."""

    folder: Path
    registry: Registry
    settings: dict[str, str]
    """What is set by the environment, by key."""
    skip: dict[str, str] = field(default_factory=lambda: dict(SKIPPED))

    def pipeline(self, *arguments: str) -> str:
        environment = {
            **os.environ,
            "REGISTRY_USERNAME": self.registry.username,
            "REGISTRY_PASSWORD": self.registry.password,
            "PIPELINE_SKIP": json.dumps(self.skip),
            **{f"PIPELINE_{key.upper()}": value for key, value in self.settings.items()},
        }
        command = [sys.executable, "-I", "-m", "pipeline", *arguments]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def made(self) -> Artifacts:
        runs = Runs(self.folder)
        return Artifacts(*read_record(runs.path(runs.names()[0])).made())

    def change_code(self) -> None:
        with (self.folder / "serve.py").open("a") as code:
            code.write("# changed\n")
        self.commit()

    def commit(self) -> None:
        run_git("-C", str(self.folder), "add", "--all")
        run_git("-C", str(self.folder), "commit", "--quiet", "--message", "change")

    def elsewhere(self, name: str) -> Machine:
        folder = self.folder.with_name(name)
        run_git("clone", "--quiet", str(self.folder), str(folder))
        return Machine(folder, self.registry, dict(self.settings))

    def sent_bytes(self) -> dict[str, int]:
        """Return what the newest push sent, for each way that blobs of the weights took."""
        made = self.made()
        weights = {layer.descriptor.digest for layer in made[BuiltImage].model_layers}
        (reference,) = made[PushedImage].references
        found: dict[str, int] = {}
        for blob in reference.blobs:
            if blob.digest in weights:
                found[blob.how] = found.get(blob.how, 0) + blob.sent_bytes
        return found


@pytest.fixture
def laptop(tmp_path: Path, registry: Registry, repository_name: str, engine: object) -> Machine:
    """Where the project was made; nothing but the weights' way is of interest, so the image is tiny."""
    folder = tmp_path / "laptop"
    shutil.copytree(TINY, folder, ignore=shutil.ignore_patterns("gitops", "model"))
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY serve.py /serve.py\n")
    (folder / ".gitignore").write_text(".pipeline/\n/model/\n")
    run_git("init", "--quiet", "--initial-branch=main", str(folder))
    machine = Machine(folder, registry, {"registries": f"{registry.address}/{repository_name}"})
    machine.commit()
    return machine


@dataclass(frozen=True)
class Source:
    """Where the weights are, and what was read there since the last question."""

    url: str
    read: Callable[[], list[str]]


@contextmanager
def s3(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Source]:
    """S3, behind a proxy that counts what is asked for."""
    with running_store("s3", folder) as store, fault_proxy(store.port) as proxy:
        for path, content in WEIGHTS.items():
            store.put(f"tiny/{path}", content)
        for name, value in store.environment_at(proxy.port).items():
            monkeypatch.setenv(name, value)

        def read() -> list[str]:
            paths = [seen.path for seen in proxy.of("GET", "/models/tiny/")]
            proxy.seen.clear()
            return sorted(path.rpartition("/")[2] for path in paths)

        yield Source("s3://models/tiny", read)


@contextmanager
def hugging_face(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Source]:
    """A repository of the Hugging Face Hub, at a branch."""
    del folder
    with running_hub("team/tiny") as hub:
        hub.commit(WEIGHTS)
        monkeypatch.setenv("HF_ENDPOINT", hub.server.url)

        def read() -> list[str]:
            paths = [request.path for request in hub.server.received if "/resolve/" in request.path]
            hub.server.received.clear()
            return sorted(path.rpartition("/")[2] for path in paths)

        yield Source("hf://team/tiny@main", read)


@pytest.fixture(params=[s3, hugging_face])
def any_source(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Source]:
    with request.param(tmp_path, monkeypatch) as source:
        yield source


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Source]:
    with hugging_face(tmp_path, monkeypatch) as running:
        yield running


def lock_remote(laptop: Machine, source: Source) -> None:
    laptop.settings["model__source"] = source.url
    assert "written: 2 files" in laptop.pipeline("lock")
    laptop.commit()
    assert source.read() == sorted(WEIGHTS)


def test_locked_remote_weights_in_the_registry_are_not_read_by_any_stage(
    laptop: Machine, any_source: Source
) -> None:
    lock_remote(laptop, any_source)
    first = laptop.elsewhere("first")
    first.pipeline("run")
    assert first.sent_bytes().keys() == {"uploaded"}
    assert any_source.read() == sorted(WEIGHTS)  # once, on their way to the registry

    second = laptop.elsewhere("second")
    second.change_code()
    second.pipeline("run")
    assert second.sent_bytes() == {"exists": 0}
    assert any_source.read() == []
    written = [path.stat().st_size for path in (second.folder / ".pipeline").rglob("*") if path.is_file()]
    assert sum(written) < 1_000_000 < len(WEIGHTS["big.bin"])


def test_weights_are_mounted_when_the_project_moves_to_another_repository(
    laptop: Machine, source: Source
) -> None:
    lock_remote(laptop, source)
    laptop.pipeline("run")
    source.read()

    moved = laptop.elsewhere("moved")
    old = laptop.settings["registries"]
    moved.settings |= {"registries": f"{old}-new", "push__mount_from": f"{old}/none, {old}/tiny"}
    plan = " ".join(moved.pipeline("plan").split())
    assert f"mount from {old}/tiny there" in plan
    assert f"mount from {old}/none nothing is there; is the name right?" in plan
    moved.pipeline("run")
    assert moved.sent_bytes() == {"mounted": 0}
    assert source.read() == []


@pytest.mark.long
def test_a_benchmark_on_another_machine_takes_the_weights_from_the_registry(
    laptop: Machine, source: Source, base_image: str
) -> None:
    shutil.copy(TINY / "Dockerfile", laptop.folder)
    lock_remote(laptop, source)
    laptop.pipeline("run")
    source.read()

    runner = laptop.elsewhere("runner")
    runner.change_code()
    del runner.skip["benchmark"]
    runner.settings["benchmark__measure_pull"] = "true"
    runner.pipeline("run")
    report = runner.made()[BenchmarkReport]
    assert (report.errors, source.read()) == (0, [])
    assert report.pull is not None
    assert report.pull.measured_s is None
    assert "no registry has this digest yet" in report.pull.not_measured
    (log,) = runner.folder.glob(".pipeline/runs/*/*/weights.log")
    assert log.read_text().count(f"fetched from {runner.registry.address}/") == 2

    runner.settings["benchmark__rate_rps"] = "101"  # measured again, after the push
    runner.pipeline("run")
    pull = runner.made()[BenchmarkReport].pull
    assert pull is not None
    assert pull.measured_s is not None
    assert pull.not_measured == ""


def test_weights_in_a_folder_are_read_once_on_a_machine(laptop: Machine) -> None:
    model = laptop.folder / "model"
    model.mkdir()
    for name, content in WEIGHTS.items():
        (model / name).write_bytes(content)
    time.sleep(REST_S)
    with opened_files(model) as opened:
        laptop.pipeline("lock")
        laptop.commit()
        assert opened.names() == sorted(WEIGHTS)
        laptop.pipeline("run")
        assert opened.names() == sorted(WEIGHTS)  # for the upload alone
        laptop.change_code()
        laptop.pipeline("run")
        assert opened.names() == []
    assert laptop.sent_bytes() == {"exists": 0}
