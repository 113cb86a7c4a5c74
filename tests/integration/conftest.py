"""The real parts that the integration tests run against; each is set up when a test first asks for it."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support import apt, example
from tests.support import engine as engines
from tests.support import registry as registries
from tests.support import vulnerability_database as databases
from tests.support.base_image import BASE_IMAGE, ensure_base_image
from tests.support.busybox import ensure_busybox
from tests.support.commands import cache_folder, one_at_a_time
from tests.support.engine import Engine
from tests.support.git_server import GitServer, Repository, run_git, running_git_server
from tests.support.project import TINY, Project
from tests.support.registry import Registry

CreateRepository = Callable[[Path | None], Repository]


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The container engine of this machine, with buildx."""
    return engines.ensure_engine()


@pytest.fixture(scope="session")
def classic_engine(engine: Engine) -> Iterator[Engine]:
    """A second engine, with the classic image store; stops with the last session that uses it."""
    name = "tests"
    with (cache_folder() / f"engine-{name}.users").open("w") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        with one_at_a_time(f"engine-{name}"):
            started = engines.start_second_engine(name, image_store="classic")
        ensure_base_image(started)
        yield started
        with contextlib.suppress(BlockingIOError):  # another session still uses it
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            engines.stop_second_engine(name)


@pytest.fixture(scope="session")
def base_image(engine: Engine) -> str:
    """The image that the example's Dockerfile begins with, present in the engine."""
    ensure_base_image(engine)
    return BASE_IMAGE


@pytest.fixture(params=["containerd", "classic"])
def any_engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """The engine that docker reaches in this test: one of either image store.

    A test names it before the desk, so that the desk clears up what it left in this engine.
    """
    request.getfixturevalue("base_image")
    chosen: Engine = request.getfixturevalue("engine" if request.param == "containerd" else "classic_engine")
    monkeypatch.setenv("DOCKER_HOST", chosen.endpoint())
    return chosen


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry with a password, empty at first and shared by the session."""
    with registries.running_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def repository_name() -> str:
    """A repository name in the registry that no other test uses."""
    return f"tests/{uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def vulnerability_database(registry: Registry) -> str:
    """A fresh vulnerability database in the registry, as Trivy's --db-repository takes it."""
    return databases.publish(registry)


@pytest.fixture(scope="session")
def git_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    """A git server that lets everybody read and its user push."""
    with running_git_server(tmp_path_factory.mktemp("git")) as running:
        yield running


@pytest.fixture
def create_repository(git_server: GitServer) -> CreateRepository:
    """Make fresh repositories, with the content of a folder or empty."""

    def create(content: Path | None = None) -> Repository:
        return git_server.create(f"gitops-{uuid4().hex[:12]}", content=content)

    return create


@pytest.fixture(scope="session", autouse=True)
def docker_config(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A docker configuration of the session's own: logins and builders of a developer stay untouched."""
    folder = tmp_path_factory.mktemp("docker-config")
    plugins = engines.docker_config_folder() / "cli-plugins"
    if plugins.is_dir():
        (folder / "cli-plugins").symlink_to(plugins)
    with pytest.MonkeyPatch.context() as environment:
        # The engine may be known through a context of the configuration that is left behind.
        environment.setenv("DOCKER_HOST", engine.endpoint())
        environment.setenv("DOCKER_CONFIG", str(folder))
        yield folder


@pytest.fixture(scope="session")
def docker_login(docker_config: Path, registry: Registry) -> Path:
    """The session's docker configuration, logged in to the registry."""
    return registries.write_docker_config(docker_config, registry)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(scope="session")
def skopeo() -> str:
    """A registry client that is not ours."""
    if shutil.which("skopeo") is None:
        apt.install(["skopeo"], why="an independent registry client")
    return "skopeo"


@pytest.fixture(scope="session")
def crane() -> str:
    """Another one, that reads every layer and compares what it holds with what the image says."""
    if shutil.which("crane") is None:
        install = apt.install_from_sid if apt.distribution().get("ID") == "debian" else apt.install
        install(["crane"], why="an independent registry client")
    return "crane"


@pytest.fixture(scope="session")
def busybox() -> Path:
    """A program that runs in an image in which there is nothing else."""
    return ensure_busybox()


@pytest.fixture(scope="session")
def kubectl() -> str:
    """A kubectl whose kustomize renders what Argo CD and Flux would."""
    if shutil.which("kubectl") is None:
        apt.install_from_sid(["kubernetes-client"], why="kustomize, to render the manifests")
    return "kubectl"


@pytest.fixture(scope="session")
def prepared_example() -> Path:
    """The example with its model, wheels and virtual environment."""
    return example.prepare()


@pytest.fixture
def project(  # noqa: PLR0913, PLR0917 - the real parts
    tmp_path: Path,
    base_image: str,
    registry: Registry,
    vulnerability_database: str,
    git_server: GitServer,
    create_repository: CreateRepository,
) -> Project:
    """A model's repository in git, and all that its delivery needs."""
    name = f"delivery-{uuid4().hex[:8]}"
    folder = tmp_path / "tiny"
    shutil.copytree(TINY, folder, ignore=shutil.ignore_patterns("gitops"))
    (folder / "model").chmod(0o755)
    run_git("init", "--quiet", "--initial-branch=main", str(folder))
    content = tmp_path / "gitops"
    shutil.copytree(TINY / "gitops", content)
    overlay = content / "apps" / "tiny" / "kustomization.yaml"
    overlay.write_text(overlay.read_text().replace("IMAGE", f"{registry.address}/{name}/tiny"))
    gitops = create_repository(content)
    environment = {
        "REGISTRY_USERNAME": registry.username,
        "REGISTRY_PASSWORD": registry.password,
        "GITOPS_USERNAME": git_server.username,
        "GITOPS_PASSWORD": git_server.password,
    }
    made = Project(folder=folder, name=name, registry=registry, gitops=gitops, environment=environment)
    made.set(
        registries=f"{registry.address}/{name}",
        scan__database__repositories=vulnerability_database,
        update__repository=gitops.url,
    )
    made.commit()
    return made


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything in this folder, so that `-m 'not integration'` leaves it out."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.integration)
