"""A registry that takes tokens only, and the service that issues them; the registry verifies every signature.

Source: distribution's specifications of token and OAuth2 authentication, and of its JSON web tokens.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from uuid import uuid4

import jwt
import requests
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from tests.support import registry as registries
from tests.support.certificates import Authority
from tests.support.loopback import Received, Reply, json_reply, serving
from tests.support.registry import Registry

ISSUER, SERVICE = "tokens of the tests", "registry of the tests"
LEEWAY_S = 60.0  # for which distribution goes on to take a token that has expired
USERNAME, PASSWORD, IDENTITY = "ci", "correct horse", "identity-0"

Scope = tuple[str, frozenset[str]]
"""A repository and what is asked for there."""


@dataclass(slots=True)
class TokenServer:
    """Issues tokens to its user, for a password or for an identity token, and notes what was asked of it."""

    lifetime_s: float = 300
    told_lifetime_s: float | None = None
    """What it says of a token's life, where that is not the truth."""
    rotates: bool = False
    """An identity token is good once: a new one comes with each token."""
    allows: Callable[[str, str], bool] = lambda repository, action: True
    asked: list[frozenset[Scope]] = field(default_factory=list)
    """The scopes of each request."""
    posts: int = 0
    identity: str = IDENTITY
    authority: Authority = field(init=False)
    """Signs the tokens."""

    def __call__(self, request: Received) -> Reply | None:
        if request.path != "/token":
            return None
        form = parse_qs(request.body.decode())
        scopes = [value for name, value in request.query if name == "scope"]
        if request.method == "POST":
            self.posts += 1
            scopes = form["scope"][0].split(" ")
        self.asked.append(frozenset(_scope(scope) for scope in scopes))
        if not self._knows(request, form):
            return json_reply(401, {"errors": [{"code": "UNAUTHORIZED", "message": "not you"}]})
        return self._issue(self.asked[-1], "access_token" if request.method == "POST" else "token")

    def _knows(self, request: Received, form: Mapping[str, list[str]]) -> bool:
        if request.method == "POST":
            return form["grant_type"] == ["refresh_token"] and form["refresh_token"] == [self.identity]
        basic = base64.b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()
        return request.headers.get("Authorization") == f"Basic {basic}"

    def _issue(self, scopes: frozenset[Scope], name: str) -> Reply:
        told = self.told_lifetime_s or self.lifetime_s
        document: dict[str, object] = {name: self._token(scopes), "expires_in": told}
        if name == "access_token" and self.rotates:
            self.identity = f"identity-{uuid4().hex}"
            document["refresh_token"] = self.identity
        return json_reply(200, document)

    def _token(self, scopes: frozenset[Scope]) -> str:
        now = time.time()
        granted = [
            {
                "type": "repository",
                "name": name,
                "actions": sorted(a for a in actions if self.allows(name, a)),
            }
            for name, actions in scopes
        ]
        claims = {
            "iss": ISSUER,
            "aud": SERVICE,
            "sub": USERNAME,
            "jti": uuid4().hex,
            "iat": int(now),
            "nbf": int(now - LEEWAY_S - 1),
            "exp": round(now + self.lifetime_s - LEEWAY_S),
            "access": granted,
        }
        certificate = x509.load_pem_x509_certificate(self.authority.certificate.read_bytes())
        x5c = base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()
        return jwt.encode(claims, self.authority.key, "ES256", headers={"x5c": [x5c]})


@dataclass(frozen=True, slots=True)
class _TokenRegistry(Registry):
    def answers(self) -> bool:
        """Say whether the registry asks for a token."""
        try:
            answer = requests.get(self.url(""), timeout=5)
        except requests.RequestException:
            return False
        return answer.headers.get("WWW-Authenticate", "").startswith("Bearer")


@contextmanager
def running_token_registry(folder: Path, tokens: TokenServer) -> Iterator[Registry]:
    """Run a registry and its token service for as long as the `with` block lasts."""
    tokens.authority = Authority.create(folder / "tokens")
    with serving(tokens) as server:

        def settings(seen: Path) -> Mapping[str, Any]:
            realm = {"realm": f"{server.url}/token", "service": SERVICE, "issuer": ISSUER}
            return {"auth": {"token": {**realm, "rootcertbundle": str(seen / "tokens" / "authority.pem")}}}

        registry = _TokenRegistry(registries.free_port(), USERNAME, PASSWORD)
        with registries.running(folder, registry, settings):
            yield registry


def _scope(text: str) -> Scope:
    kind, _, rest = text.partition(":")
    name, _, actions = rest.rpartition(":")
    assert kind == "repository"
    return name, frozenset(actions.split(","))
