from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs

import pytest

from pipeline.errors import RemoteError, TemporaryRemoteError
from stages.oci.authentication import Challenge, Credentials, Scopes, environment_name, granted
from stages.oci.endpoint import Endpoint
from stages.oci.exchange import Request
from stages.oci.transport import Purpose, Transport
from tests.support.loopback import Received, Reply, Server, json_reply, refused, serving

PASSWORD = "correct horse"
USER = Credentials(username="ci", secret=PASSWORD, origin="a test")
PUSH: Scopes = frozenset({"repository:team/model:pull,push"})
MOUNT: Scopes = PUSH | {"repository:team/base:pull"}


@dataclass(slots=True)
class TokenRegistry:
    """A registry whose tokens come from a realm of its own, and are good for as many requests as we say."""

    uses: int = 1000
    lifetime_s: float = 300
    realm_reply: Reply | None = None
    left: dict[str, int] = field(default_factory=dict)

    def __call__(self, request: Received) -> Reply | None:
        if request.path == "/token":
            return self.realm_reply or self._issue(request)
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.left.get(token, 0) > 0:
            self.left[token] -= 1
            return Reply(200)
        realm = f"http://{request.headers['Host']}/token"
        return refused(
            401,
            "UNAUTHORIZED",
            WWW_Authenticate=f'Bearer realm="{realm}",service="registry",scope="other:x:y"',
        )

    def _issue(self, request: Received) -> Reply:
        if request.method == "GET" and request.headers.get("Authorization") != USER.basic:
            return json_reply(401, {"details": "incorrect username or password"})
        token = f"token-{len(self.left)}"
        self.left[token] = self.uses
        return json_reply(200, {"token": token, "expires_in": self.lifetime_s})


@contextmanager
def connected(
    registry: TokenRegistry, credentials: Credentials | None = USER
) -> Iterator[tuple[Server, Transport, list[str]]]:
    secrets: list[str] = []
    with serving(registry) as server:
        endpoint = Endpoint(host=server.address, api_host=server.address)
        transport = Transport(endpoint, lambda: credentials, secrets.append)
        yield server, transport, secrets
        transport.close()


def get(transport: Transport, scopes: Scopes = PUSH) -> None:
    purpose = Purpose(doing="read x", repository="team/model", scopes=scopes, expect=(200,))
    transport.send(Request(method="GET", url="/v2/x"), purpose)


def tokens(server: Server) -> list[Received]:
    return [request for request in server.received if request.path == "/token"]


@pytest.mark.parametrize(
    ("header", "challenge"),
    [
        ('Basic realm="x"', Challenge("basic", "x")),
        ('basic realm="x", charset="UTF-8"', Challenge("basic", "x")),
        ('Bearer realm="https://a/token",service="s"', Challenge("bearer", "https://a/token", "s")),
        (
            'Bearer realm="https://a/token?x=1,2", service="s"',
            Challenge("bearer", "https://a/token?x=1,2", "s"),
        ),
        ('Basic realm="x", Bearer realm="https://a"', Challenge("bearer", "https://a")),
        ('Negotiate, Basic realm="x"', Challenge("basic", "x")),
        ("Negotiate", None),
        ("", None),
    ],
)
def test_a_challenge_is_read(header: str, challenge: Challenge | None) -> None:
    assert Challenge.parse({"WWW-Authenticate": header}) == challenge


def test_one_token_serves_all_requests_of_the_same_scopes() -> None:
    with connected(TokenRegistry()) as (server, transport, secrets):
        for scopes in (PUSH, PUSH, MOUNT, PUSH, MOUNT):
            get(transport, scopes)
        asked = tokens(server)
    assert [sorted(v for n, v in request.query if n == "scope") for request in asked] == [
        sorted(PUSH),
        sorted(MOUNT),
    ]
    assert asked[0].asked("service") == "registry"
    assert {PASSWORD, "token-0", "token-1"} <= set(secrets)


def test_an_expired_token_is_not_used() -> None:
    with connected(TokenRegistry(lifetime_s=1e-6)) as (server, transport, _):
        get(transport)
        get(transport)
        assert len(tokens(server)) == 2
        assert server.asked().count("GET /v2/x") == 2  # no request was wasted on it


def test_a_token_that_the_registry_no_longer_takes_is_renewed_once() -> None:
    with connected(TokenRegistry(uses=1)) as (server, transport, _):
        get(transport)
        get(transport)
        assert len(tokens(server)) == 2
        assert server.asked().count("GET /v2/x") == 3


def test_a_registry_that_takes_no_token_is_not_asked_for_ever() -> None:
    with connected(TokenRegistry(uses=0)) as (server, transport, _):
        with pytest.raises(RemoteError, match="UNAUTHORIZED") as caught:
            get(transport)
        assert server.asked().count("GET /v2/x") == 2
    assert "User 'ci' (from a test) needs the right to push" in caught.value.advice


