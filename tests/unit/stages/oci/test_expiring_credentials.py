from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
import requests

from pipeline.errors import RemoteError
from stages.oci.authentication import Authenticator, Credentials
from stages.oci.endpoint import Endpoint
from stages.oci.exchange import Request
from stages.oci.transport import Purpose, Transport
from tests.support.loopback import Answer, Received, Reply, Server, json_reply, refused, serving

PURPOSE = Purpose(doing="read x", repository="models/digits", scopes=frozenset(), expect=(200,))
OPAQUE = "a-token"
EXPIRED = "Your authorization token has expired. Reauthenticate and try again."


class PasswordRegistry:
    """A registry that takes one password at a time."""

    def __init__(self) -> None:
        self.password = "password-1"
        self.known = {"password-1"}

    def __call__(self, request: Received) -> Reply:
        given = request.headers.get("Authorization")
        if given is None:
            return refused(401, "UNAUTHORIZED", WWW_Authenticate='Basic realm="x"')
        if given == user(self.password).basic:
            return Reply(200)
        known = given in {user(each).basic for each in self.known}
        return refused(403, "DENIED", EXPIRED) if known else refused(401, "UNAUTHORIZED")


def user(password: str, lifetime_s: float | None = None) -> Credentials:
    ends = None if lifetime_s is None else datetime.now(UTC) + timedelta(seconds=lifetime_s)
    return Credentials(username="AWS", secret=password, origin="a test", expires_at=ends, advice="Log in.")


@contextmanager
def connected(registry: Answer, credentials: Callable[[], Credentials]) -> Iterator[tuple[Server, Transport]]:
    with serving(registry) as server:
        endpoint = Endpoint(host=server.address, api_host=server.address)
        transport = Transport(endpoint, credentials, lambda _: None)
        yield server, transport
        transport.close()


def get(transport: Transport, method: str = "GET") -> None:
    transport.send(Request(method=method, url="/v2/x"), PURPOSE)


def test_credentials_are_asked_for_anew_before_they_expire() -> None:
    registry, asked = PasswordRegistry(), [0]

    def find() -> Credentials:
        asked[0] += 1
        return user("password-1", lifetime_s=0.5)

    with connected(registry, find) as (server, transport):
        get(transport)
        get(transport)
        assert asked == [1]
        time.sleep(0.5)
        get(transport)
    assert asked == [2]
    refusals = [each for each in server.received if "Authorization" not in each.headers]
    assert len(refusals) == 1  # the first question of all; nobody was refused for being late


@pytest.mark.parametrize("lifetime_s", [None, -3600.0])
def test_credentials_without_an_end_or_with_one_in_the_past_are_used_until_they_are_refused(
    lifetime_s: float | None,
) -> None:
    asked = [0]

    def find() -> Credentials:
        asked[0] += 1
        return user("password-1", lifetime_s)

    with connected(PasswordRegistry(), find) as (_, transport):
        for _ in range(3):
            get(transport)
    assert asked == [1]


@pytest.mark.parametrize("method", ["GET", "HEAD"])  # the answer to a HEAD says nothing
def test_a_403_for_an_expired_token_is_answered_with_a_new_one(method: str) -> None:
    registry, passwords = PasswordRegistry(), iter(["password-1", "password-2"])
    with connected(registry, lambda: user(next(passwords))) as (_, transport):
        get(transport)
        registry.password = "password-2"
        get(transport, method)


def test_a_new_token_that_has_expired_as_well_is_an_error_and_no_loop() -> None:
    registry, asked = PasswordRegistry(), [0]

    def find() -> Credentials:
        asked[0] += 1
        return user("password-1")

    with connected(registry, find) as (server, transport):
        get(transport)
        registry.password = "nobody has it"
        with pytest.raises(RemoteError, match="token has expired") as caught:
            get(transport)
    assert caught.value.advice == "Log in. Then run again."
    assert (len(server.received), asked) == (3, [2])


