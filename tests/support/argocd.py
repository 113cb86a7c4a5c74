"""Argo CD's API on loopback, over TLS and with a token: an Application goes through scripted steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.certificates import Authority
from tests.support.loopback import Received, Reply, Server, json_reply, serving

Json = dict[str, Any]
TOKEN = "argocd-account-token"
_PATH = "/api/v1/applications/digits"


@dataclass(slots=True)
class Argo:
    """One Application, digits; each question takes it one step on, until the last one."""

    authority: Path
    steps: list[Json | Reply] = field(default_factory=list)
    tree: Json = field(default_factory=dict)
    refreshes: int = 0
    server: Server | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        assert self.server is not None
        return self.server.url

    def __call__(self, request: Received) -> Reply:
        """Answer a request."""
        offered = request.headers.get("Authorization", "")
        if offered != f"Bearer {TOKEN}":
            said = "no session information" if not offered else "invalid session: signature is invalid"
            return error(401, 16, said)
        if request.path == f"{_PATH}/resource-tree":
            return json_reply(200, self.tree)
        if request.path != _PATH:  # Argo CD does not tell who may not know whether there is one
            return error(403, 7, "permission denied")
        self.refreshes += request.asked("refresh") == "normal"
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        return step if isinstance(step, Reply) else json_reply(200, step)


@contextmanager
def running_argocd(folder: Path) -> Iterator[Argo]:
    """Run the API for as long as the `with` block lasts."""
    authority = Authority.create(folder / "argocd-authority")
    argo = Argo(authority.certificate)
    with serving(argo, authority.issue("127.0.0.1")) as server:
        argo.server = server
        yield argo


def error(status: int, code: int, message: str) -> Reply:
    """Return an error as gRPC's gateway words it."""
    return json_reply(status, {"error": message, "code": code, "message": message})


def application(  # noqa: PLR0913 - what differs
    revision: str,
    *images: str,
    sync: str = "Synced",
    health: str = "Healthy",
    phase: str = "Succeeded",
    message: str = "successfully synced (all tasks run)",
    conditions: tuple[Json, ...] = (),
    automated: bool = True,
    **status: object,
) -> Json:
    """Return an Application whose last comparison and last operation were of a revision."""
    source = {
        "repoURL": "https://git.example.com/team/gitops.git",
        "path": "apps/digits",
        "targetRevision": "main",
    }
    return {
        "metadata": {"name": "digits", "namespace": "argocd", "generation": 7},
        "spec": {
            "project": "default",
            "source": source,
            "destination": {"namespace": "digits", "server": "https://kubernetes.default.svc"},
            "syncPolicy": {"automated": {"prune": True}} if automated else {},
        },
        "status": {
            "sync": {"status": sync, "revision": revision, "comparedTo": {"source": source}},
            "health": {"status": health},
            "summary": {"images": list(images)},
            "reconciledAt": "2026-01-02T03:04:05Z",
            "conditions": list(conditions),
            "operationState": {
                "phase": phase,
                "message": message,
                "operation": {"sync": {"revision": revision}},
                "syncResult": {"revision": revision, "source": source},
            },
            **status,
        },
    }
