"""Direct commits to a branch, by compare and swap: whoever loses the race edits the newer head again."""

import difflib
import os
import random
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.desk import Desk
from pipeline.errors import ConfigurationError, PipelineError, RemoteError, TemporaryRemoteError, ToolMissing
from pipeline.model import Check, Problem
from pipeline.process import Command
from stages.gitops.access import Access
from stages.gitops.address import Address
from stages.gitops.answers import diagnose
from stages.gitops.interface import Edit, Landing
from stages.gitops.repository import SIGNING_ADVICE, Author, CommitTree, FilterUnusable, NewCommit, Repository
from stages.gitops.signing import Signing
from stages.gitops.wording import Wording
from stages.manifests.editing import EditedFile

_SILENT = " (GITHUB_TOKEN: its commits start no workflows; a GitHub App's or a deploy key's do)"
OLDEST_GIT = (2, 31)  # settings through the environment (GIT_CONFIG_COUNT)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 30.0
_LONGEST_PAUSE_ATTEMPTS = 16  # in times of what an attempt takes: the more write, the longer that is
_UNREACHABLE_TIMES = 4  # in a row; a lost race is tried for as long as there is time
NO_SUCH_BRANCH = 2  # exit code of `git ls-remote --exit-code`


@dataclass(frozen=True, slots=True, kw_only=True)
class GitBranch:
    """A branch of a git repository that commits are pushed to."""

    url: str
    branch: str
    author: Author = Author()  # noqa: RUF009 - frozen
    committer: Author | None = None
    """None: the author."""
    wording: Wording = Wording()  # noqa: RUF009 - frozen
    access: Access = Access()  # noqa: RUF009 - frozen
    signing: Signing | None = None
    time_limit_s: float = 180.0

    @property
    def shown_url(self) -> str:
        """The address without any password."""
        return Address.parse(self.url).url

    def check(self, desk: Desk) -> tuple[Check, ...]:
        """Return whether git is there, the branch exists, and we may push to it."""
        tool = git_version(desk)
        if not tool.passed:
            return (tool,)
        try:
            with self.opened(desk) as repository:
                return tool, *self._checks(repository, desk)
        except (ConfigurationError, RemoteError, ToolMissing) as error:
            return tool, _failed(f"access to {self.shown_url}", error)

    def _checks(self, repository: Repository, desk: Desk) -> Iterator[Check]:
        branch = self._check_branch(repository)
        yield branch
        if branch.passed and not desk.dry_run:
            yield self._check_permission(repository)
        if self.signing is not None:
            found = repository.check_signing()
            yield Check(
                subject=f"signatures of commits ({self.signing.format})",
                found=found or "can be made",
                problem=None if found is None else Problem.CONFIGURATION,
                advice=SIGNING_ADVICE if found is not None else "",
            )

    def preview(self, edit: Edit, desk: Desk) -> tuple[EditedFile, ...]:
        """Return what the edit would change now; nothing is written."""
        with self.opened(desk) as repository:
            while True:
                try:
                    return edit(CommitTree(repository, repository.fetch(self.branch)))
                except FilterUnusable:
                    repository.filter_less()

    def land(self, edit: Edit, message: str, desk: Desk) -> Landing:
        """Put the edit on the branch, on top of whatever others have put there meanwhile."""
        words = self.wording.signed_off(message)
        new = NewCommit(message=words, author=self.author, committer=self.committer)
        with self.opened(desk) as repository:
            attempts = Attempts(time.monotonic() + self.time_limit_s)
            landing = Landing(files=(), commit=None, attempts=0)
            while True:
                attempts.begin()
                try:
                    head = repository.fetch(self.branch)
                    if head == landing.commit:  # the push had arrived, only its answer had not
                        return landing
                    tree = CommitTree(repository, head)
                    files = edit(tree)
                    if not files:
                        return Landing(files=(), commit=None, attempts=attempts.count, head=head)
                    commit = repository.commit(tree, {file.path: file.after for file in files}, new)
                    landing = Landing(files=files, commit=commit, attempts=attempts.count, head=head)
                    if repository.push(commit, self.branch):
                        return landing
                    attempts.lost(self)
                    desk.say(f"{self.branch} has moved on; applying the edit to its new head")
                except FilterUnusable:
                    repository.filter_less()
                except TemporaryRemoteError as error:
                    attempts.unreachable(error)
                    desk.say(f"{self.shown_url} cannot be reached; trying again")

    @contextmanager
    def opened(self, desk: Desk) -> Iterator[Repository]:
        """Have a repository of our own, and what lets it in, for as long as the `with` block lasts."""
        with ExitStack() as parts:
            scratch = tempfile.TemporaryDirectory(
                dir=desk.folder, prefix="gitops-", ignore_cleanup_errors=True
            )
            folder = Path(parts.enter_context(scratch))
            # a run's folder becomes an artifact of its CI job, also of one that was killed: no place for keys
            keys = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="gitops-keys-")))
            address = self.access.address(self.url, keys, desk)
            signer = parts.enter_context(self.signing.ready(keys, desk)) if self.signing else None
            repository = Repository(folder / "repository.git", address, desk, signer)
            repository.create()
            yield repository

    def _check_branch(self, repository: Repository) -> Check:
        subject = f"branch {self.branch} of {repository.address.url}"
        outcome = repository.branch_head(self.branch)
        if outcome.succeeded:
            return Check(subject=subject, found=outcome.stdout[:12])
        if outcome.exit_code != NO_SUCH_BRANCH or outcome.timed_out:
            return diagnose(outcome, repository.address.url).check(subject)
        near = difflib.get_close_matches(self.branch, names := repository.branches(), n=1)
        known = f"It has: {', '.join(names[:12])}." if names else "It is empty: push a first commit."
        return Check(
            subject=subject,
            found="there is no such branch",
            problem=Problem.CONFIGURATION,
            advice=f"Did you mean {near[0]}? Correct `branch:` of `update:`."
            if near
            else f"Correct `branch:` of `update:`. {known}",
        )

    def _check_permission(self, repository: Repository) -> Check:
        subject = f"leave to push to {repository.address.url}"
        outcome = repository.may_push()
        if outcome.succeeded:
            return Check(subject=subject, found=_user(repository.address))
        return diagnose(outcome, repository.address.url).check(subject)


