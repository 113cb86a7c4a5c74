"""GitHub's and GitLab's APIs for pull and merge requests, over a real bare repository, on loopback.

Answers have the fields that the documentation of both names and their clients read. Branches, commits and
merges are git's own; only what git does not know (titles, labels, reviewers, states) is kept here.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support.errors import SetupError
from tests.support.git_server import Repository
from tests.support.registry import free_port

PATH = "platform/deploy"
PEOPLE = {"ada": 11, "grace": 12}
_ESCAPED = "platform%2Fdeploy"
_CREATED = "2026-11-22T10:00:00Z"


@dataclass(slots=True)
class Change:
    """A pull or merge request."""

    number: int
    branch: str
    base: str
    title: str
    body: str
    draft: bool = False
    state: Literal["open", "merged", "closed"] = "open"
    labels: list[str] = field(default_factory=list)
    reviewers: list[str] = field(default_factory=list)
    merges_itself: bool = False
    fork: bool = False
    """The branch is one of a fork of the repository."""


@dataclass(slots=True)
class Comment:
    """What somebody said about a request: GitHub calls it a comment of the issue, GitLab a note."""

    number: int
    change: int
    author: str
    body: str


class Refusal(Exception):
    """An answer that is no success."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(slots=True)
class Forge:
    """One repository on a host that speaks both APIs."""

    repository: Repository
    token: str = "forge-token"
    port: int = field(default_factory=free_port)
    may_push: bool = True
    may_comment: bool = True
    user: str = "github-actions[bot]"
    """Whom the token stands for; GitHub does not tell a job's own token."""
    allows_auto_merge: bool = True
    merge_on_edit: bool = False
    """People merge a request in the moment in which it is looked at by its number."""
    refusals: list[HTTPStatus] = field(default_factory=list)
    """What the next requests are answered with, whatever they ask."""
    changes: list[Change] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)
    """Method and path of every request that changed something."""

    @property
    def url(self) -> str:
        """The host's address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def github(self) -> str:
        """The address of GitHub's API."""
        return f"{self.url}/api/v3"

    def merge(self, number: int) -> None:
        """Merge a request as people do, and delete its branch."""
        change = self.change(number)
        head = self.head(change.branch)
        tree = self.repository.git("rev-parse", f"{head}^{{tree}}")
        base = self.head(change.base)
        merged = self.repository.git(
            "commit-tree", tree, "-p", base, "-p", head, "-m", f"Merge {change.branch}"
        )
        self.repository.git("update-ref", f"refs/heads/{change.base}", merged, base)
        change.state = "merged"
        if not any(one.state == "open" for one in self.matching(change.branch, change.base)):
            self.repository.git("update-ref", "-d", f"refs/heads/{change.branch}")

    def close(self, number: int) -> None:
        """Close a request without merging it; its branch stays."""
        self.change(number).state = "closed"

    def change(self, number: int) -> Change:
        """Return a request."""
        if self.merge_on_edit:
            self.merge_on_edit = False
            self.merge(number)
        found = [change for change in self.changes if change.number == number]
        if not found:
            raise Refusal(HTTPStatus.NOT_FOUND, "Not Found")
        return found[0]

    def say(self, change: int, author: str, body: str) -> Comment:
        """Comment on a request."""
        self.comments.append(Comment(100 + len(self.comments), change, author, body))
        return self.comments[-1]

    def comment(self, number: int) -> Comment:
        """Return a comment."""
        found = [one for one in self.comments if one.number == number]
        if not found:
            raise Refusal(HTTPStatus.NOT_FOUND, "Not Found")
        return found[0]

    def head(self, branch: str) -> str:
        """Return the commit of a branch; empty where there is none."""
        return self.repository.git("for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}")

    def open(self, branch: str, base: str, title: str, body: str, *, draft: bool) -> Change:
        """Open a request, where git has both branches and they differ."""
        there = [one for one in self.matching(branch, base) if one.state == "open" and not one.fork]
        if there:
            raise Refusal(HTTPStatus.CONFLICT, f"A pull request already exists for platform:{branch}.")
        if not self.head(branch) or not self.head(base):
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, f"branch {branch} or {base} does not exist")
        if self.head(branch) == self.head(base):
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, f"No commits between {base} and {branch}")
        self.changes.append(Change(len(self.changes) + 1, branch, base, title, body, draft))
        return self.changes[-1]

    def matching(self, branch: str, base: str) -> list[Change]:
        """Return the requests from a branch to a base, the newest first."""
        return [one for one in reversed(self.changes) if (one.branch, one.base) == (branch, base)]


