"""Who is spoken to in the clear, whose certificate is believed: a real registry with its own authority."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from pipeline.errors import ConfigurationError, RemoteError
from pipeline.reference import Repository
from stages.oci.authentication import Credentials
from stages.oci.distribution import RepositoryClient
from stages.oci.endpoint import Endpoint
from stages.oci.retries import Retries
from stages.oci.transport import Transport
from tests.support import registry as registries
from tests.support.certificates import Authority
from tests.support.fault_proxy import fault_proxy
from tests.support.faults import Fault, Seen
from tests.support.pushes import CHUNK, CHUNKED, CONTENT, DIGEST, blob, stored
from tests.support.registry import Registry

AUTHORITIES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
LOOPBACK_IN_DISGUISE = "127.1"  # reaches this machine, and does not look like it


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("authority") / "files")


@pytest.fixture(autouse=True)
def _no_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in AUTHORITIES:
        monkeypatch.delenv(name, raising=False)


@dataclass(frozen=True, slots=True)
class EncryptedRegistry(Registry):
    """A registry that speaks TLS."""

    certificate: Path

    def session(self) -> requests.Session:
        session = super(EncryptedRegistry, self).session()
        session.verify = str(self.certificate)
        return session

    def url(self, path: str) -> str:
        return f"https://127.0.0.1:{self.port}/v2/{path}"

    def answers(self) -> bool:
        try:
            with self.session() as session:
                return session.get(self.url(""), timeout=5).ok
        except requests.RequestException:
            return False


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[EncryptedRegistry]:
    folder = tmp_path_factory.mktemp("encrypted")
    issued = authority.issue("127.0.0.1")
    for file in (issued.certificate, issued.key):
        (folder / file.name).write_bytes(file.read_bytes())
    registry = EncryptedRegistry(registries.free_port(), "pipeline", "a password", authority.certificate)

    def settings(seen: Path) -> dict[str, object]:
        names = {"certificate": issued.certificate.name, "key": issued.key.name}
        return {"http": {"tls": {what: str(seen / name) for what, name in names.items()}}}

    with registries.running(folder, registry, settings):
        yield registry


@contextmanager
def connected(
    host: str, registry: Registry, *, insecure: frozenset[str] = frozenset()
) -> Iterator[RepositoryClient]:
    user = Credentials(username=registry.username, secret=registry.password, origin="a test")
    endpoint = Endpoint(host=host, api_host=host, insecure=insecure)
    transport = Transport(endpoint, lambda: user, lambda _: None)
    yield RepositoryClient(
        repository=Repository(f"{host}/tests/tls-{random.randrange(1 << 32)}"),  # noqa: S311 - a name
        transport=transport,
        uploads=CHUNKED,
        retries=Retries(attempts=4, first_wait_s=0.05),
    )
    transport.close()


def test_an_unknown_authority_is_refused_and_told_how_to_name(encrypted: EncryptedRegistry) -> None:
    with connected(f"127.0.0.1:{encrypted.port}", encrypted) as client:
        with pytest.raises(RemoteError, match="certificate verify failed") as caught:
            client.push_blob(blob())
        assert "REQUESTS_CA_BUNDLE or SSL_CERT_FILE" in caught.value.advice


@pytest.mark.parametrize("name", AUTHORITIES)
def test_an_own_authority_is_trusted_through_the_environment(
    encrypted: EncryptedRegistry, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, str(encrypted.certificate))
    with connected(f"127.0.0.1:{encrypted.port}", encrypted) as client:
        assert client.push_blob(blob()).how == "uploaded"
        assert client.transport.base == f"https://127.0.0.1:{encrypted.port}"
        assert stored(encrypted, client) == DIGEST


def test_a_name_that_the_certificate_does_not_hold_is_refused(
    encrypted: EncryptedRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(encrypted.certificate))
    with (
        connected(f"{LOOPBACK_IN_DISGUISE}:{encrypted.port}", encrypted) as client,
        pytest.raises(RemoteError, match="certificate verify failed"),
    ):
        client.push_blob(blob())


@pytest.mark.parametrize("name", AUTHORITIES)
def test_an_authority_that_is_not_there_is_named(
    encrypted: EncryptedRegistry, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, str(tmp_path / "missing.pem"))
    with (
        pytest.raises(ConfigurationError, match=f"{name} names .*missing.pem, which does not exist"),
        connected(f"127.0.0.1:{encrypted.port}", encrypted),
    ):
        pass


def test_a_registry_without_tls_is_spoken_to_where_the_configuration_names_it(registry: Registry) -> None:
    with fault_proxy(registry.port) as proxy:
        host = f"{LOOPBACK_IN_DISGUISE}:{proxy.port}"
        with connected(host, registry) as client:
            with pytest.raises(RemoteError) as caught:
                client.push_blob(blob())
            assert "`insecure_registries`" in caught.value.advice
            assert not proxy.seen
        with connected(host, registry, insecure=frozenset({host})) as client:
            assert client.push_blob(blob()).how == "uploaded"
            assert stored(registry, client) == DIGEST


def cut(byte: int) -> Fault:
    return Fault("cut", byte)


def clip(byte: int) -> Fault:
    return Fault("clip", byte % 400)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("fault", [cut, clip])
def test_a_connection_that_breaks_within_tls_is_survived(
    registry: Registry,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    fault: Callable[[int], Fault],
    seed: int,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    chance = random.Random(seed)  # noqa: S311 - chooses bytes, guards nothing
    left = [fault(chance.randrange(CHUNK)), fault(chance.randrange(CHUNK))]

    def plan(seen: Seen) -> Fault | None:
        return left.pop() if left and seen.length == CHUNK and chance.random() < 0.5 else None

    with (
        fault_proxy(registry.port, plan, certificate=authority.issue("127.0.0.1")) as proxy,
        connected(f"127.0.0.1:{proxy.port}", registry) as client,
    ):
        assert client.push_blob(blob()).how == "uploaded"
        assert not left
        assert stored(registry, client) == DIGEST
        assert len(CONTENT) < proxy.body_bytes() <= 3 * len(CONTENT)
