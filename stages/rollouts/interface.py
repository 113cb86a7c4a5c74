"""What is waited for, what was seen, and who looks."""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from pipeline.desk import Desk
from pipeline.errors import ConfigurationError, PipelineError, ToolMissing
from pipeline.model import Check, Problem

Json = dict[str, object]
"""A JSON object as an API answered it."""
State = Literal["live", "progressing", "degraded", "unknown"]

UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"
"""What OpenSSL calls a certificate that will not be better in a second; other trouble with TLS may pass."""
_COMMIT = re.compile(r"(?:^|[^0-9a-f])([0-9a-f]{64}|[0-9a-f]{40})$")


def _is(revision: str, commit: str) -> bool:
    return revision == commit


@dataclass(frozen=True, slots=True, kw_only=True)
class Awaited:
    """A commit, and the digests that it has put into the manifests."""

    commit: str
    digests: tuple[str, ...]
    """One of them is enough: a commit lands as a whole, and a resource may name only some."""
    includes: Callable[[str, str], bool] = _is
    """Tells whether a commit (the first) is, or comes after, another one (the second)."""

    def is_in(self, revision: str) -> bool:
        """Tell whether a revision, such as `main@sha1:…` or a mere commit, holds the commit."""
        found = _COMMIT.search(revision)
        return found is not None and (found[1] == self.commit or self.includes(found[1], self.commit))

    def is_named_in(self, text: str) -> bool:
        """Tell whether a text names one of the digests."""
        return any(digest in text for digest in self.digests)


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look has shown."""

    state: State
    reason: str = ""
    """One word of the API's own, such as ImagePullBackOff."""
    message: str = ""

    def __str__(self) -> str:
        return ": ".join(part for part in (self.reason, self.message) if part)


Look = Callable[[Awaited], Seen]
"""Asks once.

Raises TemporaryRemoteError where there is no answer, RemoteError where there is a refusal.
"""


class Watcher(Protocol):
    """One thing that has to become live, and who can be asked about it."""

    @property
    def subject(self) -> str:
        """What is watched, in words for people: Deployment digits/server."""
        ...

    def check(self, desk: Desk) -> Check:
        """Return whether the API answers, and lets us look."""
        ...

    def looking(self, desk: Desk) -> AbstractContextManager[Look]:
        """Return what looks, with its connection open for as long as the `with` block lasts."""
        ...


def failing(subject: str, error: PipelineError) -> Check:
    """Return the check of something that cannot be watched."""
    kinds: dict[type, Problem] = {ConfigurationError: Problem.CONFIGURATION, ToolMissing: Problem.TOOL}
    problem = kinds.get(type(error), Problem.REMOTE)
    return Check(subject=subject, found=error.message, problem=problem, advice=error.advice)
