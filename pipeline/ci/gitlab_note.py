"""The one note on a merge request, by python-gitlab (extra `gitlab`)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline.ci.interface import Proposal
from pipeline.ci.marker import left, marked, marker

if TYPE_CHECKING:
    from gitlab import Gitlab
    from gitlab.v4.objects import ProjectMergeRequest

_ANSWER_S = 30.0
_REFUSED = {401, 403, 404}


def note(environment: Mapping[str, str], proposal: Proposal | None, markdown: str, key: str) -> str:
    """Write or update the note; return what was done, in one line, or nothing without GITLAB_TOKEN.

    A job's own token may not write notes.
    """
    token = environment.get("GITLAB_TOKEN")
    project = environment.get("CI_MERGE_REQUEST_PROJECT_PATH") or environment.get("CI_PROJECT_PATH")
    server = environment.get("CI_SERVER_URL")
    if not token or not project or not server or proposal is None or proposal.number is None:
        return ""
    if proposal.noun != "merge request":  # of another host, which this token does not open
        return ""
    try:
        import requests
        from gitlab import Gitlab, GitlabError
    except ImportError:
        return left(proposal, "python-gitlab is not installed: pip install 'model-image-pipeline[gitlab]'")
    client = Gitlab(server, private_token=token, timeout=_ANSWER_S, retry_transient_errors=False)
    try:
        request = client.projects.get(project, lazy=True).mergerequests.get(proposal.number, lazy=True)
        number = _written(client, request, markdown, key)
    except GitlabError as error:
        may_not = error.response_code in _REFUSED
        return left(
            proposal, "the token may not" if may_not else f"GitLab answers HTTP {error.response_code}"
        )
    except requests.RequestException as error:
        return left(proposal, f"GitLab cannot be reached: {type(error).__name__}")
    return f"comment {server}/{project}/-/merge_requests/{proposal.number}#note_{number}"


def _written(client: "Gitlab", request: "ProjectMergeRequest", markdown: str, key: str) -> int:
    """Return the number of our note, which is there now and says this; others' are none of ours."""
    body = marked(markdown, key)
    found = [one for one in request.notes.list(iterator=True) if one.body.startswith(marker(key))]
    if found:
        client.auth()
        own = client.user.id if client.user is not None else None
        found = [one for one in found if one.author["id"] == own]
    if not found:
        return int(request.notes.create({"body": body}).id)
    if found[0].body != body:
        found[0].body = body
        found[0].save()
    return int(found[0].id)
