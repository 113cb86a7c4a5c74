"""The CI host that runs us: what it tells of its job, and what it wants to be told."""

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext

from pipeline.ci.github import GitHub
from pipeline.ci.gitlab import GitLab
from pipeline.ci.interface import Host
from pipeline.ci.local import Local
from pipeline.ci.streams import guarded


def detect(environment: Mapping[str, str] = os.environ) -> Host:
    """Return the CI host whose job this is; this machine where it is none that we know."""
    if environment.get("GITHUB_ACTIONS") == "true":
        return GitHub(environment=environment)
    if environment.get("GITLAB_CI") == "true":
        return GitLab(environment=environment)
    return Local()


def announcer(environment: Mapping[str, str] = os.environ) -> Callable[[str], None]:
    """Return what tells the CI host of a secret, so that it masks it in the whole job's log."""
    return detect(environment).mask


def guard(host: Host) -> AbstractContextManager[None]:
    """Return what keeps all that is printed from being read as the host's commands."""
    return nullcontext() if isinstance(host, Local) else guarded(host.neutral)
