"""The last stage: make the GitOps repository name the digest that was pushed."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import ConfigurationError, ManifestRefused
from pipeline.model import (
    Artifact,
    BuiltImage,
    Check,
    Destinations,
    ManifestUpdate,
    Problem,
    PushedImage,
    Source,
)
from pipeline.reference import Repository
from stages.gitops.ancestry import history_of
from stages.gitops.bound import bound_for
from stages.gitops.destination import Destination
from stages.gitops.message import commit_message
from stages.gitops.wishes import Offer, Wish
from stages.gitops.wording import values
from stages.manifests.editing import EditedFile, edit
from stages.manifests.proof_check import check_proof
from stages.manifests.tree import Folder, Tree
from stages.oci.order_key import OrderKey

_NO_REGISTRY = "the image is delivered into a folder of this machine, where no cluster can pull it from"
_NO_REGISTRY_ADVICE = "Name a registry in `registries:`, or leave `repository:` of `update:` out."
_NO_TARGETS = "`update.repository` is set, but no target: nothing would ever be updated"
_NO_TARGETS_ADVICE = (
    "Name the manifest to edit in `targets:` of `update:`, or take its `repository` away: it stands in "
    "pipeline.yaml, in PIPELINE_UPDATE__REPOSITORY or in --set (`pipeline config` says which)."
)
_UNCONFIGURED = "no manifest was updated: none is named in `targets:` of `update:`"
_ONLY_SHOWN = "nothing was written: name the GitOps repository as `repository:` of `update:`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """Edit the manifests that Argo CD or Flux watches, and push the edit as one commit.

    An older build never replaces a newer one: what stands there is compared on every attempt.
    """

    destination: Destination
    """The GitOps repository, the manifests in it, and what a delivery there is compared with."""
    root: Path = Path()
    """Where `check` looks for the targets when no repository is named; `run` looks below the source."""

    name: ClassVar[str] = "update"
    needs: ClassVar[tuple[type[Artifact], ...]] = (Source, BuiltImage, PushedImage)
    gives: ClassVar[type[ManifestUpdate]] = ManifestUpdate

    def check(self, desk: Desk) -> tuple[Check, ...]:
        """Return whether the branch is there, every target names the image, and its build can be compared."""
        going = self.destination
        if not going.targets:
            missing = _missing("targets of the update", _NO_TARGETS, _NO_TARGETS_ADVICE)
            return (missing,) if going.repository is not None else ()
        wishes = going.sought
        remote = going.remote(desk)
        if remote is None:
            # without a registry the manifests cannot know the image's name yet: run() says so, and goes on
            if not going.repositories:
                return ()
            return self._unnamed(wishes) + _check_targets(wishes, lambda seek: seek(Folder(self.root)))
        if not going.repositories:
            return (_missing("image for the GitOps repository", _NO_REGISTRY, _NO_REGISTRY_ADVICE),)
        checks = remote.check(desk)
        if not all(check.passed for check in checks):
            return checks
        found = _check_targets(
            wishes,
            lambda seek: remote.preview(seek, desk),
            lambda one, tree: (
                going.check_order((one,), tree, desk) + check_proof(going.proof, one, tree, desk)
            ),
        )
        return checks + self._unnamed(wishes) + found + going.check_rollout(desk)

    def sends_to(self) -> Destinations | None:
        """Return the manifests that are written."""
        return bound_for(self.destination, self.name)

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
        for target, image in self.destination.sought:
            if image.repository not in there:
                named = f"{target.path} gets {image.repository}"
                return f"No manifest was updated: {named}, which did not get the image."
        return ""

    def run(self, have: Artifacts, desk: Desk) -> ManifestUpdate:
        """Make the targets name the pushed digest, and return what changed.

        Raises:
            ConfigurationError: a target does not name the image, or cannot be edited safely; or nobody knows
                whether a newer build stands there.
            RemoteError: the GitOps repository or a registry refuses, or cannot be reached.
        """
        source, image = have[Source], have[PushedImage]
        offers = self._made(image, dry_run=desk.dry_run)
        if not self.destination.targets and self.destination.repository is not None:
            raise ConfigurationError(_NO_TARGETS, advice=_NO_TARGETS_ADVICE)
        if not self.destination.targets:
            return ManifestUpdate(status="unconfigured", note=_UNCONFIGURED)
        wishes, references = self.destination.wishes(offers), offers[0].repositories
        if self.destination.repository is None:
            return self._preview_folder(source.root, wishes, layout_only=not references)
        if not references:
            raise ConfigurationError(f"update: {_NO_REGISTRY}", advice=_NO_REGISTRY_ADVICE)
        key = self._key(source, desk)
        ordered = self.destination.edit(
            wishes, key, desk, is_ancestor=history_of(source.root, desk), refuses=not desk.dry_run
        )
        message = commit_message(source, image, wishes, key, "forced" if self.destination.forced else "")
        message = self.destination.commits.wording.of(message, values(source, image, desk.run_name))
        return self.destination.land(ordered, message, desk, have)

    def preview(
        self, source: Source, image: PushedImage, desk: Desk, *, root: Path | None = None
    ) -> ManifestUpdate:
        """Return what a run would commit now; of a folder, without asking anybody else.

        Raises:
            ConfigurationError: a target does not name the image, or cannot be edited safely.
            RemoteError: the GitOps repository or a registry refuses, or cannot be reached.
        """
        wishes = self.destination.wishes(self._made(image, dry_run=not image.references))
        key, history = self._key(source, desk), history_of(source.root, desk)
        if root is None:
            remote = self.destination.git_branch()
            ordered = self.destination.edit(wishes, key, desk, is_ancestor=history, refuses=False)
            return self.destination.made("preview", remote.preview(ordered, desk), ordered)
        alone = replace(self.destination, order="ignore")
        ordered = alone.edit(wishes, key, desk, is_ancestor=history, refuses=False)
        return alone.made("preview", ordered(Folder(root)), ordered)

    def _key(self, source: Source, desk: Desk) -> OrderKey:
        """Return the commit's key; where forced, the time now, so that no build made before undoes it."""
        if self.destination.forced:
            return OrderKey.at(datetime.now(UTC), source.commit, desk.run_name)
        return OrderKey.of(source, desk.run_name)

    def _made(self, image: PushedImage, *, dry_run: bool) -> tuple[Offer, ...]:
        """Return what is there now; in a dry run, what a run would have pushed."""
        made = (
            (image, self.destination.repositories),
            (image.model_image, self.destination.model_repositories),
        )
        return tuple(Offer.of(one, known if dry_run else None) for one, known in made if one is not None)

    def _unnamed(self, wishes: tuple[Wish, ...]) -> tuple[Check, ...]:
        """Return a failing check where the application would be rolled out, but the weights would not."""
        known = self.destination.model_repositories
        if not known or any(image.repository in known for _, image in wishes):
            return ()
        found = f"no target names {known[0]}, so the manifests would keep other weights than were measured"
        advice = f"Add what mounts them to `targets:` of `update:`:\n- path: …\n  image: {known[0]}"
        return (_missing("manifest of the weights", found, advice),)

    def _preview_folder(self, root: Path, wishes: tuple[Wish, ...], *, layout_only: bool) -> ManifestUpdate:
        try:
            files = edit(Folder(root), wishes)
        except ConfigurationError as error:
            if not layout_only:
                raise
            return self.destination.made("preview", (), note=f"{error.message}. {_NO_REGISTRY_ADVICE}")
        return self.destination.made("preview", files, note=_ONLY_SHOWN)


