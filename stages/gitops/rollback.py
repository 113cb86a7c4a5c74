"""Back to an image that was deployed before: the same edit and the same compare and swap as an update.

The image is old, so its own key would lose against any build that is under way. The commit gets another key,
the time at which the rollback was asked for: builds of older commits give way to it, newer ones replace it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import ConfigurationError, RemoteError
from pipeline.model import Artifact, Check, Destinations, ManifestUpdate, PushedImage, Source
from pipeline.reference import Digest, Reference, Tag
from stages.gitops.ancestry import history_of
from stages.gitops.bound import bound_for
from stages.gitops.destination import Destination
from stages.gitops.message import message, one_line, order_trailers
from stages.gitops.past import State, states
from stages.gitops.wishes import Offer, Wish
from stages.manifests.interface import NewImage, Target, Traffic
from stages.oci.order_key import OrderKey
from stages.registries.deployed import Deployed, DeployedImages

_BY_NAME = "Name what to roll back to: `pipeline rollback --to RUN` or `--to DIGEST`."


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback:
    """Make the manifests name an earlier image again."""

    destination: Destination
    to: Digest | None = None
    """The application's digest; None: what stood in the manifests before."""
    pushed: PushedImage | None = None
    """What a recorded run has pushed, where that run, or its digest, was named."""
    still: frozenset[str] = frozenset()
    """Digests of which one must stand there until the commit lands; empty: whatever stands there goes."""

    name: ClassVar[str] = "rollback"
    needs: ClassVar[tuple[type[Artifact], ...]] = (Source,)
    gives: ClassVar[type[ManifestUpdate]] = ManifestUpdate

    def check(self, desk: Desk) -> tuple[Check, ...]:
        """Return whether the branch may be written to, and who is asked about the rollout answers."""
        return self.destination.check_access(desk)

    def sends_to(self) -> Destinations | None:
        """Return the manifests that are written."""
        return bound_for(self.destination, self.name)

    def identity(self, have: Artifacts) -> None:
        """Return nothing: a rollback is never taken from an earlier run."""

    def run(self, have: Artifacts, desk: Desk) -> ManifestUpdate:
        """Write the earlier image, and return what changed.

        Raises:
            ConfigurationError: there is no earlier image, or it is not known.
            RemoteError: the image is not in its registry any more, or a remote cannot be reached.
        """
        images = self.destination.images(desk)
        wishes, present = self._wishes(images, desk)
        wishes = tuple((_back(target), image) for target, image in wishes)
        found = [(one, require(images, one[1])) for one in wishes]
        source = have[Source]
        revision = next((there.key.revision for _, there in found if there.key), source.commit)
        key = OrderKey.at(_moment(present, images), revision, desk.run_name)
        # whatever stands there is to go, known or not; only what comes later than this very moment stays
        level = "warn" if self.destination.order == "enforce" else self.destination.order
        going = replace(self.destination, order=level)
        edit = going.edit(wishes, key, desk, is_ancestor=history_of(source.root, desk))
        edit.still = self.still
        return going.land(edit, self._message(wishes, present, key), desk, have, asked_for=True)

    def _wishes(self, images: DeployedImages, desk: Desk) -> tuple[tuple[Wish, ...], tuple[Reference, ...]]:
        """Return what the targets shall name, and what they name now."""
        sought = self.destination.sought
        past = states(self.destination.git_branch(), sought, desk)
        present = next(past)
        if self.pushed is not None:
            own = [self.pushed, *([self.pushed.model_image] if self.pushed.model_image else [])]
            return self.destination.wishes(tuple(map(Offer.of, own))), present.references
        for state in past:
            if self.to is None or any(each.digest == self.to for each in state.references):
                return self._as_in(state, images), present.references
        if self.to is None:
            raise ConfigurationError("the manifests have named no other image before", advice=_BY_NAME)
        return self._of_digest(self.to, sought, images), present.references

    def _as_in(self, state: State, images: DeployedImages) -> tuple[Wish, ...]:
        """Return all targets as they were, so that an application gets the weights that it ran with."""
        return tuple(
            (target, _pinned(reference, images, state))
            for (target, _), reference in zip(self.destination.sought, state.references, strict=True)
        )

    def _of_digest(self, digest: Digest, sought: Sequence[Wish], images: DeployedImages) -> tuple[Wish, ...]:
        """Return the one image of this digest, which neither a record nor a manifest has known."""
        if len({image.repository for _, image in sought}) > 1:
            raise ConfigurationError(
                f"{digest} is in no record and never stood in the manifests, so its weights are not known",
                advice="Name the run that pushed it: `pipeline rollback --to RUN`.",
            )
        there = images.find(Reference(sought[0][1].repository, digest=digest))
        return tuple(
            (target, replace(image, digest=digest, tag=tag_of(there, digest))) for target, image in sought
        )

    def _message(self, wishes: Sequence[Wish], present: Sequence[Reference], key: OrderKey) -> str:
        name = self.destination.image.rpartition("/")[2]
        first = wishes[0][1]
        digest = first.digest
        short = f" (sha256:{digest.short})" if digest is not None else ""
        return message(
            f"{name}: roll back to {first.tag[:12]}{short}",
            "Builds of commits that were made before this moment will not undo it; newer ones replace it.",
            (
                *order_trailers(wishes, key, "rollback"),
                *(f"Rolled-Back-From: {each}" for each in dict.fromkeys(present)),
                *([f"Pipeline-Run: {one_line(key.run)}"] if key.run else []),
            ),
        )


def _moment(present: Sequence[Reference], images: DeployedImages) -> datetime:
    """Return the time now, or where a clock ahead has made what stands there, the second after that."""
    keys = [found.key for each in present if (found := images.find(each)).key is not None]
    return max([datetime.now(UTC), *(key.moment + timedelta(seconds=1) for key in keys if key is not None)])


def _back(target: Target) -> Target:
    """Return the target, of whose requests the image that is under way gets nothing more."""
    return target if target.traffic is None else replace(target, traffic=Traffic(0, "rollback"))


def require(images: DeployedImages, image: NewImage) -> Deployed:
    """Return an image that can be pulled.

    Raises:
        RemoteError: it cannot: it is gone, or its registry does not answer.
    """
    found = images.find(Reference(image.repository, digest=image.digest))
    if found.problem is not None:
        raise found.problem
    if found.digest is None:
        raise RemoteError(
            f"{image.repository}@{image.digest} is not in its registry any more, so no cluster could pull it",
            advice=f"Nothing was changed. {_BY_NAME}",
        )
    return found


def tag_of(there: Deployed, digest: Digest) -> Tag:
    """Return the tag that an image says it was made for, else the beginning of its digest."""
    try:
        return Tag(there.tag or digest.short)
    except ValueError:
        return Tag(digest.short)


def _pinned(reference: Reference, images: DeployedImages, state: State) -> NewImage:
    """Return what a manifest named, with tag and digest.

    Raises:
        ConfigurationError: it was never pushed.
        RemoteError: its registry does not answer.
    """
    there = images.find(reference)
    if there.problem is not None:
        raise there.problem
    digest = reference.digest or there.digest
    if digest is None:
        raise ConfigurationError(
            f"before, {reference} stood in the manifests (commit {state.commit[:12]}), which no registry has",
            advice=_BY_NAME,
        )
    return NewImage(
        repository=reference.repository, tag=reference.tag or tag_of(there, digest), digest=digest
    )
