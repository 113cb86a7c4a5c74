"""A bare repository of our own, without files: what is needed of a remote's head, and a commit on top.

Nothing is checked out. The head's first trees are fetched, other trees and the few blobs that are read come
when they are looked at, and the commit is built without an index.
"""

import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.desk import Desk
from pipeline.errors import ConfigurationError, InternalError
from pipeline.git import FOREIGN_VARIABLES
from pipeline.process import Command, Outcome
from stages.gitops import fast_import
from stages.gitops.address import Address
from stages.gitops.answers import Trouble, diagnose, lost_race, refused_push
from stages.gitops.commit_tree import UNREADABLE, CommitTree, Entry, parsed_entry
from stages.gitops.fast_import import Author, NewCommit, NewFile
from stages.gitops.github_app import APP_KEY
from stages.gitops.signing import SIGNING_KEY, Signer

__all__ = ["Author", "CommitTree", "FilterUnusable", "NewCommit", "Repository"]

ANSWER_S = 120.0
SIGNING_ADVICE = "Give a key without a passphrase. SSH signatures need git 2.34 and OpenSSH 8.2; others, gpg."
_REMOTE = "gitops"
# What is left out of a fetch, the most first. A server that does not take a filter is asked with the next:
# 20,000 files are 30 kB by the first, 1 MB by the second and the whole tree by the last.
_FILTERS = ("combine:blob:none+tree:2", "blob:none", None)
_ONLY_BLOBS = {"github.com"}  # where the first is known to be refused: that costs a round trip
_INCOMPLETE = "did not send all necessary objects"
_NO_SHALLOW = re.compile(
    r"does not support (shallow|--depth)|does not allow shallow|shallow .*not (allowed|supported)"
)
# a user's own hooks and housekeeping have no business in a repository that lives for a second
_SETTINGS = (
    ("core.hooksPath", os.devnull),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("i18n.commitEncoding", "utf-8"),
    ("core.quotePath", "true"),  # so that no name breaks a line
    ("log.showSignature", "false"),
    ("fastimport.unpackLimit", "1"),  # one small pack, without another program that takes it apart
)


class FilterUnusable(Exception):
    """The server does not leave out what it was asked to, or does not hand out the rest on demand."""


