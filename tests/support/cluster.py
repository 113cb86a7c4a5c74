"""The Kubernetes API on loopback, over TLS and with a token: each question takes a resource one step on.

Answers have the shapes of the real API: Status objects, lists, a plain text where a group is not installed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.support.certificates import Authority
from tests.support.loopback import Received, Reply, Server, json_reply, serving

Json = dict[str, Any]
TOKEN = "kubernetes-account-token"
_RESOURCE = re.compile(r"/apis/([^/]+)/([^/]+)/namespaces/([^/]+)/([^/]+)/([^/]+)")
_PODS = re.compile(r"/api/v1/namespaces/([^/]+)/pods")
CUT, HALF = (
    Reply(0, cut=True),
    Reply(200, {"Content-Type": "application/json"}, b'{"kind": "None"}', half=True),
)


@dataclass(frozen=True, slots=True)
class Step:
    """A resource and its pods at one moment."""

    resource: Json
    pods: Sequence[Json] = ()


Later = Callable[[], Step]
"""A step that is not known before it is time for it: of a commit that is yet to be made."""


@dataclass(slots=True)
class Cluster:
    """What the API knows; each question for a resource takes it one step on, until the last one."""

    steps: dict[str, list[Step | Reply | Later]] = field(default_factory=dict)
    """By path of the resource. A reply stands for what the API answers instead."""
    forbidden: set[str] = field(default_factory=set)
    """Plurals that the account may not read."""
    pods: list[Json] = field(default_factory=list)
    server: Server | None = None

    def put(self, path: str, *steps: Step | Reply | Later) -> None:
        """Let a resource go through these steps from now on."""
        self.steps[path] = list(steps)

    def __call__(self, request: Received) -> Reply:
        """Answer a request."""
        if request.headers.get("Authorization", request.headers.get("authorization")) != f"Bearer {TOKEN}":
            return status(401, "Unauthorized", "Unauthorized")
        if (listed := _PODS.fullmatch(request.path)) is not None:
            return self._list(listed[1], request.asked("labelSelector") or "")
        found = _RESOURCE.fullmatch(request.path)
        groups = {path.split("/")[2] for path in self.steps}
        if found is None or found[1] not in {"apps", *groups}:
            return Reply(404, {"Content-Type": "text/plain"}, b"404 page not found\n")
        group, _, namespace, plural, name = found.groups()
        if plural in self.forbidden:
            return _forbidden(
                "get", f'{plural}.{group} "{name}"', f'"{plural}" in API group "{group}"', namespace
            )
        if request.path not in self.steps:
            return status(404, "NotFound", f'{plural}.{group} "{name}" not found')
        return self._step(self.steps[request.path])

    def _step(self, steps: list[Step | Reply | Later]) -> Reply:
        step = steps.pop(0) if len(steps) > 1 else steps[0]
        step = step() if callable(step) else step
        if isinstance(step, Reply):
            return step
        self.pods = list(step.pods)
        return json_reply(200, step.resource)

    def _list(self, namespace: str, selector: str) -> Reply:
        if "pods" in self.forbidden:
            return _forbidden("list", "pods", '"pods" in API group ""', namespace)
        wanted = dict(term.split("=", 1) for term in selector.split(",") if term)
        found = [pod for pod in self.pods if wanted.items() <= pod["metadata"]["labels"].items()]
        return json_reply(200, {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": found})


@contextmanager
def running_cluster(folder: Path) -> Iterator[tuple[Cluster, Path]]:
    """Run an API for as long as the `with` block lasts; the path is that of a kubeconfig."""
    authority = Authority.create(folder / "authority")
    cluster = Cluster()
    with serving(cluster, authority.issue("127.0.0.1")) as server:
        cluster.server = server
        yield cluster, write_kubeconfig(folder / "kubeconfig", server.url, authority.certificate)


def write_kubeconfig(path: Path, url: str, authority: Path, token: str = TOKEN) -> Path:
    """Write a kubeconfig with one context, `here`."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "loopback", "cluster": {"server": url, "certificate-authority": str(authority)}}
        ],
        "users": [{"name": "pipeline", "user": {"token": token}}],
        "contexts": [{"name": "here", "context": {"cluster": "loopback", "user": "pipeline"}}],
        "current-context": "here",
    }
    path.write_text(yaml.safe_dump(document))
    return path


def status(code: int, reason: str, message: str) -> Reply:
    """Return the API's Status for a failure."""
    said = {"status": "Failure", "message": message, "reason": reason, "code": code}
    return json_reply(code, {"kind": "Status", "apiVersion": "v1", "metadata": {}, **said})


def _forbidden(verb: str, what: str, resource: str, namespace: str) -> Reply:
    who = 'User "system:serviceaccount:ci:pipeline" cannot'
    told = f'{what} is forbidden: {who} {verb} resource {resource} in the namespace "{namespace}"'
    return status(403, "Forbidden", told)


# --- resources as the API returns them -----------------------------------------------------------------


def condition(kind: str, value: str, reason: str = "", message: str = "") -> Json:
    """Return a condition."""
    return {"type": kind, "status": value, "reason": reason, "message": message}


def deployment(image: str, *, replicas: int = 2, observed: int = 2, **told: object) -> Json:
    """Return a Deployment that is rolled out; `told` are fields of its status that say something else."""
    counts = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    progressing = condition("Progressing", "True", "NewReplicaSetAvailable")
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "server", "namespace": "digits", "generation": 2},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "digits"}},
            "template": {
                "metadata": {"labels": {"app": "digits"}},
                "spec": {"containers": [{"name": "server", "image": image}]},
            },
        },
        "status": {
            "observedGeneration": observed,
            **dict.fromkeys(counts, replicas),
            "conditions": [condition("Available", "True", "MinimumReplicasAvailable"), progressing],
            **told,
        },
    }


def pod(
    image: str,
    name: str = "server-1",
    *,
    ready: bool = True,
    state: Mapping[str, object] | None = None,
    labels: Mapping[str, str] | None = None,
    **container: object,
) -> Json:
    """Return a pod with one container; `state` is why that does not run."""
    digest = image.partition("@")[2]
    unready = condition(
        "ContainersReady", "False", "ContainersNotReady", "containers with unready status: [server]"
    )
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "digits", "labels": dict(labels or {"app": "digits"})},
        "spec": {"containers": [{"name": "server", "image": image}]},
        "status": {
            "phase": "Running" if state is None else "Pending",
            "conditions": [condition("Ready", str(ready))]
            if ready
            else [condition("Ready", "False"), unready],
            "containerStatuses": [
                {
                    "name": "server",
                    "ready": ready,
                    "restartCount": 0,
                    "image": image,
                    "imageID": "" if state is not None else f"registry.example.com/team/digits@{digest}",
                    "state": state or {"running": {"startedAt": "2026-01-02T03:04:05Z"}},
                    **container,
                }
            ],
        },
    }
