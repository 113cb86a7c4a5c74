"""Which commit is delivered: read from git, by the git command."""

import hashlib
import os
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from pipeline.errors import ConfigurationError
from pipeline.model import Source
from pipeline.process import Command, Outcome, run
from pipeline.reference import Digest

CI_BRANCHES = (
    "GITHUB_HEAD_REF",
    "GITHUB_REF_NAME",
    "CI_COMMIT_REF_NAME",
)  # a CI job checks a commit out, detached


def read_source(root: Path) -> Source:
    """Return the commit that is checked out around this folder, and how the work tree differs from it.

    Raises:
        ConfigurationError: the folder is in no git repository, or the repository has no commit.
        ToolMissing: there is no git.
    """
    top = Path(_git(root, "rev-parse", "--show-toplevel").stdout.strip())
    commit, committed_at = _head(root)
    changes = _changes(top)
    return Source(
        root=root.resolve(),
        commit=commit,
        committed_at=committed_at,
        branch=_branch(root),
        repository_url=_repository_url(root),
        changes=changes,
        changes_digest=_digest_of(top, changes) if changes else None,
    )


def without_password(url: str) -> str:
    """Return the URL without the user and password that it may carry."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or "@" not in parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _git(root: Path, *arguments: str, optional: bool = False) -> Outcome:
    outcome = run(Command(arguments=("git", "-C", str(root), *arguments), environment={"LC_ALL": "C"}))
    if outcome.succeeded or optional:
        return outcome
    if "dubious ownership" in outcome.stderr:
        raise ConfigurationError(
            f"git does not trust {root}: it belongs to another user",
            advice=f"Run `git config --global --add safe.directory {root}`.",
        )
    if "not a git repository" in outcome.stderr:
        raise ConfigurationError(
            f"{root} is in no git repository, so there is no commit to deliver",
            advice="Run `git init`, `git add` and `git commit` first: the commit names the image.",
        )
    raise ConfigurationError(f"git {' '.join(arguments)} failed in {root}: {outcome.stderr.strip()}")


def _head(root: Path) -> tuple[str, datetime]:
    outcome = _git(root, "log", "-1", "--format=%H %cI", optional=True)
    if not outcome.succeeded:
        raise ConfigurationError(
            f"the git repository around {root} has no commit yet",
            advice="Run `git add` and `git commit` first.",
        )
    commit, _, committed_at = outcome.stdout.strip().partition(" ")
    return commit, datetime.fromisoformat(committed_at)


def _branch(root: Path) -> str | None:
    name = _git(root, "rev-parse", "--abbrev-ref", "HEAD").stdout.strip()
    if name != "HEAD":
        return name
    return next((os.environ[variable] for variable in CI_BRANCHES if os.environ.get(variable)), None)


def _repository_url(root: Path) -> str | None:
    outcome = _git(root, "remote", "get-url", "origin", optional=True)
    return without_password(outcome.stdout.strip()) if outcome.succeeded else None


def _changes(top: Path) -> tuple[str, ...]:
    """Return the paths that differ from the commit, untracked ones among them and ignored ones not."""
    fields = _git(top, "status", "--porcelain=v1", "-z", "--untracked-files=all").stdout.split("\0")
    paths, entries = [], iter(fields)
    for entry in entries:
        if not entry:
            continue
        paths.append(entry[3:])
        if "R" in entry[:2] or "C" in entry[:2]:
            paths.append(next(entries))  # a rename tells the old path in a field of its own
    return tuple(sorted(paths))


def _digest_of(top: Path, changes: tuple[str, ...]) -> Digest:
    """Return a digest of what the changed files hold now; a deleted one counts as such."""
    total = hashlib.sha256()
    for name in changes:
        path = top / name
        total.update(name.encode(errors="surrogateescape") + b"\0")
        if path.is_symlink():
            total.update(b"link " + os.fsencode(path.readlink()))
        elif path.is_file():
            with path.open("rb") as stream:
                total.update(f"file {path.stat().st_mode & 0o111:o} ".encode())
                total.update(hashlib.file_digest(stream, "sha256").digest())
        else:
            total.update(b"gone")
    return Digest(f"sha256:{total.hexdigest()}")
