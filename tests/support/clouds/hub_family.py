"""Docker Hub, GHCR, GitLab and Harbor: a stock registry behind a token service each, and what each does so.

They differ by where they answer, by their realm, and by a rule or two: Docker Hub's API is not where its
references say, and it counts requests; GHCR takes no PATCH of more than 4 MiB; Harbor has immutable tags. All
four send downloads to a store, which takes no Authorization header.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt

from tests.support.clouds.front import Asked, Front, Upstream
from tests.support.clouds.internet import Internet
from tests.support.clouds.tokens import Signer, access, running_token_registry
from tests.support.loopback import Reply, json_reply, refused

PATH = re.compile(r"/v2/(?P<name>.+?)/(?P<kind>blobs|manifests|tags|referrers)/(?P<rest>.*)")
WRITER, READER, PASSWORD, IDENTITY = "ci", "reader", "correct horse", "an identity token"
LARGEST_GHCR_PATCH_BYTES = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Kin:
    """One of the family: where it is, and what is particular to it."""

    host: str
    """As references begin."""
    api: str
    realm: str
    service: str
    store: str
    lifetime_s: int | None
    """What it says of a token's life; None: nothing."""
    largest_patch_bytes: int | None = None
    other_names: tuple[str, ...] = ()
    """Under which its API answers too."""


DOCKER_HUB = Kin(
    host="docker.io",
    api="registry-1.docker.io",
    realm="https://auth.docker.io/token",
    service="registry.docker.io",
    store="production.cloudflare.docker.com",
    lifetime_s=300,
    other_names=("index.docker.io",),
)
GHCR = Kin(
    host="ghcr.io",
    api="ghcr.io",
    realm="https://ghcr.io/token",
    service="ghcr.io",
    store="pkg-containers.githubusercontent.com",
    lifetime_s=None,
    largest_patch_bytes=LARGEST_GHCR_PATCH_BYTES,
)
GITLAB = Kin(
    host="registry.gitlab.com",
    api="registry.gitlab.com",
    realm="https://gitlab.com/jwt/auth",
    service="container_registry",
    store="cdn.registry.gitlab-static.net",
    lifetime_s=900,
)
HARBOR = Kin(
    host="harbor.example.com",
    api="harbor.example.com",
    realm="https://harbor.example.com/service/token",
    service="harbor-registry",
    store="harbor.s3.eu-central-1.amazonaws.com",
    lifetime_s=1800,
)
FAMILY = (DOCKER_HUB, GHCR, GITLAB, HARBOR)


