"""Requests to one registry: its scheme, our authorization, redirects, and refusals as typed errors."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from urllib.parse import urljoin

from pipeline.errors import RemoteError, TemporaryRemoteError
from stages.oci.authentication import Authenticator, Credentials, Scopes
from stages.oci.endpoint import Endpoint, origin
from stages.oci.exchange import TIMEOUTS, Answer, Request, Timeouts, exchange, new_session
from stages.oci.refusals import Attempt, credentials_expired, refusal

REDIRECTS = frozenset({301, 302, 303, 307, 308})
REDIRECTS_OF_ANY_METHOD = frozenset({307, 308})
LONGEST_CHAIN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Purpose:
    """Why a request is sent: the right that it takes, the answers that make sense, and words for an error."""

    doing: str
    """Completes "cannot …"."""
    repository: str
    scopes: Scopes
    expect: tuple[int, ...]


class Transport:
    """Speaks HTTP to one registry, from several threads. `stopped` ends what is under way."""

    def __init__(
        self,
        endpoint: Endpoint,
        credentials: Callable[[], Credentials | None],
        keep_secret: Callable[[str], None],
        *,
        timeouts: Timeouts = TIMEOUTS,
    ) -> None:
        self.endpoint = endpoint
        self.stopped = threading.Event()
        self.takes_chunks = True
        """False once the registry has refused to take a blob in several requests."""
        self._timeouts = timeouts
        self._session = new_session(timeouts)
        self._authenticator = Authenticator(
            endpoint, self._session, credentials, keep_secret, timeouts=timeouts
        )
        self._lock = threading.Lock()
        self._base: str | None = None

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    @property
    def base(self) -> str:
        """The registry's base URL, once it has answered there."""
        return self._reach()

    def log_in(self, scopes: Scopes) -> tuple[Credentials | None, str | None]:
        """Ask the registry to let us in; return who we are to it, and the header that it accepted.

        Raises:
            RemoteError: the registry cannot be reached or refuses us.
        """
        self._reach()
        header = self._authenticator.header(scopes)
        if self._authenticator.scheme == "basic":
            purpose = Purpose(doing="log in", repository="", scopes=scopes, expect=(HTTPStatus.OK,))
            self.send(Request(method="GET", url="/v2/"), purpose)
        return self._authenticator.known, header

    def send(self, request: Request, purpose: Purpose) -> Answer:
        """Send a request once, and once more when a token expired; return an answer of an expected status.

        The request's URL may be relative to the registry.

        Raises:
            RemoteError: another status, or no answer.
        """
        request = replace(request, url=urljoin(self._reach(), request.url))
        header = self._authenticator.header(purpose.scopes)
        answer = self._follow(request, header)
        expired = answer.status == HTTPStatus.UNAUTHORIZED or credentials_expired(answer)
        if expired and self._is_registry(answer.url):
            # anybody else that we were sent to may not say where our password goes (CVE-2020-15157)
            renewed = self._authenticator.renewed(answer.headers, purpose.scopes, header)
            if renewed is not None:
                answer = self._follow(request, renewed)
        if answer.status in purpose.expect:
            return answer
        attempt = Attempt(
            doing=purpose.doing,
            host=self.endpoint.host,
            repository=purpose.repository,
            credentials=self._authenticator.known,
            scheme=self._authenticator.scheme,
        )
        raise refusal(answer, attempt)

    def _follow(self, request: Request, header: str | None) -> Answer:
        """Follow redirects; our authorization goes to the registry and to nobody that it sends us to."""
        followed = REDIRECTS if request.method in {"GET", "HEAD"} else REDIRECTS_OF_ANY_METHOD
        for _ in range(LONGEST_CHAIN):
            self.endpoint.require_allowed(request.url)
            ours = header if self._is_registry(request.url) else None
            answer = exchange(self._session, request, ours, timeouts=self._timeouts)
            if answer.status not in followed or answer.location is None:
                return answer
            request = replace(request, url=answer.location)
        raise RemoteError(
            f"{self.endpoint.host}: more than {LONGEST_CHAIN} redirects",
            advice="Ask the registry's administrator.",
        )

    def _is_registry(self, url: str) -> bool:
        return origin(url) == origin(self._base or "")

    def _reach(self) -> str:
        """Return the registry's base URL, once it has answered there."""
        with self._lock:
            if self._base is None:
                self._base = self._find_base()
            return self._base

    def _find_base(self) -> str:
        problems: list[RemoteError] = []
        for scheme in self.endpoint.schemes:
            base = f"{scheme}://{self.endpoint.api_host}"
            try:
                answer = exchange(
                    self._session, Request(method="GET", url=f"{base}/v2/"), timeouts=self._timeouts
                )
            except RemoteError as error:
                problems.append(error)
                continue
            if answer.status in {HTTPStatus.OK, HTTPStatus.UNAUTHORIZED}:
                self._authenticator.learn(answer.headers)
                return base
            if answer.status != HTTPStatus.BAD_REQUEST:  # which is how TLS servers answer plain HTTP
                raise self._no_registry(answer)
            problems.append(self._no_registry(answer))
        # what went wrong over TLS says more: in plain HTTP it is a 400 there, whatever is wrong
        lasting = (error for error in reversed(problems) if not isinstance(error, TemporaryRemoteError))
        raise next(lasting, problems[0])

    def _no_registry(self, answer: Answer) -> RemoteError:
        attempt = Attempt(
            doing="begin", host=self.endpoint.host, repository="/v2/", credentials=None, scheme=None
        )
        error = refusal(answer, attempt)
        if answer.status < 500 and answer.status != HTTPStatus.TOO_MANY_REQUESTS:
            said = error.message.rpartition("/v2/: ")[2]
            told = f": {said}" if said != answer.phrase else ""
            return RemoteError(
                f"{self.endpoint.host} answered {answer.phrase} to /v2/, where a registry says 200 or 401"
                f"{told}",
                advice="Check that `registries` names a registry, with the right port.",
            )
        return error
