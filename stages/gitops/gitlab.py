"""Merge requests on GitLab, by python-gitlab (extra `gitlab`)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pipeline.errors import ConfigurationError
from pipeline.model import Check
from stages.gitops.forge import Place, Request, Wish
from stages.gitops.forge_answers import checked, missing_library, reachable, refused

if TYPE_CHECKING:
    from gitlab import Gitlab
    from gitlab.v4.objects import Project, ProjectMergeRequest

_ANSWER_S = 30.0
_CONFLICT = 409  # there is one already
_DEVELOPER = 30  # GitLab's number for the role that may push to branches and open merge requests
_RIGHTS = "the role Developer and the scope api"
_DRAFT = "Draft: "


@dataclass(frozen=True, slots=True, kw_only=True)
class GitLab:
    """A project on GitLab."""

    place: Place
    token: str | None
    api_url: str | None = None
    """Address of GitLab where it is not at the root of the repository's host."""

    noun: ClassVar[str] = "merge request"

    def check(self) -> Check:
        """Return whether the token opens the project."""
        subject = f"merge requests of {self.place.path} on {self.place.host}"
        return checked(subject, self._too_few_rights, f"Give it {_RIGHTS}.")

    def newest(self, branch: str, base: str) -> Request | None:
        """Return the open merge request of a branch, else the newest that was merged or closed."""
        with self._answers():
            found = self._requests(self._project(self._client()), branch, base)
        chosen = next((one for one in found if one.state == "opened"), found[0] if found else None)
        return _request(chosen) if chosen is not None else None

    def open(self, wish: Wish) -> Request:
        """Open a merge request."""
        from gitlab import GitlabCreateError

        with self._answers():
            client = self._client()
            project = self._project(client)
            try:
                made = project.mergerequests.create(
                    {
                        "source_branch": wish.branch,
                        "target_branch": wish.base,
                        "title": f"{_DRAFT}{wish.title}" if wish.draft else wish.title,
                        "description": wish.body,
                        "labels": ",".join(wish.labels),
                        "reviewer_ids": self._people(client, wish),
                        "remove_source_branch": True,
                    }
                )
            except GitlabCreateError as error:
                there = [
                    one
                    for one in self._requests(project, wish.branch, wish.base)
                    if one.state == "opened" and error.response_code == _CONFLICT
                ]
                if not there:
                    raise
                return self.update(_request(there[0]), wish)
        return _request(made)

    def update(self, request: Request, wish: Wish) -> Request:
        """Give an open merge request this title and body, and the labels and reviewers that it lacks."""
        with self._answers():
            client = self._client()
            merge_request = self._project(client).mergerequests.get(request.number)
            draft = _DRAFT if merge_request.title.startswith(_DRAFT) else ""  # people decide when it is ready
            asked = {person["id"] for person in merge_request.reviewers}
            people = [*sorted(asked), *(one for one in self._people(client, wish) if one not in asked)]
            wanted = {
                "title": f"{draft}{wish.title}",
                "description": wish.body,
                "labels": [*dict.fromkeys((*merge_request.labels, *wish.labels))],
                "reviewer_ids": people,
            }
            known = {
                "title": merge_request.title,
                "description": merge_request.description or "",
                "labels": merge_request.labels,
                "reviewer_ids": sorted(asked),
            }
            if changed := {key: value for key, value in wanted.items() if value != known[key]}:
                for key, value in changed.items():
                    setattr(merge_request, key, value)
                merge_request.save()
        return _request(merge_request)

    def merge_when_ready(self, request: Request, commit: str) -> str:
        """Turn on auto-merge; return why GitLab will not, or nothing."""
        from gitlab import GitlabError

        with self._answers():
            merge_request = self._project(self._client()).mergerequests.get(request.number)
            if merge_request.merge_when_pipeline_succeeds:
                return ""
            try:
                merge_request.merge(merge_when_pipeline_succeeds=True, sha=commit)
            except GitlabError as error:
                return f"GitLab does not merge it by itself: {error.error_message}"
        return ""

    def _client(self) -> "Gitlab":
        from gitlab import Gitlab

        if self.token is None:
            raise ConfigurationError(
                "there is no token for GitLab's API",
                advice=f"Set GITOPS_PASSWORD to a project or group access token that has {_RIGHTS}; "
                "a job token cannot open merge requests.",
            )
        address = self.api_url or f"{self.place.scheme}://{self.place.host}"
        return Gitlab(address, private_token=self.token, timeout=_ANSWER_S, retry_transient_errors=False)

    def _project(self, client: "Gitlab") -> "Project":
        return client.projects.get(self.place.path)

    def _requests(self, project: "Project", branch: str, base: str) -> "list[ProjectMergeRequest]":
        found = project.mergerequests.list(
            source_branch=branch, target_branch=base, order_by="created_at", sort="desc", get_all=False
        )
        # anybody may open one from a fork, with a branch of the same name: it must never be merged for ours
        return [one for one in found if one.source_project_id == one.target_project_id]

    def _people(self, client: "Gitlab", wish: Wish) -> list[int]:
        found: list[int] = []
        for name in wish.reviewers:
            people = client.users.list(username=name, get_all=False)
            if not people:
                raise ConfigurationError(
                    f"update.pull_request.reviewers: {self.place.host} knows no user {name!r}",
                    advice="Write users as GitLab shows them behind the @; groups cannot review.",
                )
            found += [int(person.id) for person in people]
        return found

    def _too_few_rights(self) -> str:
        with self._answers():
            permissions = self._project(self._client()).attributes.get("permissions") or {}
        levels = [access["access_level"] for access in permissions.values() if access]
        if not levels or max(levels) >= _DEVELOPER:
            return ""
        return "the token may read the project, but not open merge requests"

    @contextmanager
    def _answers(self) -> Iterator[None]:
        try:
            from gitlab import GitlabError
        except ImportError as error:
            raise missing_library(self.noun, "python-gitlab", "gitlab") from error
        try:
            with reachable(self.place):
                yield
        except GitlabError as error:
            said = str(error.error_message)
            status = error.response_code or 0
            raise refused(self.place, "GitLab", status, said, _RIGHTS) from error


def _request(merge_request: "ProjectMergeRequest") -> Request:
    state = merge_request.state
    return Request(
        number=merge_request.iid,
        url=merge_request.web_url,
        state="merged" if state == "merged" else "open" if state == "opened" else "closed",
        title=merge_request.title,
        body=merge_request.description or "",
    )
