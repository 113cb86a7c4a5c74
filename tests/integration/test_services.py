"""The demo's services: found again, started again, stopped."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.support import detached, services, vulnerability_database
from tests.support.services import Running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "service"


def test_a_running_service_is_reused_and_a_stopped_one_returns_as_it_was(folder: Path) -> None:
    try:
        first = services.ensure_registry(folder)
        published = vulnerability_database.ensure_published(first.service, folder / "database.json")
        assert not first.reused
        assert not published.reused
        assert services.ensure_registry(folder) == Running(first.service, reused=True)

        process = detached.load(folder / "process.json")
        assert process is not None
        process.stop()
        assert services.ensure_registry(folder) == Running(first.service, reused=False)
        assert vulnerability_database.ensure_published(first.service, folder / "database.json").reused
    finally:
        services.stop(folder)
    assert not first.service.answers()


def test_the_password_is_for_its_owner_alone(folder: Path) -> None:
    try:
        running = services.ensure_git_server(folder)
        assert running.service.password in (folder / "access.json").read_text()
        assert (folder / "access.json").stat().st_mode & 0o777 == 0o600
    finally:
        services.stop(folder)


def test_a_service_that_hangs_is_replaced(folder: Path) -> None:
    try:
        services.ensure_git_server(folder)
        stuck = detached.load(folder / "process.json")
        assert stuck is not None
        os.killpg(stuck.pid, signal.SIGSTOP)
        assert not services.ensure_git_server(folder).reused
        assert not stuck.alive()
    finally:
        services.stop(folder)
