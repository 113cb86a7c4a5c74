"""`pipeline bench`, as a user runs it: any image, alone or beside another one, and nothing of it is left."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.artifacts import Artifacts
from pipeline.model import BenchmarkReport, BuiltImage, PushedImage
from tests.support.project import TINY, Project, docker

IMAGE = "model-image-pipeline-test/bench"
LOAD = ("--model", "tiny", "--rate", "100", "--duration", "1.5", "--starts", "1")


@pytest.fixture(scope="module")
def tiny(base_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Images that no run has made: the tiny server with its weight inside, and one that is 20 ms slower."""
    context = tmp_path_factory.mktemp("tiny") / "context"
    shutil.copytree(TINY, context)
    with (context / "Dockerfile").open("a") as dockerfile:
        dockerfile.write("COPY --chmod=755 model /models/tiny\n")
    server = context / "serve.py"
    for tag in ("new", "slow"):
        docker("build", "--quiet", "--network", "none", "--tag", f"{IMAGE}:{tag}", str(context))
        late = "def do_POST(self) -> None:\n        __import__('time').sleep(0.02)"
        server.write_text(server.read_text().replace("def do_POST(self) -> None:", late))
    yield IMAGE
    docker("image", "rm", f"{IMAGE}:new", f"{IMAGE}:slow")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-I", "-m", "pipeline", "bench", *arguments]


def bench(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command(*arguments), cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done


def containers(image: str) -> str:
    return docker("ps", "--all", "--quiet", "--filter", f"ancestor={image}")


def test_an_image_of_the_engine_needs_no_project(tiny: str, tmp_path: Path) -> None:
    done = bench(tmp_path, f"{tiny}:new", *LOAD, "--json")
    assert done.returncode in {0, 3}, done.stderr  # 3: this machine was too busy for numbers to be trusted
    document = json.loads(done.stdout)
    report = BenchmarkReport.model_validate(document["benchmark"])
    assert (report.model, report.requests, report.errors) == ("tiny", 150, 0)
    assert [verdict["policy"] for verdict in document["verdicts"]] == ["performance"]
    assert not list(tmp_path.iterdir())
    assert containers(f"{tiny}:new") == ""


def test_an_image_of_a_registry_or_a_folder_tells_what_a_node_has_to_pull(
    project: Project, skopeo: str, tmp_path: Path
) -> None:
    project.set(skip__benchmark="it is run alone")
    project.passes("run", "--until", "push")
    made = Artifacts(*project.record().made())
    built, reference = made[BuiltImage], made[PushedImage].references[0]
    name = f"{reference.repository}@{built.digest}"
    login = f"--src-creds={project.registry.username}:{project.registry.password}"
    folder = tmp_path / "layout"
    as_it_is = ("--preserve-digests", "--dest-oci-accept-uncompressed-layers", "--src-tls-verify=false")
    copy = [skopeo, "copy", "--quiet", *as_it_is, login, f"docker://{name}", f"oci:{folder}"]
    subprocess.run(copy, check=True, capture_output=True)
    application = sum(layer.size_bytes for layer in built.platforms[0].application_layers)
    weights = sum(layer.descriptor.size_bytes for layer in built.model_layers)
    for subject in (name, str(folder)):
        done = project.pipeline("bench", subject, *LOAD, "--json", "--set", "benchmark.measure_pull=true")
        assert done.returncode in {0, 3}, done.stderr  # 3: as above
        pull = BenchmarkReport.model_validate(json.loads(done.stdout)["benchmark"]).pull
        assert pull is not None
        assert (pull.total_bytes, pull.application_bytes) == (application + weights, application)
        assert pull.measured_s is not None
        assert pull.estimated_s is not None


@pytest.mark.long
def test_a_slower_one_than_the_other_is_refused(tiny: str, tmp_path: Path) -> None:
    slower = bench(tmp_path, f"{tiny}:slow", "--against", f"{tiny}:new", *LOAD, "--most-rounds", "5")
    assert slower.returncode == 3, slower.stdout
    told = " ".join(slower.stdout.split())
    assert "throughput fell from" in told
    assert "5 rounds in turn); at most -10 % is allowed" in told
    assert containers(f"{tiny}:new") == containers(f"{tiny}:slow") == ""


@pytest.mark.parametrize(
    ("other", "exit_code", "words"),
    [
        ("Not An Image", 2, "Not An Image is no image"),
        ("localhost:1/nobody/has:this", 5, "this is no image of the engine, nor a folder"),
    ],
)
def test_what_cannot_be_compared_with_is_told_before_anything_is_measured(
    tiny: str, tmp_path: Path, other: str, exit_code: int, words: str
) -> None:
    done = bench(
        tmp_path, f"{tiny}:new", "--against", other, *LOAD, "--set", "insecure_registries=localhost:1"
    )
    assert done.returncode == exit_code, done.stderr
    assert words in " ".join(done.stderr.split())
    assert done.stdout == ""


def test_an_interrupted_one_leaves_nothing(tiny: str, tmp_path: Path) -> None:
    endless = command(f"{tiny}:new", *LOAD, "--duration", "100000")
    with subprocess.Popen(endless, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        try:
            give_up = time.monotonic() + 200  # another benchmark may be on
            while containers(f"{tiny}:new") == "" and time.monotonic() < give_up:
                time.sleep(0.2)
            time.sleep(1)
            child.send_signal(signal.SIGINT)
            _, said = child.communicate(timeout=60)
        finally:
            child.kill()
    assert child.returncode == 130, said
    assert b"Traceback" not in said
    assert containers(f"{tiny}:new") == ""
