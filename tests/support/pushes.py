"""A blob on its way to a real registry through a proxy that breaks things, for tests of what comes of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import uuid4

from pipeline.model import Descriptor
from pipeline.reference import Digest, Repository
from stages.oci.authentication import Credentials
from stages.oci.blob_stream import Blob
from stages.oci.chunked import Chunked
from stages.oci.distribution import RepositoryClient
from stages.oci.endpoint import Endpoint
from stages.oci.exchange import Timeouts
from stages.oci.retries import Retries
from stages.oci.sessions import Sessions
from stages.oci.transport import Transport
from stages.oci.uploads import Monolithic, UploadStrategy
from tests.support.fault_proxy import FaultProxy, fault_proxy
from tests.support.faults import Fault, Plan, Seen
from tests.support.registry import Registry

CHUNK = 1 << 20
CONTENT = hashlib.shake_256(b"interrupted").digest(6 * CHUNK + 12345)
DIGEST = Digest.of(CONTENT)
CHUNKED: UploadStrategy = Chunked(CHUNK)
STRATEGIES: dict[str, UploadStrategy] = {"chunked": CHUNKED, "monolithic": Monolithic()}
QUICK = Retries(attempts=5, first_wait_s=0.05)


def blob() -> Blob:
    """Return the blob; it can be read from any byte on."""

    def read(offset: int) -> Iterator[bytes]:
        return (CONTENT[i : i + 100_000] for i in range(offset, len(CONTENT), 100_000))

    return Blob(descriptor=Descriptor(media_type="x", digest=DIGEST, size_bytes=len(CONTENT)), read=read)


@contextmanager
def connected(
    registry: Registry,
    strategy: UploadStrategy = CHUNKED,
    *,
    buffered: bool = False,
    sessions: Sessions | None = None,
    retries: Retries = QUICK,
) -> Iterator[tuple[FaultProxy, RepositoryClient]]:
    """Lend a proxy in front of the registry, and a client that pushes through it to a new repository."""
    user = Credentials(username=registry.username, secret=registry.password, origin="a test")
    with fault_proxy(registry.port, buffered=buffered) as proxy:
        host = f"127.0.0.1:{proxy.port}"
        endpoint = Endpoint(host=host, api_host=host)
        timeouts = Timeouts(connect_s=2, read_s=2)
        transport = Transport(endpoint, lambda: user, lambda _: None, timeouts=timeouts)
        yield (
            proxy,
            RepositoryClient(
                repository=Repository(f"{host}/tests/{uuid4().hex[:12]}"),
                transport=transport,
                uploads=strategy,
                retries=retries,
                sessions=sessions or Sessions(),
            ),
        )
        transport.close()


def stored(registry: Registry, client: RepositoryClient) -> str | None:
    """Return the sha256 of the blob as the registry itself gives it out; None where it has none."""
    url = registry.url(f"{client.repository.path}/blobs/{DIGEST}")
    with registry.session() as session, session.get(url, stream=True, timeout=60) as answer:
        if answer.status_code == 404:
            return None
        answer.raise_for_status()
        digest = hashlib.sha256()
        for piece in answer.iter_content(1 << 20):
            digest.update(piece)
    return f"sha256:{digest.hexdigest()}"


def once(fits: Callable[[Seen], bool], fault: Fault) -> Plan:
    """Break the first request that fits."""
    left = [fault]
    return lambda seen: left.pop() if left and fits(seen) else None


def always(fits: Callable[[Seen], bool], fault: Fault) -> Plan:
    """Break every request that fits."""
    return lambda seen: fault if fits(seen) else None


def chunk(number: int) -> Callable[[Seen], bool]:
    """Tell of a request whether it brings a certain chunk."""
    begin = f"{number * CHUNK}-"
    return lambda seen: seen.method == "PATCH" and seen.headers["Content-Range"].startswith(begin)


def last_request(seen: Seen) -> bool:
    """Tell whether a request completes the upload."""
    return seen.method == "PUT"


def body(seen: Seen) -> bool:
    """Tell whether a request carries bytes of the blob."""
    return seen.length > 0
