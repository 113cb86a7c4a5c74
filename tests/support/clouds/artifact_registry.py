"""Google Artifact Registry: its registry's rules before a stock registry, in step with the control plane.

The rules: tokens from `/v2/token` for an access token (`oauth2accesstoken`) or a key (`_json_key`);
repositories have to exist, those of gcr.io may be made by the first push; a blob comes whole; immutable tags;
a permission that is missing is named.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.clouds.front import Asked, Front
from tests.support.clouds.google import (
    API_HOSTS,
    CREATE,
    DOWNLOAD,
    UPLOAD,
    Account,
    Google,
    GoogleImage,
    basic,
)
from tests.support.clouds.internet import Internet
from tests.support.loopback import Reply, json_reply, refused
from tests.support.registry import running_registry

HOST = "europe-west1-docker.pkg.dev"
GCR = "gcr.io"
GCR_LOCATIONS = {"gcr.io": "us", "us.gcr.io": "us", "eu.gcr.io": "europe", "asia.gcr.io": "asia"}
HOSTS = (HOST, "us-docker.pkg.dev", *GCR_LOCATIONS)
PATH = re.compile(r"/v2/(?P<name>.+?)/(?P<kind>blobs|manifests|tags|referrers)/(?P<rest>.*)")


@dataclass(slots=True)
class ArtifactRegistry:
    """The rules of the registry; everything that a test may change is a field."""

    google: Google
    before: list[Reply] = field(default_factory=list)
    """Answers for the next requests that carry a token, one each."""
    expire_at: str | None = None
    """All tokens end when a request comes with this method and part of its path, such as `PUT /blobs/`."""
    parts: set[str] = field(default_factory=set)
    """Uploads that have got their first part."""

    def __call__(self, asked: Asked) -> Reply | None:
        method, _, part = (self.expire_at or "").partition(" ")
        if method == asked.method and part in asked.path:
            self.expire_at = None
            self.google.expire_tokens()
        if asked.path == "/v2/token":
            return self._token(asked)
        account = self.google.tokens.get(asked.headers.get("Authorization", "").removeprefix("Bearer "))
        if account is None:
            return self._challenge(asked)
        if self.before:
            return self.before.pop(0)
        found = PATH.fullmatch(asked.path)
        return self._serve(asked, found, account) if found else None

    def _token(self, asked: Asked) -> Reply:
        user, password = basic(asked.headers.get("Authorization", ""))
        account = None
        if user == "oauth2accesstoken":
            account = self.google.whose(password)
        elif user == "_json_key":
            account = self.google.account_of_key(password)
        if account is None:
            return refused(401, "UNAUTHORIZED", "authentication failed")
        return json_reply(200, {"token": self.google.mint(account), "expires_in": 3600})

    def _challenge(self, asked: Asked) -> Reply:
        realm = f'Bearer realm="https://{asked.host}/v2/token",service="{asked.host}"'
        return refused(401, "UNAUTHORIZED", "authentication failed", **{"WWW-Authenticate": realm})

    def _serve(self, asked: Asked, found: re.Match[str], account: Account) -> Reply | None:
        resource, short, image = _resource(asked.host, found["name"])
        writes = asked.method not in {"GET", "HEAD"}
        there = resource in self.google.repositories
        if not there and (reply := self._missing(asked, resource, short, account)) is not None:
            return reply
        permission = UPLOAD if writes else DOWNLOAD
        if permission not in account.permissions:
            said = f'Permission "{permission}" denied on resource "{resource}" (or it may not exist)'
            return refused(403, "DENIED", said)
        if found["kind"] == "manifests" and asked.method == "PUT":
            return self._put_manifest(asked, resource, image, found["rest"])
        return self._patch(asked, found["rest"]) if asked.method == "PATCH" else None

    def _missing(self, asked: Asked, resource: str, short: str, account: Account) -> Reply | None:
        if asked.host not in GCR_LOCATIONS or asked.method in {"GET", "HEAD"}:
            return refused(404, "NAME_UNKNOWN", f'Repository "{short}" not found')
        if CREATE not in account.permissions:
            said = f"gcr.io repo does not exist. Creating on push requires the {CREATE} permission"
            return refused(403, "DENIED", said)
        self.google.make_repository(GCR_LOCATIONS[asked.host], short)
        return None

    def _put_manifest(self, asked: Asked, resource: str, image: str, reference: str) -> Reply:
        content = asked.read()
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        tag = None if reference.startswith("sha256:") else reference
        taken = {
            each
            for (where, name, each), there in self.google.images.items()
            if (where, name) == (resource, image) and tag in there.tags
        }
        if self.google.repositories[resource].docker_config.immutable_tags and taken - {digest}:
            said = f"cannot update tag {tag}. The repository has enabled tag immutability"
            return refused(400, "MANIFEST_INVALID", said)
        said_behind = asked.forward()
        if said_behind.status == 201:
            size_bytes = sum(layer["size"] for layer in json.loads(content).get("layers", ()))
            made = GoogleImage(asked.headers["Content-Type"], size_bytes)
            self.google.note(resource, image, digest, tag, made)
        return said_behind

    def _patch(self, asked: Asked, upload: str) -> Reply | None:
        begins = asked.headers.get("Content-Range", "0-").startswith("0-")
        if upload in self.parts or not begins:
            return refused(416, "BLOB_UPLOAD_INVALID", "chunked uploads are not supported")
        self.parts.add(upload)
        return None


def _resource(host: str, name: str) -> tuple[str, str, str]:
    """Return a repository's name in the API, its short name, and the image's name below it."""
    project, *rest = name.split("/")
    location = GCR_LOCATIONS.get(host)
    short = host if location else rest.pop(0)
    location = location or host.removesuffix("-docker.pkg.dev")
    return f"projects/{project}/locations/{location}/repositories/{short}", short, "/".join(rest)


@dataclass(frozen=True, slots=True)
class GoogleCloud:
    """Artifact Registry as it runs: what it does, and what it was asked."""

    rules: ArtifactRegistry
    google: Google
    registry: Front
    api: Front
    internet: Internet


@contextmanager
def running_artifact_registry(internet: Internet, folder: Path) -> Iterator[GoogleCloud]:
    """Run Artifact Registry on an internet for as long as the `with` block lasts."""
    with running_registry(folder / "artifact-registry") as stock:
        google = Google()
        rules = ArtifactRegistry(google)
        registry = internet.serve(HOSTS, rules, upstream=stock)
        yield GoogleCloud(rules, google, registry, internet.serve(API_HOSTS, google), internet)
