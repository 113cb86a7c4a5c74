"""Since when the CI host asks for a delivery: the commit that a change is compared with."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import ConfigurationError
from pipeline.source import find_commit, fork_point

_NOTHING = frozenset("0")
_DEPTH = "Fetch the history: `fetch-depth: 0` of actions/checkout, `GIT_DEPTH: 0` of GitLab."


@dataclass(frozen=True, slots=True)
class Base:
    """The commit that is compared with; None: everything counts as changed, and why."""

    commit: str | None
    said: str


def find_base(top: Path, asked: str | None, environment: Mapping[str, str]) -> Base:
    """Return the base: the one that was asked for, else what the CI host's variables say.

    A branch is compared where ours left it, and a push with the very commit that stood there before: it may
    have been forced.

    Raises:
        ConfigurationError: the one that was asked for is not there.
    """
    if asked is not None:
        commit = find_commit(top, asked)
        if commit is None:
            raise ConfigurationError(f"--base {asked}: there is no such commit in this clone", advice=_DEPTH)
        return Base(fork_point(top, commit) or commit, asked)
    branch, before = _github(environment) if environment.get("GITHUB_ACTIONS") else _gitlab(environment)
    name = branch or before
    if not name or set(name) == _NOTHING:
        return Base(None, "there is nothing to compare with, so all models count as changed")
    commit = find_commit(top, name)
    if commit is None:
        return Base(None, f"{name} is not in this clone, so all models count as changed. {_DEPTH}")
    return Base((fork_point(top, commit) if branch else None) or commit, name)


def _github(environment: Mapping[str, str]) -> tuple[str, str]:
    """Return the branch that a pull request goes to, or the commit before a push."""
    if branch := environment.get("GITHUB_BASE_REF"):
        return f"refs/remotes/origin/{branch}", ""
    try:
        event = json.loads(Path(environment.get("GITHUB_EVENT_PATH", "")).read_bytes())
    except (OSError, ValueError):
        return "", ""
    if not isinstance(event, dict):
        return "", ""
    group = event.get("merge_group")
    found = group.get("base_sha") if isinstance(group, dict) else event.get("before")
    return "", found if isinstance(found, str) else ""


def _gitlab(environment: Mapping[str, str]) -> tuple[str, str]:
    """Return the commit that a merge request starts from, or the one before a push.

    Where the result of the merge is checked out, that is the target branch's newest: all of it is in there.
    """
    merged = environment.get("CI_MERGE_REQUEST_TARGET_BRANCH_SHA")
    start = merged or environment.get("CI_MERGE_REQUEST_DIFF_BASE_SHA", "")
    return start, environment.get("CI_COMMIT_BEFORE_SHA", "")