def _github(forge: Forge, change: Change) -> dict[str, Any]:
    issue = f"{forge.github}/repos/{PATH}/issues/{change.number}"
    return {
        "id": change.number,
        "node_id": f"PR_{change.number}",
        "number": change.number,
        "url": f"{forge.github}/repos/{PATH}/pulls/{change.number}",
        "issue_url": issue,
        "html_url": f"{forge.url}/{PATH}/pull/{change.number}",
        "state": "open" if change.state == "open" else "closed",
        "merged_at": _CREATED if change.state == "merged" else None,
        "created_at": _CREATED,
        "title": change.title,
        "body": change.body,
        "draft": change.draft,
        "head": {
            "ref": change.branch,
            "sha": forge.head(change.branch),
            "repo": {"full_name": "platform/deploy-of-somebody" if change.fork else PATH},
        },
        "base": {"ref": change.base, "sha": forge.head(change.base)},
        "labels": [{"name": name, "url": f"{issue}/labels/{name}"} for name in change.labels],
        "requested_reviewers": [
            {"login": name, "url": f"{forge.github}/users/{name}"}
            for name in change.reviewers
            if "/" not in name
        ],
        "requested_teams": [
            {"slug": name.partition("/")[2]} for name in change.reviewers if name.startswith("team/")
        ],
        "auto_merge": {"merge_method": "merge"} if change.merges_itself else None,
    }


