"""The last stage: make the GitOps repository name the digest that was pushed."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import ConfigurationError
from pipeline.model import (
    Artifact,
    BuiltImage,
    Check,
    ManifestUpdate,
    Problem,
    Pushed,
    PushedImage,
    Source,
)
from pipeline.reference import Digest, Reference, Repository, Tag
from stages.gitops.address import Address
from stages.gitops.git import GitBranch
from stages.gitops.interface import Remote
from stages.gitops.repository import Author
from stages.manifests.editing import EditedFile, edit
from stages.manifests.interface import NewImage, Target
from stages.manifests.tree import Folder, Tree

__all__ = ["Author", "Target", "Update", "commit_message"]

# what a check looks for before there is an image
_ANY_TAG, _ANY_DIGEST = Tag("any"), Digest(f"sha256:{'0' * 64}")
_NO_REGISTRY = "the image is delivered into a folder of this machine, where no cluster can pull it from"
_NO_REGISTRY_ADVICE = "Name a registry in `registries:`, or leave `repository:` of `update:` out."
_NO_TARGETS = "`update.repository` is set, but no target: nothing would ever be updated"
_NO_TARGETS_ADVICE = "Name the manifest to edit in `targets:` of `update:`, or leave its `repository:` out."
_UNCONFIGURED = "no manifest was updated: none is named in `targets:` of `update:`"
_Status = Literal["committed", "unchanged", "preview"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """Edit the manifests that Argo CD or Flux watches, and push the edit as one commit."""

    image: str
    """The image's name, as `pipeline.yaml` has it."""
    repositories: tuple[Repository, ...] = ()
    """Where the image is pushed to; empty: into an image layout on this machine only."""
    model_image: str | None = None
    """The name of the weights' own image, as `pipeline.yaml` has it; None: there is none."""
    model_repositories: tuple[Repository, ...] = ()
    root: Path = Path()
    """Where `check` looks for the targets when no repository is named; `run` looks below the source."""
    repository: str | None = None
    """URL of the GitOps repository; None: the edit is shown and nothing is written."""
    branch: str = "main"
    targets: tuple[Target, ...] = ()
    author: Author = Author()  # noqa: RUF009 - frozen
    time_limit_s: float = 180.0

    name: ClassVar[str] = "update"
    needs: ClassVar[tuple[type[Artifact], ...]] = (Source, BuiltImage, PushedImage)
    gives: ClassVar[type[ManifestUpdate]] = ManifestUpdate

    def check(self, desk: Desk) -> tuple[Check, ...]:
        """Return whether the branch is there and every target names the image that it shall."""
        if not self.targets:
            missing = _missing("targets of the update", _NO_TARGETS, _NO_TARGETS_ADVICE)
            return (missing,) if self.repository is not None else ()
        wishes = self._wishes(self._unmade())
        if self.repository is None:
            # without a registry the manifests cannot know the image's name yet: run() says so, and goes on
            if not self.repositories:
                return ()
            return self._unnamed(wishes) + _check_targets(wishes, lambda seek: seek(Folder(self.root)))
        if not self.repositories:
            return (_missing("image for the GitOps repository", _NO_REGISTRY, _NO_REGISTRY_ADVICE),)
        remote = self._remote(self.repository)
        checks = remote.check(desk)
        if not all(check.passed for check in checks):
            return checks
        return (
            checks + self._unnamed(wishes) + _check_targets(wishes, lambda seek: remote.preview(seek, desk))
        )

    def identity(self, have: Artifacts) -> None:
        """Return nothing: what others have committed meanwhile is never known beforehand."""

    def lacking(self, made: Artifact) -> str:
        """Return why nothing is rolled out after a push that failed: a target's registry has no image.

        A registry that no target names may have failed.
        """
        there: set[Repository] = set()
        if isinstance(made, PushedImage):
            images = (made, *([made.model_image] if made.model_image is not None else []))
            there = {reference.repository for image in images for reference in image.references}
        if not there:
            return "No manifest was updated."
        for target, image in self._wishes(self._unmade()):
            if image.repository not in there:
                named = f"{target.path} gets {image.repository}"
                return f"No manifest was updated: {named}, which did not get the image."
        return ""

    def run(self, have: Artifacts, desk: Desk) -> ManifestUpdate:
        """Make the targets name the pushed digest, and return what changed.

        Raises:
            ConfigurationError: a target does not name the image, or cannot be edited safely.
            RemoteError: the GitOps repository refuses, or cannot be reached.
        """
        image = have[PushedImage]
        offers = self._made(image, dry_run=desk.dry_run)
        if not self.targets and self.repository is not None:
            raise ConfigurationError(_NO_TARGETS, advice=_NO_TARGETS_ADVICE)
        if not self.targets:
            return ManifestUpdate(status="unconfigured", note=_UNCONFIGURED)
        wishes, references = self._wishes(offers), offers[0].repositories

        def apply(tree: Tree) -> tuple[EditedFile, ...]:
            return edit(tree, wishes)

        if self.repository is None:
            return self._preview_folder(have[Source].root, apply, layout_only=not references)
        if not references:
            raise ConfigurationError(f"update: {_NO_REGISTRY}", advice=_NO_REGISTRY_ADVICE)
        remote = self._remote(self.repository)
        if desk.dry_run:
            return self._result("preview", remote.preview(apply, desk), note="dry run: nothing was pushed")
        message = commit_message(have[Source], image, wishes, desk.run_name)
        landing = remote.land(apply, message, desk)
        if landing.commit is None:
            note = f"the manifests name this digest already, at commit {landing.head} of {self.branch}"
            return self._result("unchanged", (), attempts=landing.attempts, note=note)
        return self._result("committed", landing.files, commit=landing.commit, attempts=landing.attempts)

    def _remote(self, url: str) -> Remote:
        return GitBranch(url=url, branch=self.branch, author=self.author, time_limit_s=self.time_limit_s)

    def _unmade(self) -> tuple["_Offer", ...]:
        """Return what a check looks for, before there is an image."""
        names = ((self.image, self.repositories), (self.model_image, self.model_repositories))
        return tuple(_Offer(name, known, _ANY_TAG, _ANY_DIGEST) for name, known in names if name is not None)

    def _made(self, image: PushedImage, *, dry_run: bool) -> tuple["_Offer", ...]:
        """Return what is there now; in a dry run, what a run would have pushed."""
        made = (image, self.repositories), (image.model_image, self.model_repositories)
        return tuple(_Offer.of(one, known if dry_run else None) for one, known in made if one is not None)

    def _wishes(self, offers: tuple["_Offer", ...]) -> tuple[tuple[Target, NewImage], ...]:
        """Return each target with the image it gets: the model's where it names it, else the other."""
        return tuple((target, _wish(target, offers)) for target in self.targets)

    def _unnamed(self, wishes: tuple[tuple[Target, NewImage], ...]) -> tuple[Check, ...]:
        """Return a failing check where the application would be rolled out, but the weights would not."""
        known = self.model_repositories
        if not known or any(image.repository in known for _, image in wishes):
            return ()
        found = f"no target names {known[0]}, so the manifests would keep other weights than were measured"
        advice = f"Add what mounts them to `targets:` of `update:`:\n- path: …\n  image: {known[0]}"
        return (_missing("manifest of the weights", found, advice),)

    def _preview_folder(
        self, root: Path, apply: Callable[[Tree], tuple[EditedFile, ...]], *, layout_only: bool
    ) -> ManifestUpdate:
        note = "nothing was written: name the GitOps repository as `repository:` of `update:`"
        try:
            files = apply(Folder(root))
        except ConfigurationError as error:
            if not layout_only:
                raise
            return self._result("preview", (), note=f"{error.message}. {_NO_REGISTRY_ADVICE}")
        return self._result("preview", files, note=note)

    def _result(
        self,
        status: _Status,
        files: Iterable[EditedFile],
        *,
        commit: str | None = None,
        attempts: int = 0,
        note: str = "",
    ) -> ManifestUpdate:
        return ManifestUpdate(
            status=status,
            repository_url=self._remote(self.repository).shown_url if self.repository else None,
            branch=self.branch if self.repository else None,
            commit=commit,
            files=tuple(file.change() for file in files),
            attempts=attempts,
            note=note,
        )


