"""A container engine with buildx: the one that answers, or one that is installed and started here."""

from __future__ import annotations

import os
import shutil
import subprocess
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.support import apt, detached
from tests.support.commands import answers, cache_folder, log_file, one_at_a_time, run_logged
from tests.support.errors import SetupError

ImageStore = Literal["containerd", "classic"]

DEFAULT_SOCKET = Path("/var/run/docker.sock")
PACKAGES = ("docker.io", "docker-cli", "docker-buildx")
# Bookworm's own engine is 20.10, which knows neither the containerd store nor OCI layouts.
SUITES_WITH_OLD_ENGINE = ("bookworm",)
LIFETIME_S = 8 * 3600
INSTALL_ADVICE = (
    "install and start a container engine with buildx (https://docs.docker.com/engine/install), "
    "or run this as root on Debian or Ubuntu"
)


@dataclass(frozen=True, slots=True)
class Engine:
    """A container engine that answers."""

    host: str
    """What DOCKER_HOST must say to reach it; empty for the command line's own default."""
    version: str
    image_store: ImageStore
    reused: bool

    def environment(self) -> dict[str, str]:
        """Return the environment that leads the docker command line to this engine."""
        return {"DOCKER_HOST": self.host} if self.host else {}

    def endpoint(self) -> str:
        """Return the address that the docker command line uses, from a context or by default."""
        return self.host or self.docker("context", "inspect", "--format", "{{.Endpoints.docker.Host}}")

    def docker(self, *arguments: str, timeout_s: float = 120) -> str:
        """Run a docker command against this engine and return what it printed, stripped."""
        done = subprocess.run(
            ["docker", *arguments],
            env={**os.environ, **self.environment()},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if done.returncode != 0:
            raise SetupError(
                f"docker {' '.join(arguments[:2])} failed: {done.stderr.strip()}",
                advice="see what the engine says with `docker info`",
            )
        return done.stdout.strip()


def docker_config_folder() -> Path:
    """Return the folder of the user's docker configuration."""
    return Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")


def ensure_engine(*, lifetime_s: int = LIFETIME_S) -> Engine:
    """Return the engine that the docker command line reaches; install and start one where none answers."""
    with one_at_a_time("engine"):
        engine = _find("", reused=True)
        if engine is None:
            _refuse_if_chosen_engine_is_silent()
            _install()
            # Where systemd runs, the package has started its service already.
            engine = _find("", reused=False) or _start_default(lifetime_s)
        _ensure_buildx()
    return engine


def start_second_engine(name: str, *, image_store: ImageStore, lifetime_s: int = LIFETIME_S) -> Engine:
    """Start an engine beside the default one, with its own data, socket and bridge, or reuse it.

    It leaves the firewall's rules to the first engine: ports that it publishes are reached on loopback, and
    its containers reach nothing outside. `stop_second_engine` removes it.
    """
    folder, socket = _folder(name), _socket(name)
    engine = _find(f"unix://{socket}", reused=True)
    if engine is not None:
        return engine
    bridge = _bridge(name)
    if not answers(["ip", "link", "show", bridge]):
        log = log_file(f"engine-{name}")
        run_logged(["ip", "link", "add", "name", bridge, "type", "bridge"], log=log, advice=INSTALL_ADVICE)
        run_logged(["ip", "address", "add", _network(name), "dev", bridge], log=log, advice=INSTALL_ADVICE)
    command = [
        *("dockerd", "--host", f"unix://{socket}", "--pidfile", str(socket.with_suffix(".pid"))),
        *(
            "--exec-root",
            str(socket.with_suffix("")),
            "--bridge",
            bridge,
            "--iptables=false",
            "--ip6tables=false",
        ),
        *_store_flags(image_store, folder),
    ]
    return _start(name, command, f"unix://{socket}", lifetime_s)


def stop_second_engine(name: str) -> None:
    """Stop an engine that `start_second_engine` started, and remove its data."""
    _stop(name)
    shutil.rmtree(_socket(name).with_suffix(""), ignore_errors=True)
    _socket(name).unlink(missing_ok=True)
    if answers(["ip", "link", "show", _bridge(name)]):
        answers(["ip", "link", "delete", _bridge(name)])


def stop_engine() -> bool:
    """Stop the default engine and remove its data, if it was started here; say whether it was."""
    return _stop("default")


def _find(host: str, *, reused: bool) -> Engine | None:
    command = ["docker", *(("--host", host) if host else ()), "info", "--format"]
    command.append("{{.ServerVersion}}|{{.DriverStatus}}|{{.ServerErrors}}")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    version, _, status = done.stdout.strip().partition("|")
    if done.returncode != 0 or not version:
        return None
    store: ImageStore = "containerd" if "io.containerd.snapshotter" in status else "classic"
    return Engine(host=host, version=version, image_store=store, reused=reused)


def _refuse_if_chosen_engine_is_silent() -> None:
    """A user who names an engine wants that one, not another one installed beside it."""
    if host := os.environ.get("DOCKER_HOST"):
        raise SetupError(
            f"DOCKER_HOST is {host}, but no engine answers there", advice="start it, or unset DOCKER_HOST"
        )


def _install() -> None:
    if shutil.which("dockerd") is not None and os.geteuid() == 0:
        return
    if not apt.can_install():
        if DEFAULT_SOCKET.exists() and not os.access(DEFAULT_SOCKET, os.W_OK):
            raise SetupError(
                f"this user may not use the container engine at {DEFAULT_SOCKET}",
                advice="join the group `docker` and log in again, or run this as root",
            )
        raise SetupError("no container engine answers, and none can be installed here", advice=INSTALL_ADVICE)
    _install_packages(PACKAGES, why="a container engine")


def _ensure_buildx() -> None:
    if not answers(["docker", "buildx", "version"]):
        _install_packages(("docker-buildx",), why="docker's buildx plugin")


def _install_packages(packages: tuple[str, ...], *, why: str) -> None:
    if apt.distribution().get("VERSION_CODENAME") in SUITES_WITH_OLD_ENGINE:
        apt.install_from_sid(packages, why=why)
    else:
        apt.install([name for name in packages if name != "docker-cli"], why=why)


def _start_default(lifetime_s: int) -> Engine:
    command = [
        "dockerd",
        "--host",
        f"unix://{DEFAULT_SOCKET}",
        *_store_flags("containerd", _folder("default")),
    ]
    return _start("default", command, "", lifetime_s)


def _start(name: str, command: list[str], host: str, lifetime_s: int) -> Engine:
    log = log_file(f"engine-{name}")
    process = detached.start(command, log=log, lifetime_s=lifetime_s)
    process.save(_record(name))
    found: list[Engine] = []

    def ready() -> bool:
        found.extend(filter(None, [_find(host, reused=False)]))
        return bool(found)

    detached.wait_until_ready("dockerd", ready, process=process, log=log, timeout_s=60)
    return found[0]


def _stop(name: str) -> bool:
    process = detached.load(_record(name))
    if process is not None:
        process.stop(grace_s=30)
    known = process is not None or _folder(name).exists()
    if known:
        _unmount_below(_folder(name))
        shutil.rmtree(_folder(name))
    return known


def _unmount_below(folder: Path) -> None:
    """An engine that was killed leaves the file systems of its containers mounted."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted((mount for mount in mounts if Path(mount).is_relative_to(folder)), reverse=True):
        answers(["umount", "--lazy", mount])


def _store_flags(image_store: ImageStore, folder: Path) -> tuple[str, ...]:
    snapshotter = "true" if image_store == "containerd" else "false"
    return ("--data-root", str(folder / "data"), "--feature", f"containerd-snapshotter={snapshotter}")


def _folder(name: str) -> Path:
    return cache_folder() / "engines" / name


def _record(name: str) -> Path:
    return _folder(name) / "process.json"


def _socket(name: str) -> Path:
    return Path("/run") / f"model-image-pipeline-{name}.sock"


def _network(name: str) -> str:
    # Engines of other names may run at the same time.
    return f"10.213.{zlib.crc32(name.encode()) % 256}.1/24"


def _bridge(name: str) -> str:
    # The kernel allows 15 characters.
    return f"mip-{name}"[:15]
