"""One HTTP request and its answer; what goes wrong on the way becomes a typed error without secrets."""

import email.utils
import http
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urljoin, urlsplit

from pipeline.errors import ConfigurationError, RemoteError, TemporaryRemoteError
from stages.oci.endpoint import hostname, is_loopback

if TYPE_CHECKING:
    import requests

ANSWER_LIMIT_BYTES = 16 * 1024 * 1024
CONNECTIONS = 8
PIECE_BYTES = 1024 * 1024
STREAMED = frozenset({http.HTTPStatus.OK, http.HTTPStatus.PARTIAL_CONTENT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long to wait for a connection, and for a peer that neither takes nor gives a byte."""

    connect_s: float = 30.0
    read_s: float = 300.0  # a registry may check or move gigabytes before it answers


TIMEOUTS = Timeouts()


class Body(Protocol):
    """Bytes to send: as long as `len` says, and the same again whenever they are asked for."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[bytes]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked of a server; who asks is added when it is sent."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body | bytes | None = None
    streamed: bool = False
    """A good answer's body is not gathered: it comes as `Answer.pieces`."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said."""

    url: str
    status: int
    headers: Mapping[str, str]
    content: bytes
    pieces: Iterable[bytes] = ()
    """The body of a streamed answer, as it arrives; its connection is free again at the end."""

    def json(self) -> dict[str, Any]:
        """Return the JSON object in the answer; empty where there is none."""
        try:
            document = json.loads(self.content)
        except ValueError:
            return {}
        return document if isinstance(document, dict) else {}

    @property
    def phrase(self) -> str:
        """The status for people: `404 Not Found`."""
        try:
            return f"{self.status} {http.HTTPStatus(self.status).phrase}"
        except ValueError:
            return str(self.status)

    @property
    def location(self) -> str | None:
        """Where the server sends us, as an absolute URL, or None.

        Raises:
            RemoteError: it is no URL, such as `http://[`.
        """
        told = self.headers.get("Location")
        return self._absolute(told) if told else None

    @property
    def next_page(self) -> str | None:
        """Where a list goes on (RFC 8288), or None at its end; raises as `location` does."""
        import requests

        links = requests.utils.parse_header_links(self.headers.get("Link", ""))
        found = next((link["url"] for link in links if link.get("rel") == "next"), None)
        return self._absolute(found) if found is not None else None

    def _absolute(self, told: str) -> str:
        try:
            return urljoin(self.url, told)
        except ValueError as error:
            raise RemoteError(
                f"{urlsplit(self.url).netloc} sends us to an address that is none",
                advice="Ask the registry's administrator: a proxy before it may garble its Location headers.",
            ) from error

    @property
    def retry_after_s(self) -> float | None:
        """How long the server asks us to wait, if it does."""
        text = self.headers.get("Retry-After", "").strip()
        if not text:
            return None
        if text.isdecimal():
            return float(text)
        try:
            moment = email.utils.parsedate_to_datetime(text)
        except ValueError:
            return None
        return max(0.0, (moment.astimezone(UTC) - datetime.now(UTC)).total_seconds())


def new_session(timeouts: Timeouts = TIMEOUTS) -> "requests.Session":
    """Return a session for several threads that keeps connections but no cookies.

    Raises:
        ConfigurationError: the environment names certificates that are not there.
    """
    import requests

    from stages.oci.connections import Adapter

    class Session(requests.Session):
        def get_redirect_target(self, resp: requests.Response) -> None:
            """Name nothing: requests reads an address as soon as it comes, and breaks on `http://[`."""

    session = Session()
    session.verify = _authorities()
    adapter = Adapter(silence_s=timeouts.read_s, connections=CONNECTIONS)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers["User-Agent"] = "model-image-pipeline"
    session.headers["Accept-Encoding"] = "identity"  # digests are of the bytes as they are
    return session


def _authorities() -> str | bool:
    """Return whose certificates are trusted; REQUESTS_CA_BUNDLE is read by requests, and goes before."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        path = os.environ.get(name)
        if path and not Path(path).exists():
            raise ConfigurationError(
                f"{name} names {path}, which does not exist",
                advice="Name the file of your own certificate authority there, or unset it.",
            )
    return os.environ.get("SSL_CERT_FILE") or True


def exchange(
    session: "requests.Session",
    request: Request,
    authorization: str | None = None,
    *,
    timeouts: Timeouts = TIMEOUTS,
) -> Answer:
    """Send one request, follow nothing, and return the whole answer, or its beginning if it is streamed.

    Raises:
        TemporaryRemoteError: the connection broke or timed out.
        RemoteError: the server's certificate is not trusted, or its answer is no HTTP or far too long.
    """

    import requests
    from urllib3.exceptions import HTTPError

    def authorize(prepared: "requests.PreparedRequest") -> "requests.PreparedRequest":
        # given as `auth`, so that requests does not put a password from ~/.netrc in its place
        if authorization is not None:
            prepared.headers["Authorization"] = authorization
        return prepared

    host = urlsplit(request.url).netloc
    try:
        response = session.request(
            request.method,
            request.url,
            headers=dict(request.headers),
            data=request.body,  # an iterable with a length is sent as it comes
            auth=authorize,
            allow_redirects=False,
            stream=True,
            timeout=(timeouts.connect_s, timeouts.read_s),
            proxies={"no_proxy": hostname(host)} if is_loopback(host) else None,
        )
        if request.streamed and response.status_code in STREAMED:
            pieces = _pieces(response, host)
            return Answer(request.url, response.status_code, response.headers, b"", pieces)
        with response:
            return Answer(request.url, response.status_code, response.headers, _content(response, host))
    except (requests.RequestException, HTTPError) as error:  # the latter for names that cannot be looked up
        raise _network_error(error, host) from error


def _pieces(response: "requests.Response", host: str) -> Iterator[bytes]:
    import requests

    try:
        with response:
            yield from response.iter_content(PIECE_BYTES)
    except requests.RequestException as error:
        raise _network_error(error, host) from error


def _content(response: "requests.Response", host: str) -> bytes:
    content = bytearray()
    for chunk in response.iter_content(64 * 1024):
        content += chunk
        if len(content) > ANSWER_LIMIT_BYTES:
            raise RemoteError(
                f"{host} answered with more than {ANSWER_LIMIT_BYTES >> 20} MiB to a small question",
                advice="Check that this address is a registry.",
            )
    return bytes(content)


def _network_error(error: Exception, host: str) -> RemoteError:
    """Name the innermost cause: the outer texts repeat the URL with its query."""
    import ssl

    import requests

    cause = _innermost(error)
    hung_up = isinstance(cause, (ssl.SSLEOFError, ssl.SSLZeroReturnError))  # as TLS tells of it
    if isinstance(error, requests.exceptions.SSLError) and not hung_up:
        return RemoteError(
            f"{host}: no trusted TLS connection: {_text(cause)}",
            advice="Name the file of your own certificate authority, if you have one, in REQUESTS_CA_BUNDLE "
            "or SSL_CERT_FILE. A registry without TLS has to be named in `insecure_registries`.",
        )
    if isinstance(error, requests.exceptions.ProxyError):
        return TemporaryRemoteError(
            f"{host} could not be reached through the proxy: {_text(cause)}",
            advice="Check HTTPS_PROXY, HTTP_PROXY and NO_PROXY.",
        )
    if isinstance(
        error, (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
    ):
        return TemporaryRemoteError(
            f"{host} could not be reached, or broke the connection: {_text(cause)}",
            advice="Check the registry's name and port, and that it is up and can be reached from here.",
        )
    return RemoteError(
        f"{host}: the request failed: {type(error).__name__}", advice="Check the registry's name."
    )


def _innermost(error: BaseException) -> BaseException:
    """Return the first cause; urllib3 keeps it in `reason` or among the arguments instead of chaining it."""
    while True:
        inner = getattr(error, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((part for part in error.args if isinstance(part, BaseException)), error.__cause__)
        if inner is None:
            return error
        error = inner


def _text(cause: BaseException) -> str:
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    if isinstance(cause, TimeoutError) or "Timeout" in type(cause).__name__:  # urllib3 has its own
        return "timed out"
    return type(cause).__name__ if "://" in str(cause) or "/v2/" in str(cause) else str(cause)
