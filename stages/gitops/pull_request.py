"""Changes that people review: one branch for each target branch and image, and one request on it.

The branch is built anew on the head of the base, so it never conflicts with what it was made from, and it
replaces only what was seen there (`--force-with-lease`). The base itself is never written to.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from pipeline.desk import Desk
from pipeline.errors import ConfigurationError, RemoteError, TemporaryRemoteError
from pipeline.model import Check, Proof
from stages.gitops import request_text
from stages.gitops.forge import Forge, Options, Request, Wish
from stages.gitops.git import NO_SUCH_BRANCH, Attempts, GitBranch
from stages.gitops.interface import Edit, Landing
from stages.gitops.message import written
from stages.gitops.repository import CommitTree, FilterUnusable, NewCommit, Repository
from stages.manifests.editing import EditedFile

_OURS = "Pipeline-Branch"  # trailer of the commits that may be replaced
_MARK = "<!-- model-image-pipeline: {} -->"
_DECLINED = "people closed the {noun} for this digest ({url}), so it is not opened again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a request is about."""

    digest: str
    references: tuple[str, ...]
    """The images that the manifests get, whole."""
    evidence: tuple[tuple[str, str], ...] = ()
    """The stages' names, with what each found in one line."""
    proofs: Callable[[], tuple[Proof, ...]] = tuple
    """What shows that the edit changes the image alone, once it was made."""
    reopens: bool = False
    """Ask again for a digest whose request people have closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequestBranch:
    """A branch of a git repository that is changed by pull or merge requests."""

    base: GitBranch
    forge: Forge
    options: Options
    subject: Subject

    @property
    def shown_url(self) -> str:
        """The address without any password."""
        return self.base.shown_url

    def check(self, desk: Desk) -> tuple[Check, ...]:
        """Return whether the branch is there, and whether branches and requests may be made."""
        return *self.base.check(desk), self.forge.check()

    def preview(self, edit: Edit, desk: Desk) -> tuple[EditedFile, ...]:
        """Return what the edit would change in the base now; nothing is written."""
        return self.base.preview(edit, desk)

    def land(self, edit: Edit, message: str, desk: Desk) -> Landing:
        """Put the edit on a branch of its own, and have a request ask for it.

        Raises:
            RemoteError: the remote or its host refuses or cannot be reached, or the branch holds a commit of
                somebody else.
            ConfigurationError: there is no such branch, or the edit refuses.
        """
        words = f"{self.base.wording.signed_off(message).rstrip()}\n{_OURS}: {self.options.branch}\n"
        new = NewCommit(message=words, author=self.base.author, committer=self.base.committer)
        with self.base.opened(desk) as repository:
            attempts = Attempts(time.monotonic() + self.base.time_limit_s)
            while True:
                attempts.count += 1
                try:
                    landing = self._attempt(repository, edit, new)
                    if landing is not None:
                        return replace(landing, attempts=attempts.count)
                    attempts.lost(self.base)
                    desk.say(f"{self.options.branch} has moved on; building it anew")
                except FilterUnusable:
                    repository.filter_less()
                except TemporaryRemoteError as error:
                    attempts.unreachable(error)
                    desk.say(f"{self.shown_url} cannot be reached; trying again")

    def _attempt(self, repository: Repository, edit: Edit, new: NewCommit) -> Landing | None:
        """Build, push and ask once; None: somebody else has pushed to the branch meanwhile."""
        request = self.forge.newest(self.options.branch, self.base.branch)
        if request is not None and self._declined(request):
            note = _DECLINED.format(noun=self.forge.noun, url=request.url)
            return Landing(files=(), commit=None, attempts=0, request=request, note=note)
        seen = self._seen(repository, new.message)
        waiting = request is not None and request.state == "open"
        if seen and waiting and self._gives_way(repository, seen, edit):
            return Landing(files=(), commit=None, attempts=0, head=seen, request=request)
        head = repository.fetch(self.base.branch)
        tree = CommitTree(repository, head)
        files = edit(tree)
        if not files:
            return Landing(files=(), commit=None, attempts=0, head=head)
        commit = repository.commit(tree, {file.path: file.after for file in files}, new)
        if _content(repository, seen) == _content(repository, commit):
            commit = seen
        elif not repository.push(commit, self.options.branch, replaces=seen):
            return None
        asked, note = self._ask(request if waiting else None, files, new.message, commit)
        if asked.state == "merged":  # since we looked: with this commit, or without it
            return None
        return Landing(files=files, commit=commit, attempts=0, head=head, request=asked, note=note)

    def _declined(self, request: Request) -> bool:
        mark = _MARK.format(self.subject.digest)
        return request.state == "closed" and mark in request.body and not self.subject.reopens

    def _seen(self, repository: Repository, message: str) -> str:
        """Return the commit that the branch points to, fetched; empty where there is no branch.

        Raises:
            RemoteError: the commit is not ours, or is about other manifests.
        """
        outcome = repository.branch_head(self.options.branch)
        if outcome.exit_code == NO_SUCH_BRANCH and not outcome.timed_out:
            return ""
        commit = repository.fetch(self.options.branch)
        there = _commit_object(repository, commit)
        theirs, ours = written(there), written(message)
        if theirs is not None and ours is not None and not theirs.manifests & ours.manifests:
            raise RemoteError(
                f"{self.shown_url}: the branch {self.options.branch} holds a change of "
                f"{', '.join(sorted(theirs.manifests))}, which this one would replace",
                advice="Give each environment a `branch:` of its own below `pull_request:`, or leave it out.",
            )
        if f"\n{_OURS}: {self.options.branch}\n" not in f"{there}\n":
            raise RemoteError(
                f"{self.shown_url}: the branch {self.options.branch} ends with a commit that is not the "
                f"pipeline's ({commit[:12]}), which building it anew would lose",
                advice=f"Merge the {self.forge.noun}, or delete the branch; or name another one as `branch:` "
                "of `pull_request:`.",
            )
        return commit

    def _gives_way(self, repository: Repository, seen: str, edit: Edit) -> bool:
        """Tell whether a newer build waits on the branch: then the edit changes nothing there."""
        tree = CommitTree(repository, seen)
        try:
            if edit(tree):
                return False
        except ConfigurationError:  # what the branch was made from has changed since
            return False
        return self.subject.digest not in _commit_object(repository, seen)

    def _ask(
        self, request: Request | None, files: tuple[EditedFile, ...], message: str, commit: str
    ) -> tuple[Request, str]:
        changes = [file.change() for file in files]
        proofs = (("proof", request_text.proved(proof)) for proof in self.subject.proofs())
        evidence = (*self.subject.evidence, *proofs)
        text = request_text.body(message, self.subject.references, evidence, changes)
        wish = Wish(
            branch=self.options.branch,
            base=self.base.branch,
            title=request_text.title(message),
            body=f"{text}\n{_MARK.format(self.subject.digest)}\n",
            labels=self.options.labels,
            reviewers=self.options.reviewers,
            draft=self.options.draft,
        )
        if request is None:
            asked = replace(self.forge.open(wish), made=True)
        else:
            asked = self.forge.update(request, wish)
            if asked.state != "open":
                return asked, ""
        note = self.forge.merge_when_ready(asked, commit) if self.options.auto_merge else ""
        return asked, note


def _commit_object(repository: Repository, commit: str) -> str:
    return repository.git("cat-file", "commit", commit).stdout


def _content(repository: Repository, commit: str) -> tuple[str, ...]:
    """Return the tree and the parents of a commit; nothing where there is none."""
    if not commit:
        return ()
    head, _, _ = _commit_object(repository, commit).partition("\n\n")
    return tuple(line for line in head.splitlines() if line.startswith(("tree ", "parent ")))