def _missing(subject: str, found: str, advice: str) -> Check:
    return Check(subject=subject, found=found, problem=Problem.CONFIGURATION, advice=advice)


def _nothing_further(_: Wish, __: Tree) -> tuple[Check, ...]:
    return ()


def _check_targets(
    wishes: tuple[Wish, ...],
    look: Callable[[Callable[[Tree], tuple[EditedFile, ...]]], object],
    further: Callable[[Wish, Tree], tuple[Check, ...]] = _nothing_further,
) -> tuple[Check, ...]:
    """Try every edit on what is there now, each by itself so that every mistake is listed at once."""
    checks: list[Check] = []

    def seek(tree: Tree) -> tuple[EditedFile, ...]:
        checks[:] = [check for one in wishes for check in _check_target(tree, one, further)]
        return ()

    look(seek)
    return tuple(checks)


def _check_target(
    tree: Tree, one: Wish, further: Callable[[Wish, Tree], tuple[Check, ...]]
) -> tuple[Check, ...]:
    target, image = one
    subject = f"manifest {target.path}"
    try:
        files = edit(tree, [one])
    except ConfigurationError as error:
        problem = Problem.MANIFEST if isinstance(error, ManifestRefused) else Problem.CONFIGURATION
        found = error.message.removeprefix(f"{target.path} ")
        return (Check(subject=subject, found=found, problem=problem, advice=error.advice),)
    places = ", ".join(f"{file.path}:{file.fields[0].line}" for file in files)
    return further(one, tree) or (Check(subject=subject, found=f"{places} gets {image.repository}"),)