def _user(address: Address) -> str:
    silent = address.password is not None and address.password == os.environ.get("GITHUB_TOKEN")
    return (address.username or "yes") + (_SILENT if silent else "")


def _failed(subject: str, error: PipelineError) -> Check:
    problems = {ConfigurationError: Problem.CONFIGURATION, ToolMissing: Problem.TOOL}
    problem = problems.get(type(error), Problem.REMOTE)
    return Check(subject=subject, found=error.message, problem=problem, advice=error.advice)


@dataclass(slots=True)
class Attempts:
    """Decides whether to try again, and waits for a random time that grows (full jitter)."""

    deadline: float
    count: int = 0
    _begun: float = 0.0
    _unreachable: int = 0
    _random: random.SystemRandom = field(default_factory=random.SystemRandom)

    def begin(self) -> None:
        """Count another attempt."""
        self.count += 1
        self._begun = time.monotonic()

    def lost(self, branch: GitBranch) -> None:
        """Wait after a lost race.

        Raises:
            RemoteError: the time is up.
        """
        self._unreachable = 0
        if time.monotonic() > self.deadline:
            raise RemoteError(
                f"{branch.shown_url}: others were quicker {self.count} times in "
                f"{branch.time_limit_s:.0f} s, so the edit never landed on {branch.branch}",
                advice="Run again: nothing was lost, and what is already done is not done twice. "
                "Raise `time_limit_s:` of `update:` where very many writers share the branch.",
            )
        took_s = max(_FIRST_PAUSE_S, time.monotonic() - self._begun if self._begun else 0.0)
        self._pause(took_s * min(_LONGEST_PAUSE_ATTEMPTS, 2 ** min(self.count, 10)))

    def unreachable(self, error: TemporaryRemoteError) -> None:
        """Wait after the remote could not be reached; raise the error when that was too often."""
        self._unreachable += 1
        if self._unreachable >= _UNREACHABLE_TIMES or time.monotonic() > self.deadline:
            raise error
        self._pause(_FIRST_PAUSE_S * 2 ** (self._unreachable + 2))

    def _pause(self, longest_s: float) -> None:
        pause_s = self._random.uniform(0, min(_LONGEST_PAUSE_S, longest_s))
        time.sleep(min(pause_s, max(0.0, self.deadline - time.monotonic())))


def git_version(desk: Desk) -> Check:
    """Return whether git is there and new enough."""
    wanted = ".".join(map(str, OLDEST_GIT))
    advice = f"Install git {wanted} or newer."
    try:
        text = desk.run(Command(arguments=("git", "version")), log="git").stdout
    except ToolMissing as error:
        return Check(subject="git", found=error.message, problem=Problem.TOOL, advice=advice)
    found = re.search(r"(\d+)\.(\d+)[.\d]*", text)
    if found is None or (int(found[1]), int(found[2])) < OLDEST_GIT:
        return Check(subject="git", found=text.strip() or "no answer", problem=Problem.TOOL, advice=advice)
    return Check(subject="git", found=found[0])
