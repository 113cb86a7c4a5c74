"""The demo's own registry and git server: started once, found again by the next run, ended by themselves.

Everything is kept in one folder for each: content, log, process, and a random password (mode 0600).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from tests.support import detached, git_server, registry
from tests.support.detached import Detached
from tests.support.git_server import GitServer
from tests.support.registry import Registry, free_port, port_is_free

REGISTRY_PORT = 5001
LIFETIME_S = 8 * 3600
USERNAME = "demo"


class _Answering(Protocol):
    def answers(self) -> bool: ...


ServiceT_co = TypeVar("ServiceT_co", bound=_Answering, covariant=True)


@dataclass(frozen=True, slots=True)
class Running(Generic[ServiceT_co]):
    """A service that answers, and whether an earlier run had started it."""

    service: ServiceT_co
    reused: bool


@dataclass(frozen=True, slots=True)
class _Access:
    """Where a service listens and its password; kept, so that its users find it again after a restart."""

    port: int
    password: str


def ensure_registry(folder: Path) -> Running[Registry]:
    """Return the registry whose content is in `folder`, starting it if it does not run."""
    return _ensure(
        folder,
        preferred_port=REGISTRY_PORT,
        make=lambda access: Registry(access.port, USERNAME, access.password),
        start=lambda service: registry.start(folder, service, lifetime_s=LIFETIME_S),
    )


def ensure_git_server(folder: Path) -> Running[GitServer]:
    """Return the git server whose repositories are in `folder`, starting it if it does not run."""
    return _ensure(
        folder,
        preferred_port=None,
        make=lambda access: GitServer(access.port, folder / "repositories", USERNAME, access.password),
        start=lambda service: git_server.start(service, log=folder / "git-server.log", lifetime_s=LIFETIME_S),
    )


def stop(folder: Path) -> bool:
    """Stop the service of a folder if it runs and was started from there; say whether it did."""
    process = detached.load(_record(folder))
    if process is not None:
        process.stop(grace_s=5)
    return process is not None


def _ensure(
    folder: Path,
    *,
    preferred_port: int | None,
    make: Callable[[_Access], ServiceT_co],
    start: Callable[[ServiceT_co], Detached],
) -> Running[ServiceT_co]:
    known = _load_access(folder / "access.json")
    if known is not None and detached.load(_record(folder)) is not None and make(known).answers():
        return Running(make(known), reused=True)
    stop(folder)
    access = _renew(known, preferred_port)
    folder.mkdir(parents=True, exist_ok=True)
    _save_access(folder / "access.json", access)
    service = make(access)
    start(service).save(_record(folder))
    return Running(service, reused=False)


def _renew(known: _Access | None, preferred_port: int | None) -> _Access:
    wanted = (known.port if known else None, preferred_port)
    port = next((port for port in wanted if port is not None and port_is_free(port)), None)
    return _Access(port or free_port(), known.password if known else secrets.token_urlsafe(18))


def _load_access(path: Path) -> _Access | None:
    try:
        fields = json.loads(path.read_text())
        return _Access(int(fields["port"]), str(fields["password"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _save_access(path: Path, access: _Access) -> None:
    path.touch(mode=0o600)
    path.write_text(json.dumps(asdict(access)))


def _record(folder: Path) -> Path:
    return folder / "process.json"
