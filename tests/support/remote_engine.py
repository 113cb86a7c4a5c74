"""A container engine as docker-in-docker is one: with an address, a loopback and certificates of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support import detached
from tests.support.base_image import BASE_IMAGE
from tests.support.certificates import Authority
from tests.support.commands import answers, one_at_a_time

NAME = "mip-remote"
HERE, THERE = "10.214.1.1", "10.214.1.2"
LIFETIME_S = 600


@dataclass(frozen=True, slots=True)
class RemoteEngine:
    """An engine that is reached over a network."""

    address: str
    certificates: Path

    def environment(self) -> dict[str, str]:
        """Return the environment that leads docker's command line to this engine, as in GitLab's jobs."""
        return {
            "DOCKER_HOST": f"tcp://{self.address}:2376",
            "DOCKER_TLS_VERIFY": "1",
            "DOCKER_CERT_PATH": str(self.certificates),
        }

    def docker(self, *arguments: str, source: int | None = None) -> str:
        """Run a docker command against this engine and return what it printed, stripped."""
        done = subprocess.run(
            ["docker", *arguments],
            env={**os.environ, **self.environment()},
            stdin=source,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        return done.stdout.strip()

    def answers(self) -> bool:
        """Say whether it is there."""
        try:
            return self.docker("version") != ""
        except subprocess.CalledProcessError:
            return False

    def load_base_image(self) -> None:
        """Give it the base image of the default engine."""
        with subprocess.Popen(["docker", "save", BASE_IMAGE], stdout=subprocess.PIPE) as saving:
            assert saving.stdout is not None
            self.docker("load", source=saving.stdout.fileno())


@contextmanager
def running_remote_engine(folder: Path) -> Iterator[RemoteEngine]:
    """Run an engine with its files in `folder`, for as long as the `with` block lasts; needs root."""
    engine = RemoteEngine(THERE, folder / "client")
    log = folder / "dockerd.log"
    with one_at_a_time("remote-engine"), _network():
        process = detached.start(_command(folder), log=log, lifetime_s=LIFETIME_S)
        try:
            detached.wait_until_ready("dockerd", engine.answers, process=process, log=log, timeout_s=60)
            yield engine
        finally:
            process.stop(grace_s=30)
            shutil.rmtree(folder / "data", ignore_errors=True)


def _command(folder: Path) -> list[str]:
    authority = Authority.create(folder / "authority")
    server, client = authority.issue(THERE), authority.issue(HERE)
    certificates = folder / "client"
    certificates.mkdir()
    shutil.copy(authority.certificate, certificates / "ca.pem")
    shutil.copy(client.certificate, certificates / "cert.pem")
    shutil.copy(client.key, certificates / "key.pem")
    return [
        # `ip netns exec` would hide the control groups
        *("nsenter", f"--net=/run/netns/{NAME}", "dockerd", "--host", f"tcp://{THERE}:2376", "--tlsverify"),
        *("--tlscacert", str(authority.certificate)),
        *("--tlscert", str(server.certificate), "--tlskey", str(server.key)),
        *("--pidfile", str(folder / "pid"), "--exec-root", str(folder / "exec")),
        *("--data-root", str(folder / "data"), "--feature", "containerd-snapshotter=true"),
    ]


@contextmanager
def _network() -> Iterator[None]:
    """A network namespace with one cable to this machine."""
    _remove_network()  # of a run that was killed
    try:
        _ip("netns", "add", NAME)
        _ip("link", "add", NAME, "type", "veth", "peer", "name", "engine", "netns", NAME)
        _ip("address", "add", f"{HERE}/30", "dev", NAME)
        _ip("link", "set", NAME, "up")
        _ip("-n", NAME, "address", "add", f"{THERE}/30", "dev", "engine")
        for device in ("engine", "lo"):
            _ip("-n", NAME, "link", "set", device, "up")
        yield
    finally:
        _remove_network()


def _remove_network() -> None:
    answers(["ip", "link", "delete", NAME])
    answers(["ip", "netns", "delete", NAME])


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
