"""The benchmark where the engine is not beside us: in a service container, or around our own."""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from pipeline import process
from pipeline.desk import Desk
from pipeline.errors import ToolMissing
from pipeline.model import BenchmarkReport
from pipeline.record import Runs, read_record
from stages.servers.engine import Engine as DockerEngine
from stages.servers.engine import EngineFacts
from stages.servers.network import network_options
from stages.servers.owner import Owner
from stages.servers.reach import Reach, find_reach
from stages.servers.site import LABEL, Site
from tests.support.base_image import BASE_IMAGE
from tests.support.engine import Engine
from tests.support.git_server import run_git
from tests.support.project import TINY, docker
from tests.support.remote_engine import HERE, THERE, RemoteEngine, running_remote_engine

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
RUN = (sys.executable, "-m", "pipeline", "run", "--until", "benchmark")
SETTINGS = {"PIPELINE_SKIP__SCAN": "of no interest here", "PIPELINE_POLICIES": '[{"rule": "suite"}]'}
SAFE = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A model's repository."""
    folder = tmp_path / "tiny"
    shutil.copytree(TINY, folder, ignore=shutil.ignore_patterns("gitops"))
    (folder / "model").chmod(0o755)
    run_git("init", "--quiet", "--initial-branch=main", str(folder))
    run_git("-C", str(folder), "add", "--all")
    run_git("-C", str(folder), "commit", "--quiet", "--message", "begin")
    return folder


@pytest.fixture(scope="module")
def remote(base_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RemoteEngine]:
    """An engine as docker-in-docker is one: nothing of it is ours but its address."""
    del base_image
    with running_remote_engine(tmp_path_factory.mktemp("remote")) as engine:
        engine.load_base_image()
        yield engine


def run(command: Sequence[str], project: Path) -> BenchmarkReport:
    """Run the pipeline by this command, and return what the benchmark of the newest run in a folder found."""
    done = subprocess.run(
        command,
        cwd=project,
        env={**os.environ, **SETTINGS},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return newest(project)


def newest(project: Path) -> BenchmarkReport:
    runs = Runs(project)
    stage = read_record(runs.path(runs.names()[0])).stage("benchmark")
    assert stage is not None
    made = stage.made()
    assert isinstance(made, BenchmarkReport)
    assert made.errors == 0
    return made


def commands(project: Path) -> str:
    """Return what the newest benchmark asked of the engine."""
    runs = Runs(project)
    return (runs.path(runs.names()[0]).parent / "benchmark" / "docker.log").read_text()


def mounts(project: Path) -> list[str]:
    """Return what was mounted into the server, which is the last container that was made."""
    (*_, created) = re.findall(r"^\$ docker create .*", commands(project), re.MULTILINE)
    return re.findall(r"--mount (\S+)", created)


def left(project: Path) -> str:
    """Return the containers, volumes and networks that the newest run left in the engine."""
    label = f"label={LABEL}={Runs(project).names()[0]}"
    kinds = (("ps", "--all"), ("volume", "ls"), ("network", "ls"))
    return "".join(docker(*kind, "--quiet", "--filter", label) for kind in kinds)


@pytest.fixture
def service(remote: RemoteEngine, monkeypatch: pytest.MonkeyPatch) -> RemoteEngine:
    """The same, and docker's command line is led to it."""
    for name, value in remote.environment().items():
        monkeypatch.setenv(name, value)
    return remote


def test_an_engine_in_a_service_container(project: Path, service: RemoteEngine) -> None:
    made = run(RUN, project)
    assert made.route == f"the engine's address {THERE} (weights copied into a volume)"
    assert f"--publish {THERE}::8080/tcp" in commands(project)
    (mount,) = mounts(project)
    assert re.fullmatch(r"type=volume,source=\S+,target=/models/tiny,readonly", mount)
    assert left(project) == ""
    assert service.docker("image", "ls", "--quiet", "model-image-pipeline/benchmark") == ""


def test_a_server_elsewhere_reaches_nobody(service: RemoteEngine, tmp_path: Path) -> None:
    desk = Desk(folder=tmp_path, cache=tmp_path, run_name="network")
    site = Site(
        engine=DockerEngine(process.run),
        desk=desk,
        reach=Reach(address=THERE),
        name="network",
        owner=Owner.ourselves(None),
    )
    with socket.create_server((HERE, 0)) as listening:
        ask = f"import socket; socket.create_connection({listening.getsockname()}, 2)"
        command = (BASE_IMAGE, "python3", "-c", ask)
        service.docker("run", "--rm", *command)  # by the engine's usual network it does
        with pytest.raises(subprocess.CalledProcessError, match="returned non-zero") as raised:
            service.docker("run", "--rm", *network_options(site, 8080), *command)
    assert "TimeoutError" in raised.value.stderr
    desk.clear()


@pytest.fixture
def job(base_image: str, project: Path, tmp_path: Path) -> Iterator[str]:
    """A CI job's container with the engine's socket, the checkout at /builds/tiny, and a network of its own.

    It has this machine's programs, and our code.
    """
    ours = {"/usr", "/etc/alternatives", sys.base_prefix, sys.prefix, str(ROOT)}
    config, endpoint = os.environ["DOCKER_CONFIG"], os.environ["DOCKER_HOST"].removeprefix("unix://")
    shown = (
        *(f"{place}:{place}:ro" for place in sorted(ours)),
        *(f"{config}:/root/.docker", f"{endpoint}:/var/run/docker.sock", f"{project}:/builds/tiny"),
    )
    settings = {**SETTINGS, **SAFE, "PYTHONPATH": str(ROOT)}
    container = docker(
        *("run", "--detach", "--hostname", "runner-1234-project-5-concurrent-0"),
        *(word for each in shown for word in ("--volume", each)),
        *(word for name, value in settings.items() for word in ("--env", f"{name}={value}")),
        *(base_image, "sleep", "300"),
    )
    yield container
    docker("rm", "--force", container)


def test_a_job_in_a_container_with_the_engines_socket(project: Path, job: str) -> None:
    made = run(("docker", "exec", "--workdir", "/builds/tiny", job, *RUN), project)
    assert made.route == "a network with this job's container"
    assert mounts(project) == [f"type=bind,source={project}/model,target=/models/tiny,readonly"]
    assert "--publish" not in commands(project)
    assert re.search(r"^\$ docker network create .*--internal ", commands(project), re.MULTILINE)
    networks = docker(
        "inspect", "--format", "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}", job
    )
    assert networks.split() == ["bridge"]
    assert left(project) == ""


def test_a_job_whose_folder_the_engine_does_not_see(project: Path, job: str) -> None:
    script = 'cp -r /builds/tiny /srv/tiny && cd /srv/tiny && "$@" && cp -r .pipeline /builds/tiny/'
    made = run(("docker", "exec", job, "sh", "-c", script, "sh", *RUN), project)
    assert made.route == "a network with this job's container (weights copied into a volume)"
    (mount,) = mounts(project)
    assert mount.startswith("type=volume,")
    assert left(project) == ""


def test_an_engine_that_does_not_know_the_jobs_container_is_refused(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    mounted = f"97 80 254:0 /docker/containers/{'1' * 64}/hostname /etc/hostname rw - ext4 /dev/vda rw\n"
    (tmp_path / "proc/self/mountinfo").write_text(mounted)
    facts = EngineFacts("28.5.2", "linux/amd64", 4, engine.endpoint(), name="another-container")
    with pytest.raises(ToolMissing, match=r"a container that the engine at unix:\S+ does not know") as raised:
        find_reach(facts, tmp_path)
    assert "socket" in raised.value.advice