def test_an_identity_token_is_exchanged_in_the_body_of_a_post() -> None:
    identity = Credentials(username="<token>", secret="refresh-me", origin="a test", identity_token=True)
    with connected(TokenRegistry(), identity) as (server, transport, _):
        get(transport, MOUNT)
        (asked,) = tokens(server)
    form = parse_qs(asked.body.decode())
    assert (asked.method, asked.query, asked.headers.get("Authorization")) == ("POST", (), None)
    assert form["grant_type"] == ["refresh_token"]
    assert form["refresh_token"] == ["refresh-me"]
    assert form["scope"] == [" ".join(sorted(MOUNT))]


def test_an_identity_token_that_has_a_successor_is_not_used_again() -> None:
    sent: list[str] = []

    def issue(request: Received) -> Reply | None:
        if request.path == "/token":
            sent.append(parse_qs(request.body.decode())["refresh_token"][0])
            token = {"access_token": "x", "expires_in": 1e-6, "refresh_token": f"next-{len(sent)}"}
            return json_reply(200, token)
        realm = f'Bearer realm="http://{request.headers["Host"]}/token",service="s"'
        return Reply(200) if "Authorization" in request.headers else Reply(401, {"WWW-Authenticate": realm})

    identity = Credentials(username="<token>", secret="refresh-me", origin="a test", identity_token=True)
    with serving(issue) as server:
        endpoint, secrets = Endpoint(host=server.address, api_host=server.address), list[str]()
        transport = Transport(endpoint, lambda: identity, secrets.append)
        for _ in range(3):
            get(transport)
        transport.close()
    assert sent == ["refresh-me", "next-1", "next-2"]
    assert set(sent) <= set(secrets)


def test_a_wrong_password_is_named_by_its_origin_and_never_shown() -> None:
    wrong = Credentials(username="ci", secret="wrong password", origin="/home/ci/.docker/config.json")
    with connected(TokenRegistry(), wrong) as (server, transport, _):
        with pytest.raises(RemoteError) as caught:
            get(transport)
        host = server.address
    assert caught.value.message == f"{host}: the registry refused the password of user 'ci'"
    assert "/home/ci/.docker/config.json" in caught.value.advice
    assert f"docker login {host}" in caught.value.advice
    assert "wrong password" not in repr(caught.value) + caught.value.advice + repr(wrong)


def test_nobody_asks_for_an_anonymous_token_and_is_told_to_log_in() -> None:
    with connected(TokenRegistry(), None) as (server, transport, _):
        with pytest.raises(RemoteError, match="asks for a login and there is none"):
            get(transport)
        assert "Authorization" not in tokens(server)[0].headers


def test_a_token_service_that_is_overloaded_is_temporary() -> None:
    registry = TokenRegistry(realm_reply=Reply(429, {"Retry-After": "7"}))
    with (
        connected(registry) as (_, transport, _),
        pytest.raises(TemporaryRemoteError, match="429 Too Many Requests") as caught,
    ):
        get(transport)
    assert caught.value.retry_after_s == 7


def test_a_token_service_without_a_token_is_refused() -> None:
    registry = TokenRegistry(realm_reply=json_reply(200, {"hello": "world"}))
    with connected(registry) as (_, transport, _), pytest.raises(RemoteError, match="without a token"):
        get(transport)


def test_a_password_is_not_sent_to_a_realm_without_encryption() -> None:
    def answer(_: Received) -> Reply | None:
        return Reply(401, {"WWW-Authenticate": 'Bearer realm="http://auth.example.com/token"'})

    with serving(answer) as server:
        endpoint = Endpoint(host=server.address, api_host=server.address)
        transport = Transport(endpoint, lambda: USER, lambda _: None)
        with pytest.raises(RemoteError, match="not encrypted"):
            get(transport)
        transport.close()


def token_with(access: object) -> str:
    payload = base64.urlsafe_b64encode(json.dumps({"access": access}).encode()).decode().rstrip("=")
    return f"Bearer e30.{payload}.signature"


@pytest.mark.parametrize(
    ("header", "actions"),
    [
        (
            token_with([{"type": "repository", "name": "team/model", "actions": ["pull", "push"]}]),
            {"pull", "push"},
        ),
        (token_with([{"type": "repository", "name": "team/other", "actions": ["push"]}]), set()),
        (token_with([]), set()),
        (token_with("nonsense"), None),
        ("Bearer opaque", None),
        (USER.basic, None),
        (None, None),
    ],
)
def test_a_token_tells_what_it_grants(header: str | None, actions: set[str] | None) -> None:
    assert granted(header, "team/model") == actions


def test_hosts_become_names_of_environment_variables() -> None:
    assert environment_name("registry.example-1.com:5000") == "REGISTRY_EXAMPLE_1_COM_5000"
