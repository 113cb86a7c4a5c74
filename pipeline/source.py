"""Which commit is delivered: read from git, by the git command."""

import hashlib
import os
import re
import secrets
import stat
from datetime import datetime
from pathlib import Path

from pipeline.ci.branches import git_tag
from pipeline.errors import ConfigurationError
from pipeline.git import FOREIGN_VARIABLES
from pipeline.model import Source
from pipeline.process import Command, Outcome, Sink, run
from pipeline.reference import Digest
from pipeline.tags import SHORT

CI_BRANCHES = (
    "GITHUB_HEAD_REF",
    "GITHUB_REF_NAME",
    "CI_COMMIT_REF_NAME",
)  # a CI job checks a commit out, detached
CI_HOSTS = {"GITHUB_ACTIONS": "github", "GITLAB_CI": "gitlab"}
CI_PROTECTIONS = ("GITHUB_REF_PROTECTED", "CI_COMMIT_REF_PROTECTED")
_USER = re.compile(r"(?P<scheme>[A-Za-z][\w+.-]*://)(?P<user>[^/?#]*)@")
_ORIGIN = re.compile(r"^(?:[a-z+]+://[^/]+/|[^/@:]*@?[^/@:]+:)(?P<path>[\w.-]+(?:/[\w.-]+)+)/?$")
_ESCAPE = re.compile(rb"\\([0-7]{3}|.)")
_ESCAPED = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


def read_source(root: Path) -> Source:
    """Return the commit that is checked out around this folder, and how the work tree differs from it.

    Raises:
        ConfigurationError: the folder is in no git repository, or the repository has no commit.
        ToolMissing: there is no git.
    """
    top = root / _git(root, "rev-parse", "--show-cdup").stdout.strip()
    commit, committed_at = _head(root)
    changes = _changes(top)
    return Source(
        root=root.resolve(),
        commit=commit,
        committed_at=committed_at,
        branch=_branch(root),
        ci=next((name for variable, name in CI_HOSTS.items() if os.environ.get(variable) == "true"), ""),
        protected=_protected(),
        repository_url=_repository_url(root),
        changes=tuple(name.decode(errors="backslashreplace") for name in changes),
        changes_digest=_digest_of(top, changes) if changes else None,
    )


def read_version(root: Path) -> str:
    """Return what `git describe` says of the commit: its tag, or the one before it with what came since.

    Raises:
        ConfigurationError: no tag leads to the commit.
    """
    outcome = _git(root, "describe", "--tags", f"--abbrev={SHORT}", optional=True)
    if outcome.succeeded:
        return outcome.stdout.strip()
    raise ConfigurationError(
        "tags: {version} has no value: no git tag leads to this commit",
        advice="Tag a commit (`git tag v0.1.0`). In CI, fetch tags and history: `fetch-depth: 0` of "
        "actions/checkout, `GIT_DEPTH: 0` of GitLab.",
    )


def top_folder(root: Path) -> Path:
    """Return the top of the work tree around a folder.

    Raises:
        ConfigurationError: the folder is in no git repository.
    """
    return (root / _git(root, "rev-parse", "--show-cdup").stdout.strip()).resolve()


def files_named(top: Path, name: str, *, untracked: bool = False) -> tuple[Path, ...]:
    """Return the files of this name that git knows, relative to the top, in their order.

    With `untracked`, those too that nobody has added yet, but for ignored ones.
    """
    new = ("--others", "--exclude-standard") if untracked else ()
    found = _lines(top, "ls-files", "--cached", *new, "--full-name", "--", f":(top,glob)**/{name}")
    return tuple(sorted({Path(os.fsdecode(_unquoted(line))) for line in found}))


def origin_path(root: Path) -> str | None:
    """Return what the host of `origin` calls this repository, such as `team/models`; None without one."""
    url = _repository_url(root) or ""
    found = _ORIGIN.search(url)
    return found["path"].removesuffix(".git") if found is not None else None


def default_branch(root: Path) -> str:
    """Return the branch that is delivered from: the head of `origin`, else `main`."""
    name = _git(root, "symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD", optional=True)
    return name.stdout.strip().removeprefix("origin/") or "main"


def find_commit(root: Path, name: str) -> str | None:
    """Return the commit that a name means, or None where it is not in this clone."""
    arguments = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    return _git(root, *arguments, optional=True).stdout.strip() or None


def fork_point(root: Path, commit: str) -> str | None:
    """Return the last commit that is in the history of both this one and what is checked out."""
    return _git(root, "merge-base", commit, "HEAD", optional=True).stdout.strip() or None


