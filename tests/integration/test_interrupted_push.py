"""Pushes that break, against the distribution registry behind a proxy that breaks them.

What a break costs depends on who notices it. Where a proxy takes each request whole before it passes it on,
as nginx does by default, the registry never sees half a chunk, and the upload goes on. Distribution 2.8 by
itself keeps the half chunk but lets no one continue behind it (3.0 does): there the blob begins anew.
"""

from __future__ import annotations

import email.utils
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from pipeline.errors import RemoteError, TemporaryRemoteError
from pipeline.reference import Digest
from stages.oci.chunked import CHUNK_BYTES
from stages.oci.retries import Retries
from stages.oci.sessions import Sessions
from stages.oci.uploads import UploadStrategy
from tests.support import registry as registries
from tests.support.fault_proxy import fault_proxy
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
    chunk,
    connected,
    last_request,
    once,
    stored,
)
from tests.support.registry import Registry
from tests.support.small_image import make_image

NUMBERS = (0, 3, 6)

_CHANCE = random.Random(os.environ.get("PYTEST_XDIST_TESTRUNUID"))  # noqa: S311 - chooses faults, guards nothing
SEED = int(os.environ.get("FAULT_SEED", _CHANCE.randrange(1 << 32)))
"""Another one in every run, the same in all its processes; a failing test has it in its name."""

FAULTS = {
    "429": Fault("answer", status=429, headers={"Retry-After": "0"}),
    "500": Fault("answer", status=500),
    "502": Fault("answer", status=502, body=b"<html>Bad Gateway</html>"),
    "503": Fault("answer", status=503, headers={"Retry-After": "1"}),
    "cut": Fault("cut", 500_000),
    "stalled": Fault("stall", 500_000),
    "lost answer": Fault("lose"),
    "truncated answer": Fault("truncate"),
    "truncated headers": Fault("clip", 70),
}
NOT_PASSED_ON = ("429", "500", "502", "503", "cut", "stalled")


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES.keys())
@pytest.mark.parametrize("fits", [body, last_request])
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_survived(
    registry: Registry, strategy: UploadStrategy, fits: Callable[[Seen], bool], fault: Fault
) -> None:
    with connected(registry, strategy) as (proxy, client):
        proxy.plan = once(fits, fault)
        assert client.push_blob(blob()).how == "uploaded"
        assert proxy.body_bytes() <= 2 * len(CONTENT)
        assert stored(registry, client) == DIGEST


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES.keys())
@pytest.mark.parametrize("fault", NOT_PASSED_ON)
def test_a_fault_that_stays_ends_clearly(registry: Registry, strategy: UploadStrategy, fault: str) -> None:
    with connected(registry, strategy, retries=Retries(attempts=2, first_wait_s=0.01)) as (proxy, client):
        proxy.plan = always(body, FAULTS[fault])
        with pytest.raises(TemporaryRemoteError) as caught:
            client.push_blob(blob())
        assert caught.value.advice
        assert stored(registry, client) is None


@pytest.mark.parametrize("fault", ["lost answer", "truncated answer", "truncated headers"])
def test_an_upload_whose_answer_is_lost_is_found_complete(registry: Registry, fault: str) -> None:
    with connected(registry, STRATEGIES["monolithic"]) as (proxy, client):
        proxy.plan = always(last_request, FAULTS[fault])
        pushed = client.push_blob(blob())
        assert (pushed.how, pushed.sent_bytes) == ("uploaded", len(CONTENT))
        assert stored(registry, client) == DIGEST


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES.keys())
def test_a_byte_that_changes_on_its_way_is_never_stored(
    registry: Registry, strategy: UploadStrategy, tmp_path: Path
) -> None:
    with connected(registry, strategy, sessions=Sessions(tmp_path)) as (proxy, client):
        proxy.plan = once(body, Fault("flip", 1234))
        with pytest.raises(RemoteError, match="DIGEST_INVALID") as caught:
            client.push_blob(blob())
        assert "changed since the build, or on its way: run again" in caught.value.advice
        assert stored(registry, client) is None
        assert client.push_blob(blob()).sent_bytes == len(CONTENT)
        assert stored(registry, client) == DIGEST


