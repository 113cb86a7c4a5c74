"""Who builds and who signs without a key, as far as the CI host tells.

Sources: GitHub, "Security hardening with OpenID Connect"; GitLab, "Use Sigstore for keyless signing"; Fulcio,
"OIDC usage" (which claim becomes the certificate's identity).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from stages.attestations.types import OURS

LOCAL = f"{OURS}/builders/local"
GITHUB_ISSUER = "https://token.actions.githubusercontent.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job of a CI host; empty where nobody says so."""

    workflow: str = ""
    """Address of the file that defines it, with its branch: the identity of a keyless signature."""
    address: str = ""
    """Address of the job itself."""
    issuer: str = ""
    """Who issues its identity tokens."""
    has_token: bool = False
    """cosign can get an identity token."""


def job_of(environment: Mapping[str, str]) -> Job:
    """Return the job that this process belongs to."""
    if environment.get("GITHUB_ACTIONS") == "true":
        return _github(environment)
    if environment.get("GITLAB_CI") == "true":
        return _gitlab(environment)
    return Job(has_token=bool(environment.get("SIGSTORE_ID_TOKEN")))


def _github(environment: Mapping[str, str]) -> Job:
    server = environment.get("GITHUB_SERVER_URL", "https://github.com")
    repository, run = environment.get("GITHUB_REPOSITORY", ""), environment.get("GITHUB_RUN_ID", "")
    workflow = environment.get("GITHUB_WORKFLOW_REF", "")
    attempt = environment.get("GITHUB_RUN_ATTEMPT", "1")
    return Job(
        workflow=f"{server}/{workflow}" if workflow else "",
        address=f"{server}/{repository}/actions/runs/{run}/attempts/{attempt}" if run else "",
        issuer=GITHUB_ISSUER,
        has_token=bool(
            environment.get("ACTIONS_ID_TOKEN_REQUEST_URL") or environment.get("SIGSTORE_ID_TOKEN")
        ),
    )


def _gitlab(environment: Mapping[str, str]) -> Job:
    project = environment.get("CI_PROJECT_URL", "")
    kind = "tags" if environment.get("CI_COMMIT_TAG") else "heads"
    file = environment.get("CI_CONFIG_PATH") or ".gitlab-ci.yml"
    reference = f"refs/{kind}/{environment.get('CI_COMMIT_REF_NAME', '')}"
    return Job(
        workflow=f"{project}//{file}@{reference}" if project else "",
        address=environment.get("CI_JOB_URL", ""),
        issuer=environment.get("CI_SERVER_URL", ""),
        has_token=bool(environment.get("SIGSTORE_ID_TOKEN")),
    )
