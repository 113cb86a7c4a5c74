"""Who we are to a registry: Basic, or Bearer tokens from the realm that it names.

Source: distribution's token authentication specification, and RFC 6749 for identity tokens.
"""

import base64
import math
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from pipeline.errors import LoginMissing, RemoteError, TemporaryRemoteError
from stages.oci.endpoint import Endpoint, without_query
from stages.oci.exchange import TIMEOUTS, Answer, Request, Timeouts, exchange
from stages.oci.web_tokens import claims_of, lifetime_s

if TYPE_CHECKING:
    import requests

DEFAULT_LIFETIME_S = 60.0  # of a token that does not say how long it lives
LIVE_SHARE = 0.8  # of a token's or password's life in which it is used: a request has to arrive in time

Scopes = frozenset[str]
"""What is asked for, such as `repository:team/model:pull,push`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A user and a secret, and where they were found."""

    username: str
    secret: str = field(repr=False)
    origin: str
    identity_token: bool = False
    """The secret is no password but a token that the realm exchanges for others."""
    expires_at: datetime | None = None
    """When the secret ends, by this machine's clock; None: never, or nobody says."""
    advice: str = ""
    """What to do when the registry refuses them; default: `docker login`."""

    def fresh_s(self) -> float:
        """Return for how many seconds from now they are used before their source is asked again.

        What is over on arrival is used until it is refused: a clock is wrong, and asking again will not help.
        """
        if self.expires_at is None:
            return math.inf
        left_s = (self.expires_at - datetime.now(UTC)).total_seconds()
        return left_s * LIVE_SHARE if left_s > 0 else math.inf

    @property
    def basic(self) -> str:
        """The value of the Authorization header."""
        return f"Basic {base64.b64encode(f'{self.username}:{self.secret}'.encode()).decode()}"


@dataclass(frozen=True, slots=True)
class Challenge:
    """How a registry wants to be asked."""

    scheme: str
    realm: str = ""
    service: str = ""

    @classmethod
    def parse(cls, headers: Mapping[str, str]) -> "Challenge | None":
        """Return the challenge in a 401's headers, Bearer before Basic; None where there is no known one."""
        text = headers.get("WWW-Authenticate", "")
        parts = re.split(r"(?:^|,\s*)(Basic|Bearer)\b", text, flags=re.IGNORECASE)[1:]
        found = {
            scheme.lower(): dict(re.findall(r'(\w+)="([^"]*)"', parameters))
            for scheme, parameters in zip(parts[::2], parts[1::2], strict=True)
        }
        for scheme in ("bearer", "basic"):
            if scheme in found:
                return cls(scheme, found[scheme].get("realm", ""), found[scheme].get("service", ""))
        return None


@dataclass(frozen=True, slots=True)
class _Token:
    value: str = field(repr=False)
    ends_at: float

    @property
    def live(self) -> bool:
        return time.monotonic() < self.ends_at

    @property
    def header(self) -> str:
        return f"Bearer {self.value}"


