"""Pushes to the distribution registry that takes nothing but short-lived, scoped tokens."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from pipeline.errors import RemoteError
from pipeline.model import Descriptor
from pipeline.reference import Digest, Repository
from stages.oci.authentication import Credentials
from stages.oci.blob_stream import Blob
from stages.oci.chunked import Chunked
from stages.oci.distribution import RepositoryClient
from stages.oci.endpoint import Endpoint
from stages.oci.retries import Retries
from stages.oci.transport import Transport
from stages.oci.uploads import Monolithic, UploadStrategy
from stages.registries.credentials import find
from tests.support.fault_proxy import FaultProxy, fault_proxy
from tests.support.faults import Fault, Seen
from tests.support.token_server import (
    IDENTITY,
    PASSWORD,
    SERVICE,
    USERNAME,
    Scope,
    TokenServer,
    running_token_registry,
)

CHUNK = 1 << 20
CONTENT = hashlib.shake_256(b"tokens").digest(6 * CHUNK + 12345)
DIGEST = Digest.of(CONTENT)
SLOW = Fault("slow", wait_s=0.04)  # before each of 16 pieces of a chunk: most of a second for a chunk
USER = Credentials(username=USERNAME, secret=PASSWORD, origin="a test")
WEIGHTS: Scope = ("team/weights", frozenset({"pull", "push"}))


def blob(content: bytes = CONTENT) -> Blob:
    descriptor = Descriptor(media_type="x", digest=Digest.of(content), size_bytes=len(content))
    return Blob(
        descriptor=descriptor,
        read=lambda offset: (content[i : i + 65536] for i in range(offset, len(content), 65536)),
    )


@contextmanager
def connected(
    folder: Path,
    tokens: TokenServer,
    *,
    strategy: UploadStrategy | None = None,
    credentials: Credentials | None = USER,
) -> Iterator[tuple[FaultProxy, RepositoryClient]]:
    with running_token_registry(folder, tokens) as registry, fault_proxy(registry.port) as proxy:
        host = f"127.0.0.1:{proxy.port}"
        transport = Transport(Endpoint(host=host, api_host=host), lambda: credentials, lambda _: None)
        yield (
            proxy,
            RepositoryClient(
                repository=Repository(f"{host}/{WEIGHTS[0]}"),
                transport=transport,
                uploads=strategy or Chunked(CHUNK),
                retries=Retries(first_wait_s=0.05),
            ),
        )
        transport.close()


def stored(proxy: FaultProxy, tokens: TokenServer, repository: str = WEIGHTS[0]) -> str:
    """Return the digest of the blob as the registry gives it to somebody else."""
    url = f"http://127.0.0.1:{proxy.upstream_port}"
    realm = requests.get(f"{url}/v2/", timeout=9).headers["WWW-Authenticate"].split('"')[1]
    query = {"service": SERVICE, "scope": f"repository:{repository}:pull"}
    token = requests.get(realm, query, auth=(USERNAME, PASSWORD), timeout=9).json()["token"]
    tokens.asked.pop()  # ours
    answer = requests.get(
        f"{url}/v2/{repository}/blobs/{DIGEST}", headers={"Authorization": f"Bearer {token}"}, timeout=60
    )
    answer.raise_for_status()
    return Digest.of(answer.content)


def bearers(proxy: FaultProxy) -> list[str]:
    """Return the tokens that were used, each once, in their order."""
    used = [seen.headers["Authorization"] for seen in proxy.seen if "Authorization" in seen.headers]
    return list(dict.fromkeys(used))


def statuses(proxy: FaultProxy) -> list[tuple[str, int | None]]:
    return [(seen.method, seen.status) for seen in proxy.seen if seen.path != "/v2/"]


def test_tokens_are_renewed_before_they_end(tmp_path: Path) -> None:
    """The upload takes several times as long as a token lives."""
    tokens = TokenServer(lifetime_s=2)
    with connected(tmp_path, tokens) as (proxy, client):
        proxy.plan = lambda seen: SLOW if seen.length else None
        pushed = client.push_blob(blob())
        assert len(bearers(proxy)) >= 3
        assert pushed.sent_bytes == proxy.body_bytes() == len(CONTENT)
        assert not [status for _, status in statuses(proxy) if status == 401]
        assert set(tokens.asked) == {frozenset({WEIGHTS})}
        assert stored(proxy, tokens) == DIGEST


@pytest.mark.parametrize("strategy", [Chunked(CHUNK), Monolithic()], ids=["chunked", "monolithic"])
def test_tokens_that_end_sooner_than_was_said_are_renewed_when_they_are_refused(
    tmp_path: Path, strategy: UploadStrategy
) -> None:
    tokens = TokenServer(lifetime_s=2, told_lifetime_s=3600)
    with connected(tmp_path, tokens, strategy=strategy) as (proxy, client):
        proxy.plan = lambda seen: SLOW if seen.length else None
        pushed = client.push_blob(blob())
        client.push_blob(blob(b"a small one"))  # comes after a token has ended, whatever the way of the first
        refusals = statuses(proxy).count(("PATCH", 401))
        assert len(bearers(proxy)) >= 2
        assert 401 in [status for _, status in statuses(proxy)]
        assert len(CONTENT) <= pushed.sent_bytes <= len(CONTENT) + refusals * CHUNK
        assert stored(proxy, tokens) == DIGEST


@pytest.mark.parametrize("number", [0, 3, 6])
def test_a_401_in_the_middle_costs_one_chunk_and_no_more(tmp_path: Path, number: int) -> None:
    """The registry takes back a token that had time left."""
    tokens = TokenServer()
    with connected(tmp_path, tokens) as (proxy, client):
        realm = requests.get(f"http://127.0.0.1:{proxy.upstream_port}/v2/", timeout=9)
        refusal = Fault("answer", status=401, headers={"WWW-Authenticate": realm.headers["WWW-Authenticate"]})
        left = [refusal]

        def plan(seen: Seen) -> Fault | None:
            begins = seen.headers.get("Content-Range", "").startswith(f"{number * CHUNK}-")
            return left.pop() if left and begins else None

        proxy.plan = plan
        pushed = client.push_blob(blob())
        assert not left
        assert len(bearers(proxy)) == 2
        assert len(proxy.of("POST")) == 1
        assert proxy.body_bytes() == len(CONTENT)
        assert pushed.sent_bytes <= len(CONTENT) + CHUNK
        assert stored(proxy, tokens) == DIGEST


def test_a_mount_asks_for_the_right_to_pull_from_its_source(tmp_path: Path) -> None:
    tokens = TokenServer()
    with connected(tmp_path, tokens) as (proxy, client):
        client.push_blob(blob())
        target = replace(client, repository=Repository(f"{client.repository.host}/team/other"))
        assert target.push_blob(blob(), mount_from=[client.repository]).how == "mounted"
        other: Scope = ("team/other", frozenset({"pull", "push"}))
        source: Scope = ("team/weights", frozenset({"pull"}))
        assert set(tokens.asked) == {
            frozenset({WEIGHTS}),
            frozenset({other}),
            frozenset({other, source}),
        }
        assert proxy.body_bytes() == len(CONTENT)
        assert stored(proxy, tokens, "team/other") == DIGEST


def test_who_may_not_pull_the_source_uploads(tmp_path: Path) -> None:
    tokens = TokenServer()
    with connected(tmp_path, tokens) as (proxy, client):
        client.push_blob(blob())
        tokens.allows = lambda repository, _: repository == "team/other"
        target = replace(client, repository=Repository(f"{client.repository.host}/team/other"))
        pushed = target.push_blob(blob(), mount_from=[client.repository])
        assert (pushed.how, pushed.sent_bytes) == ("uploaded", len(CONTENT))
        assert stored(proxy, tokens, "team/other") == DIGEST


def test_who_may_only_pull_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    tokens = TokenServer(allows=lambda _, action: action == "pull")
    with connected(tmp_path, tokens) as (proxy, client):
        with pytest.raises(RemoteError, match=f"user '{USERNAME}' may not push to team/weights"):
            client.log_in()
        with pytest.raises(RemoteError, match="cannot begin the upload"):
            client.push_blob(blob())
        assert proxy.body_bytes() == 0


@pytest.mark.parametrize("rotates", [False, True], ids=["kept", "rotated"])
def test_an_identity_token_of_dockers_configuration_is_exchanged_as_often_as_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rotates: bool
) -> None:
    tokens = TokenServer(lifetime_s=2, rotates=rotates)
    with connected(tmp_path / "registry", tokens) as (proxy, client):
        host = client.repository.host
        nobody = base64.b64encode(b"00000000-0000-0000-0000-000000000000:").decode()
        entry = {"auth": nobody, "identitytoken": IDENTITY}
        (tmp_path / "config.json").write_text(json.dumps({"auths": {host: entry}}))
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
        secrets: list[str] = []
        transport = Transport(Endpoint(host=host, api_host=host), lambda: find(host), secrets.append)
        ours = replace(client, transport=transport)
        proxy.plan = lambda seen: SLOW if seen.length else None
        ours.log_in()
        ours.push_blob(blob())
        transport.close()
        assert tokens.posts == len(tokens.asked) >= 3
        assert len(bearers(proxy)) >= 3
        assert {IDENTITY, tokens.identity} <= set(secrets)
        assert stored(proxy, tokens) == DIGEST
