"""GitHub's cache service in its second form: entries by the Twirp API, their bytes as blobs of Azure.

Source: the messages of github.actions.results.api.v1.CacheService, and Azure's "Put Block List".
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.support.loopback import Received, Reply, json_reply, refused, serving

SERVICE = "/twirp/github.actions.results.api.v1.CacheService/"
AZURE = {
    "ETag": '"1"',
    "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT",
    "x-ms-request-id": "00000000-0000-0000-0000-000000000000",
    "x-ms-version": "2024-08-04",
}
"""What Azure puts into every answer of a blob; BuildKit takes these for granted, and its engine dies where
one is missing. So whatever talks to this service runs on an engine of its own."""


def runtime_token() -> str:
    """Return a token as a runner gets it: a JWT that names the branches whose caches the job may use."""
    access = json.dumps([{"Scope": "refs/heads/main", "Permission": 3}])
    parts = ({"alg": "RS256", "typ": "JWT"}, {"ac": access, "nbf": 1767225600, "exp": 4102444800})
    encoded = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
    return ".".join((*encoded, "c2lnbmF0dXJlLW9mLWEtcnVubmVy"))


@dataclass
class CacheService:
    """What jobs have left; without the token nobody learns of it."""

    token: str = field(default_factory=runtime_token)
    url: str = ""
    started: dict[str, str] = field(default_factory=dict)
    """By key, where the bytes of each entry go."""
    entries: dict[str, str] = field(default_factory=dict)
    """As above, of those that are complete."""
    blobs: dict[str, bytes] = field(default_factory=dict)
    blocks: dict[str, dict[str, bytes]] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """What a JavaScript action is told of the service."""
        return {
            "ACTIONS_RUNTIME_TOKEN": self.token,
            "ACTIONS_RESULTS_URL": f"{self.url}/",
            "ACTIONS_CACHE_SERVICE_V2": "True",
        }

    def __call__(self, request: Received) -> Reply | None:
        """Answer one request."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        if not request.path.startswith(SERVICE):
            return self._blob(request, headers.get("x-ms-range") or headers.get("range") or "")
        if headers.get("authorization") != f"Bearer {self.token}":
            return refused(401, "unauthenticated")
        return self._entry(request.path.removeprefix(SERVICE), json.loads(request.body))

    def _entry(self, method: str, asked: dict[str, str]) -> Reply:
        key = asked["key"]
        if method == "CreateCacheEntry":
            if key in self.started:
                return json_reply(409, {"code": "already_exists", "msg": "cache entry already exists"})
            self.started[key] = f"/blobs/{len(self.started)}"
            return json_reply(200, {"ok": True, "signed_upload_url": self._signed(self.started[key])})
        if method == "FinalizeCacheEntryUpload":
            self.entries[key] = self.started[key]
            return json_reply(200, {"ok": True, "entry_id": str(len(self.entries))})
        wanted = (key, *asked.get("restore_keys", ()))
        newest_first = tuple(reversed(self.entries))
        found = next((name for one in wanted for name in newest_first if name.startswith(one)), None)
        if found is None:
            return json_reply(200, {"ok": False})
        url = self._signed(self.entries[found])
        return json_reply(200, {"ok": True, "signed_download_url": url, "matched_key": found})

    def _signed(self, path: str) -> str:
        return f"{self.url}{path}?sig=of-the-service"

    def _blob(self, request: Received, asked_range: str) -> Reply | None:
        if request.method == "PUT":
            self._keep(request)
            return Reply(201, AZURE)
        content = self.blobs.get(request.path)
        if content is None:
            return refused(404, "BlobNotFound")
        begin, end = (re.findall(r"bytes=(\d+)-(\d*)", asked_range) or [("0", "")])[0]
        part = content[int(begin) : int(end) + 1 if end else None]
        told = f"bytes {begin}-{int(begin) + len(part) - 1}/{len(content)}"
        return Reply(206 if asked_range else 200, {**AZURE, "Content-Range": told}, part)

    def _keep(self, request: Received) -> None:
        blocks = self.blocks.setdefault(request.path, {})
        if request.asked("comp") == "block":
            blocks[request.asked("blockid") or ""] = request.body
        elif request.asked("comp") == "blocklist":
            names = re.findall(r"<Latest>([^<]+)</Latest>", request.body.decode())
            self.blobs[request.path] = b"".join(blocks[name] for name in names)
        else:
            self.blobs[request.path] = request.body


@contextmanager
def running_github_cache() -> Iterator[CacheService]:
    """Run the service for as long as the `with` block lasts."""
    service = CacheService()
    with serving(service) as server:
        service.url = server.url
        yield service
