from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.errors import RemoteError
from stages.oci.authentication import Credentials
from stages.oci.endpoint import Endpoint
from stages.oci.exchange import Request
from stages.oci.transport import Purpose, Transport
from tests.support.loopback import Received, Reply, Server, refused, serving

PURPOSE = Purpose(doing="read x", repository="models/digits", scopes=frozenset(), expect=(200,))
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
def connected(
    registry: PasswordRegistry, credentials: Callable[[], Credentials]
) -> Iterator[tuple[Server, Transport]]:
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
