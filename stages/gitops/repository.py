"""A bare repository of our own, without files: what is needed of a remote's head, and a commit on top.

Nothing is checked out. Trees are fetched, the few blobs that are read come one by one (`blob:none`), and
the commit is built from an index that never had a working tree.
"""

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipeline.desk import Desk
from pipeline.errors import InternalError
from pipeline.git import FOREIGN_VARIABLES
from pipeline.process import Command, Outcome
from stages.gitops.address import Address
from stages.gitops.answers import Trouble, diagnose, lost_race, refused_push
from stages.manifests.editing import EditedFile
from stages.manifests.tree import Kind

ANSWER_S = 120.0
_REMOTE = "gitops"
_KINDS = {"100644": Kind.FILE, "100755": Kind.FILE, "120000": Kind.LINK, "160000": Kind.SUBMODULE}
_ESCAPE = re.compile(r"\\([0-7]{3}|.)")
# a user's own hooks and housekeeping have no business in a repository that lives for a second
_SETTINGS = (
    ("core.hooksPath", os.devnull),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("i18n.commitEncoding", "utf-8"),
    ("core.quotePath", "false"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Who the commits are by, as author and committer."""

    name: str = "Model Image Pipeline"
    email: str = "pipeline@localhost"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a tree object."""

    mode: str
    object_id: str

    @property
    def kind(self) -> Kind:
        """What the mode says it is."""
        return _KINDS.get(self.mode, Kind.FOLDER)


class FilterUnusable(Exception):
    """The server filters what it sends, but does not hand out the rest on demand."""


@dataclass(slots=True)
class Repository:
    """A repository in a folder of its own, made at the first use."""

    folder: Path
    address: Address
    desk: Desk
    filtered: bool = True

    def create(self) -> None:
        """Make the repository, empty; one that is there is removed."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self._local("init", "--quiet", "--bare", "--template=", str(self.folder))
        self._local("config", f"remote.{_REMOTE}.url", self.address.url)

    def branch_head(self, branch: str) -> Outcome:
        """Ask the remote for the branch; exit code 2 where there is none."""
        return self._git("ls-remote", "--exit-code", _REMOTE, f"refs/heads/{branch}")

    def branches(self) -> tuple[str, ...]:
        """Return the names of the remote's branches; empty where it does not say."""
        lines = self._git("ls-remote", "--heads", _REMOTE).stdout.splitlines()
        return tuple(line.partition("refs/heads/")[2] for line in lines)

    def may_push(self) -> Outcome:
        """Open a push and break it off before anything is sent, which only a user with leave to write can."""
        unused = ":refs/heads/model-image-pipeline/permission-check"
        return self._git("push", "--dry-run", "--porcelain", _REMOTE, unused)

    def fetch(self, branch: str) -> str:
        """Fetch the branch's head, one commit deep, and return it.

        Raises:
            RemoteError: the remote refuses or cannot be reached.
            ConfigurationError: there is no such branch.
        """
        target = f"refs/remotes/{_REMOTE}/{branch}"
        arguments = ["--no-tags", "--depth=1", "--no-recurse-submodules"]
        refspec = f"+refs/heads/{branch}:{target}"
        filters = ["--filter=blob:none"] if self.filtered else []
        outcome = self._git("fetch", *arguments, *filters, _REMOTE, refspec)
        if not outcome.succeeded and self.filtered and "filter" in outcome.stderr:
            raise FilterUnusable
        if not outcome.succeeded:
            raise diagnose(outcome, self.address.url).error()
        return self._local("rev-parse", "--verify", f"{target}^{{commit}}").stdout.strip()

    def fetch_blobs(self, objects: Sequence[str]) -> None:
        """Fetch several blobs in one go; one that is missing later is fetched when it is read."""
        if self.filtered and len(objects) > 1:
            arguments = ["--no-tags", "--no-write-fetch-head", "--filter=blob:none", "--stdin"]
            self._git("fetch", *arguments, _REMOTE, stdin="\n".join(objects))

    def entry(self, commit: str, path: str) -> Entry | None:
        """Return what stands at a path of a commit; None where nothing does."""
        lines = self._local("ls-tree", "--full-tree", commit, "--", path).stdout.splitlines()
        return _entry(lines[0])[1] if lines else None

    def folder_entries(self, commit: str, folder: str) -> dict[str, Entry]:
        """Return what stands in a folder of a commit, by full path."""
        where = ("--", f"{folder}/") if folder else ()
        lines = self._local("ls-tree", "--full-tree", commit, *where).stdout.splitlines()
        return dict(_entry(line) for line in lines)

    def read(self, object_id: str) -> bytes:
        """Return a blob's bytes as they are, fetched if need be.

        Raises:
            FilterUnusable: it cannot be fetched by itself.
        """
        outcome = self._git("unpack-file", object_id)  # not through a pipe: bytes, not text
        if not outcome.succeeded:
            problem = diagnose(outcome, self.address.url)
            if self.filtered and problem.trouble is not Trouble.TEMPORARY:
                raise FilterUnusable
            raise problem.error()
        file = self.folder / outcome.stdout.strip()
        try:
            return file.read_bytes()
        finally:
            file.unlink()

    def commit(self, head: str, files: Sequence[EditedFile], message: str, author: Author) -> str:
        """Write a commit on top of a head in which these files are replaced; modes stay. Return its name."""
        index: dict[str, str | None] = {"GIT_INDEX_FILE": str(self.folder / "index")}
        self._local("read-tree", head, environment=index)
        lines = "".join(f"{self._written(head, file)}\t{file.path}\0" for file in files)
        self._local("update-index", "-z", "--index-info", environment=index, stdin=lines)
        # without --missing-ok git would fetch every blob of the repository to look at it
        tree = self._local("write-tree", "--missing-ok", environment=index).stdout.strip()
        who: dict[str, str | None] = {
            f"GIT_{role}_{part}": value
            for role in ("AUTHOR", "COMMITTER")
            for part, value in (("NAME", author.name), ("EMAIL", author.email))
        }
        arguments = ("commit-tree", tree, "-p", head)
        return self._local(*arguments, environment=who, stdin=message).stdout.strip()

    def push(self, commit: str, branch: str) -> bool:
        """Push a commit to the branch; return False when somebody else's commit was there first.

        Raises:
            RemoteError: the remote refuses or cannot be reached.
        """
        target = f"{commit}:refs/heads/{branch}"
        arguments = ("--porcelain", "--no-verify", "--no-signed", "--no-recurse-submodules")
        outcome = self._git("push", *arguments, _REMOTE, target)
        if not outcome.succeeded and not lost_race(outcome):
            raise refused_push(outcome, self.address.url, branch)
        return outcome.succeeded

    def _written(self, head: str, file: EditedFile) -> str:
        entry = self.entry(head, file.path)
        assert entry is not None  # noqa: S101 - its content was read
        content = self.folder / "content"
        content.write_bytes(file.after)
        object_id = self._local("hash-object", "-w", "--no-filters", str(content)).stdout.strip()
        return f"{entry.mode} {object_id}"

    def _local(
        self,
        *arguments: str,
        environment: dict[str, str | None] | None = None,
        stdin: str | None = None,
    ) -> Outcome:
        """Run a command that asks nobody else, and that therefore does not fail."""
        outcome = self._git(*arguments, environment=environment, stdin=stdin)
        if not outcome.succeeded:
            raise InternalError(
                f"git {arguments[0]} ended with exit code {outcome.exit_code}: {outcome.stderr.strip()}",
                advice="The stage's git.log has every command; please report this with it.",
            )
        return outcome

    def _git(
        self,
        *arguments: str,
        environment: dict[str, str | None] | None = None,
        stdin: str | None = None,
    ) -> Outcome:
        command = Command(
            arguments=("git", *arguments),
            cwd=self.folder,
            environment={**self._environment(), **(environment or {})},
            stdin=stdin,
            timeout_s=ANSWER_S,
        )
        outcome = self.desk.run(command, log="git")
        return replace(outcome, stderr=self.desk.redact(outcome.stderr))  # words for people; stdout is data

    def _environment(self) -> dict[str, str | None]:
        settings = (*_SETTINGS, *self.address.settings())
        first = int(os.environ.get("GIT_CONFIG_COUNT") or 0)  # the user's own settings stay
        numbered: dict[str, str | None] = {"GIT_CONFIG_COUNT": str(first + len(settings))}
        for number, (key, value) in enumerate(settings, first):
            numbered |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
        return {
            **dict.fromkeys(FOREIGN_VARIABLES),
            **self.address.environment(),
            **numbered,
            "GIT_DIR": str(self.folder),
            "GIT_TERMINAL_PROMPT": "0",
            "GCM_INTERACTIVE": "never",
            "GIT_LITERAL_PATHSPECS": "1",
            "LC_ALL": "C",
            "LANGUAGE": "",
        }


@dataclass(frozen=True, slots=True)
class CommitTree:
    """The files of a commit."""

    repository: Repository
    commit: str
    _known: dict[str, Entry | None] = field(default_factory=dict)

    def kind(self, path: str) -> Kind | None:
        """Return what stands at the path."""
        if not path:
            return Kind.FOLDER
        entry = self._entry(path)
        return entry.kind if entry is not None else None

    def names(self, folder: str) -> tuple[str, ...]:
        """Return the names in a folder, sorted."""
        found = self.repository.folder_entries(self.commit, folder)
        self._known.update(found)
        return tuple(sorted(path.rpartition("/")[2] for path in found))

    def read(self, path: str) -> bytes:
        """Return the content of a file, or where a symbolic link points to."""
        entry = self._entry(path)
        if entry is None:
            raise FileNotFoundError(path)
        return self.repository.read(entry.object_id)

    def prefetch(self, paths: tuple[str, ...]) -> None:
        """Fetch several files in one go."""
        entries = (self._entry(path) for path in paths)
        self.repository.fetch_blobs([entry.object_id for entry in entries if entry is not None])

    def _entry(self, path: str) -> Entry | None:
        if path not in self._known:
            self._known[path] = self.repository.entry(self.commit, path)
        return self._known[path]


def _entry(line: str) -> tuple[str, Entry]:
    fields, _, path = line.partition("\t")
    mode, _, object_id = fields.split(" ")
    if path.startswith('"'):  # as git writes a name with a quote or a control character in it
        path = _ESCAPE.sub(lambda found: _unescaped(found[1]), path[1:-1])
    return path, Entry(mode, object_id)


def _unescaped(code: str) -> str:
    return chr(int(code, 8)) if code.isdigit() else {"t": "\t", "n": "\n", "r": "\r"}.get(code, code)
