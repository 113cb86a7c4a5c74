"""A small Hugging Face Hub on loopback: one model repository, and big files at another host name."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import unquote

from tests.support.loopback import Received, Reply, Server, serving

BIG_BYTES = 1024


@dataclass(slots=True)
class Hub:
    """Answers what huggingface_hub asks, as the Hub does; `content` has one mapping for each commit."""

    repository: str
    content: dict[str, Mapping[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    token: str | None = None
    """The repository is private where there is one."""
    gated: bool = False
    damaged: bool = False
    """Big files have other bytes than their names say."""
    server: Server = field(init=False)

    def commit(self, content: Mapping[str, bytes], branch: str = "main") -> str:
        """Put files on a branch and return the commit."""
        name = hashlib.sha1(repr(sorted(content.items())).encode(), usedforsecurity=False).hexdigest()
        self.content[name] = content
        self.branches[branch] = name
        return name

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server.address.rpartition(":")[2])

    def answer(self, request: Received) -> Reply | None:
        """Answer one request."""
        if request.path.startswith("/store/"):
            return self._stored(request)
        path = unquote(request.path)
        if refusal := self._refusal(request):
            return refusal
        if found := re.fullmatch(rf"/api/models/{self.repository}/revision/(?P<revision>[^/]+)", path):
            return self._info(found["revision"])
        if found := re.fullmatch(rf"/{self.repository}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", path):
            return self._file(found["revision"], found["path"], request)
        return _error(404, "RepoNotFound")

    def _refusal(self, request: Received) -> Reply | None:
        login = {name.lower(): value for name, value in request.headers.items()}.get("authorization")
        if self.token is not None and login != f"Bearer {self.token}":
            return _error(401, "RepoNotFound")
        return _error(403, "GatedRepo") if self.gated else None

    def _info(self, revision: str) -> Reply:
        commit = self.branches.get(revision, revision)
        if commit not in self.content:
            return _error(404, "RevisionNotFound")
        siblings = [_sibling(path, content) for path, content in self.content[commit].items()]
        answer = {
            "id": self.repository,
            "sha": commit,
            "siblings": siblings,
            "private": self.token is not None,
        }
        return Reply(200, {"Content-Type": "application/json"}, json.dumps(answer).encode())

    def _file(self, revision: str, path: str, request: Received) -> Reply:
        content = self.content.get(self.branches.get(revision, revision), {}).get(path)
        if content is None:
            return _error(404, "EntryNotFound")
        if len(content) < BIG_BYTES:
            return _part(content, request)
        host = f"localhost:{self.port}"  # another host than 127.0.0.1, as the content network is
        return Reply(302, {"Location": f"http://{host}/store/{_sha256(content)}?signature=secret"})

    def _stored(self, request: Received) -> Reply:
        name = request.path.rpartition("/")[2]
        files = (content for commit in self.content.values() for content in commit.values())
        content = next(content for content in files if _sha256(content) == name)
        return _part(content[::-1] if self.damaged else content, request)


@contextmanager
def running_hub(repository: str) -> Iterator[Hub]:
    """Run a hub for as long as the `with` block lasts."""
    hub = Hub(repository)
    with serving(hub.answer) as server:
        hub.server = server
        yield hub


def _sibling(path: str, content: bytes) -> dict[str, object]:
    entry: dict[str, object] = {
        "rfilename": path,
        "size": len(content),
        "blobId": hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest(),
    }
    if len(content) >= BIG_BYTES:
        entry["lfs"] = {"sha256": _sha256(content), "size": len(content), "pointerSize": 134}
    return entry


def _part(content: bytes, request: Received) -> Reply:
    asked = re.fullmatch(r"bytes=(\d+)-", {k.lower(): v for k, v in request.headers.items()}.get("range", ""))
    if asked is None:
        return Reply(200, {"Content-Type": "application/octet-stream"}, content)
    begin = int(asked[1])
    if begin >= len(content):
        return Reply(416)
    said = {"Content-Range": f"bytes {begin}-{len(content) - 1}/{len(content)}"}
    return Reply(206, said, content[begin:])


def _error(status: int, code: str) -> Reply:
    return Reply(status, {"X-Error-Code": code, "X-Error-Message": code}, b"{}")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
