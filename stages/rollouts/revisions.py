"""Whether a revision that a cluster has reached holds a commit: others commit to the same branch."""

from dataclasses import dataclass, field

from pipeline.desk import Desk
from pipeline.errors import PipelineError
from stages.gitops.git import GitBranch
from stages.gitops.repository import Repository

_FILTERS: tuple[tuple[str, ...], ...] = (("--filter=tree:0",), ("--filter=blob:none",), ())
_DEPTH = 256
"""How many commits may have come after ours while we wait."""


def is_after(branch: GitBranch, revision: str, commit: str, desk: Desk) -> bool | None:
    """Tell whether a revision of the branch is, or comes after, a commit; None: nobody can tell."""
    try:
        with branch.opened(desk) as repository:
            if not _fetched(repository, branch.branch):
                return None
            answer = repository.git("merge-base", "--is-ancestor", commit, revision).exit_code
            return answer == 0 if answer in {0, 1} else None
    except PipelineError:
        return None


def _fetched(repository: Repository, branch: str) -> bool:
    options = ("--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", f"--depth={_DEPTH}")
    wanted = f"+refs/heads/{branch}:refs/remotes/gitops/{branch}"
    return any(repository.git("fetch", *options, *f, "gitops", wanted).succeeded for f in _FILTERS)


@dataclass(slots=True)
class History:
    """What is known of the branch's commits; each pair is asked for until there is an answer, then kept."""

    branch: GitBranch
    desk: Desk
    _known: dict[tuple[str, str], bool] = field(default_factory=dict)

    def includes(self, revision: str, commit: str) -> bool:
        """Tell whether a revision is known to be, or to come after, a commit."""
        if (revision, commit) not in self._known:
            answer = is_after(self.branch, revision, commit, self.desk)
            if answer is None:
                return False
            self._known[revision, commit] = answer
        return self._known[revision, commit]