def test_the_advice_of_the_credentials_is_given_when_they_are_refused() -> None:
    refused_password = pytest.raises(RemoteError, match="refused the password of user 'AWS'")
    with connected(PasswordRegistry(), lambda: user("wrong")) as (_, transport), refused_password as caught:
        get(transport)
    assert caught.value.advice == "It came from a test. Log in."


class TokenService:
    """A registry whose realm takes one password at a time, and gives tokens that end as they say."""

    def __init__(self, token: str = OPAQUE, **told: float) -> None:
        self.password = "password-1"
        self.token, self.told = token, told

    def __call__(self, request: Received) -> Reply:
        if request.path == "/token":
            if request.headers.get("Authorization") != user(self.password).basic:
                return json_reply(401, {})
            return json_reply(200, {"access_token": self.token, **self.told})
        if "Authorization" in request.headers:
            return Reply(200)
        realm = f'Bearer realm="http://{request.headers["Host"]}/token",service="s"'
        return refused(401, "UNAUTHORIZED", WWW_Authenticate=realm)


def test_a_password_that_ended_between_two_tokens_is_asked_for_anew() -> None:
    registry, passwords = TokenService(expires_in=1e-6), iter(["password-1", "password-2"])
    with connected(registry, lambda: user(next(passwords))) as (_, transport):
        get(transport)
        registry.password = "password-2"  # as an hour's token of a credential helper, which tells no end
        get(transport)


def test_a_password_that_the_realm_refuses_at_once_is_not_asked_for_twice() -> None:
    asked: list[int] = []

    def find() -> Credentials:
        asked.append(1)
        return user("wrong")

    with connected(TokenService(), find) as (_, transport), pytest.raises(RemoteError, match="refused"):
        get(transport)
    assert len(asked) == 1


@pytest.mark.parametrize(("lifetime_s", "tokens"), [(1e-6, 2), (4500.0, 1)])
def test_a_token_that_alone_says_when_it_ends_is_used_until_then(lifetime_s: float, tokens: int) -> None:
    claims = base64.urlsafe_b64encode(json.dumps({"iat": 0, "exp": lifetime_s}).encode()).decode()
    with connected(TokenService(f"e30.{claims}.x"), lambda: user("password-1")) as (server, transport):
        get(transport)
        get(transport)
    assert server.asked().count("GET /token") == tokens


def test_threads_that_are_refused_at_the_same_time_ask_for_one_login() -> None:
    asked: list[int] = []

    def find() -> Credentials:
        asked.append(1)
        return user("password-1")

    with serving(TokenService()) as server:
        endpoint = Endpoint(host=server.address, api_host=server.address)
        with requests.Session() as session:
            authenticator = Authenticator(endpoint, session, find, lambda _: None)
            realm = {"WWW-Authenticate": f'Bearer realm="{server.url}/token"'}
            for _ in range(3):  # refused before the first of them had another token
                authenticator.renewed(realm, frozenset(), "Bearer old")
            authenticator.header(frozenset({"repository:x:pull"}))
    assert len(asked) == 1


def test_the_source_of_a_login_is_not_asked_for_the_sake_of_an_error() -> None:
    def find() -> Credentials:
        raise AssertionError("nobody wants to know")

    open_to_all = connected(lambda request: Reply(200 if request.path == "/v2/" else 404), find)
    with open_to_all as (_, transport), pytest.raises(RemoteError, match="404 Not Found"):
        get(transport)


def test_a_thread_that_is_refused_while_another_asks_anew_knows_who_it_was() -> None:
    registry, known = PasswordRegistry(), []

    def find() -> Credentials:
        known.append(transport._authenticator.known)
        return user(registry.password)

    with connected(registry, find) as (_, transport):
        get(transport)
        registry.password = "password-2"
        get(transport)
    assert known == [None, user("password-1")]