@dataclass(slots=True)
class Repository:
    """A repository in a folder of its own, made at the first use."""

    folder: Path
    address: Address
    desk: Desk
    signer: Signer | None = None
    _filter: int = 0
    _head: str | None = None
    _shallow: bool = True
    _shallow_refused: bool = False

    def __post_init__(self) -> None:
        """Begin with a filter that the host takes."""
        self._filter = int(urlsplit(self.address.url).hostname in _ONLY_BLOBS)

    @property
    def filtered(self) -> bool:
        """Tell whether something is left out of what is fetched."""
        return _FILTERS[self._filter] is not None

    def filter_less(self) -> None:
        """Begin anew, and leave less out of what is fetched."""
        if self._shallow_refused:
            self._shallow = False
        else:
            self._filter += 1
        self._shallow_refused = False
        self.create()

    def create(self) -> None:
        """Make the repository, empty; one that is there is removed."""
        self._head = None
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self._local("init", "--quiet", "--bare", "--template=", str(self.folder))

    def branch_head(self, branch: str) -> Outcome:
        """Ask the remote for the branch; exit code 2 where there is none."""
        return self.git("ls-remote", "--exit-code", _REMOTE, f"refs/heads/{branch}")

    def branches(self) -> tuple[str, ...]:
        """Return the names of the remote's branches; empty where it does not say."""
        lines = self.git("ls-remote", "--heads", _REMOTE).stdout.splitlines()
        return tuple(line.partition("refs/heads/")[2] for line in lines)

    def may_push(self) -> Outcome:
        """Open a push and break it off before anything is sent, which only a user with leave to write can."""
        unused = ":refs/heads/model-image-pipeline/permission-check"
        return self.git("push", "--dry-run", "--porcelain", _REMOTE, unused)

    def fetch(self, branch: str) -> str:
        """Fetch the branch's head, one commit deep, and return it.

        Raises:
            FilterUnusable: the server cannot leave out as much as it was asked to.
            RemoteError: the remote refuses or cannot be reached.
            ConfigurationError: there is no such branch.
        """
        target = f"refs/remotes/{_REMOTE}/{branch}"
        arguments = ["--no-tags", "--no-recurse-submodules", *(["--depth=1"] if self._shallow else [])]
        refspec = f"+refs/heads/{branch}:{target}"
        # what has changed since the last fetch is little, and will be looked at
        left_out = _FILTERS[self._filter] if self._head is None else None
        filters = [f"--filter={left_out}"] if left_out is not None else ["--no-filter"]
        outcome = self.git("fetch", *arguments, *filters, _REMOTE, refspec)
        if not outcome.succeeded and self._shallow and _NO_SHALLOW.search(outcome.stderr):
            self._shallow_refused = True
            raise FilterUnusable
        if not outcome.succeeded and self.filtered and "filter" in outcome.stderr:
            raise FilterUnusable
        if not outcome.succeeded and self._head is not None and _INCOMPLETE in outcome.stderr:
            self._head = None  # commits read for their messages have no trees: leave out as at first
            return self.fetch(branch)
        if not outcome.succeeded:
            raise diagnose(outcome, self.address.url).error()
        self._head = (self.folder / "FETCH_HEAD").read_text().split()[0]
        return self._head

    def fetch_blobs(self, objects: Sequence[str]) -> None:
        """Fetch several blobs in one go; one that is missing later is fetched when it is read."""
        if self.filtered and len(objects) > 1:
            arguments = ["--no-tags", "--no-write-fetch-head", "--filter=blob:none", "--stdin"]
            self.git("fetch", *arguments, _REMOTE, stdin="\n".join(objects))

    def entry(self, commit: str, path: str) -> Entry | None:
        """Return what stands at a path of a commit; None where nothing does."""
        lines = self._fetching("ls-tree", "--full-tree", commit, "--", path).stdout.splitlines()
        return parsed_entry(lines[0])[1] if lines else None

    def folder_entries(self, commit: str, folder: str) -> dict[str, Entry]:
        """Return what stands in a folder of a commit, by full path."""
        where = ("--", f"{folder}/") if folder else ()
        lines = self._fetching("ls-tree", "--full-tree", commit, *where).stdout.splitlines()
        return dict(parsed_entry(line) for line in lines)

    def read(self, object_id: str) -> bytes:
        """Return a blob's bytes as they are, fetched if need be.

        Raises:
            FilterUnusable: it cannot be fetched by itself.
        """
        outcome = self._fetching("unpack-file", object_id)  # not through a pipe: bytes, not text
        file = self.folder / outcome.stdout.strip()
        try:
            return file.read_bytes()
        finally:
            file.unlink()

    def commit(self, tree: CommitTree, files: Mapping[str, bytes], new: NewCommit) -> str:
        """Write a commit on top of a tree's in which these files are replaced; modes stay. Return its name.

        Raises:
            ConfigurationError: it cannot be signed, or a file has a name that cannot be written.
        """
        for path in files:
            if UNREADABLE in path:
                raise ConfigurationError(
                    f"{path}: the name of this file is not UTF-8, so a commit would not find it",
                    advice="Rename it in the GitOps repository.",
                )
        found = {path: (tree.entry(path), content) for path, content in files.items()}
        changed = {path: NewFile(one.mode, content) for path, (one, content) in found.items() if one}
        stream = fast_import.stream(tree.commit, changed, new)
        made = self._fetching("fast-import", "--quiet", "--done", "--force", stdin=stream)
        commit, root = fast_import.printed(made.stdout)
        return commit if self.signer is None else self._signed(self.signer, tree.commit, root, new)

    def check_signing(self) -> str | None:
        """Sign a commit that nobody gets to see; return why that fails, or None."""
        if self.signer is None:
            return None
        nothing = self._local("hash-object", "-t", "tree", "-w", os.devnull).stdout.strip()
        try:
            self._signed(self.signer, None, nothing, NewCommit(message="Is the key usable?\n"))
        except ConfigurationError as error:
            return error.message
        return None

    def push(self, commit: str, branch: str, *, replaces: str | None = None) -> bool:
        """Push a commit to the branch; return False when somebody else's commit was there first.

        `replaces` is the commit that a branch of our own may lose; empty: there is no such branch yet.

        Raises:
            FilterUnusable: the remote wants to be sure that all history is there.
            RemoteError: the remote refuses or cannot be reached.
        """
        lease = [f"--force-with-lease=refs/heads/{branch}:{replaces}"] if replaces is not None else []
        target = f"{commit}:refs/heads/{branch}"
        arguments = ("--porcelain", "--no-verify", "--no-signed", "--no-recurse-submodules", *lease)
        outcome = self.git("push", *arguments, _REMOTE, target)
        if "(shallow update not allowed)" in outcome.stdout and self._shallow:
            self._shallow_refused = True
            raise FilterUnusable
        if not outcome.succeeded and not lost_race(outcome):
            raise refused_push(outcome, self.address.url, branch)
        return outcome.succeeded

    def _signed(self, signer: Signer, parent: str | None, root: str, new: NewCommit) -> str:
        committer = new.committer or new.author
        who: dict[str, str | None] = {
            "GIT_AUTHOR_NAME": new.author.name,
            "GIT_AUTHOR_EMAIL": new.author.email,
            "GIT_COMMITTER_NAME": committer.name,
            "GIT_COMMITTER_EMAIL": committer.email,
        }
        parents = ("-p", parent) if parent is not None else ()
        arguments = ("commit-tree", f"-S{signer.key}", *parents, root)
        outcome = self.git(*arguments, environment=who, stdin=new.message)
        if not outcome.succeeded:
            raise ConfigurationError(
                f"update.signing: the commit cannot be signed: {outcome.stderr.strip()}",
                advice=SIGNING_ADVICE,
            )
        return outcome.stdout.strip()

    def _fetching(self, *arguments: str, stdin: Iterable[bytes] | None = None) -> Outcome:
        """Run a command that fetches what is missing.

        Raises:
            FilterUnusable: the server does not hand out single objects.
            RemoteError: it cannot be reached.
        """
        outcome = self.git(*arguments, stdin=stdin)
        if outcome.succeeded:
            return outcome
        problem = diagnose(outcome, self.address.url)
        if self.filtered and problem.trouble is not Trouble.TEMPORARY:
            raise FilterUnusable
        raise problem.error()

    def _local(
        self,
        *arguments: str,
        environment: dict[str, str | None] | None = None,
        stdin: str | Iterable[bytes] | None = None,
    ) -> Outcome:
        """Run a command that asks nobody else, and that therefore does not fail."""
        outcome = self.git(*arguments, environment=environment, stdin=stdin)
        if not outcome.succeeded:
            raise InternalError(
                f"git {arguments[0]} ended with exit code {outcome.exit_code}: {outcome.stderr.strip()}",
                advice="The stage's git.log has every command; please report this with it.",
            )
        return outcome

    def git(
        self,
        *arguments: str,
        environment: dict[str, str | None] | None = None,
        stdin: str | Iterable[bytes] | None = None,
    ) -> Outcome:
        """Run git in this repository, with what lets it in; a failure is the caller's to judge."""
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
        signer = self.signer.settings if self.signer is not None else ()
        remote = (f"remote.{_REMOTE}.url", self.address.url)
        settings = (*_SETTINGS, remote, *signer, *self.address.settings())
        first = int(os.environ.get("GIT_CONFIG_COUNT") or 0)  # the user's own settings stay
        numbered: dict[str, str | None] = {"GIT_CONFIG_COUNT": str(first + len(settings))}
        for number, (key, value) in enumerate(settings, first):
            numbered |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
        return {
            **dict.fromkeys((*FOREIGN_VARIABLES, APP_KEY, SIGNING_KEY)),
            **self.address.environment(),
            **(self.signer.environment if self.signer is not None else {}),
            **numbered,
            "GIT_DIR": str(self.folder),
            "GIT_TERMINAL_PROMPT": "0",
            "GCM_INTERACTIVE": "never",
            "GIT_LITERAL_PATHSPECS": "1",
            "LC_ALL": "C",
            "LANGUAGE": "",
        }