@dataclass(frozen=True, slots=True)
class _Offer:
    """An image that a target may get, and where it can be pulled from.

    Where nothing is pushed no repository is known, and the name in the manifest stays in the preview.
    """

    name: str
    repositories: tuple[Repository, ...]
    tag: Tag
    digest: Digest

    @classmethod
    def of(cls, pushed: Pushed, repositories: tuple[Repository, ...] | None = None) -> "_Offer":
        there = tuple(reference.repository for reference in pushed.references)
        return cls(pushed.name, there if repositories is None else repositories, pushed.tag, pushed.digest)

    @property
    def own(self) -> Repository:
        """Its name without any registry, as manifests have it that are rendered later."""
        return Reference.parse(self.name).repository

    def at(self, repository: Repository) -> NewImage:
        return NewImage(repository=repository, tag=self.tag, digest=self.digest)


def _wish(target: Target, offers: tuple[_Offer, ...]) -> NewImage:
    """Return the image that a target gets: from the repository that it names, else from the first."""
    named = _named_by(target)
    chosen = next((one for one in offers[1:] if named in {*one.repositories, one.own}), offers[0])
    known = chosen.repositories
    if named is not None and (named in known or not known):
        return chosen.at(named)
    return chosen.at(known[0] if known else chosen.own)


