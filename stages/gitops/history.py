"""What the commits of a branch say: an edit fetches the head alone, this is what came before it.

Only commits are fetched, no tree and no file, and of those only the ones of the time that counts.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from stages.gitops.answers import Trouble, diagnose
from stages.gitops.message import Written, written
from stages.gitops.repository import CommitTree, Repository
from stages.manifests.tree import Tree

_FILTERS = ("tree:0", "blob:none", None)
"""What to leave out, the best first; a server may refuse a filter, or all."""
_SLOW_CLOCK = timedelta(days=1)
"""How far a clock may be behind of somebody who has committed on top of ours: git ends at an old commit."""
_COMMITTER = re.compile(r"^committer .* (\d+) [-+]\d{4}$", re.MULTILINE)
_NONE_SO_NEW = "no commits selected"


def written_since(tree: Tree, moment: datetime) -> Iterator[Written]:
    """Yield what our commits since a moment have written, the newest first; nothing of a mere folder.

    Raises:
        RemoteError: the commits cannot be fetched.
    """
    if isinstance(tree, CommitTree) and isinstance(tree.repository, Repository):
        for message in _messages_since(tree.repository, tree.commit, moment - _SLOW_CLOCK):
            if (found := written(message)) is not None:
                yield found


def _messages_since(repository: Repository, head: str, moment: datetime) -> tuple[str, ...]:
    """Return the messages of the commits that lead to a head and are not older than this."""
    if _committed_at(repository, head) < moment:
        return ()
    names = repository.git("for-each-ref", f"--points-at={head}", "--format=%(refname)", "refs/remotes")
    for tracked in names.stdout.split()[:1]:
        _deepen(repository, tracked.split("/", 3)[3], moment)
    log = ("log", "-z", "--format=%B", f"--since={moment.isoformat()}", head, "--")
    return tuple(filter(None, repository.git(*log).stdout.split("\0")))


def _committed_at(repository: Repository, commit: str) -> datetime:
    """Return when a commit was made, from the object itself: nothing around it need be there."""
    outcome = repository.git("cat-file", "commit", commit)
    found = _COMMITTER.search(outcome.stdout)
    if not outcome.succeeded or found is None:
        raise diagnose(outcome, repository.address.url).error()
    return datetime.fromtimestamp(int(found[1]), UTC)


def _deepen(repository: Repository, branch: str, moment: datetime) -> None:
    since = f"--shallow-since={moment.isoformat()}"
    for leave_out in _FILTERS:
        filters = (f"--filter={leave_out}",) if leave_out is not None else ()
        options = ("--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", *filters)
        outcome = repository.git("fetch", *options, since, "gitops", f"refs/heads/{branch}")
        if outcome.succeeded or _NONE_SO_NEW in outcome.stderr:
            return
        problem = diagnose(outcome, repository.address.url)
        if problem.trouble is Trouble.TEMPORARY or leave_out is None:
            raise problem.error()
