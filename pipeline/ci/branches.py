"""Which branches a job may learn from: its own, and those that it is meant for."""

import json
from collections.abc import Mapping
from pathlib import Path

TARGETS = ("GITHUB_BASE_REF", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "CI_DEFAULT_BRANCH")


def base_branches(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the branch that a proposal is for, and the repository's default branch, as far as CI tells."""
    named = (environment.get(name) for name in TARGETS)
    return tuple(dict.fromkeys(filter(None, (*named, _default_branch(environment)))))


def git_tag(environment: Mapping[str, str]) -> str | None:
    """Return the git tag that the job runs for; CI puts its name where a branch's would be."""
    if environment.get("GITHUB_REF_TYPE") == "tag":
        return environment.get("GITHUB_REF_NAME", "")
    return environment.get("CI_COMMIT_TAG") or None


def _default_branch(environment: Mapping[str, str]) -> str | None:
    """Return the default branch that GitHub's event tells."""
    path = environment.get("GITHUB_EVENT_PATH")
    try:
        name = json.loads(Path(path).read_bytes())["repository"]["default_branch"] if path else None
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return name if isinstance(name, str) else None
