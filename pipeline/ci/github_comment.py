"""The one comment on a pull request, by PyGithub (extra `github`)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline.ci.interface import Proposal
from pipeline.ci.marker import left, marked, marker

if TYPE_CHECKING:
    from github import Github
    from github.IssueComment import IssueComment
    from github.PullRequest import PullRequest

_JOB = "github-actions[bot]"
"""Whom GITHUB_TOKEN stands for; it may not ask."""
_ANSWER_S = 30
_REFUSED = {401, 403, 404}


def comment(environment: Mapping[str, str], proposal: Proposal | None, markdown: str, key: str) -> str:
    """Write or update the comment; return what was done, in one line, or nothing without a token."""
    token, path = environment.get("GITHUB_TOKEN"), environment.get("GITHUB_REPOSITORY")
    if not token or not path or proposal is None or proposal.number is None:
        return ""
    try:
        import requests
        from github import Auth, Github, GithubException
    except ImportError:
        return left(proposal, "PyGithub is not installed: pip install 'model-image-pipeline[github]'")
    client = Github(
        auth=Auth.Token(token),
        base_url=environment.get("GITHUB_API_URL") or "https://api.github.com",
        timeout=_ANSWER_S,
        retry=None,
        lazy=True,  # the number is enough to speak to the repository
        seconds_between_requests=None,
        seconds_between_writes=None,
    )
    try:
        pull = client.get_repo(path).get_pull(proposal.number)
        return f"comment {_written(client, pull, markdown, key)}"
    except GithubException as error:
        may_not = error.status in _REFUSED
        return left(proposal, "the token may not" if may_not else f"GitHub answers HTTP {error.status}")
    except requests.RequestException as error:
        return left(proposal, f"GitHub cannot be reached: {type(error).__name__}")


def _written(client: "Github", pull: "PullRequest", markdown: str, key: str) -> str:
    """Return the address of our comment, which is there now and says this."""
    body = marked(markdown, key)
    found = _ours(client, pull, key)
    if found is None:
        return str(pull.create_issue_comment(body).html_url)
    if found.body != body:
        found.edit(body)
    return str(found.html_url)


def _ours(client: "Github", pull: "PullRequest", key: str) -> "IssueComment | None":
    """Return our comment; what others wrote with our marker is none of ours."""
    found = [one for one in pull.get_issue_comments() if (one.body or "").startswith(marker(key))]
    if not found:
        return None
    name = _own_name(client)
    return next((one for one in found if one.user.login == name), None)


def _own_name(client: "Github") -> str:
    from github import GithubException

    try:
        return str(client.get_user().login)
    except GithubException:
        return _JOB