def test_a_registry_that_names_a_moment_is_not_asked_before(registry: Registry) -> None:
    with connected(registry) as (proxy, client):
        moment = time.time() + 2
        headers = {"Retry-After": email.utils.formatdate(moment, usegmt=True)}
        proxy.plan = once(chunk(2), Fault("answer", status=429, headers=headers))
        client.push_blob(blob())
        assert time.time() >= int(moment)
        assert stored(registry, client) == DIGEST


def test_a_slow_registry_is_waited_for(registry: Registry) -> None:
    """All in all it takes longer than the time that one silence may last."""
    with connected(registry) as (proxy, client):
        proxy.plan = always(body, Fault("slow", wait_s=0.05))
        begin = time.monotonic()
        assert client.push_blob(blob()).sent_bytes == proxy.body_bytes() == len(CONTENT)
        assert time.monotonic() - begin > 2


def test_an_answer_that_does_not_come_is_not_waited_for_for_ever(registry: Registry) -> None:
    with connected(registry) as (proxy, client):
        proxy.plan = once(last_request, Fault("slow", wait_s=3))  # longer than any silence may last here
        assert client.push_blob(blob()).sent_bytes == len(CONTENT)
        assert [seen.method for seen in proxy.seen[-2:]] == ["PUT", "HEAD"]
        assert stored(registry, client) == DIGEST


@pytest.mark.parametrize("seed", [*range(4), SEED])
@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES.keys())
def test_a_cut_at_any_byte_never_corrupts(registry: Registry, strategy: UploadStrategy, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - chooses bytes, guards nothing
    left = [chance.randrange(len(CONTENT)) for _ in range(3)]

    def plan(seen: Seen) -> Fault | None:
        """Cut a request that the next byte on the list falls into."""
        begin = int(seen.headers.get("Content-Range", "0").partition("-")[0])
        if left and seen.length and begin <= left[0] < begin + seen.length:
            return Fault("cut", left.pop(0) - begin)
        return None

    with connected(registry, strategy) as (proxy, client):
        proxy.plan = plan
        client.push_blob(blob())
        assert not left
        assert stored(registry, client) == DIGEST


def any_fault(chance: random.Random, seen: Seen) -> Fault:
    """Return some temporary fault for a request, at some byte of it or of its answer."""
    byte = chance.randrange(seen.length + 1)
    answers = [(429, {"Retry-After": "0"}), (500, {}), (502, {}), (503, {"Retry-After": "0"}), (504, {})]
    status, headers = chance.choice(answers)
    return chance.choice(
        [
            Fault("cut", byte),
            Fault("cut", byte),
            Fault("stall", byte),
            Fault("answer", status=status, headers=headers),
            Fault("lose"),
            Fault("clip", chance.randrange(500)),
            Fault("clip", chance.randrange(500)),
            Fault("truncate"),
        ]
    )


@pytest.mark.parametrize("seed", [*range(6), SEED])
@pytest.mark.parametrize("buffered", [True, False], ids=["behind a buffering proxy", "directly"])
@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES.keys())
def test_many_faults_of_any_kind_in_any_place(
    registry: Registry, strategy: UploadStrategy, buffered: bool, seed: int
) -> None:
    """Distribution 2 gives out an upload's state with each answer: a lost answer is a lost upload."""
    chance, faults = random.Random(seed), list[Fault]()  # noqa: S311 - chooses faults, guards nothing

    def plan(seen: Seen) -> Fault | None:
        if "/blobs/" not in seen.path or len(faults) == 4 or chance.random() < 0.6:
            return None
        faults.append(any_fault(chance, seen))
        return faults[-1]

    retries = Retries(attempts=6, first_wait_s=0.05)
    with connected(registry, strategy, buffered=buffered, retries=retries) as (proxy, client):
        proxy.plan = plan
        pushed = client.push_blob(blob())
        assert stored(registry, client) == DIGEST, faults
        if buffered and strategy is CHUNKED:
            opened = sum(seen.status == 202 for seen in proxy.of("POST"))
            assert opened <= 1 + sum(fault.kind in {"lose", "clip", "truncate"} for fault in faults)
            assert pushed.sent_bytes <= opened * len(CONTENT) + len(faults) * CHUNK, faults


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize(
    "fault", [Fault("cut", 10_000), Fault("stall", 10_000), Fault("answer", status=500)], ids=str
)
def test_behind_a_buffering_proxy_a_break_costs_one_chunk(
    registry: Registry, number: int, fault: Fault
) -> None:
    with connected(registry, CHUNKED, buffered=True) as (proxy, client):
        proxy.plan = once(chunk(number), fault)
        pushed = client.push_blob(blob())
        assert len(proxy.of("POST")) == 1
        assert proxy.body_bytes() <= pushed.sent_bytes <= len(CONTENT) + CHUNK
        assert stored(registry, client) == DIGEST