@dataclass(slots=True)
class TokenRegistry:
    """The rules of one of them; everything that a test may change is a field."""

    kin: Kin
    signer: Signer
    before: list[Reply] = field(default_factory=list)
    """Answers for the next requests to the registry, one each."""
    asking: list[Reply] = field(default_factory=list)
    """Answers for the next requests for a token, one each."""
    allows: Callable[[str, str], bool] = lambda repository, action: True
    expire_at: str | None = None
    """All tokens end when a request comes with this method and part of its path, such as `PUT /blobs/`."""
    immutable: set[str] = field(default_factory=set)
    """Tags that cannot be moved."""
    granted: list[tuple[str, ...]] = field(default_factory=list)
    """The scopes of each token that was asked for."""
    given: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)

    def __call__(self, asked: Asked) -> Reply | None:
        method, _, part = (self.expire_at or "").partition(" ")
        if method == asked.method and part in asked.path:
            self.expire_at = None
            self.ended |= self.given
        if asked.path == urlsplit(self.kin.realm).path:
            return self.asking.pop(0) if self.asking else self._token(asked)
        return self._serve(asked)

    def internal(self, name: str) -> str:
        """Return the Authorization header by which its store comes to the stock registry."""
        entry = {"type": "repository", "name": name, "actions": ["pull"]}
        return f"Bearer {self.signer.sign({'access': [entry]}, self.kin.service, 300)}"

    def reset(self) -> None:
        """Be as at first."""
        for each in (self.before, self.asking, self.immutable, self.granted):
            each.clear()
        self.expire_at, self.allows = None, lambda repository, action: True

    def _token(self, asked: Asked) -> Reply:
        if asked.method == "POST":
            form = parse_qs(asked.read().decode())
            user = WRITER if form["refresh_token"] == [IDENTITY] else None
        else:
            form = parse_qs(urlsplit(asked.target).query)
            user = _user(asked.headers.get("Authorization", ""))
        if form["service"] != [self.kin.service]:
            return refused(400, "UNSUPPORTED", "unknown service")
        if user is None:
            return json_reply(401, {"details": "incorrect username or password"})
        scopes = tuple(" ".join(form.get("scope", [])).split())
        self.granted.append(scopes)
        entries = [self._cut(entry, user) for entry in access(scopes)]
        token = self.signer.sign({"sub": user, "access": entries}, self.kin.service, 300)
        self.given.add(_identifier(token))
        told = {"expires_in": self.kin.lifetime_s} if self.kin.lifetime_s else {}
        return json_reply(200, {"access_token" if asked.method == "POST" else "token": token, **told})

    def _cut(self, entry: Mapping[str, Any], user: str) -> dict[str, Any]:
        may = {"pull"} if user == READER else {"pull", "push"}
        allowed = [a for a in entry["actions"] if a in may and self.allows(entry["name"], a)]
        return {**entry, "actions": allowed}

    def _serve(self, asked: Asked) -> Reply | None:
        header = asked.headers.get("Authorization", "")
        found = PATH.fullmatch(asked.path)
        if not header or found is None:
            return None
        if _identifier(header.removeprefix("Bearer ")) in self.ended:
            del asked.headers["Authorization"]  # the stock registry knows what to say to nobody
            return None
        if self.before:
            return self.before.pop(0)
        return self._particular(asked, found["kind"], found["rest"])

    def _particular(self, asked: Asked, kind: str, rest: str) -> Reply | None:
        limit_bytes = self.kin.largest_patch_bytes
        length = int(asked.headers.get("Content-Length", "0"))
        if asked.method == "PATCH" and limit_bytes is not None and length > limit_bytes:
            text = "the request body is too large and exceeds the maximum permissible limit of 4.00MiB"
            return refused(416, "REQUESTED_RANGE_NOT_SATISFIABLE", text)
        if asked.method == "PUT" and kind == "manifests" and rest in self.immutable:
            text = f"Failed to process request due to 'digits:{rest}' configured as immutable."
            return refused(412, "PRECONDITION", text)
        if asked.method == "GET" and kind == "blobs" and not rest.startswith("uploads/"):
            return Reply(307, {"Location": f"https://{self.kin.store}{asked.path}?Signature=abc"})
        return None


@dataclass(frozen=True, slots=True)
class Running:
    """One of the family as it runs: what it does, and what it and its store were asked."""

    kin: Kin
    rules: TokenRegistry
    front: Front
    store: Front


@contextmanager
def running_family(internet: Internet, folder: Path) -> Iterator[Mapping[Kin, Running]]:
    """Run all of them on an internet for as long as the `with` block lasts."""
    with ExitStack() as stack:
        yield {kin: stack.enter_context(_running(internet, folder / kin.host, kin)) for kin in FAMILY}


@contextmanager
def _running(internet: Internet, folder: Path, kin: Kin) -> Iterator[Running]:
    signer = Signer(f"tokens of {kin.host}")
    with running_token_registry(folder, signer, realm=kin.realm, service=kin.service) as stock:
        rules, behind = TokenRegistry(kin, signer), Upstream(stock.port)

        def store(asked: Asked) -> Reply | None:
            if "Authorization" in asked.headers:
                return Reply(400, {}, b"<Error><Code>InvalidArgument</Code></Error>")
            found = PATH.fullmatch(asked.path)
            if found is None:
                return Reply(404)
            asked.headers["Authorization"] = rules.internal(found["name"])
            return None

        hosts = tuple(dict.fromkeys((kin.api, *kin.other_names, urlsplit(kin.realm).netloc)))
        front = internet.serve(hosts, rules, upstream=behind)
        yield Running(kin, rules, front, internet.serve((kin.store,), store, upstream=behind))


def _user(header: str) -> str | None:
    try:
        text = base64.b64decode(header.removeprefix("Basic "), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    user, _, password = text.partition(":")
    return user if user in {WRITER, READER} and password == PASSWORD else None


def _identifier(token: str) -> str:
    try:
        return str(jwt.decode(token, options={"verify_signature": False})["jti"])
    except jwt.InvalidTokenError:
        return ""