def changed_since(top: Path, commit: str) -> tuple[Path, ...]:
    """Return the paths, relative to the top, in which what is checked out differs from a commit."""
    options = ("--name-only", "--no-renames", "--no-ext-diff", "--ignore-submodules=none", "--no-relative")
    found = _lines(top, "diff", *options, commit, "HEAD", "--")
    return tuple(sorted(Path(os.fsdecode(_unquoted(line))) for line in found))


def without_password(url: str) -> str:
    """Return the URL without the password that it may carry; over HTTP without the user, often a token."""
    found = _USER.match(url)
    if found is None:
        return url
    user = "" if found["scheme"].lower().startswith("http") else found["user"].partition(":")[0]
    return f"{found['scheme']}{user}{'@' if user else ''}{url[found.end() :]}"


def _git(root: Path, *arguments: str, optional: bool = False, sink: Sink | None = None) -> Outcome:
    settings = ("-c", "core.quotePath=true", "-c", "log.showSignature=false")
    environment = {**dict.fromkeys(FOREIGN_VARIABLES), "LC_ALL": "C"}
    outcome = run(
        Command(arguments=("git", *settings, "-C", str(root), *arguments), environment=environment), sink
    )
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
    if git_tag(os.environ) is not None:  # anybody may call one `main`, and no branch has to hold its commit
        return None
    return next((os.environ[variable] for variable in CI_BRANCHES if os.environ.get(variable)), None)


def _repository_url(root: Path) -> str | None:
    outcome = _git(root, "remote", "get-url", "origin", optional=True)
    return without_password(outcome.stdout.strip()) if outcome.succeeded else None


def _changes(top: Path) -> tuple[bytes, ...]:
    """Return the paths that differ from the commit, untracked ones among them and ignored ones not.

    git writes names with other bytes than ASCII in quotes, so that they come through a pipe of text.
    """
    options = ("--porcelain=v1", "--untracked-files=all", "--no-renames", "--ignore-submodules=none")
    return tuple(sorted(_unquoted(line[3:]) for line in _lines(top, "status", *options)))


def _lines(root: Path, *arguments: str) -> tuple[str, ...]:
    """Return the lines that git prints, but for empty ones."""
    lines: list[str] = []  # by the sink: what is kept in memory has a limit
    _git(root, *arguments, sink=lambda name, line: lines.append(line) if name == "stdout" else None)
    return tuple(line for line in lines if line)


def _unquoted(name: str) -> bytes:
    """Return the bytes of a path as git writes it: in quotes like C where it is not plain."""
    if not name.startswith('"'):
        return name.encode()
    return _ESCAPE.sub(lambda found: _unescaped(found[1]), name[1:-1].encode())


def _unescaped(code: bytes) -> bytes:
    return bytes((int(code, 8),)) if len(code) == 3 else _ESCAPED.get(code, code)


def _digest_of(top: Path, changes: tuple[bytes, ...]) -> Digest:
    """Return a digest of what the changed files hold now; a deleted one counts as such."""
    total = hashlib.sha256()
    for name in changes:
        total.update(name + b"\0" + hashlib.sha256(_state(top / os.fsdecode(name))).digest())
    return Digest(f"sha256:{total.hexdigest()}")


def _state(path: Path) -> bytes:
    """Return what tells one content of a changed path from another; never the same twice if nothing does."""
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            return b"link " + os.fsencode(path.readlink())
        if stat.S_ISREG(mode):
            with path.open("rb") as stream:
                return f"file {mode & 0o111:o} {hashlib.file_digest(stream, 'sha256').hexdigest()}".encode()
        if stat.S_ISDIR(mode) and (path / ".git").exists():
            return _repository_state(path)
    except (FileNotFoundError, NotADirectoryError):
        return b"gone"
    except OSError:  # nobody may read it
        pass
    return _unknown()


def _repository_state(path: Path) -> bytes:
    """Return what tells one state of a submodule, or of a repository inside ours, from another."""
    place = _git(path, "rev-parse", "--show-cdup", "HEAD", optional=True).stdout
    if not place.startswith("\n"):  # it is none, and git looked further up
        return _unknown()
    try:
        return f"repository {place.strip()} {_digest_of(path, _changes(path))}".encode()
    except ConfigurationError:
        return _unknown()


def _unknown() -> bytes:
    return b"unknown " + secrets.token_bytes(32)


def _protected() -> bool | None:
    told = next((os.environ[variable] for variable in CI_PROTECTIONS if os.environ.get(variable)), None)
    return None if told is None else told == "true"