@pytest.mark.parametrize("number", NUMBERS)
def test_a_refused_chunk_is_sent_again_and_no_other(registry: Registry, number: int) -> None:
    with connected(registry, CHUNKED) as (proxy, client):
        proxy.plan = once(chunk(number), Fault("answer", status=503))
        assert client.push_blob(blob()).sent_bytes <= len(CONTENT) + CHUNK
        assert len(proxy.of("POST")) == 1
        assert stored(registry, client) == DIGEST


@pytest.mark.parametrize("byte", [1, 100_000, CHUNK - 1])
@pytest.mark.parametrize("number", NUMBERS[:2])
def test_a_registry_that_keeps_half_a_chunk_costs_less_than_a_chunk(
    registry: Registry, number: int, byte: int
) -> None:
    """Distribution 3 keeps it. Distribution 2 does not let go on behind it, and throws the upload away."""
    with connected(registry) as (proxy, client):
        proxy.plan = once(chunk(number), Fault("cut", byte))
        pushed = client.push_blob(blob())
        told = [seen.status for seen in proxy.of("GET", "/blobs/uploads/")]
        assert told in ([204], [404], [204, 404])  # a slow one tells of what it is about to throw away
        again = (CHUNK if 204 in told else 0) + (number * CHUNK + byte if 404 in told else 0)
        assert len(proxy.of("POST")) == (2 if 404 in told else 1)
        assert len(CONTENT) < proxy.body_bytes() <= len(CONTENT) + again
        assert pushed.sent_bytes <= len(CONTENT) + max(again, (number + 1) * CHUNK)
        assert stored(registry, client) == DIGEST


@pytest.mark.parametrize("number", NUMBERS[:2])
def test_an_upload_that_is_thrown_away_after_the_registry_told_of_it_begins_anew(
    registry: Registry, number: int
) -> None:
    there = Fault("answer", status=204, headers={"Range": f"0-{max(0, number * CHUNK - 1)}"})
    faults = [(chunk(number), Fault("cut", CHUNK - 1)), (lambda seen: seen.method == "GET", there)]

    def plan(seen: Seen) -> Fault | None:
        if faults and "/blobs/uploads/" in seen.path and faults[0][0](seen):
            return faults.pop(0)[1]
        return None

    with connected(registry) as (proxy, client):
        proxy.plan = plan
        pushed = client.push_blob(blob())
        assert [seen.status for seen in proxy.of("GET", "/blobs/uploads/")] == [204, 404]
        assert len(proxy.of("POST")) == 2
        assert pushed.sent_bytes <= len(CONTENT) + (number + 2) * CHUNK
        assert stored(registry, client) == DIGEST


def test_another_digest_than_ours_fails_clearly(registry: Registry) -> None:
    other = Digest.of(b"other")
    with connected(registry, CHUNKED) as (proxy, client):
        proxy.plan = once(last_request, Fault("rewrite", headers={"Docker-Content-Digest": other}))
        with pytest.raises(RemoteError, match=f"{other} where {DIGEST} was expected"):
            client.push_blob(blob())


