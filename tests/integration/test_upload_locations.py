"""Where a registry says that an upload goes on: elsewhere, in every form that it may have, or nowhere."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest

from pipeline.errors import RemoteError
from stages.oci.uploads import UploadStrategy
from tests.support.fault_proxy import FaultProxy, fault_proxy
from tests.support.faults import Fault, Seen
from tests.support.pushes import (
    CHUNK,
    CHUNKED,
    CONTENT,
    DIGEST,
    STRATEGIES,
    always,
    blob,
    body,
    connected,
    once,
    stored,
)
from tests.support.registry import Registry


def opens(seen: Seen) -> bool:
    return seen.method == "POST"


def every_upload(seen: Seen) -> bool:
    return "/blobs/uploads/" in seen.path


FORMS: dict[str, Callable[[str, int], str]] = {
    "without a host": lambda path, _: path,
    "whole": lambda path, port: f"http://127.0.0.1:{port}{path}",
    "without a scheme": lambda path, port: f"//127.0.0.1:{port}{path}",
    "relative": lambda path, _: f"../../blobs/uploads/{path.rpartition('/')[2]}",
}


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES.keys())
@pytest.mark.parametrize("form", FORMS)
def test_a_location_may_be_written_in_every_way(
    registry: Registry, strategy: UploadStrategy, form: str
) -> None:
    with connected(registry, strategy) as (proxy, client):
        move = Fault("move", location=lambda path: FORMS[form](path, proxy.port))
        proxy.plan = always(opens if form == "relative" else every_upload, move)
        assert client.push_blob(blob()).sent_bytes == len(CONTENT)
        assert stored(registry, client) == DIGEST


def logged_in(registry: Registry) -> dict[str, str]:
    """Return the header by which a store lets in who comes with a signed address, instead of a password."""
    basic = base64.b64encode(f"{registry.username}:{registry.password}".encode()).decode()
    return {"Authorization": f"Basic {basic}"}


def secrets_told(store: FaultProxy) -> list[str]:
    """Return what a store was told that is none of its business."""
    names = {"authorization", "cookie", "proxy-authorization"}
    return [name for seen in store.seen for name in seen.headers if name.lower() in names]


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES.keys())
def test_another_host_gets_the_bytes_and_no_password(registry: Registry, strategy: UploadStrategy) -> None:
    with (
        fault_proxy(registry.port, adds=logged_in(registry)) as store,
        connected(registry, strategy) as (proxy, client),
    ):
        move = Fault("move", location=lambda path: f"http://127.0.0.1:{store.port}{path}")
        proxy.plan = always(opens, move)
        assert client.push_blob(blob()).sent_bytes == len(CONTENT)
        assert stored(registry, client) == DIGEST
        assert (proxy.body_bytes(), store.body_bytes()) == (0, len(CONTENT))
        assert not secrets_told(store)


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES.keys())
def test_a_redirect_of_the_bytes_is_followed_without_a_password(
    registry: Registry, strategy: UploadStrategy
) -> None:
    with (
        fault_proxy(registry.port, adds=logged_in(registry)) as store,
        connected(registry, strategy) as (proxy, client),
    ):

        def plan(seen: Seen) -> Fault | None:
            there = f"http://127.0.0.1:{store.port}{seen.path}"
            return Fault("answer", status=307, headers={"Location": there}) if body(seen) else None

        proxy.plan = plan
        pushed = client.push_blob(blob())
        assert stored(registry, client) == DIGEST
        assert store.body_bytes() == len(CONTENT)
        assert not secrets_told(store)
        if strategy is CHUNKED:  # the next chunk goes where the last one went
            assert pushed.sent_bytes <= len(CONTENT) + CHUNK


def test_an_upload_that_breaks_on_another_host_goes_on_there(registry: Registry) -> None:
    with (
        fault_proxy(registry.port, adds=logged_in(registry), buffered=True) as store,
        connected(registry) as (proxy, client),
    ):
        proxy.plan = always(
            opens, Fault("move", location=lambda path: f"http://127.0.0.1:{store.port}{path}")
        )
        store.plan = once(lambda seen: seen.length == CHUNK, Fault("cut", 1000))
        assert client.push_blob(blob()).sent_bytes <= len(CONTENT) + CHUNK
        assert len(proxy.of("POST")) == 1
        assert stored(registry, client) == DIGEST
        assert not secrets_told(store)


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES.keys())
@pytest.mark.parametrize(
    "location",
    ["http://[", "//[::1", "http://127.0.0.1:99999/x", "ftp://127.0.0.1/x", "http://store.example.com/x"],
)
def test_nowhere_is_a_clear_error(registry: Registry, strategy: UploadStrategy, location: str) -> None:
    with connected(registry, strategy) as (proxy, client):
        proxy.plan = always(every_upload, Fault("move", location=lambda _: location))
        with pytest.raises(RemoteError) as caught:
            client.push_blob(blob())
        assert caught.value.advice
        assert proxy.body_bytes() == 0
        assert stored(registry, client) is None
