"""The build cache in a registry: an engine that begins empty takes the steps from there."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
import yaml

from pipeline.model import BuildSteps, BuiltImage
from pipeline.record import Record, Runs, read_record
from tests.support import engine as engines
from tests.support.certificates import Authority
from tests.support.engine import Engine
from tests.support.fault_proxy import fault_proxy
from tests.support.faults import Fault, Seen
from tests.support.git_server import run_git
from tests.support.github_cache import running_github_cache
from tests.support.registry import Registry

SECRET = "correct-horse-battery-staple"
WEIGHTS = b"weights that no cache may hold" * 1000
ALL_STEPS = 4
PULL_REQUEST = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_EVENT_NAME": "pull_request",
    "GITHUB_REF": "refs/pull/1/merge",
    "GITHUB_BASE_REF": "main",
}


@dataclass(frozen=True)
class Checkout:
    """A model's repository on one runner."""

    folder: Path
    registry: Registry
    address: str
    """Where the registry is reached."""

    def run(self, engine: Engine, *flags: str, **variables: str) -> Record:
        """Build as CI does, without what an earlier run of this folder made; the run succeeds."""
        command = [sys.executable, "-I", "-m", "pipeline", "run", "--until", "build", "--no-reuse", *flags]
        environment = {
            "REGISTRY_USERNAME": self.registry.username,
            "REGISTRY_PASSWORD": self.registry.password,
            "BUILD_SECRET": SECRET,
            "DOCKER_HOST": engine.endpoint(),
            **variables,
        }
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        said = [line for line in done.stderr.splitlines() if not line.startswith("::add-mask::")]
        assert self.registry.password not in "\n".join((done.stdout, *said))
        runs = Runs(self.folder)
        return read_record(runs.path(runs.names()[0]))

    @property
    def cache(self) -> str:
        return f"{self.address}/{self.folder.name}/tiny-cache"

    def cached_digest(self, tag: str = "main") -> str | None:
        """Return what the registry has under the cache's tag."""
        accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
        with self.registry.session() as session:
            url = self.registry.url(f"{self.folder.name}/tiny-cache/manifests/{tag}")
            answer = session.head(url, headers=accept, timeout=10)
        return answer.headers["Docker-Content-Digest"] if answer.ok else None

    def blobs(self) -> dict[str, bytes]:
        """Return everything that the cache holds, unpacked."""
        with self.registry.session() as session:
            base = self.registry.url(f"{self.folder.name}/tiny-cache")
            accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
            manifest = session.get(f"{base}/manifests/main", headers=accept, timeout=10)
            entries = [manifest.json()["config"], *manifest.json()["layers"]]
            found = {one["digest"]: session.get(f"{base}/blobs/{one['digest']}").content for one in entries}
        unpacked = {
            digest: gzip.decompress(blob) if blob.startswith(b"\x1f\x8b") else blob
            for digest, blob in found.items()
        }
        return {"manifest": manifest.content, **unpacked}

    def lose_layers(self) -> None:
        """Take the layers away and leave the manifest, as a registry's garbage collection may."""
        with self.registry.session() as session:
            for digest in self.blobs():
                if digest != "manifest":
                    url = self.registry.url(f"{self.folder.name}/tiny-cache/blobs/{digest}")
                    content = session.get(url, timeout=10).content
                    if not content.startswith(b"{"):  # the list of steps stays
                        assert session.delete(url, timeout=10).ok


def steps(record: Record) -> BuildSteps:
    image = built(record)
    assert image.steps is not None
    return image.steps


def built(record: Record) -> BuiltImage:
    entry = record.stage("build")
    assert entry is not None
    return BuiltImage.model_validate(entry.artifact)


