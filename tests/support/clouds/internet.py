"""The part of the internet that the clouds are: trusted certificates, names, and the way there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.clouds.authority import Authority
from tests.support.clouds.connect_proxy import ConnectProxy
from tests.support.clouds.front import Front, Rules, Upstream
from tests.support.registry import Registry, authorization


class Internet:
    """An authority, a proxy, and the fronts that answer behind it."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        self.proxy = ConnectProxy()
        self._fronts: list[Front] = []

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables by which clients come here and trust what they find; loopback stays as it is."""
        trusted, proxy = str(self.authority.certificate), self.proxy.url
        return {
            "HTTPS_PROXY": proxy,
            "https_proxy": proxy,
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            "REQUESTS_CA_BUNDLE": trusted,
            "CURL_CA_BUNDLE": trusted,
            "AWS_CA_BUNDLE": trusted,
            "SSL_CERT_FILE": trusted,
            "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": trusted,
        }

    def serve(
        self, hosts: Sequence[str], rules: Rules, *, upstream: Upstream | Registry | None = None
    ) -> Front:
        """Start a front for these host names (`*` stands for the first label); it stops with the internet."""
        behind = (
            Upstream(upstream.port, authorization(upstream)) if isinstance(upstream, Registry) else upstream
        )
        front = Front(self.authority.issue(hosts), rules, behind)
        front.start()
        self._fronts.append(front)
        for host in hosts:
            self.route(host, front.port)
        return front

    def route(self, host: str, port: int) -> None:
        """Announce a server of another kind under a host name."""
        self.proxy.route(host, port)

    def stop(self) -> None:
        """Stop everything."""
        for front in self._fronts:
            front.stop()
        self.proxy.stop()


@contextmanager
def running_internet(folder: Path) -> Iterator[Internet]:
    """Run an internet for as long as the `with` block lasts."""
    internet = Internet(folder)
    internet.proxy.start()
    try:
        yield internet
    finally:
        internet.stop()
