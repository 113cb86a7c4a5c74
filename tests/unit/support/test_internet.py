"""The internet that the clouds are played on: names, trust, rules, forwarding."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.support.clouds.front import Asked, Upstream
from tests.support.clouds.internet import Internet, running_internet
from tests.support.loopback import Received, Reply, Server, refused, serving

HOST = "team.registry.example"


@pytest.fixture
def internet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Internet]:
    with running_internet(tmp_path) as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def behind() -> Iterator[Server]:
    def echo(request: Received) -> Reply:
        return Reply(200, {"X-Server": "behind"}, request.body) if request.body else Reply(200)

    with serving(echo) as server:
        yield server


def upstream(server: Server, authorization: str | None = None) -> Upstream:
    return Upstream(int(server.address.rpartition(":")[2]), authorization)


def forward(_: Asked) -> None:
    return None


def test_a_request_to_a_real_name_reaches_the_server_behind(internet: Internet, behind: Server) -> None:
    front = internet.serve(("*.registry.example",), forward, upstream=upstream(behind, "Basic ours"))
    body = bytes(range(256)) * 4000
    headers = {"Authorization": "Basic theirs", "X-Other": "kept"}
    answer = requests.put(f"https://{HOST}/v2/x?digest=a%3Ab", data=body, headers=headers, timeout=10)
    assert (answer.status_code, answer.content, answer.headers["X-Server"]) == (200, body, "behind")
    (received,) = behind.received
    assert (received.path, received.asked("digest")) == ("/v2/x", "a:b")
    assert (received.headers["Authorization"], received.headers["X-Other"]) == ("Basic ours", "kept")
    assert received.headers["Host"] == HOST
    (asked,) = front.of("PUT", "/x")
    assert (asked.host, asked.status, asked.body_bytes) == (HOST, 200, len(body))
    assert internet.proxy.connected == [HOST]


def test_rules_answer_in_its_place_or_change_what_it_says(internet: Internet, behind: Server) -> None:
    def rules(asked: Asked) -> Reply | None:
        if asked.path == "/no":
            return refused(403, "DENIED")
        said = asked.forward()
        return Reply(201, {**said.headers, "X-Changed": "yes"}, asked.read() + said.body)

    internet.serve((HOST,), rules, upstream=upstream(behind))
    with requests.Session() as session:
        assert session.post(f"https://{HOST}/no", data=b"x" * 100_000, timeout=10).status_code == 403
        changed = session.post(f"https://{HOST}/yes", data=b"x", timeout=10)
    assert (changed.status_code, changed.content, changed.headers["X-Changed"]) == (201, b"xx", "yes")
    assert [str(each) for each in behind.received] == ["POST /yes"]


def test_nobody_else_can_be_reached(internet: Internet) -> None:
    with pytest.raises(requests.exceptions.ProxyError):
        requests.get("https://elsewhere.example/", timeout=10)
    assert internet.proxy.refused == ["elsewhere.example"]


def test_the_most_exact_name_wins(internet: Internet) -> None:
    internet.route("*.example", 1)
    internet.route("*.registry.example", 2)
    internet.route(HOST, 3)
    ports = [internet.proxy.port_of(name) for name in ("a.example", "a.registry.example", HOST, "a.test")]
    assert ports == [1, 2, 3, None]


def test_who_does_not_trust_the_authority_finds_no_server(
    internet: Internet, monkeypatch: pytest.MonkeyPatch
) -> None:
    internet.serve((HOST,), forward)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name)
    with pytest.raises(requests.exceptions.SSLError, match="certificate"):
        requests.get(f"https://{HOST}/", timeout=10)