def test_a_401_in_the_middle_fails_clearly_and_the_next_run_goes_on(
    registry: Registry, tmp_path: Path
) -> None:
    """A password has no successor; a token has, and is renewed: see test_token_push.py."""
    refusal = Fault("answer", status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})
    with connected(registry, CHUNKED, sessions=Sessions(tmp_path)) as (proxy, client):
        proxy.plan = once(chunk(4), refusal)
        with pytest.raises(RemoteError, match="refused the password"):
            client.push_blob(blob())
        assert client.push_blob(blob()).sent_bytes == len(CONTENT) - 4 * CHUNK
        assert stored(registry, client) == DIGEST


PUSH = """
import sys
from pathlib import Path
from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.model import BuiltImage
from pipeline.reference import Repository
from stages.push import Push

image, folder, repository = Path(sys.argv[1]), Path(sys.argv[2]), Repository(sys.argv[3])
desk = Desk(folder=folder, cache=folder / "cache", say=lambda line: print(line, file=sys.stderr))
stage = Push(repositories=(repository,), layout_folder=folder / "delivered")
image = BuiltImage.model_validate_json(image.read_bytes())
(pushed,) = stage.run(Artifacts(image), desk).references
print(pushed.bytes_sent, pushed.digest)
"""
FILE_BYTES = 5 * CHUNK_BYTES // 2
FILES = 2


@pytest.mark.parametrize("buffered", [True, False], ids=["behind a buffering proxy", "directly"])
def test_after_kill_9_the_next_run_finishes(
    tmp_path: Path, registry: Registry, skopeo: str, buffered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    for number in range(FILES):
        with (model / f"{number}.bin").open("wb") as file:
            file.truncate(FILE_BYTES)  # sparse: takes no disk
    image = make_image(tmp_path / "image", {"app.py": b"1"}, model=model)
    (tmp_path / "image.json").write_text(image.model_dump_json())
    layers = [layer.descriptor.size_bytes for layer in image.model_layers]
    assert len(layers) == FILES
    with fault_proxy(registry.port, buffered=buffered) as proxy:
        front = Registry(proxy.port, registry.username, registry.password)
        monkeypatch.setenv("DOCKER_CONFIG", str(registries.write_docker_config(tmp_path / "docker", front)))
        repository = f"{front.address}/tests/{uuid4().hex[:12]}"
        command = (sys.executable, "-c", PUSH, str(tmp_path / "image.json"), str(tmp_path), repository)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as killed:
            proxy.wait_for_bytes(FILES * CHUNK_BYTES + CHUNK_BYTES // 2)
            killed.kill()
            killed.communicate()
        assert killed.returncode == -signal.SIGKILL
        assert not proxy.of("PUT", "/manifests/")
        before, requests = proxy.body_bytes(), len(proxy.seen)
        again = subprocess.run(command, check=True, capture_output=True, text=True, timeout=200)
        arrived = proxy.body_bytes()
        came_again = sum(seen.body_bytes for seen in proxy.seen[requests:] if "/uploads/" in seen.path)
    sent_bytes, digest = again.stdout.split()
    assert digest == image.digest
    assert "_state" not in again.stderr
    if buffered:  # at most one chunk of each upload that was under way
        assert arrived <= sum(layers) + FILES * CHUNK_BYTES + 1_000_000
        assert int(sent_bytes) < sum(layers) - (before - FILES * CHUNK_BYTES) + 1_000_000
    assert came_again == int(sent_bytes) <= sum(layers) + 1_000_000
    copied = tmp_path / "copy"
    login = f"--src-creds={registry.username}:{registry.password}"
    name = repository.replace(str(front.port), str(registry.port), 1)
    source = f"docker://{name}@{image.digest}"
    subprocess.run(
        [skopeo, "--insecure-policy", "copy", "--src-tls-verify=false", login, source, f"dir:{copied}"],
        check=True,
        capture_output=True,
        timeout=200,
    )
    assert {(copied / layer.descriptor.digest.encoded).stat().st_size for layer in image.model_layers} == set(
        layers
    )
    shutil.rmtree(copied)
