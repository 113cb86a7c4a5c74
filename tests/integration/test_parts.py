"""The parts themselves: a test that relies on them is only as true as they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests

from tests.integration.conftest import CreateRepository
from tests.support import vulnerability_database as databases
from tests.support.engine import Engine
from tests.support.errors import SetupError
from tests.support.git_server import GitServer, Repository, run_git
from tests.support.registry import Registry

TRIVY = Path(sys.executable).parent / "trivy"


@pytest.fixture
def image_root(tmp_path: Path) -> Path:
    """The file system of an image with one old package and one that is up to date."""
    root = tmp_path / "root"
    for name, version in (("PyYAML", "5.3"), ("requests", "2.32.4")):
        folder = root / "usr/lib/python3/dist-packages" / f"{name}-{version}.dist-info"
        folder.mkdir(parents=True)
        folder.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return root


def trivy(root: Path, database: str, cache: Path) -> subprocess.CompletedProcess[str]:
    command = [
        *(str(TRIVY), "rootfs", "--quiet", "--scanners", "vuln", "--format", "json", "--skip-version-check"),
        *("--cache-dir", str(cache), "--insecure", "--db-repository", database, str(root)),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def findings(report: str) -> list[tuple[str, str, str]]:
    results = json.loads(report).get("Results", [])
    found = [entry for result in results for entry in result.get("Vulnerabilities", [])]
    return [(entry["PkgName"], entry["VulnerabilityID"], entry["Severity"]) for entry in found]


@pytest.mark.usefixtures("docker_login")
def test_trivy_finds_the_planted_package_and_nothing_else(
    image_root: Path, vulnerability_database: str, tmp_path: Path
) -> None:
    done = trivy(image_root, vulnerability_database, tmp_path / "cache")
    assert findings(done.stdout) == [("PyYAML", "CVE-2020-14343", "CRITICAL")]


@pytest.mark.usefixtures("docker_login")
def test_a_stale_database_says_its_age_and_a_damaged_one_stops_trivy(
    image_root: Path, registry: Registry, tmp_path: Path
) -> None:
    month_ago = datetime.now(UTC) - timedelta(days=30)
    stale = databases.publish(registry, "stale-database", updated_at=month_ago)
    assert trivy(image_root, stale, tmp_path / "stale").returncode == 0
    metadata = json.loads((tmp_path / "stale/db/metadata.json").read_text())
    assert metadata["UpdatedAt"].startswith(month_ago.strftime("%Y-%m-%dT%H:%M"))
    damaged = databases.publish(registry, "damaged-database", damaged=True)
    assert trivy(image_root, damaged, tmp_path / "damaged").returncode == 1


def test_the_registry_lets_nobody_in_without_its_password(registry: Registry) -> None:
    assert requests.get(registry.url(""), timeout=5).status_code == 401
    assert requests.get(registry.url(""), auth=("pipeline", "wrong"), timeout=5).status_code == 401
    with registry.session() as session:
        assert session.get(registry.url(""), timeout=5).status_code == 200


def test_a_published_port_of_a_container_is_reached_on_loopback(engine: Engine, base_image: str) -> None:
    _reach_published_port(engine, base_image)


def test_a_published_port_of_the_second_engine_is_reached_too(
    classic_engine: Engine, base_image: str
) -> None:
    assert classic_engine.image_store == "classic"
    _reach_published_port(classic_engine, base_image)


def _reach_published_port(engine: Engine, base_image: str) -> None:
    serve = ("python", "-u", "-m", "http.server", "8000")
    container = engine.docker("run", "--detach", "--publish", "127.0.0.1::8000", base_image, *serve)
    try:
        while "Serving" not in engine.docker("logs", container):
            assert engine.docker("inspect", "--format", "{{.State.Running}}", container) == "true"
        address = engine.docker("port", container, "8000")
        assert requests.get(f"http://{address}/", timeout=5).status_code == 200
    finally:
        engine.docker("rm", "--force", "--volumes", container)


class TestGitServer:
    @pytest.fixture
    def repository(self, create_repository: CreateRepository, tmp_path: Path) -> Repository:
        content = tmp_path / "content"
        content.mkdir()
        (content / "kustomization.yaml").write_text("resources: []\n")
        return create_repository(content)

    @pytest.fixture
    def clone(self, repository: Repository, tmp_path: Path) -> Path:
        clone = tmp_path / "clone"
        run_git("clone", "--quiet", "--depth", "1", "--filter=blob:none", repository.url, str(clone))
        run_git("-C", str(clone), "commit", "--quiet", "--allow-empty", "--message", "change")
        return clone

    def push(self, clone: Path, url: str) -> None:
        run_git("-C", str(clone), "push", "--quiet", url, "HEAD:main")

    def test_a_push_needs_the_password(
        self, git_server: GitServer, repository: Repository, clone: Path
    ) -> None:
        before = repository.head()
        with pytest.raises(SetupError, match="could not read Username"):
            self.push(clone, repository.url)
        assert repository.head() == before
        self.push(clone, git_server.with_password(repository.url))
        assert repository.head() == run_git("-C", str(clone), "rev-parse", "HEAD")

    def test_a_push_larger_than_gits_buffer_arrives(
        self, git_server: GitServer, repository: Repository, clone: Path
    ) -> None:
        (clone / "large").write_bytes(os.urandom(3_000_000))
        run_git("-C", str(clone), "add", "large")
        run_git("-C", str(clone), "commit", "--quiet", "--message", "large")
        self.push(clone, git_server.with_password(repository.url))
        assert repository.git("cat-file", "-s", "main:large") == "3000000"

    def test_a_rejecting_hook_answers_with_its_message(
        self, git_server: GitServer, repository: Repository, clone: Path
    ) -> None:
        repository.reject_pushes("the branch is protected")
        with pytest.raises(SetupError, match="the branch is protected"):
            self.push(clone, git_server.with_password(repository.url))
        repository.accept_pushes()
        self.push(clone, git_server.with_password(repository.url))
