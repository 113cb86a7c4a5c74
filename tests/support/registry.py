"""The distribution registry, with a password, on loopback."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bcrypt
import requests
import yaml

from tests.support import apt, detached
from tests.support.commands import answers
from tests.support.errors import SetupError

PROGRAM = "docker-registry"
IMAGE = "registry:2"
REALM = "model-image-pipeline"
# Fast on purpose: the registry checks the password anew on every request.
BCRYPT_ROUNDS = 5
DEFAULT_LIFETIME_S = 3600


Settings = Callable[[Path], Mapping[str, Any]]
"""What a registry has of its own in `http` and instead of `auth`, given its folder as it sees it."""


def _no_more(_: Path) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True, slots=True)
class Registry:
    """A registry that answers, and who may use it."""

    port: int
    username: str
    password: str

    @property
    def address(self) -> str:
        """Host and port, as an image reference begins."""
        return f"localhost:{self.port}"

    def session(self) -> requests.Session:
        """Return an HTTP session with the registry's credentials."""
        session = requests.Session()
        session.auth = (self.username, self.password)
        session.trust_env = False
        return session

    def url(self, path: str) -> str:
        """Return the URL of a path below `/v2/`."""
        return f"http://127.0.0.1:{self.port}/v2/{path}"

    def answers(self) -> bool:
        """Say whether the registry is ready, lets its user in and nobody else."""
        try:
            with self.session() as session:
                known = session.get(self.url(""), timeout=5).status_code
            anonymous = requests.get(self.url(""), timeout=5).status_code
        except requests.RequestException:
            return False
        return (known, anonymous) == (requests.codes.ok, requests.codes.unauthorized)


def start(
    folder: Path, registry: Registry, *, lifetime_s: int, settings: Settings = _no_more
) -> detached.Detached:
    """Start a registry that keeps its content and its log in `folder` and ends after `lifetime_s` seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    hashed = bcrypt.hashpw(registry.password.encode(), bcrypt.gensalt(BCRYPT_ROUNDS)).decode()
    _write_private(folder / "htpasswd", f"{registry.username}:{hashed}\n")
    port = registry.port
    command = _program_command(folder, port, settings) or _container_command(folder, port, settings)
    log = folder / "registry.log"
    process = detached.start(
        command, log=log, lifetime_s=lifetime_s, environment={"OTEL_TRACES_EXPORTER": "none"}
    )
    detached.wait_until_ready("the registry", registry.answers, process=process, log=log)
    return process


@contextmanager
def running_registry(folder: Path, *, port: int | None = None) -> Iterator[Registry]:
    """Run a registry for as long as the `with` block lasts; on a free port unless one is given."""
    registry = Registry(port or free_port(), "pipeline", secrets.token_urlsafe(18))
    with running(folder, registry):
        yield registry


@contextmanager
def running(folder: Path, registry: Registry, settings: Settings = _no_more) -> Iterator[None]:
    """Run a registry with settings of its own for as long as the `with` block lasts."""
    process = start(folder, registry, lifetime_s=DEFAULT_LIFETIME_S, settings=settings)
    try:
        yield
    finally:
        process.stop()


def free_port() -> int:
    """Return a port of the loopback address that nobody uses just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def port_is_free(port: int) -> bool:
    """Say whether a server could listen on this port of the loopback address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def write_docker_config(folder: Path, *registries: Registry) -> Path:
    """Write a docker configuration that holds the registries' credentials, and return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    auths = {registry.address: {"auth": _basic(registry)} for registry in registries}
    _write_private(folder / "config.json", json.dumps({"auths": auths}))
    return folder


def _program_command(folder: Path, port: int, settings: Settings) -> list[str] | None:
    """Return how the operating system's own registry is started, installing it where that is possible."""
    if shutil.which(PROGRAM) is None:
        if not apt.can_install():
            return None
        apt.install([PROGRAM], why="a local registry")
    configuration = folder / "registry.yml"
    configuration.write_text(_configuration(folder, f"127.0.0.1:{port}", settings))
    return [PROGRAM, "serve", str(configuration)]


def _container_command(folder: Path, port: int, settings: Settings) -> list[str]:
    """Return how the registry is started in the foreground of a container that goes when the command ends."""
    if not answers(["docker", "image", "inspect", IMAGE]) and not answers(
        ["docker", "pull", IMAGE], timeout_s=180
    ):
        raise SetupError(
            f"neither the package {PROGRAM} nor the image {IMAGE} can be had here",
            advice=f"install the package {PROGRAM}, or load the image {IMAGE} into the engine",
        )
    (folder / "registry.yml").write_text(_configuration(Path("/registry"), "0.0.0.0:5000", settings))
    return [
        *("docker", "run", "--rm", "--user", f"{os.getuid()}:{os.getgid()}"),
        *("--publish", f"127.0.0.1:{port}:5000", "--volume", f"{folder.resolve()}:/registry"),
        *(IMAGE, "serve", "/registry/registry.yml"),
    ]


def _configuration(folder: Path, address: str, settings: Settings) -> str:
    own = settings(folder)
    http = {"addr": address, "relativeurls": True, "secret": secrets.token_hex(16)}
    password = {"htpasswd": {"realm": REALM, "path": str(folder / "htpasswd")}}
    return yaml.safe_dump(
        {
            "version": "0.1",
            "log": {"level": "warn"},
            "storage": {
                "filesystem": {"rootdirectory": str(folder / "storage")},
                "delete": {"enabled": True},
            },
            "http": {**http, **own.get("http", {})},
            "auth": own.get("auth", password),
        }
    )


def _basic(registry: Registry) -> str:
    return base64.b64encode(f"{registry.username}:{registry.password}".encode()).decode()


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text)
