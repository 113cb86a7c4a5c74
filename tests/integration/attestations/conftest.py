"""What the tests of signatures share: a registry of their own, keys, and a machine that knows nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support import cosign
from tests.support.attested import (
    ALLOWED,
    RULES,
    Deliver,
    Delivered,
)
from tests.support.cosign import KeyPair
from tests.support.registry import Registry, running_registry, write_docker_config


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("attested")


@pytest.fixture(scope="module")
def own_registry(storage: Path) -> Iterator[Registry]:
    """A registry of this module's own, since some tests change what it stores behind its back."""
    with running_registry(storage) as running:
        yield running


@pytest.fixture(scope="module")
def login(own_registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_docker_config(tmp_path_factory.mktemp("login"), own_registry)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> KeyPair:
    cosign.ensure_cosign()
    return cosign.make_key(tmp_path_factory.mktemp("key"))


@pytest.fixture(scope="module")
def foreign_key(tmp_path_factory: pytest.TempPathFactory) -> KeyPair:
    cosign.ensure_cosign()
    return cosign.make_key(tmp_path_factory.mktemp("foreign"))


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch, own_registry: Registry) -> None:
    monkeypatch.setenv("COSIGN_PASSWORD", cosign.PASSWORD)
    monkeypatch.setenv("REGISTRY_USERNAME", own_registry.username)
    monkeypatch.setenv("REGISTRY_PASSWORD", own_registry.password)


@pytest.fixture
def deliver(tmp_path: Path, own_registry: Registry) -> Deliver:
    def make(*, repositories: int = 1, platforms: tuple[str, ...] = ("linux/amd64",)) -> Delivered:
        return Delivered(
            tmp_path / uuid4().hex[:6], own_registry, repositories=repositories, platforms=platforms
        )

    return make


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / "rules.yaml").write_text(json.dumps({"rules": [*RULES[:2], ALLOWED]}))
    (folder / "strict.yaml").write_text(json.dumps({"rules": RULES}))
    return folder
