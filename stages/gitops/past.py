"""What a GitOps repository said before: the states of the manifests' images, the newest first."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from pipeline.desk import Desk
from pipeline.errors import ConfigurationError
from pipeline.reference import Reference
from stages.gitops.answers import diagnose
from stages.gitops.git import GitBranch
from stages.gitops.repository import CommitTree, FilterUnusable, Repository
from stages.gitops.wishes import Wish
from stages.manifests.editing import standing
from stages.manifests.tree import Tree

_DEPTHS = (64, 1024, None)
"""How many commits are looked at, in steps: what was deployed before is rarely far away. None: all."""


@dataclass(frozen=True, slots=True)
class State:
    """What each target named from a commit on."""

    commit: str
    references: tuple[Reference, ...]
    """In the order of the targets."""


def state_of(tree: Tree, wishes: Sequence[Wish]) -> tuple[tuple[Reference, ...], tuple[str, ...]]:
    """Return what each target names now, and the files in which it stands.

    Raises:
        ConfigurationError: a target names no such image.
    """
    found = [standing(tree, *one) for one in wishes]
    try:
        references = tuple(Reference.parse(places[0].reference) for places in found)
    except ValueError as error:
        raise ConfigurationError(f"what stands in a manifest is no reference of an image: {error}") from error
    return references, tuple(dict.fromkeys(place.path for places in found for place in places))


def states(branch: GitBranch, wishes: Sequence[Wish], desk: Desk) -> Iterator[State]:
    """Yield the states of the targets, each one that differs from the one after it; the first is the present.

    Raises:
        ConfigurationError: a target names no such image now.
        RemoteError: the repository cannot be reached.
    """
    with branch.opened(desk) as repository:
        head = _fetched(repository, branch.branch)
        last, files = state_of(CommitTree(repository, head), wishes)
        yield State(head, last)
        for commit in _commits(repository, branch.branch, head, files):
            with suppress(ConfigurationError):  # there it named another image, or none
                here, _ = state_of(CommitTree(repository, commit), wishes)
                if here != last:
                    yield State(commit, here)
                last = here


def _fetched(repository: Repository, branch: str) -> str:
    while True:
        try:
            return repository.fetch(branch)
        except FilterUnusable:
            repository.filter_less()


def _commits(repository: Repository, branch: str, head: str, files: Sequence[str]) -> Iterator[str]:
    """Yield the commits that changed one of the files, the newest first, fetched in steps."""
    seen: set[str] = set()
    for depth in _DEPTHS:
        _deepen(repository, branch, depth)
        log = repository.git("log", "--format=%H", head, "--", *files).stdout.split()
        # the oldest commit that is here seems to have made every file
        cut = set(repository.git("rev-list", "--max-parents=0", head).stdout.split())
        known = [commit for commit in log if depth is None or commit not in cut]
        yield from (commit for commit in known if commit not in seen)
        seen.update(known)


def _deepen(repository: Repository, branch: str, depth: int | None) -> None:
    how = f"--depth={depth}" if depth is not None else "--unshallow"
    if depth is None and repository.git("rev-parse", "--is-shallow-repository").stdout.strip() == "false":
        return
    options = ("--no-tags", "--no-write-fetch-head", "--no-recurse-submodules")
    for filters in (("--filter=blob:none",), ()):
        outcome = repository.git("fetch", *options, *filters, how, "gitops", f"refs/heads/{branch}")
        if outcome.succeeded:
            return
        if "filter" not in outcome.stderr:
            break
    raise diagnose(outcome, repository.address.url).error()
