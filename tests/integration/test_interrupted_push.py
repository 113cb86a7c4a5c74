"""Pushes that break, against the distribution registry behind a proxy that breaks them.

What a break costs depends on who notices it. Where a proxy takes each request whole before it passes it on,
as nginx does by default, the registry never sees half a chunk, and the upload goes on. Distribution 2.8 by
itself keeps the half chunk but lets no one continue behind it (3.0 does): there the blob begins anew.
"""

from __future__ import annotations

import hashlib
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from pipeline.errors import RemoteError
from pipeline.model import Descriptor
from pipeline.reference import Digest, Repository
from stages.oci.authentication import Credentials
from stages.oci.blob_stream import Blob
from stages.oci.chunked import CHUNK_BYTES, Chunked
from stages.oci.distribution import RepositoryClient
from stages.oci.endpoint import Endpoint
from stages.oci.exchange import Timeouts
from stages.oci.retries import Retries
from stages.oci.sessions import Sessions
from stages.oci.transport import Transport
from stages.oci.uploads import Monolithic, UploadStrategy
from tests.support import registry as registries
from tests.support.fault_proxy import FaultProxy, fault_proxy
from tests.support.faults import Fault, Plan, Seen
from tests.support.registry import Registry
from tests.support.small_image import make_image

CHUNK = 1 << 20
CONTENT = hashlib.shake_256(b"interrupted").digest(6 * CHUNK + 12345)
DIGEST = Digest.of(CONTENT)
NUMBERS = (0, 3, 6)
STRATEGIES: dict[str, UploadStrategy] = {"chunked": Chunked(CHUNK), "monolithic": Monolithic()}


def blob() -> Blob:
    def read(offset: int) -> Iterator[bytes]:
        return (CONTENT[i : i + 100_000] for i in range(offset, len(CONTENT), 100_000))

    return Blob(descriptor=Descriptor(media_type="x", digest=DIGEST, size_bytes=len(CONTENT)), read=read)


@contextmanager
def connected(
    registry: Registry,
    strategy: UploadStrategy,
    *,
    buffered: bool = False,
    sessions: Sessions | None = None,
) -> Iterator[tuple[FaultProxy, RepositoryClient]]:
    user = Credentials(username=registry.username, secret=registry.password, origin="a test")
    with fault_proxy(registry.port, buffered=buffered) as proxy:
        host = f"127.0.0.1:{proxy.port}"
        endpoint = Endpoint(host=host, api_host=host)
        timeouts = Timeouts(connect_s=3, read_s=3)
        transport = Transport(endpoint, lambda: user, lambda _: None, timeouts=timeouts)
        yield (
            proxy,
            RepositoryClient(
                repository=Repository(f"{host}/tests/{uuid4().hex[:12]}"),
                transport=transport,
                uploads=strategy,
                retries=Retries(first_wait_s=0.05),
                sessions=sessions or Sessions(),
            ),
        )
        transport.close()


def stored(registry: Registry, client: RepositoryClient) -> str:
    """Return the sha256 of the blob as the registry itself gives it out."""
    url = registry.url(f"{client.repository.path}/blobs/{DIGEST}")
    with registry.session() as session, session.get(url, stream=True, timeout=60) as answer:
        answer.raise_for_status()
        digest = hashlib.sha256()
        for piece in answer.iter_content(1 << 20):
            digest.update(piece)
    return f"sha256:{digest.hexdigest()}"


def once(fits: Callable[[Seen], bool], fault: Fault) -> Plan:
    left = [fault]
    return lambda seen: left.pop() if left and fits(seen) else None


def chunk(number: int) -> Callable[[Seen], bool]:
    begin = f"{number * CHUNK}-"
    return lambda seen: seen.method == "PATCH" and seen.headers["Content-Range"].startswith(begin)


def last_request(seen: Seen) -> bool:
    return seen.method == "PUT"


def body(seen: Seen) -> bool:
    """Tell whether a request carries bytes of the blob."""
    return seen.length > 0


FAULTS = {
    "429": Fault("answer", status=429, headers={"Retry-After": "0"}),
    "500": Fault("answer", status=500),
    "503": Fault("answer", status=503, headers={"Retry-After": "1"}),
    "cut": Fault("cut", 500_000),
    "stalled": Fault("stall", 500_000),
    "lost answer": Fault("lose"),
    "truncated answer": Fault("truncate"),
}


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


@pytest.mark.parametrize("seed", range(6))
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


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize(
    "fault", [Fault("cut", 10_000), Fault("stall", 10_000), Fault("answer", status=500)], ids=str
)
def test_behind_a_buffering_proxy_a_break_costs_one_chunk(
    registry: Registry, number: int, fault: Fault
) -> None:
    with connected(registry, Chunked(CHUNK), buffered=True) as (proxy, client):
        proxy.plan = once(chunk(number), fault)
        pushed = client.push_blob(blob())
        assert len(proxy.of("POST")) == 1
        assert proxy.body_bytes() <= pushed.sent_bytes <= len(CONTENT) + CHUNK
        assert stored(registry, client) == DIGEST


@pytest.mark.parametrize("number", NUMBERS)
def test_a_refused_chunk_is_sent_again_and_no_other(registry: Registry, number: int) -> None:
    with connected(registry, Chunked(CHUNK)) as (proxy, client):
        proxy.plan = once(chunk(number), Fault("answer", status=503))
        assert client.push_blob(blob()).sent_bytes <= len(CONTENT) + CHUNK
        assert len(proxy.of("POST")) == 1
        assert stored(registry, client) == DIGEST


def test_another_digest_than_ours_fails_clearly(registry: Registry) -> None:
    other = Digest.of(b"other")
    with connected(registry, Chunked(CHUNK)) as (proxy, client):
        proxy.plan = once(last_request, Fault("rewrite", headers={"Docker-Content-Digest": other}))
        with pytest.raises(RemoteError, match=f"{other} where {DIGEST} was expected"):
            client.push_blob(blob())


def test_a_401_in_the_middle_fails_clearly_and_the_next_run_goes_on(
    registry: Registry, tmp_path: Path
) -> None:
    """A password has no successor; a token has, and is renewed: see the unit tests."""
    refusal = Fault("answer", status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})
    with connected(registry, Chunked(CHUNK), sessions=Sessions(tmp_path)) as (proxy, client):
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
