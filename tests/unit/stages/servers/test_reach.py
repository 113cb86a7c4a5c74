"""Which way leads to a server in an engine, by the engine's address and by where we are ourselves."""

import socket
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from pipeline.errors import ToolMissing
from pipeline.model import Problem
from stages.servers.engine import EngineFacts
from stages.servers.job_container import JobContainer
from stages.servers.reach import Reach, check_reach, find_reach, refuse_public


def facts(host: str) -> EngineFacts:
    return EngineFacts(version="28.5.2", platform="linux/amd64", cpus=4, host=host, name="machine")


@pytest.fixture
def engine() -> Iterator[str]:
    """An engine's port, at an address that is not the loopback's own."""
    with socket.create_server(("127.0.0.2", 0)) as listening:
        yield f"tcp://127.0.0.2:{listening.getsockname()[1]}"


@pytest.mark.parametrize(
    "host",
    [
        "unix:///var/run/docker.sock",
        "npipe:////./pipe/docker_engine",
        "tcp://127.0.0.1:2375",
        "tcp://localhost",
    ],
)
def test_an_engine_of_this_machine_is_reached_by_loopback(host: str, tmp_path: Path) -> None:
    reach = find_reach(facts(host), tmp_path)
    assert (reach.kind, reach.address) == ("loopback", "127.0.0.1")
    assert reach.seen(tmp_path) == tmp_path
    assert check_reach(facts(host), host_network=True, root=tmp_path).found == "28.5.2 (linux/amd64)"


def test_an_engine_elsewhere_is_reached_by_the_address_that_answers(engine: str, tmp_path: Path) -> None:
    reach = find_reach(facts(engine), tmp_path)
    assert (reach.kind, reach.address) == ("engine", "127.0.0.2")
    assert reach.seen(tmp_path) is None
    check = check_reach(facts(engine), host_network=False, root=tmp_path)
    assert check.passed
    assert check.found.endswith("reached by the engine's address 127.0.0.2")


def test_the_network_of_the_host_is_for_an_engine_of_this_machine(engine: str, tmp_path: Path) -> None:
    check = check_reach(facts(engine), host_network=True, root=tmp_path)
    assert check.problem is Problem.CONFIGURATION
    assert check.advice == "Set `benchmark.network: publish`."


@pytest.mark.parametrize(
    ("host", "words"),
    [("ssh://builder.example.com", "through ssh"), ("tcp://127.0.0.2:1", "does not answer: .*refused")],
)
def test_an_engine_that_cannot_be_reached_is_named(host: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ToolMissing, match=words) as raised:
        find_reach(facts(host), tmp_path)
    assert raised.value.advice
    assert check_reach(facts(host), host_network=False, root=tmp_path).problem is Problem.TOOL


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111"])
def test_a_server_is_not_opened_to_everybody(address: str) -> None:
    with pytest.raises(ToolMissing, match="everybody could reach"):
        refuse_public(address, "tcp://engine.example.com:2376")


@pytest.mark.parametrize("address", ["172.17.0.3", "10.1.2.3", "100.64.0.9", "fd00::2"])
def test_a_private_address_will_do(address: str) -> None:
    assert refuse_public(address, "tcp://docker:2376") == address


def test_a_job_in_a_container_of_the_engine_shares_a_network_with_the_server(tmp_path: Path) -> None:
    mounts = {PurePosixPath(tmp_path): PurePosixPath("/srv/builds")}
    reach = Reach(address=None, job=JobContainer("1" * 64, "bridge", mounts))
    assert reach.kind == "network"
    assert str(reach) == "a network with this job's container"
    assert reach.seen(tmp_path / "model") == Path("/srv/builds/model")
    assert reach.seen(Path("/nowhere")) is None