def _named_by(target: Target) -> Repository | None:
    try:
        return Reference.parse(target.image or "").repository
    except ValueError:  # the edit refuses it, with the manifest's name
        return None


def _missing(subject: str, found: str, advice: str) -> Check:
    return Check(subject=subject, found=found, problem=Problem.CONFIGURATION, advice=advice)


def _check_targets(
    wishes: tuple[tuple[Target, NewImage], ...],
    look: Callable[[Callable[[Tree], tuple[EditedFile, ...]]], object],
) -> tuple[Check, ...]:
    """Try every edit on what is there now, each by itself so that every mistake is listed at once."""
    checks: list[Check] = []

    def seek(tree: Tree) -> tuple[EditedFile, ...]:
        checks[:] = [_check_target(tree, wish) for wish in wishes]
        return ()

    look(seek)
    return tuple(checks)


def _check_target(tree: Tree, wish: tuple[Target, NewImage]) -> Check:
    target, image = wish
    subject = f"manifest {target.path}"
    try:
        files = edit(tree, [wish])
    except ConfigurationError as error:
        return _missing(subject, error.message.removeprefix(f"{target.path} "), error.advice)
    places = ", ".join(f"{file.path}:{file.fields[0].line}" for file in files)
    return Check(subject=subject, found=f"{places} gets {image.repository}")


def commit_message(
    source: Source, image: PushedImage, wishes: Iterable[tuple[Target, NewImage]], run_name: str
) -> str:
    """Return the message: a line for people, and trailers that `git interpret-trailers --parse` reads."""
    references = dict.fromkeys(f"{new.repository}:{new.tag}@{new.digest}" for _, new in wishes)
    own = image.model_image
    short = source.version.replace(source.commit, source.commit[:12])
    trailers = [
        *(("Image", reference) for reference in references),
        ("Tag", image.tag),
        ("Digest", image.digest),
        *([("Model-Image", f"{own.name}:{own.tag}@{own.digest}")] if own is not None else []),
        ("Source-Commit", source.version),
    ]
    if source.repository_url:
        trailers.append(("Source-Repository", Address.parse(source.repository_url, {}).url))
    if run_name:
        trailers.append(("Pipeline-Run", run_name))
    name = image.name.rpartition("/")[2]
    weights = f", with the weights in {own.name} (sha256:{own.digest.short})" if own is not None else ""
    return "\n".join(
        [
            f"{name}: deploy {short} (sha256:{image.digest.short})",
            "",
            f"Roll out {image.name} as it was built from commit {source.version}{weights}.",
            "",
            *(f"{key}: {_one_line(value)}" for key, value in trailers),
            "",
        ]
    )


def _one_line(value: str) -> str:
    return re.sub(r"\s+", " ", value)
