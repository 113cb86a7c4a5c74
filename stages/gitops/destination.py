"""The GitOps repository that is written to: an update, a rollback and a promotion all land there this way."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import ConfigurationError, RemoteError
from pipeline.model import (
    Artifact,
    BenchmarkReport,
    BuiltImage,
    ChangeRequest,
    Check,
    ManifestUpdate,
    Problem,
    ScanReport,
    StandingImage,
    SuiteReport,
)
from pipeline.reference import Digest, Repository, Tag
from stages.gitops.commits import Commits
from stages.gitops.forge import Options as RequestOptions
from stages.gitops.forges import forge_of
from stages.gitops.git import GitBranch
from stages.gitops.interface import Landing, Remote
from stages.gitops.order import Level, OrderedEdit, Rule, unknown
from stages.gitops.pull_request import PullRequestBranch, Subject
from stages.gitops.repository import Author
from stages.gitops.wishes import Offer, Wish, wish
from stages.manifests.editing import EditedFile
from stages.manifests.interface import Target
from stages.manifests.proof import Mode, Prover
from stages.manifests.tree import Tree
from stages.oci.order_key import IsAncestor, OrderKey
from stages.registries.connections import Registries
from stages.registries.deployed import DeployedImages
from stages.registries.options import RegistryOptions
from stages.rollouts.landed import until_live
from stages.rollouts.waiting import Wait

ANY_TAG, ANY_DIGEST = Tag("any"), Digest(f"sha256:{'0' * 64}")
"""What is looked for before there is an image."""
_Status = Literal["committed", "requested", "declined", "unchanged", "superseded", "preview"]
_SHOWN: Mapping[type[Artifact], str] = {
    SuiteReport: "test",
    BuiltImage: "build",
    ScanReport: "scan",
    BenchmarkReport: "benchmark",
}
_NOTHING = Subject(digest="", references=())
_NEVER = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A branch, the manifests in it, and what a delivery there is compared with."""

    image: str
    """The image's name, as `pipeline.yaml` has it."""
    model_image: str | None = None
    """The name of the weights' own image; None: there is none."""
    repository: str | None = None
    """URL of the GitOps repository; None: there is none, and nothing is ever written."""
    branch: str = "main"
    targets: tuple[Target, ...] = ()
    author: Author = Author()  # noqa: RUF009 - frozen
    commits: Commits = Commits()  # noqa: RUF009 - frozen
    """Who signs the commits, what they say, and what lets them in."""
    time_limit_s: float = 180.0
    order: Level = "enforce"
    """What follows where nothing is known of what stands in a manifest; `ignore` compares nothing."""
    forced: bool = False
    """Write whatever stands there, newer or not; that is recorded."""
    repositories: tuple[Repository, ...] = ()
    """Where the application's builds are pushed to; empty: into an image layout on this machine only."""
    model_repositories: tuple[Repository, ...] = ()
    """Where the weights' own images are, which carry no key."""
    insecure: tuple[str, ...] = ()
    """Registries that may be spoken to without TLS; loopback always may."""
    options: Mapping[Repository, RegistryOptions] = field(default_factory=dict)
    """What the configuration says of a registry's repository beside where it is."""
    request: RequestOptions | None = None
    """How people are asked by pull or merge request; None: the branch itself is written to."""
    describe: Callable[[Artifact], str] = str
    """What a stage found, in one line; a request shows it."""
    proof: Mode = "auto"
    """What follows where what is rendered before and after an edit cannot be compared."""
    wait: Wait | None = None
    """What has to become live after a commit; None: nobody waits."""

    @property
    def sought(self) -> tuple[Wish, ...]:
        """What the manifests are searched for before there is an image."""
        names = ((self.image, self.repositories), (self.model_image, self.model_repositories))
        offers = tuple(Offer(name, known, ANY_TAG, ANY_DIGEST) for name, known in names if name is not None)
        return self.wishes(offers)

    def wishes(self, offers: tuple[Offer, ...]) -> tuple[Wish, ...]:
        """Return each target with the image it gets: the model's where it names it, else the other."""
        return tuple(wish(target, offers) for target in self.targets)

    def remote(self, desk: Desk, subject: Subject = _NOTHING) -> Remote | None:
        """Return the way into the repository; None where there is none.

        Raises:
            ConfigurationError: nobody can tell who hosts it.
        """
        if self.repository is None:
            return None
        branch = self.git_branch()
        if self.request is None:
            return branch
        token = self.commits.access.api_token(self.repository, desk)
        forge = forge_of(branch.shown_url, self.request, token)
        return PullRequestBranch(base=branch, forge=forge, options=self.request, subject=subject)

    def git_branch(self) -> GitBranch:
        """Return the branch.

        Raises:
            ConfigurationError: no repository or no target is named.
        """
        if self.repository is None or not self.targets:
            raise ConfigurationError(
                "`update:` names no GitOps repository, or no target in it",
                advice="Name the repository as `repository:` of `update:`, and the manifests as `targets:`.",
            )
        return GitBranch(
            url=self.repository,
            branch=self.branch,
            author=self.author,
            committer=self.commits.committer,
            wording=self.commits.wording,
            signing=self.commits.signing,
            access=self.commits.access,
            time_limit_s=self.time_limit_s,
        )

    def images(self, desk: Desk) -> DeployedImages:
        """Return what reads the images that stand in the manifests."""
        registries = Registries(repositories=self.repositories, insecure=self.insecure, options=self.options)
        return DeployedImages(registries, desk)

    def edit(
        self,
        wishes: Sequence[Wish],
        key: OrderKey,
        desk: Desk,
        *,
        is_ancestor: IsAncestor,
        refuses: bool = True,
    ) -> OrderedEdit:
        """Return the edit of a delivery with this key; `refuses` is off where it is only shown."""
        rule = Rule(
            key=key,
            level=self.order,
            forced=self.forced,
            find=self.images(desk).find,
            known=frozenset(self.repositories),
            unkeyed=frozenset(self.model_repositories),
            is_ancestor=is_ancestor,
            refuses=refuses,
        )
        return OrderedEdit(tuple(wishes), rule, Prover(desk, self.proof))

    def land(
        self, edit: OrderedEdit, message: str, desk: Desk, have: Artifacts, *, asked_for: bool = False
    ) -> ManifestUpdate:
        """Put the edit on the branch, or ask people to, unless a newer build stands there.

        In a dry run it is only shown. `have` is the evidence that people are shown. What somebody has
        `asked_for` by its own command is proposed again, though people have closed a request for it before.

        Raises:
            ConfigurationError: the edit refuses, or nobody knows which build is the newer one.
            RemoteError: the repository or a registry refuses, or cannot be reached.
            StageFailed: the commit has landed, but it is not live in time.
        """
        remote = self.remote(desk, self._subject(edit, have, asked_for=asked_for))
        assert remote is not None  # noqa: S101 - whoever lands an edit has looked
        if desk.dry_run:
            files = remote.preview(edit, desk)
            return self.made("preview", files, edit, note="dry run: nothing was pushed")
        landing = remote.land(edit, message, desk)
        status = _status(landing, edit)
        note = landing.note
        if status == "unchanged":
            note = f"the manifests name this digest already, at commit {landing.head} of {self.branch}"
        made = self.made(
            status, landing.files, edit, commit=landing.commit, attempts=landing.attempts, note=note
        )
        head = landing.head if status == "unchanged" else None
        made = made.model_copy(update={"request": self._requested(landing), "head": head})
        return until_live(made, self, have, desk)

    def _subject(self, edit: OrderedEdit, have: Artifacts, *, asked_for: bool) -> Subject:
        images = [image for _, image in edit.wishes]
        return Subject(
            digest=str(images[0].digest),
            references=tuple(f"{image.repository}:{image.tag}@{image.digest}" for image in images),
            evidence=tuple(
                (stage, self.describe(found))
                for kind, stage in _SHOWN.items()
                if (found := have.get(kind) or have.skipped(kind)) is not None
            ),
            proofs=lambda: edit.proofs,
            reopens=self.forced or asked_for,
        )

    def _requested(self, landing: Landing) -> ChangeRequest | None:
        asked = landing.request
        if asked is None or self.request is None:
            return None
        return ChangeRequest(
            number=asked.number,
            url=asked.url,
            state=asked.state,
            opened=asked.made,
            branch=self.request.branch,
        )

    def made(  # noqa: PLR0913 - what the record says
        self,
        status: _Status,
        files: Iterable[EditedFile],
        edit: OrderedEdit | None = None,
        *,
        commit: str | None = None,
        attempts: int = 0,
        note: str = "",
    ) -> ManifestUpdate:
        """Return what became of an edit."""
        url = self.git_branch().shown_url if self.repository is not None else None
        told = (*edit.notes, edit.told()) if edit is not None else ()
        return ManifestUpdate(
            status=status,
            repository_url=url,
            branch=self.branch if url is not None else None,
            commit=commit,
            files=tuple(file.change() for file in files),
            attempts=attempts,
            order_key=str(edit.rule.key) if edit is not None else None,
            before=edit.weighed if edit is not None else (),
            proofs=edit.proofs if edit is not None else (),
            forced=self.forced and edit is not None,
            note="\n".join(part for part in (note, *told) if part),
        )

    def check_access(self, desk: Desk) -> tuple[Check, ...]:
        """Return whether the branch may be written to, or people asked, and who tells of the rollout answers.

        Raises:
            ConfigurationError: no repository or no target is named, or nobody can tell who hosts it.
        """
        remote = self.remote(desk) or self.git_branch()
        return remote.check(desk) + self.check_rollout(desk)

    def check_rollout(self, desk: Desk) -> tuple[Check, ...]:
        """Return whether everybody answers who will be asked whether a commit is live."""
        return self.wait.check(desk) if self.wait is not None else ()

    def check_order(self, wishes: Sequence[Wish], tree: Tree, desk: Desk) -> tuple[Check, ...]:
        """Return what stands in the manifests that nothing can be compared with, before any work is done."""
        if self.forced or self.order != "enforce":
            return ()
        rule = Rule(
            key=OrderKey.at(_NEVER, ""),
            find=self.images(desk).find,
            known=frozenset(self.repositories),
            unkeyed=frozenset(self.model_repositories),
        )
        return tuple(_check(found) for _, found in rule.weigh(tree, wishes) if found.order == "unknown")


def _status(landing: Landing, edit: OrderedEdit) -> _Status:
    if landing.commit is not None:
        return "requested" if landing.request is not None else "committed"
    if edit.superseded is not None:
        return "superseded"
    return "declined" if landing.request is not None else "unchanged"


def _check(found: StandingImage) -> Check:
    error = unknown(found)
    return Check(
        subject=f"manifest {found.path}",
        found=error.message.removeprefix(f"{found.path}:"),
        problem=Problem.REMOTE if isinstance(error, RemoteError) else Problem.CONFIGURATION,
        advice=error.advice,
    )
