"""Azure Container Registry: its tokens, its locks and its own API in front of a stock registry.

The rules: Entra's token is exchanged for a refresh token, that one for access tokens by scope, which the
stock registry verifies itself; roles decide what they allow; what is locked takes no pushes; downloads come
from a storage account, which takes no Authorization header.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

import jwt

from tests.support.clouds import entra as microsoft
from tests.support.clouds.acr_properties import Properties
from tests.support.clouds.entra import REGISTRIES, Application, Entra
from tests.support.clouds.front import Asked, Front, Upstream
from tests.support.clouds.internet import Internet
from tests.support.clouds.tokens import Access, Signer, access, running_token_registry
from tests.support.loopback import Reply, json_reply, refused

HOST = "modelteam.azurecr.io"
STORE = "weumanaged17.blob.core.windows.net"
REALM = f"https://{HOST}/oauth2/token"
NOBODY = "00000000-0000-0000-0000-000000000000"
ROLES: Mapping[str, frozenset[str]] = {
    "AcrPull": frozenset({"pull", "metadata_read"}),
    "AcrPush": frozenset({"pull", "push", "metadata_read"}),
    "Contributor": frozenset({"pull", "push", "metadata_read", "metadata_write", "delete"}),
}
PATH = re.compile(r"/v2/(?P<name>.+?)/(?P<kind>blobs|manifests|tags|referrers)/(?P<rest>.*)")
METADATA = re.compile(r"/acr/v1/(?P<name>.+?)(/_(?P<kind>tags|manifests)/(?P<rest>[^/]+))?")


@dataclass(slots=True)
class Acr:
    """The rules of the registry; everything that a test may change is a field."""

    entra: Entra
    signer: Signer
    port: int
    """Of the stock registry behind."""
    properties: Properties = field(init=False)
    roles: dict[str, str] = field(default_factory=dict)
    """The role of each application, by its identifier."""
    passwords: dict[str, str] = field(default_factory=dict)
    """Of the admin user, and of the registry's own tokens."""
    allows: Callable[[str, str], bool] = lambda repository, action: True
    """What conditions on repositories leave of a role."""
    before: list[Reply] = field(default_factory=list)
    """Answers for the next requests that carry a token, one each."""
    exchanging: list[Reply] = field(default_factory=list)
    """Answers for the next exchanges of Entra's token, one each."""
    expire_at: str | None = None
    """All tokens end when a request comes with this method and part of its path, such as `PUT /blobs/`."""
    firewall: bool = False
    """Let nobody through."""
    clock_ahead_s: float = 0
    ended: set[str] = field(default_factory=set)
    """The tokens that are over, by their identifiers."""
    given: set[str] = field(default_factory=set)
    """The tokens that were given, by their identifiers."""
    granted: list[tuple[str, ...]] = field(default_factory=list)
    """The scopes of each access token that was asked for."""
    exchanges: int = 0

    def __post_init__(self) -> None:
        self.properties = Properties(HOST, self.port, lambda name: self.internal(name, "pull"))

    def __call__(self, asked: Asked) -> Reply | None:
        if self.firewall:
            text = "client with IP '203.0.113.7' is not allowed access. Refer https://aka.ms/acr/firewall"
            return refused(403, "DENIED", text)
        method, _, part = (self.expire_at or "").partition(" ")
        if method == asked.method and part in asked.path:
            self.expire_at = None
            self.ended |= self.given
        if asked.path == "/oauth2/exchange":
            return self.exchanging.pop(0) if self.exchanging else self._exchange(asked)
        if asked.path == "/oauth2/token":
            return self._token(asked)
        if (about := METADATA.fullmatch(unquote(asked.path))) is not None:
            return self._describe(asked, about)
        return self._serve(asked)

    def internal(self, name: str, *actions: str) -> str:
        """Return the Authorization header by which the cloud's own parts come to the stock registry."""
        return f"Bearer {self._sign({'access': [_entry(name, *actions)]}, 300)}"

    def _sign(self, claims: Mapping[str, Any], lifetime_s: float, *, ahead_s: float = 0) -> str:
        token = self.signer.sign(claims, HOST, lifetime_s, ahead_s=ahead_s)
        self.given.add(jwt.decode(token, options={"verify_signature": False})["jti"])
        return token

    def _verified(self, token: str) -> Mapping[str, Any] | None:
        try:
            claims = self.signer.verified(token, HOST, ahead_s=self.clock_ahead_s)
        except jwt.InvalidTokenError:
            return None
        return None if claims["jti"] in self.ended else claims

    def _exchange(self, asked: Asked) -> Reply:
        form = parse_qs(asked.read().decode())
        if form["grant_type"] != ["access_token"] or form["service"] != [HOST]:
            return refused(400, "UNSUPPORTED", "unsupported grant or service")
        try:
            claims = self.entra.signer.verified(form["access_token"][0], REGISTRIES)
        except jwt.InvalidTokenError:
            claims = {}
        if claims.get("oid") not in self.roles:
            return refused(401, "UNAUTHORIZED", "authentication required")
        self.exchanges += 1
        content = {"sub": claims["oid"], "grant_type": "refresh_token"}
        return json_reply(200, {"refresh_token": self._sign(content, 3 * 3600, ahead_s=self.clock_ahead_s)})

    def _token(self, asked: Asked) -> Reply:
        if asked.method == "POST":
            form = parse_qs(asked.read().decode())
            scopes, actions = form["scope"], self._of_refresh_token(form["refresh_token"][0])
        else:
            scopes = parse_qs(asked.target.partition("?")[2]).get("scope", [])
            actions = self._of_basic(asked.headers.get("Authorization", ""))
        if actions is None:
            return refused(401, "UNAUTHORIZED", "authentication required")
        self.granted.append(tuple(" ".join(scopes).split()))
        token = self._sign({"access": [self._cut(each, actions) for each in access(scopes)]}, 75 * 60)
        return json_reply(200, {"access_token": token})

    def _cut(self, entry: dict[str, Any], actions: frozenset[str]) -> dict[str, Any]:
        allowed = [a for a in entry["actions"] if a in actions and self.allows(entry["name"], a)]
        return {**entry, "actions": allowed}

    def _of_refresh_token(self, token: str) -> frozenset[str] | None:
        claims = self._verified(token)
        if claims is None or claims.get("grant_type") != "refresh_token":
            return None
        return ROLES[self.roles[claims["sub"]]]

    def _of_basic(self, header: str) -> frozenset[str] | None:
        try:
            text = base64.b64decode(header.removeprefix("Basic "), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return None
        user, _, password = text.partition(":")
        if user == NOBODY:
            return self._of_refresh_token(password)
        return ROLES["AcrPush"] if password and self.passwords.get(user) == password else None

    def _serve(self, asked: Asked) -> Reply | None:
        header = asked.headers.get("Authorization", "")
        found = PATH.fullmatch(asked.path)
        if not header or found is None:
            return None
        name, kind, rest = found["name"], found["kind"], found["rest"]
        if self._verified(header.removeprefix("Bearer ")) is None:
            return challenge(f"repository:{name}:pull,push")
        return self.before.pop(0) if self.before else self._allowed(asked, name, kind, rest)

    def _allowed(self, asked: Asked, name: str, kind: str, rest: str) -> Reply | None:
        if asked.method not in {"GET", "HEAD"} and {name, f"{name}:{rest}"} & self.properties.locked:
            text = "The operation is disallowed on this registry, repository or image."
            return refused(405, "REGISTRY_DISALLOWED_OPERATION", text)
        if asked.method == "GET" and kind == "blobs" and not rest.startswith("uploads/"):
            return Reply(307, {"Location": f"https://{STORE}{asked.path}?sv=2026&sig=abc"})
        if asked.method == "PUT" and kind == "manifests":
            said = asked.forward()
            if said.status == 201:
                self.properties.note(name, said.headers["Docker-Content-Digest"])
            return said
        return None

    def _describe(self, asked: Asked, about: re.Match[str]) -> Reply | None:
        name, kind, rest = about["name"], about["kind"], about["rest"]
        action = "metadata_write" if asked.method == "PATCH" else "metadata_read"
        claims = self._verified(asked.headers.get("Authorization", "").removeprefix("Bearer "))
        if claims is None:
            return challenge(f"repository:{name}:{action}")
        if not _allows(claims["access"], name, action):
            return refused(401, "UNAUTHORIZED", "authentication required")
        return self.properties.answer(asked, name, kind, rest)


@dataclass(frozen=True, slots=True)
class Azure:
    """ACR as it runs: what it does, and what it was asked."""

    acr: Acr
    entra: Entra
    registry: Front

    def add(self, role: str | None, *, federated: bool = False) -> Application:
        """Make an application with a role on the registry, or with none."""
        made = self.entra.add(federated=federated)
        if role is not None:
            self.acr.roles[made.client_id] = role
        return made


@contextmanager
def running_acr(internet: Internet, folder: Path) -> Iterator[Azure]:
    """Run Azure Container Registry on an internet for as long as the `with` block lasts."""
    signer, entra = Signer("Azure Container Registry"), Entra()
    with running_token_registry(folder / "acr", signer, realm=REALM, service=HOST) as stock:
        acr = Acr(entra, signer, stock.port)

        def storage(asked: Asked) -> Reply | None:
            if "Authorization" in asked.headers:
                return Reply(400, {}, b"<Error><Code>InvalidAuthenticationInfo</Code></Error>")
            found = PATH.fullmatch(asked.path)
            if found is not None:
                asked.headers["Authorization"] = acr.internal(found["name"], "pull")
            return None

        behind = Upstream(stock.port)
        internet.serve((microsoft.HOST,), entra)
        internet.serve((STORE,), storage, upstream=behind)
        yield Azure(acr, entra, internet.serve(("*.azurecr.io",), acr, upstream=behind))


def challenge(scope: str) -> Reply:
    """Return a registry's question for a token."""
    header = f'Bearer realm="{REALM}",service="{HOST}",scope="{scope}",error="invalid_token"'
    text = "authentication required, visit https://aka.ms/acr/authorization for more information."
    return refused(401, "UNAUTHORIZED", text, WWW_Authenticate=header)


def _entry(name: str, *actions: str) -> dict[str, Any]:
    return {"type": "repository", "name": name, "actions": list(actions)}


def _allows(entries: Access, name: str, action: str) -> bool:
    return any(entry["name"] == name and action in entry["actions"] for entry in entries)
