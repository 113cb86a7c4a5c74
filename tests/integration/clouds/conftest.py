"""The clouds that the tests in this folder run against: one internet for the session, and a client of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.clouds.crane import Crane, make_crane
from tests.support.clouds.ecr import Amazon, running_ecr
from tests.support.clouds.internet import Internet, running_internet


@pytest.fixture(scope="session")
def internet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Internet]:
    """Real host names, answered on this machine and by nobody else."""
    with running_internet(tmp_path_factory.mktemp("internet")) as running:
        yield running


@pytest.fixture
def online(internet: Internet, monkeypatch: pytest.MonkeyPatch) -> Internet:
    """The internet as this process's own: proxy and certificate authority are set in its environment."""
    for name, value in internet.environment.items():
        monkeypatch.setenv(name, value)
    return internet


@pytest.fixture
def crane(internet: Internet, tmp_path: Path) -> Crane:
    """A registry client that is not ours, on the same internet and without a login."""
    return make_crane(tmp_path / "crane", internet.environment)


@pytest.fixture(scope="session")
def amazon(internet: Internet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Amazon]:
    """Amazon ECR with IAM and STS, for the whole session: a test makes repositories of its own."""
    with running_ecr(internet, tmp_path_factory.mktemp("amazon")) as running:
        yield running
