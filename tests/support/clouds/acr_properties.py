"""What Azure Container Registry says of repositories, tags and manifests (/acr/v1), and who may not move."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import requests

from tests.support.clouds.front import Asked
from tests.support.loopback import Reply, json_reply, refused

MANIFESTS = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"


@dataclass(slots=True)
class Properties:
    """Answers from what the stock registry holds, and from what was noted."""

    host: str
    port: int
    authorization: Callable[[str], str]
    """Gives the header that may read a repository of the stock registry."""
    locked: set[str] = field(default_factory=set)
    """Repositories and `repository:tag`s."""
    made: dict[tuple[str, str], datetime] = field(default_factory=dict)
    late: int = 0
    """For so many answers, manifests are there without their tags."""

    def note(self, name: str, digest: str) -> None:
        """Remember when a manifest came first."""
        self.made.setdefault((name, digest), datetime.now(UTC))

    def answer(self, asked: Asked, name: str, kind: str | None, rest: str | None) -> Reply:
        """Answer a question whose right to ask was checked."""
        tags = self._tags(name)
        if tags is None:
            return refused(404, "NAME_UNKNOWN", "repository name not known to registry")
        if asked.method == "PATCH":
            self._lock(f"{name}:{rest}" if rest else name, json.loads(asked.read()))
        if rest is None:
            return self._repository(name, tags)
        return self._manifest(name, rest, tags) if kind == "manifests" else self._tag(name, rest, tags)

    def _lock(self, what: str, attributes: Mapping[str, bool]) -> None:
        self.locked.discard(what)
        if attributes.get("writeEnabled") is False:
            self.locked.add(what)

    def _repository(self, name: str, tags: Mapping[str, str]) -> Reply:
        counts = {"manifestCount": len(set(tags.values())), "tagCount": len(tags)}
        return json_reply(200, {"registry": self.host, "imageName": name, **counts, **self._about(name)})

    def _tag(self, name: str, tag: str, tags: Mapping[str, str]) -> Reply:
        if tag not in tags:
            return refused(404, "TAG_UNKNOWN", "the specified tag does not exist")
        content = {"name": tag, "digest": tags[tag], **self._about(f"{name}:{tag}")}
        return json_reply(200, {"registry": self.host, "imageName": name, "tag": content})

    def _manifest(self, name: str, digest: str, tags: Mapping[str, str]) -> Reply:
        answer = self._ask(name, f"manifests/{digest}")
        if not answer.ok:
            return refused(404, "MANIFEST_UNKNOWN", "manifest unknown")
        self.late -= 1
        content = {
            "digest": digest,
            "imageSize": sum(int(layer["size"]) for layer in answer.json().get("layers", [])),
            "mediaType": answer.headers["Content-Type"],
            "tags": sorted(tag for tag, named in tags.items() if named == digest and self.late < 0),
            **self._about(f"{name}@{digest}", self.made.get((name, digest))),
        }
        return json_reply(200, {"registry": self.host, "imageName": name, "manifest": content})

    def _about(self, what: str, made: datetime | None = None) -> Mapping[str, Any]:
        moment = (made or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%S.%f0Z")
        attributes = {"deleteEnabled": True, "writeEnabled": what not in self.locked, "readEnabled": True}
        return {
            "createdTime": moment,
            "lastUpdateTime": moment,
            "changeableAttributes": {**attributes, "listEnabled": True},
        }

    def _tags(self, name: str) -> Mapping[str, str] | None:
        answer = self._ask(name, "tags/list")
        if not answer.ok:
            return None
        found = {tag: self._ask(name, f"manifests/{tag}") for tag in answer.json()["tags"] or ()}
        return {tag: each.headers["Docker-Content-Digest"] for tag, each in found.items()}

    def _ask(self, name: str, what: str) -> requests.Response:
        headers = {"Authorization": self.authorization(name), "Accept": MANIFESTS}
        return requests.get(f"http://127.0.0.1:{self.port}/v2/{name}/{what}", headers=headers, timeout=10)
