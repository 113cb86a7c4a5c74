"""An Application of Argo CD, watched over Argo CD's own API with a token.

Source: Argo CD's API, ApplicationService.Get and ApplicationService.ResourceTree.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from pipeline.desk import Desk
from pipeline.errors import ConfigurationError, PipelineError, RemoteError, TemporaryRemoteError
from pipeline.model import Check
from stages.rollouts.fields import first_line, items, part, text
from stages.rollouts.interface import UNTRUSTED, Awaited, Json, Look, Seen, failing

if TYPE_CHECKING:
    import requests

TOKEN = "ARGOCD_AUTH_TOKEN"  # noqa: S105 - the variable's name
_TIMEOUT_S = (10, 60)  # a refresh takes as long as rendering the manifests
_RIGHTS = "p, role:pipeline, applications, get, PROJECT/APPLICATION, allow"
_ENDED_BADLY = frozenset({"Failed", "Error"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgoCD:
    """An Application, and the server that knows it."""

    server: str
    """https://HOST[/path]."""
    application: str
    namespace: str | None = None
    """Where the Application is, where that is not Argo CD's own namespace."""
    ca_file: Path | None = None
    """Authorities to trust instead of those that this machine trusts."""

    @property
    def subject(self) -> str:
        """What is watched, in words for people."""
        return f"Argo CD application {self.application}"

    def check(self, desk: Desk) -> Check:
        """Return whether the server answers, takes the token and shows the Application."""
        try:
            with self._session(desk) as session:
                found = self._get(session)
        except PipelineError as error:
            return failing(self.subject, error)
        automated = "automated" in part(found, "spec", "syncPolicy")
        by_hand = "" if automated else "; it syncs only when somebody says so, until then a run waits"
        state = f"{text(found, 'status', 'sync', 'status')}, {text(found, 'status', 'health', 'status')}"
        return Check(subject=self.subject, found=f"{state}{by_hand}")

    @contextmanager
    def looking(self, desk: Desk) -> Iterator[Look]:
        """Return what looks; the first look makes Argo CD fetch the branch at once."""
        with self._session(desk) as session:
            refreshed = False

            def look(awaited: Awaited) -> Seen:
                nonlocal refreshed
                found = self._get(session, {} if refreshed else {"refresh": "normal"})
                refreshed = True
                seen = judge(found, awaited)
                if seen.state == "degraded" and seen.reason == "Degraded":
                    return self._explained(session, seen)
                return seen

            yield look

    @contextmanager
    def _session(self, desk: Desk) -> "Iterator[requests.Session]":
        import requests

        token = os.environ.get(TOKEN, "").strip()
        if not token:
            raise ConfigurationError(
                f"there is no token for Argo CD at {self.server}",
                advice=f"Set {TOKEN} to the token of an account that may see {self.application}.",
            )
        desk.redact.add(token)
        with requests.Session() as session:
            session.auth = _bearer(token)
            yield session

    def _get(self, session: "requests.Session", query: dict[str, str] | None = None, below: str = "") -> Json:
        import requests

        address = f"{self.server.rstrip('/')}/api/v1/applications/{quote(self.application, safe='')}{below}"
        there = {"appNamespace": self.namespace} if self.namespace is not None else {}
        try:
            answer = session.get(
                address,
                params={**there, **(query or {})},
                timeout=_TIMEOUT_S,
                allow_redirects=False,
                # said with the request: a session's own loses against REQUESTS_CA_BUNDLE
                verify=str(self.ca_file) if self.ca_file is not None else True,
            )
            is_json = answer.headers.get("Content-Type", "").startswith("application/json")
            found = answer.json() if is_json else None
        except (requests.RequestException, ValueError) as error:
            if UNTRUSTED in str(error):
                raise RemoteError(
                    f"{self.server} has a certificate that nobody here trusts",
                    advice="Name its authority as `ca_file:` of `argocd:`, or mend `server:`.",
                ) from error
            raise TemporaryRemoteError(
                f"{self.server} does not answer: {type(error).__name__}",
                advice="Check `server:` of `argocd:`, the network and the proxy.",
            ) from error
        if answer.status_code == HTTPStatus.OK and isinstance(found, dict):
            return found
        raise self._refused(answer.status_code, text(found, "message") if isinstance(found, dict) else "")

    def _refused(self, status: int, said: str) -> RemoteError:
        words = f"HTTP {status}{said and ': '}{first_line(said)}"
        if status == HTTPStatus.UNAUTHORIZED:
            advice = f"Set {TOKEN} to a new token: `argocd account generate-token --account NAME`."
            return RemoteError(f"Argo CD does not accept the token ({words})", advice=advice)
        if status in {HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}:
            advice = f"Correct `application:`, or give the token's account this right: {_RIGHTS}"
            return RemoteError(f"Argo CD shows no application {self.application} ({words})", advice=advice)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
            return TemporaryRemoteError(f"Argo CD answers {words}", advice="Run again.")
        return RemoteError(
            f"{self.server} does not answer as Argo CD's API does ({words})",
            advice="Give as `server:` of `argocd:` the address at which people open Argo CD.",
        )

    def _explained(self, session: "requests.Session", seen: Seen) -> Seen:
        """Return what was seen with the words of the resources that are unwell, of the pods before others."""
        try:
            tree = self._get(session, below="/resource-tree")
        except RemoteError:
            return seen
        return Seen("degraded", seen.reason, unwell(tree) or seen.message)


