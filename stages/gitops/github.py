"""Pull requests on GitHub and GitHub Enterprise, by PyGithub (extra `github`)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pipeline.errors import ConfigurationError
from pipeline.model import Check
from stages.gitops.forge import Place, Request, Wish
from stages.gitops.forge_answers import checked, missing_library, reachable, refused

if TYPE_CHECKING:
    from github.PullRequest import PullRequest
    from github.Repository import Repository

_ANSWER_S = 30
_RETRIES = 3
_UNPROCESSABLE = 422  # also: there is one already
_RIGHTS = "Contents: write and Pull requests: write"


@dataclass(frozen=True, slots=True, kw_only=True)
class GitHub:
    """A repository on GitHub."""

    place: Place
    token: str | None
    api_url: str | None = None
    """Of GitHub Enterprise behind another address; default: by the host."""

    noun: ClassVar[str] = "pull request"

    def check(self) -> Check:
        """Return whether the token opens the repository."""
        subject = f"pull requests of {self.place.path} on {self.place.host}"
        return checked(subject, self._too_few_rights, f"Give it {_RIGHTS}.")

    def newest(self, branch: str, base: str) -> Request | None:
        """Return the open pull request of a branch, else the newest that was merged or closed."""
        with self._answers():
            found = self._pulls(branch, base)
        chosen = next((one for one in found if one.state == "open"), found[0] if found else None)
        return _request(chosen) if chosen is not None else None

    def open(self, wish: Wish) -> Request:
        """Open a pull request."""
        from github import GithubException

        with self._answers():
            try:
                made = self._repository().create_pull(
                    wish.base, wish.branch, title=wish.title, body=wish.body, draft=wish.draft
                )
            except GithubException as error:
                if error.status != _UNPROCESSABLE:
                    raise
                there = [one for one in self._pulls(wish.branch, wish.base) if one.state == "open"]
                if not there:
                    raise
                return self.update(_request(there[0]), wish)
            _complete(made, wish)
        return _request(made)

    def update(self, request: Request, wish: Wish) -> Request:
        """Give an open pull request this title and body, and the labels and reviewers that it lacks."""
        with self._answers():
            pull = self._repository().get_pull(request.number)
            if (pull.title, pull.body or "") != (wish.title, wish.body):
                pull.edit(title=wish.title, body=wish.body)
            _complete(pull, wish)
        return _request(pull)

    def merge_when_ready(self, request: Request, commit: str) -> str:
        """Turn on auto-merge; return why GitHub will not, or nothing."""
        from github import GithubException

        with self._answers():
            pull = self._repository().get_pull(request.number)
            if pull.raw_data.get("auto_merge"):
                return ""
            try:
                pull.enable_automerge(expected_head_oid=commit)
            except GithubException as error:
                return f"GitHub does not merge it by itself: {_said(error)}"
        return ""

    def _repository(self) -> "Repository":
        from github import Auth, Github

        if self.token is None:
            raise ConfigurationError(
                "there is no token for GitHub's API",
                advice=f"Set GITOPS_PASSWORD to a token that has {_RIGHTS} on {self.place.path}.",
            )
        client = Github(
            auth=Auth.Token(self.token),
            base_url=self.api_url or _api_of(self.place),
            timeout=_ANSWER_S,
            retry=_RETRIES,
            seconds_between_requests=None,
            seconds_between_writes=None,
        )
        return client.get_repo(self.place.path)

    def _pulls(self, branch: str, base: str) -> "list[PullRequest]":
        owner = self.place.path.partition("/")[0]
        found = self._repository().get_pulls(
            state="all", head=f"{owner}:{branch}", base=base, sort="created", direction="desc"
        )
        return [one for one in found.get_page(0) if self._is_own(one)]

    def _is_own(self, pull: "PullRequest") -> bool:
        """Tell whether its branch is in this repository, and not in a fork of the same owner."""
        there = pull.head.repo  # None: a fork that was deleted
        return there is not None and there.full_name.lower() == self.place.path.lower()

    def _too_few_rights(self) -> str:
        with self._answers():
            permissions = self._repository().permissions
        if permissions is None or permissions.push or not permissions.pull:
            return ""
        return "the token may read the repository, but not open pull requests from its branches"

    @contextmanager
    def _answers(self) -> Iterator[None]:
        try:
            from github import GithubException
        except ImportError as error:
            raise missing_library(self.noun, "PyGithub", "github") from error
        try:
            with reachable(self.place):
                yield
        except GithubException as error:
            raise refused(self.place, "GitHub", error.status, _said(error), _RIGHTS) from error


def _api_of(place: Place) -> str:
    return "https://api.github.com" if place.host == "github.com" else f"{place.scheme}://{place.host}/api/v3"


def _request(pull: "PullRequest") -> Request:
    return Request(
        number=pull.number,
        url=pull.html_url,
        state="merged" if pull.merged_at is not None else "open" if pull.state == "open" else "closed",
        title=pull.title,
        body=pull.body or "",
    )


def _complete(pull: "PullRequest", wish: Wish) -> None:
    missing = set(wish.labels) - {label.name for label in pull.labels}
    if missing:
        pull.add_to_labels(*sorted(missing))
    asked = {user.login for user in pull.requested_reviewers} | {team.slug for team in pull.requested_teams}
    people = [one for one in wish.reviewers if "/" not in one and one not in asked]
    teams = [one.partition("/")[2] for one in wish.reviewers if "/" in one]
    teams = [one for one in teams if one not in asked]
    if people or teams:
        pull.create_review_request(reviewers=people, team_reviewers=teams)


def _said(error: Exception) -> str:
    """Return GitHub's own words: the message, and what it says of single fields."""
    data = getattr(error, "data", None)
    if not isinstance(data, dict):
        return str(data or error) or "nothing"
    details = [
        one.get("message") or f"{one.get('field')} is {one.get('code')}"
        if isinstance(one, dict)
        else str(one)
        for one in data.get("errors") or ()
    ]
    return "; ".join(filter(None, (str(data.get("message") or ""), *details))) or "nothing"