class Authenticator:
    """Keeps what a registry let us in with: one token per set of scopes, renewed before it expires."""

    def __init__(
        self,
        endpoint: Endpoint,
        session: "requests.Session",
        credentials: Callable[[], Credentials | None],
        keep_secret: Callable[[str], None],
        *,
        timeouts: Timeouts = TIMEOUTS,
    ) -> None:
        self._endpoint = endpoint
        self._timeouts = timeouts
        self._session = session
        self._find_credentials = credentials
        self._keep_secret = keep_secret
        self._lock = threading.Lock()
        self._challenge: Challenge | None = None
        self._credentials: tuple[Credentials | None] | None = None  # None: to be looked for
        self._known: Credentials | None = None  # stays while another thread looks for new ones
        self._stale_at = math.inf
        self._tokens: dict[Scopes, _Token] = {}
        self._successors: dict[str, str] = {}  # identity tokens that came in the place of others

    @property
    def scheme(self) -> str | None:
        """How the registry wants to be asked: `basic`, `bearer`, or None where it has not asked."""
        return self._challenge.scheme if self._challenge else None

    @property
    def known(self) -> Credentials | None:
        """Who we were to the registry last; None for nobody, or where it has not asked. Asks no source."""
        return self._known

    def _current(self) -> Credentials | None:
        """Return who we are, or None for nobody; its secret never shows in a log from here on."""
        if self._credentials is None or time.monotonic() >= self._stale_at:
            found = self._find_credentials()
            self._stale_at = math.inf
            if found is not None:
                self._stale_at = time.monotonic() + found.fresh_s()
                self._keep_secret(found.secret)
                self._keep_secret(f"{found.username}:{found.secret}")
            self._credentials, self._known = (found,), found
        return self._credentials[0]

    def header(self, scopes: Scopes) -> str | None:
        """Return the Authorization header for these scopes; None where none is needed or we are nobody.

        Raises:
            RemoteError: the realm refused us.
        """
        with self._lock:
            return self._header(scopes)

    def renewed(self, headers: Mapping[str, str], scopes: Scopes, refused: str | None) -> str | None:
        """Return another header after a 401; None where there is no other than the refused one."""
        with self._lock:
            self._challenge = Challenge.parse(headers) or self._challenge
            if not self._changed_since(scopes, refused):
                self._credentials = None  # they may have expired: their source is asked again
                self._tokens.pop(scopes, None)
            header = self._header(scopes)
        return header if header != refused else None

    def _changed_since(self, scopes: Scopes, refused: str | None) -> bool:
        """Tell whether another thread has renewed already what was refused."""
        if self.scheme == "basic":
            return self.known is not None and self.known.basic != refused
        token = self._tokens.get(scopes)
        return token is not None and token.header != refused

    def learn(self, headers: Mapping[str, str]) -> None:
        """Remember how the registry wants to be asked."""
        with self._lock:
            self._challenge = Challenge.parse(headers)

    def _header(self, scopes: Scopes) -> str | None:
        if self._challenge is None:
            return None
        if self._challenge.scheme == "basic":
            credentials = self._current()
            return credentials.basic if credentials else None
        token = self._tokens.get(scopes)
        if token is None or not token.live:
            token = self._tokens[scopes] = self._ask(self._challenge, scopes)
        return token.header

    def _ask(self, challenge: Challenge, scopes: Scopes) -> _Token:
        kept = self._credentials
        answer = self._asked(challenge, scopes, self._current())
        if answer.status == HTTPStatus.UNAUTHORIZED and kept is not None and self._credentials is kept:
            # good once, such as an hour's token that a helper gave without saying so
            self._credentials = None
            answer = self._asked(challenge, scopes, self._current())
        if answer.status != HTTPStatus.OK:
            raise self._refusal(answer, self.known)
        return self._read(answer)

    def _asked(self, challenge: Challenge, scopes: Scopes, credentials: Credentials | None) -> Answer:
        self._endpoint.require_allowed(challenge.realm)
        if credentials is not None and credentials.identity_token:
            return self._exchange_identity(challenge, scopes, credentials)
        return self._get_token(challenge, scopes, credentials)

    def _get_token(self, challenge: Challenge, scopes: Scopes, credentials: Credentials | None) -> Answer:
        query = [("service", challenge.service)] if challenge.service else []
        query += [("scope", scope) for scope in sorted(scopes)]
        if credentials is not None:
            query.append(("account", credentials.username))
        joint = "&" if "?" in challenge.realm else "?"
        request = Request(method="GET", url=f"{challenge.realm}{joint}{urlencode(query)}")
        authorization = credentials.basic if credentials else None
        return exchange(self._session, request, authorization, timeouts=self._timeouts)

    def _exchange_identity(self, challenge: Challenge, scopes: Scopes, credentials: Credentials) -> Answer:
        form = {
            "grant_type": "refresh_token",
            "service": challenge.service,
            "client_id": "model-image-pipeline",
            "scope": " ".join(sorted(scopes)),
            "refresh_token": self._successors.get(credentials.secret, credentials.secret),
        }
        request = Request(
            method="POST",
            url=challenge.realm,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            body=urlencode(form).encode(),
        )
        answer = exchange(self._session, request, timeouts=self._timeouts)
        successor = answer.json().get("refresh_token")
        if answer.status == HTTPStatus.OK and isinstance(successor, str):
            self._keep_secret(successor)
            self._successors[credentials.secret] = successor
        return answer

    def _read(self, answer: Answer) -> _Token:
        document = answer.json()
        value = document.get("token") or document.get("access_token")
        if not isinstance(value, str):
            raise RemoteError(
                f"{self._endpoint.host}: {without_query(answer.url)} answered without a token",
                advice="Its token service does not follow the specification: ask its administrator.",
            )
        self._keep_secret(value)
        told = document.get("expires_in")
        said_s = float(told) if isinstance(told, int | float) and told > 0 else lifetime_s(value)
        return _Token(value, time.monotonic() + (said_s or DEFAULT_LIFETIME_S) * LIVE_SHARE)

    def _refusal(self, answer: Answer, credentials: Credentials | None) -> RemoteError:
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS or answer.status >= 500:
            return TemporaryRemoteError(
                f"{self._endpoint.host}: its token service {without_query(answer.url)} says {answer.phrase}",
                advice="The registry's login is overloaded or down. Try again later.",
                retry_after_s=answer.retry_after_s,
            )
        return login_refused(self._endpoint.host, credentials)


def login_refused(host: str, credentials: Credentials | None) -> RemoteError:
    """Return the error for a registry that does not know us, with where to put the right password."""
    if credentials is None:
        return LoginMissing(f"{host}: the registry asks for a login and there is none", advice=log_in(host))
    what = "identity token" if credentials.identity_token else "password"
    return RemoteError(
        f"{host}: the registry refused the {what} of user {credentials.username!r}",
        advice=f"It came from {credentials.origin}. {credentials.advice or log_in(host)}",
    )


def log_in(host: str) -> str:
    """Say how to log in to a registry."""
    name = environment_name(host)
    return (
        f"Run `docker login {host}`, or set REGISTRY_USERNAME_{name} and REGISTRY_PASSWORD_{name} "
        "(REGISTRY_USERNAME and REGISTRY_PASSWORD where there is one registry only)."
    )


def environment_name(host: str) -> str:
    """Return a host as it stands in the name of an environment variable."""
    return re.sub(r"[^A-Z0-9]", "_", host.upper())


def granted(header: str | None, repository_path: str) -> frozenset[str] | None:
    """Return the actions that a token allows on a repository; None where the token does not tell.

    The token is not verified: this only saves a long build whose push would be refused.
    """
    try:
        access = claims_of((header or "").removeprefix("Bearer "))["access"]
        return frozenset(
            action for entry in access if entry["name"] == repository_path for action in entry["actions"]
        )
    except (KeyError, TypeError):
        return None