def checkout(folder: Path, registry: Registry, address: str, busybox: Path) -> Checkout:
    (folder / "model").mkdir(parents=True)
    (folder / "model/weights.bin").write_bytes(WEIGHTS)
    shutil.copy(busybox, folder / "busybox")
    own = uuid4().hex  # so that no engine knows these steps
    (folder / "Dockerfile").write_text(
        "FROM scratch AS tools\nCOPY busybox /bin/sh\n"
        'RUN --mount=type=secret,id=token ["/bin/sh", "-c", '
        f'"cat /run/secrets/token && echo {own} > /made"]\n'
        "FROM scratch\nCOPY --from=tools /made /made\nCOPY busybox /bin/sh\n"
    )
    settings = {
        "image": "tiny",
        "registries": f"{address}/{folder.name}",
        "model": {"source": "model", "path": "/models/tiny"},
        "insecure_registries": [address],
        "test": {"command": "true"},
        "build": {"cache": "registry", "secrets": [{"id": "token", "environment": "BUILD_SECRET"}]},
    }
    (folder / "pipeline.yaml").write_text(json.dumps(settings))
    (folder / ".gitignore").write_text(".pipeline/\n")
    run_git("init", "--quiet", "--initial-branch=main", str(folder))
    run_git("-C", str(folder), "add", "--all")
    run_git("-C", str(folder), "commit", "--quiet", "--message", "first")
    return Checkout(folder, registry, address)


@pytest.fixture
def project(tmp_path: Path, registry: Registry, busybox: Path) -> Checkout:
    return checkout(tmp_path / f"cache-{uuid4().hex[:8]}", registry, registry.address, busybox)


@pytest.fixture(scope="module")
def empty_engine(docker_config: Path) -> Iterator[Engine]:
    """An engine that has never built anything, whose cache is ours to prune."""
    name = uuid4().hex[:8]
    yield engines.start_second_engine(name, image_store="containerd")
    engines.stop_second_engine(name)


@pytest.fixture
def first_engine(docker_config: Path) -> Iterator[Engine]:
    """Another one, which writes to GitHub's cache service: what that answers can end an engine."""
    name = uuid4().hex[:8]
    yield engines.start_second_engine(name, image_store="containerd")
    engines.stop_second_engine(name)


def test_another_engine_takes_the_steps_from_the_registry(
    project: Checkout, engine: Engine, empty_engine: Engine
) -> None:
    # nothing leaves the machine for a dry run and for a pull request
    for flags, variables in ((["--dry-run"], {}), ([], PULL_REQUEST)):
        kept = steps(project.run(engine, *flags, **variables))
        assert kept.cache_written is None
        assert kept.notes == ("not written: a dry run or a pull request writes nothing",)
        assert project.cached_digest() is None

    first = project.run(engine)
    assert steps(first).cache_written == f"{project.cache}:main"
    assert steps(first).notes == ()
    written = project.cached_digest()
    assert written is not None

    # a pull request's runner: it reads what its base has left, and leaves that as it is
    second = project.run(empty_engine, **PULL_REQUEST, GITHUB_HEAD_REF="topic")
    assert steps(second) == BuildSteps(
        steps=ALL_STEPS,
        cached=ALL_STEPS,
        cache_read=(f"{project.cache}:main",),
        notes=("not written: a dry run or a pull request writes nothing",),
    )
    assert built(second).digest == built(first).digest
    assert project.cached_digest() == written

    for blob in project.blobs().values():
        for hidden in (SECRET, project.registry.password, WEIGHTS[:30].decode()):
            assert hidden.encode() not in blob

    # a cache that names what is gone does not break a build, which gives the same image
    project.lose_layers()
    empty_engine.docker("buildx", "prune", "--all", "--force")
    third = project.run(empty_engine)
    assert built(third).digest == built(first).digest
    assert steps(third).cached == 0
    assert "not found" in steps(third).notes[0]
    assert steps(third).cache_written == f"{project.cache}:main"  # and is mended by that
    empty_engine.docker("buildx", "prune", "--all", "--force")
    assert steps(project.run(empty_engine)).cached == ALL_STEPS


