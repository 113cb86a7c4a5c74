"""Where a registry answers, and whether it may be spoken to without TLS."""

import ipaddress
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit, urlunsplit

from pipeline.errors import RemoteError

DEFAULT_PORTS = {"https": ":443", "http": ":80"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """The address of a registry; `api_host` is the host in references, but for Docker Hub."""

    host: str
    api_host: str
    insecure: frozenset[str] = frozenset()
    """Hosts that the configuration lets be spoken to without TLS."""

    @property
    def schemes(self) -> tuple[str, ...]:
        """The schemes to try, in this order; TLS alone, unless plain HTTP is allowed."""
        return ("http", "https") if self._may_be_plain(self.api_host) else ("https",)

    def require_allowed(self, url: str) -> None:
        """Refuse a URL that would carry the image or a password in the clear.

        Raises:
            RemoteError: it is not TLS, and neither loopback nor named as insecure.
        """
        parts = _split(url)
        if parts.scheme == "https" or (parts.scheme == "http" and self._may_be_plain(parts.netloc)):
            return
        raise RemoteError(
            f"{self.host}: the registry sends us to {without_query(url)}, which is not encrypted",
            advice="A proxy probably hides TLS from it: set `X-Forwarded-Proto` there, or `relativeurls` in "
            "the registry. A host in `insecure_registries` is spoken to without TLS.",
        )

    def _may_be_plain(self, netloc: str) -> bool:
        return netloc in self.insecure or is_loopback(netloc)


def is_loopback(netloc: str) -> bool:
    """Tell whether a host, with or without its port, is this very machine by its name or number."""
    name = hostname(netloc)
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def hostname(netloc: str) -> str:
    """Return a host without port and without the brackets of an IPv6 address."""
    return _split(f"//{netloc}").hostname or ""


def origin(url: str) -> tuple[str, str]:
    """Return the part of a URL that decides who gets our authorization; a default port may be left out."""
    parts = _split(url)
    return parts.scheme, parts.netloc.lower().removesuffix(DEFAULT_PORTS.get(parts.scheme, ""))


def without_query(url: str) -> str:
    """Return a URL for people: query, fragment and user are where secrets stand."""
    parts = _split(url)
    shown = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    return shown or "an address that is none"


def _split(url: str) -> SplitResult:
    """Return the parts of a URL; none of them where it is no URL, such as `https://[`."""
    try:
        return urlsplit(url)
    except ValueError:
        return SplitResult("", "", "", "", "")