def judge(application: Json, awaited: Awaited) -> Seen:
    """Return how far Argo CD is with an Application."""
    status = part(application, "status")
    if (failed := _failed(status, awaited)) is not None:
        return failed
    sync = part(status, "sync")
    # what Argo CD has compared: our commit, or an Application in which our commit has changed the image
    if _holds(sync, awaited) or awaited.is_named_in(json.dumps(part(sync, "comparedTo"))):
        return _applied(status, awaited)
    revisions = ", ".join(_revisions(sync)) or "no revision"
    return Seen("progressing", "NotSynced", f"Argo CD is at {revisions}")


def _applied(status: Json, awaited: Awaited) -> Seen:
    """Return how far Argo CD is once it knows the commit."""
    images = _texts(part(status, "summary").get("images"))
    runs = awaited.is_named_in(" ".join(images))
    synced = text(status, "sync", "status") == "Synced"
    health, said = text(status, "health", "status"), first_line(text(status, "health", "message"))
    if health == "Degraded" and (runs or synced):
        return Seen("degraded", "Degraded", said)
    if not synced or text(status, "operationState", "phase") in {"Running", "Terminating"}:
        message = first_line(text(status, "operationState", "message"))
        return Seen("progressing", "Syncing" if synced else "OutOfSync", message)
    if health != "Healthy":
        return Seen("progressing", health, said)
    if images and not runs:  # without any pod, such as scaled to zero, there is nothing to compare
        told = "synced and healthy, but no pod of the application runs the new image"
        return Seen("progressing", "NotRunning", f"{told}: is it the right `application:`?")
    return Seen("live", "", "synced and healthy")


def unwell(tree: Json) -> str:
    """Return what the resources say that are degraded, the deepest ones first: they know why."""
    nodes = [node for node in items(tree, "nodes") if text(node, "health", "status") == "Degraded"]
    nodes.sort(key=lambda node: text(node, "kind") != "Pod")
    told = [
        f"{text(node, 'kind')} {text(node, 'name')}: {first_line(text(node, 'health', 'message'))}"
        for node in nodes
        if text(node, "health", "message")
    ]
    return "; ".join(told[:2])


def _failed(status: Json, awaited: Awaited) -> Seen | None:
    """Return why the commit cannot be applied: its manifests do not render, or the cluster refuses them."""
    state = part(status, "operationState")
    operation = {**part(state, "operation", "sync"), **part(state, "syncResult")}
    if text(state, "phase") in _ENDED_BADLY and _holds(operation, awaited):
        return Seen("degraded", f"Sync{text(state, 'phase')}", first_line(text(state, "message")))
    for told in items(status, "conditions"):
        if text(told, "type") in {"ComparisonError", "InvalidSpecError", "SyncError"}:
            return Seen("degraded", text(told, "type"), first_line(text(told, "message")))
    return None


def _holds(sync: Json, awaited: Awaited) -> bool:
    return any(map(awaited.is_in, _revisions(sync)))


def _revisions(sync: Json) -> tuple[str, ...]:
    """Return the revision, or those of several sources."""
    return _texts(sync.get("revisions")) or _texts([sync.get("revision")])


def _texts(value: object) -> tuple[str, ...]:
    return tuple(one for one in value if isinstance(one, str) and one) if isinstance(value, list) else ()


def _bearer(token: str) -> "Callable[[requests.PreparedRequest], requests.PreparedRequest]":
    """Return what signs a request; a plain header would lose against a .netrc."""

    def sign(request: "requests.PreparedRequest") -> "requests.PreparedRequest":
        request.headers["Authorization"] = f"Bearer {token}"
        return request

    return sign
