"""The digest that one environment runs, in another one: nothing is built again, the same bytes go on."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import ConfigurationError
from pipeline.model import Artifact, Check, Destinations, ManifestUpdate, Pushed, PushedImage, Source
from pipeline.reference import Reference, Repository
from stages.gitops.ancestry import history_of
from stages.gitops.bound import bound_for
from stages.gitops.destination import Destination
from stages.gitops.message import message, model_trailer, order_trailers
from stages.gitops.past import state_of
from stages.gitops.wishes import Offer, Wish
from stages.manifests.editing import EditedFile
from stages.manifests.tree import Tree
from stages.oci.order_key import OrderKey
from stages.registries.connections import Registries
from stages.registries.copy import copy


def deployed(destination: Destination, desk: Desk) -> tuple[Reference, ...]:
    """Return what the targets of an environment name now.

    Raises:
        ConfigurationError: they name no such image, or one without a digest.
        RemoteError: the repository cannot be reached.
    """
    found: list[Reference] = []

    def look(tree: Tree) -> tuple[EditedFile, ...]:
        found[:] = state_of(tree, destination.sought)[0]
        return ()

    destination.git_branch().preview(look, desk)
    for reference in found:
        if reference.digest is None:
            raise ConfigurationError(
                f"{reference} stands there without a digest, so nobody knows what runs",
                advice="Deliver to that environment once, then promote what was delivered.",
            )
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """Make the manifests of one environment name what another one runs."""

    source_name: str
    target_name: str
    destination: Destination
    """The environment that gets the image."""
    built: Source
    """The commit that the image was built from, as the record has it."""
    registries: Registries
    """Those of both environments."""

    name: ClassVar[str] = "promote"
    needs: ClassVar[tuple[type[Artifact], ...]] = (Source, PushedImage)
    gives: ClassVar[type[ManifestUpdate]] = ManifestUpdate

    def check(self, desk: Desk) -> tuple[Check, ...]:
        """Return whether the branch may be written to, and who is asked about the rollout answers."""
        return self.destination.check_access(desk)

    def sends_to(self) -> Destinations | None:
        """Return the manifests that are written."""
        return bound_for(self.destination, self.name)

    def identity(self, have: Artifacts) -> None:
        """Return nothing: what others have committed meanwhile is never known beforehand."""

    def run(self, have: Artifacts, desk: Desk) -> ManifestUpdate:
        """Copy the image where it is not yet, make the targets name it, and return what changed.

        Raises:
            ConfigurationError: a target does not name the image, or nobody knows which build is newer.
            RemoteError: a registry or the GitOps repository refuses, or cannot be reached.
        """
        image = have[PushedImage]
        own = image.model_image
        places = ((image, self.destination.repositories), (own, self.destination.model_repositories))
        offers = [Offer.of(one, known) for one, known in places if one is not None]
        if not desk.dry_run:
            for pushed, known in reversed(places):  # the weights first
                if pushed is not None:
                    self._copy(pushed, known, desk)
        wishes = self.destination.wishes(tuple(offers))
        key = self._key(desk)
        root = have[Source].root
        edit = self.destination.edit(
            wishes, key, desk, is_ancestor=history_of(root, desk), refuses=not desk.dry_run
        )
        made = self.destination.land(edit, self._message(image, wishes, key), desk, have, asked_for=True)
        if made.status not in {"committed", "requested", "unchanged"}:
            return made
        where = next(iter(self.destination.repositories))
        return made.model_copy(update={"image": f"{where}@{image.digest}"})

    def _key(self, desk: Desk) -> OrderKey:
        """Return the build's own key; where forced, the time now, as `pipeline run --force` has it."""
        if self.destination.forced:
            return OrderKey.at(datetime.now(UTC), self.built.commit, desk.run_name)
        return OrderKey.of(self.built, desk.run_name)

    def _copy(self, pushed: Pushed, wanted: Sequence[Repository], desk: Desk) -> None:
        there = [each.repository for each in pushed.references]
        missing = [each for each in wanted if each not in there]
        if missing and not there:
            raise ConfigurationError(
                f"the record knows no registry that holds {pushed.name}@{pushed.digest}",
                advice="Deliver to a registry first: `registries:`.",
            )
        if missing:
            copy(pushed.digest, pushed.tag, there[0], missing, registries=self.registries, desk=desk)

    def _message(self, image: PushedImage, wishes: Sequence[Wish], key: OrderKey) -> str:
        name, commit = image.name.rpartition("/")[2], self.built.version
        short = commit.replace(self.built.commit, self.built.commit[:12])
        own = image.model_image
        return message(
            f"{name}: promote {short} to {self.target_name} (sha256:{image.digest.short})",
            f"Roll out in {self.target_name} what {self.source_name} runs, built from commit {commit}.",
            (
                *order_trailers(wishes, key, "forced" if self.destination.forced else "promotion"),
                f"Promoted-From: {self.source_name}",
                f"Digest: {image.digest}",
                *([model_trailer(own)] if own is not None else []),
                f"Source-Commit: {commit}",
                *([f"Pipeline-Run: {key.run}"] if key.run else []),
            ),
        )