def _gitlab(forge: Forge, change: Change) -> dict[str, Any]:
    return {
        "id": 1000 + change.number,
        "iid": change.number,
        "project_id": 1,
        "source_project_id": 2 if change.fork else 1,
        "target_project_id": 1,
        "title": change.title,
        "description": change.body,
        "state": "opened" if change.state == "open" else change.state,
        "source_branch": change.branch,
        "target_branch": change.base,
        "web_url": f"{forge.url}/{PATH}/-/merge_requests/{change.number}",
        "labels": change.labels,
        "reviewers": [{"id": PEOPLE[name], "username": name} for name in change.reviewers],
        "merge_when_pipeline_succeeds": change.merges_itself,
        "sha": forge.head(change.branch),
    }


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request to the API."""

    forge: Forge
    match: re.Match[str]
    query: dict[str, str]
    said: dict[str, Any]

    @property
    def change(self) -> Change:
        return self.forge.change(int(self.match[1]))


def _github_repository(asked: _Asked) -> object:
    name = PATH.partition("/")[2]
    permissions = {"pull": True, "push": asked.forge.may_push, "admin": False}
    url = f"{asked.forge.github}/repos/{PATH}"
    return {"id": 1, "name": name, "full_name": PATH, "url": url, "permissions": permissions}


def _github_list(asked: _Asked) -> object:
    owner, _, branch = asked.query["head"].partition(":")
    assert owner == "platform"
    return [_github(asked.forge, one) for one in asked.forge.matching(branch, asked.query["base"])]


def _github_open(asked: _Asked) -> object:
    said = asked.said
    try:
        made = asked.forge.open(
            said["head"], said["base"], said["title"], said["body"], draft=said.get("draft", False)
        )
    except Refusal as error:
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, error.message) from error
    return _github(asked.forge, made)


def _github_get(asked: _Asked) -> object:
    return _github(asked.forge, asked.change)


def _github_edit(asked: _Asked) -> object:
    asked.change.title = asked.said.get("title", asked.change.title)
    asked.change.body = asked.said.get("body", asked.change.body)
    if asked.said.get("state") == "closed":
        asked.change.state = "closed"
    return _github(asked.forge, asked.change)


def _github_label(asked: _Asked) -> object:
    asked.change.labels += asked.said["labels"] if isinstance(asked.said, dict) else asked.said
    return [{"name": name} for name in asked.change.labels]


def _github_review(asked: _Asked) -> object:
    unknown = [name for name in asked.said.get("reviewers", ()) if name not in PEOPLE]
    if unknown:
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, f"{unknown[0]} is no collaborator of the repository")
    asked.change.reviewers += asked.said.get("reviewers", [])
    asked.change.reviewers += [f"team/{name}" for name in asked.said.get("team_reviewers", [])]
    return _github(asked.forge, asked.change)


def _github_graph(asked: _Asked) -> object:
    assert "enablePullRequestAutoMerge" in asked.said["query"]
    number = int(asked.said["variables"]["input"]["pullRequestId"].removeprefix("PR_"))
    if not asked.forge.allows_auto_merge:
        return {"data": None, "errors": [{"message": "Auto merge is not allowed for this repository"}]}
    if asked.said["variables"]["input"].get("expectedHeadOid") != asked.forge.head(
        asked.forge.change(number).branch
    ):
        return {"data": None, "errors": [{"message": "Head branch was modified"}]}
    asked.forge.change(number).merges_itself = True
    return {"data": {"enablePullRequestAutoMerge": {"actor": {"login": "pipeline"}}}}


def _gitlab_project(asked: _Asked) -> object:
    level = 30 if asked.forge.may_push else 20
    access = {"project_access": {"access_level": level}, "group_access": None}
    return {"id": 1, "path_with_namespace": PATH, "permissions": access}


def _gitlab_list(asked: _Asked) -> object:
    found = asked.forge.matching(asked.query["source_branch"], asked.query["target_branch"])
    return [_gitlab(asked.forge, one) for one in found]


def _gitlab_open(asked: _Asked) -> object:
    said = asked.said
    made = asked.forge.open(
        said["source_branch"],
        said["target_branch"],
        said["title"],
        said["description"],
        draft=said["title"].startswith("Draft:"),
    )
    made.labels = [name for name in said.get("labels", "").split(",") if name]
    made.reviewers = [name for name, number in PEOPLE.items() if number in said.get("reviewer_ids", ())]
    return _gitlab(asked.forge, made)


def _gitlab_get(asked: _Asked) -> object:
    return _gitlab(asked.forge, asked.change)


def _gitlab_edit(asked: _Asked) -> object:
    change, said = asked.change, asked.said
    change.title, change.body = said.get("title", change.title), said.get("description", change.body)
    if said.get("state_event") == "close":
        change.state = "closed"
    labels = said.get("labels", change.labels)
    change.labels = labels.split(",") if isinstance(labels, str) else labels
    if "reviewer_ids" in said:
        change.reviewers = [name for name, number in PEOPLE.items() if number in said["reviewer_ids"]]
    return _gitlab(asked.forge, change)


def _gitlab_merge(asked: _Asked) -> object:
    if not asked.forge.allows_auto_merge:
        raise Refusal(HTTPStatus.METHOD_NOT_ALLOWED, "405 Method Not Allowed")
    if asked.query.get("sha") != asked.forge.head(asked.change.branch):
        raise Refusal(HTTPStatus.CONFLICT, "SHA does not match HEAD of source branch")
    asked.change.merges_itself = bool(asked.said["merge_when_pipeline_succeeds"])
    return _gitlab(asked.forge, asked.change)


def _gitlab_users(asked: _Asked) -> object:
    name = asked.query["username"]
    return [{"id": PEOPLE[name], "username": name}] if name in PEOPLE else []


def _allow_comments(asked: _Asked) -> None:
    if not asked.forge.may_comment:
        raise Refusal(HTTPStatus.FORBIDDEN, "Resource not accessible by integration")


def _github_comment(forge: Forge, one: Comment) -> dict[str, Any]:
    url = f"{forge.github}/repos/{PATH}/issues/comments/{one.number}"
    page = f"{forge.url}/{PATH}/pull/{one.change}#issuecomment-{one.number}"
    return {"id": one.number, "url": url, "html_url": page, "body": one.body, "user": {"login": one.author}}


def _github_user(asked: _Asked) -> object:
    if asked.forge.user == "github-actions[bot]":
        raise Refusal(HTTPStatus.FORBIDDEN, "Resource not accessible by integration")
    return {"login": asked.forge.user, "id": 1}


def _github_comments(asked: _Asked) -> object:
    number = asked.change.number
    return [_github_comment(asked.forge, one) for one in asked.forge.comments if one.change == number]


def _github_say(asked: _Asked) -> object:
    _allow_comments(asked)
    made = asked.forge.say(asked.change.number, asked.forge.user, asked.said["body"])
    return _github_comment(asked.forge, made)


def _github_edit_comment(asked: _Asked) -> object:
    _allow_comments(asked)
    found = asked.forge.comment(int(asked.match[1]))
    found.body = asked.said["body"]
    return _github_comment(asked.forge, found)


def _gitlab_note(one: Comment) -> dict[str, Any]:
    number = PEOPLE.get(one.author, 1)
    return {"id": one.number, "body": one.body, "author": {"id": number, "username": one.author}}


def _gitlab_user(asked: _Asked) -> object:
    return {"id": PEOPLE.get(asked.forge.user, 1), "username": asked.forge.user}


def _gitlab_notes(asked: _Asked) -> object:
    number = asked.change.number
    return [_gitlab_note(one) for one in asked.forge.comments if one.change == number]


def _gitlab_say(asked: _Asked) -> object:
    _allow_comments(asked)
    return _gitlab_note(asked.forge.say(asked.change.number, asked.forge.user, asked.said["body"]))


def _gitlab_edit_note(asked: _Asked) -> object:
    _allow_comments(asked)
    found = asked.forge.comment(int(asked.match[2]))
    found.body = asked.said["body"]
    return _gitlab_note(found)


_HUB, _LAB = f"/api/v3/repos/{PATH}", f"/api/v4/projects/(?:{_ESCAPED}|1)"
_ANSWERS: tuple[tuple[str, str, Callable[[_Asked], object], HTTPStatus], ...] = (
    ("GET", _HUB, _github_repository, HTTPStatus.OK),
    ("GET", f"{_HUB}/pulls", _github_list, HTTPStatus.OK),
    ("POST", f"{_HUB}/pulls", _github_open, HTTPStatus.CREATED),
    ("GET", rf"{_HUB}/pulls/(\d+)", _github_get, HTTPStatus.OK),
    ("PATCH", rf"{_HUB}/pulls/(\d+)", _github_edit, HTTPStatus.OK),
    ("POST", rf"{_HUB}/issues/(\d+)/labels", _github_label, HTTPStatus.OK),
    ("POST", rf"{_HUB}/pulls/(\d+)/requested_reviewers", _github_review, HTTPStatus.CREATED),
    ("GET", "/api/v3/user", _github_user, HTTPStatus.OK),
    ("GET", rf"{_HUB}/issues/(\d+)/comments", _github_comments, HTTPStatus.OK),
    ("POST", rf"{_HUB}/issues/(\d+)/comments", _github_say, HTTPStatus.CREATED),
    ("PATCH", rf"{_HUB}/issues/comments/(\d+)", _github_edit_comment, HTTPStatus.OK),
    ("POST", "/api/graphql", _github_graph, HTTPStatus.OK),
    ("GET", _LAB, _gitlab_project, HTTPStatus.OK),
    ("GET", f"{_LAB}/merge_requests", _gitlab_list, HTTPStatus.OK),
    ("POST", f"{_LAB}/merge_requests", _gitlab_open, HTTPStatus.CREATED),
    ("GET", rf"{_LAB}/merge_requests/(\d+)", _gitlab_get, HTTPStatus.OK),
    ("PUT", rf"{_LAB}/merge_requests/(\d+)", _gitlab_edit, HTTPStatus.OK),
    ("PUT", rf"{_LAB}/merge_requests/(\d+)/merge", _gitlab_merge, HTTPStatus.OK),
    ("GET", "/api/v4/user", _gitlab_user, HTTPStatus.OK),
    ("GET", rf"{_LAB}/merge_requests/(\d+)/notes", _gitlab_notes, HTTPStatus.OK),
    ("POST", rf"{_LAB}/merge_requests/(\d+)/notes", _gitlab_say, HTTPStatus.CREATED),
    ("PUT", rf"{_LAB}/merge_requests/(\d+)/notes/(\d+)", _gitlab_edit_note, HTTPStatus.OK),
    ("GET", "/api/v4/users", _gitlab_users, HTTPStatus.OK),
)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    forge: Forge

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            status, answer = self._answer(json.loads(body) if body else {})
        except Refusal as error:
            status, answer = error.status, {"message": error.message}
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_PATCH = do_PUT = do_GET  # noqa: N815 - the names that http.server looks up

    def _answer(self, said: dict[str, Any]) -> tuple[HTTPStatus, object]:
        if self.forge.refusals:
            raise Refusal(self.forge.refusals.pop(0), "as the test wishes")
        offered = self.headers.get("PRIVATE-TOKEN", "") or self.headers.get("Authorization", "")
        if offered.rpartition(" ")[2] != self.forge.token:
            raise Refusal(HTTPStatus.UNAUTHORIZED, "Bad credentials")
        target = urlsplit(self.path)
        for method, pattern, answer, status in _ANSWERS:
            match = re.fullmatch(pattern, target.path)
            if match is not None and method == self.command:
                if method != "GET":
                    self.forge.writes.append(f"{method} {unquote(target.path)}")
                query = {key: values[0] for key, values in parse_qs(target.query).items()}
                return status, answer(_Asked(self.forge, match, query, said))
        raise Refusal(HTTPStatus.NOT_FOUND, f"Not Found: {self.command} {self.path}")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in http.server
        """Say nothing: the tests read what was asked from the forge."""


@contextmanager
def running_forge(repository: Repository) -> Iterator[Forge]:
    """Run the APIs for a repository for as long as the `with` block lasts."""
    forge = Forge(repository)
    handler = type("Handler", (_Handler,), {"forge": forge})
    with ThreadingHTTPServer(("127.0.0.1", forge.port), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield forge
        finally:
            server.shutdown()
            thread.join(timeout=10)
            if thread.is_alive():
                raise SetupError("the forge does not stop", advice="read its handler")