def test_a_repository_that_refuses_the_cache_does_not_stop_the_build(
    tmp_path: Path, registry: Registry, busybox: Path, engine: Engine
) -> None:
    def immutable(seen: Seen) -> Fault | None:
        refused = seen.method == "PUT" and "/tiny-cache/manifests/" in seen.path
        return Fault("answer", status=400) if refused else None

    authority = Authority.create(tmp_path / "authority")
    with fault_proxy(registry.port, immutable, certificate=authority.issue("127.0.0.1")) as proxy:
        address = f"127.0.0.1:{proxy.port}"
        project = checkout(tmp_path / f"cache-{uuid4().hex[:8]}", registry, address, busybox)
        kept = steps(project.run(engine, REQUESTS_CA_BUNDLE=str(authority.certificate)))
        assert proxy.of("PUT", "/tiny-cache/manifests/main")
    assert kept.cache_written is None
    (note,) = kept.notes
    assert note.startswith("not written: ")
    assert "400" in note
    assert project.cached_digest() is None


def test_a_classic_image_store_reads_the_cache_and_says_what_it_lacks(
    project: Checkout, engine: Engine, classic_engine: Engine
) -> None:
    first = project.run(engine)
    written = project.cached_digest()
    second = project.run(classic_engine)
    assert steps(second).cached == ALL_STEPS
    assert "docker buildx create" in steps(second).notes[0]
    assert built(second).digest == built(first).digest
    assert project.cached_digest() == written


def test_github_keeps_the_cache_of_one_runner_for_the_next(
    project: Checkout, first_engine: Engine, empty_engine: Engine
) -> None:
    with running_github_cache() as service:
        job = {"GITHUB_ACTIONS": "true", "PIPELINE_BUILD__CACHE": "gha", **service.environment}
        kept = steps(project.run(first_engine, **job, GITHUB_EVENT_NAME="pull_request"))
        assert (kept.cache_written, service.entries) == (None, {})

        first = project.run(first_engine, **job)
        assert steps(first).cache_written == "GitHub's cache service"
        assert service.entries
        written = dict(service.entries)

        second = project.run(empty_engine, **job, GITHUB_EVENT_NAME="pull_request")
        assert steps(second).cached == ALL_STEPS
        assert built(second).digest == built(first).digest
        assert service.entries == written

        # the service is down, or has forgotten us: the image is the same
        third = project.run(empty_engine, **{**job, "ACTIONS_RUNTIME_TOKEN": "of-old"})
        assert built(third).digest == built(first).digest
        assert "not written" in " ".join(steps(third).notes)

        files = (path for path in (project.folder / ".pipeline").rglob("*") if path.is_file())
        assert not [path for path in files if service.token.encode() in path.read_bytes()]
    assert project.cached_digest() is None


def test_the_action_asks_the_runner_for_the_cache_and_has_the_token_masked(tmp_path: Path) -> None:
    action = yaml.safe_load((Path(__file__).parents[2] / "action.yml").read_text())
    (step,) = (one for one in action["runs"]["steps"] if "github-script" in one.get("uses", ""))
    assert step["if"] == "inputs.build-cache == 'gha'"
    said = tmp_path / "said.js"
    said.write_text(
        "const said = []\n"
        "const core = {\n"
        "  setSecret: (value) => said.push(['mask', value]),\n"
        "  setOutput: (name, value) => said.push([name, value]),\n"
        "}\n"
        f"{step['with']['script']}\n"
        "console.log(JSON.stringify(said))\n"
    )
    service = {"ACTIONS_RUNTIME_TOKEN": "t", "ACTIONS_RESULTS_URL": "r", "ACTIONS_CACHE_SERVICE_V2": "True"}
    for environment in (service, {}):
        node = subprocess.run(
            ["node", str(said)],
            env={"PATH": os.environ["PATH"], **environment},
            capture_output=True,
            text=True,
            check=True,
        )
        token, address, second = (environment.get(name, "") for name in service)
        outputs = [["token", token], ["results-url", address], ["cache-url", ""], ["service-v2", second]]
        assert json.loads(node.stdout) == [*([["mask", token]] if token else []), *outputs]
    given = next(one for one in action["runs"]["steps"] if one.get("id") == "run")["env"]
    assert {f"steps.cache.outputs.{name}" for name, _ in outputs} == {
        text.split()[1] for text in given.values() if "steps.cache" in text
    }
