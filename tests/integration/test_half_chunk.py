"""An upload that goes on inside a chunk, in a registry that keeps half chunks and tells how much it has.

Distribution 2.8 keeps them, and refuses to go on: what a client has to show, `_state`, names another length
than it finds. Distribution 3 gives out a fresh one with the length that is there. Here a front does that,
with the registry's key; the bytes are kept, joined and compared with the digest by the registry itself.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest
import yaml

from pipeline.errors import TemporaryRemoteError
from stages.oci.retries import Retries
from stages.oci.sessions import Sessions
from tests.support.faults import Fault, Plan, Seen
from tests.support.pushes import CHUNK, CONTENT, DIGEST, always, blob, chunk, connected, once, stored
from tests.support.registry import Registry, running_registry

PIECES = 6
SETTLED_S = 0.2  # in which the registry notices a cut and writes what it has


@dataclass(frozen=True, slots=True)
class Front:
    """Answers in the registry's place how far an upload is."""

    folder: Path

    def plan(self, fault: Plan) -> Plan:
        """Return a plan that answers the question, and breaks other requests as another plan says."""

        def plan(seen: Seen) -> Fault | None:
            asks = seen.method == "GET" and "/blobs/uploads/" in seen.path
            return self._answer(seen) if asks else fault(seen)

        return plan

    def _answer(self, seen: Seen) -> Fault:
        time.sleep(SETTLED_S)
        path = urlsplit(seen.path).path
        name, _, upload = path.removeprefix("/v2/").partition("/blobs/uploads/")
        repositories = self.folder / "storage/docker/registry/v2/repositories"
        size_bytes = (repositories / name / "_uploads" / upload / "data").stat().st_size
        state = parse_qs(urlsplit(seen.path).query)["_state"][0]
        location = f"{path}?_state={quote(self._signed(state, size_bytes))}"
        return Fault("answer", status=204, headers={"Location": location, "Range": f"0-{size_bytes - 1}"})

    def _signed(self, state: str, size_bytes: int) -> str:
        key = yaml.safe_load((self.folder / "registry.yml").read_text())["http"]["secret"].encode()
        fields = json.loads(base64.urlsafe_b64decode(state)[hashlib.sha256().digest_size :])
        content = json.dumps({**fields, "Offset": size_bytes}).encode()
        return base64.urlsafe_b64encode(hmac.digest(key, content, "sha256") + content).decode()


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Front, Registry]]:
    folder = tmp_path_factory.mktemp("registry")
    with running_registry(folder) as registry:
        yield Front(folder), registry


@pytest.mark.parametrize("seed", range(6))
def test_a_cut_costs_what_was_under_way(front: tuple[Front, Registry], seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - chooses bytes, guards nothing
    number, byte = chance.randrange(PIECES), chance.randrange(1, CHUNK)
    answers, registry = front
    with connected(registry) as (proxy, client):
        proxy.plan = answers.plan(once(chunk(number), Fault("cut", byte)))
        pushed = client.push_blob(blob())
        assert len(proxy.of("POST")) == 1
        assert proxy.body_bytes() == len(CONTENT)  # of all that reached the registry, nothing came twice
        assert len(CONTENT) <= pushed.sent_bytes < len(CONTENT) + CHUNK
        assert stored(registry, client) == DIGEST


@pytest.mark.parametrize("fault", ["lose", "clip", "truncate"])
def test_a_lost_answer_costs_nothing(front: tuple[Front, Registry], fault: str) -> None:
    answers, registry = front
    with connected(registry) as (proxy, client):
        lost = {"lose": Fault("lose"), "clip": Fault("clip", 150), "truncate": Fault("truncate")}[fault]
        proxy.plan = answers.plan(once(chunk(3), lost))
        assert client.push_blob(blob()).sent_bytes == proxy.body_bytes() == len(CONTENT)
        assert len(proxy.of("POST")) == 1
        assert stored(registry, client) == DIGEST


def test_the_next_run_goes_on_inside_the_chunk(front: tuple[Front, Registry], tmp_path: Path) -> None:
    answers, registry = front
    once_only = Retries(attempts=1)
    with connected(registry, sessions=Sessions(tmp_path), retries=once_only) as (proxy, client):
        proxy.plan = answers.plan(always(chunk(4), Fault("cut", 700_000)))
        with pytest.raises(TemporaryRemoteError):
            client.push_blob(blob())
        proxy.plan = answers.plan(lambda _: None)
        assert client.push_blob(blob()).sent_bytes == len(CONTENT) - 4 * CHUNK - 700_000
        assert proxy.body_bytes() == len(CONTENT)
        assert stored(registry, client) == DIGEST
