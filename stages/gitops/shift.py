"""Another part of the requests for the image that is under way: the image stays, the manifests divide anew.

What people have watched is what they promote: the digest is read once, and where another one stands there
when the edit lands, or somebody else wrote it, nothing is changed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import ClassVar

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import ConfigurationError, ManifestRefused
from pipeline.model import Artifact, Check, Destinations, ManifestUpdate, Source
from pipeline.reference import Reference
from stages.gitops.bound import bound_for
from stages.gitops.destination import Destination
from stages.gitops.history import written_since
from stages.gitops.message import Written, message, one_line, order_trailers, plain_path
from stages.gitops.order import OrderedEdit, Rule, wrote
from stages.gitops.past import state_of
from stages.gitops.rollback import tag_of
from stages.gitops.wishes import Wish
from stages.manifests.editing import EditedFile, edit
from stages.manifests.interface import NewImage, Target, Traffic
from stages.manifests.proof import Prover
from stages.manifests.tree import Tree
from stages.oci.order_key import OrderKey
from stages.registries.deployed import Deployed, DeployedImages

_LONG_AGO = datetime(1971, 1, 1, tzinfo=UTC)
_DELIVER = "Deliver an image first (`pipeline run`), then give it more requests."


@dataclass(slots=True)
class ShiftedEdit(OrderedEdit):
    """The edit that divides requests anew, as long as the image stands there that was to get them."""

    def __call__(self, tree: Tree) -> tuple[EditedFile, ...]:
        """Return the files that change.

        Raises:
            ManifestRefused: another image stands there by now, or requests cannot be divided there.
        """
        weighed = self.rule.weigh(tree, self.wishes)
        self.weighed = tuple(found for _, found in weighed)
        for (_, image), found in weighed:
            if found.order != "same":
                raise ManifestRefused(
                    f"{found.place} names {found.reference} by now, and no longer {image.digest}",
                    advice="Look how that one does, then run the command again.",
                )
        files = edit(tree, self.wishes)
        self.proofs = self.prover(tree, files, self.wishes) if self.prover is not None else ()
        return files


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """Give the image that was delivered last another part of the requests."""

    destination: Destination
    percent: int
    paths: tuple[str, ...] = ()
    """Paths of the targets; empty: all with a strategy, or all if none has one."""

    name: ClassVar[str] = "promote"
    needs: ClassVar[tuple[type[Artifact], ...]] = (Source,)
    gives: ClassVar[type[ManifestUpdate]] = ManifestUpdate

    def check(self, desk: Desk) -> tuple[Check, ...]:
        """Return whether the branch is there and may be written to."""
        return self.destination.check_access(desk)

    def sends_to(self) -> Destinations | None:
        """Return the manifests that are written."""
        return bound_for(self.destination, self.name)

    def identity(self, have: Artifacts) -> None:
        """Return nothing: it is never taken from an earlier run."""

    def run(self, have: Artifacts, desk: Desk) -> ManifestUpdate:
        """Write the percentage, and return what changed.

        Raises:
            ConfigurationError: no delivery is under way there, or its requests cannot be divided.
            RemoteError: a registry or the GitOps repository refuses, or cannot be reached.
        """
        going = replace(self.destination, targets=self._targets())
        images = going.images(desk)
        wishes, last = _under_way(going, images, desk)
        rule = Rule(key=last.key, level="ignore", find=images.find)
        made = going.land(
            ShiftedEdit(wishes, rule, Prover(desk, going.proof)),
            self._message(wishes, last.key, desk),
            desk,
            have,
            asked_for=True,
        )
        if made.status == "unchanged":
            return made.model_copy(
                update={"note": f"the image gets {self.percent} % of the requests already"}
            )
        return made

    def _targets(self) -> tuple[Target, ...]:
        known = self.destination.targets
        unknown = [path for path in self.paths if path not in {target.path for target in known}]
        if unknown:
            raise ConfigurationError(
                f"--target {unknown[0]}: there is no such target",
                advice=f"The targets are {', '.join(dict.fromkeys(each.path for each in known))}.",
            )
        divided = tuple(each for each in known if each.traffic is not None) or known
        chosen = tuple(each for each in known if each.path in self.paths) or divided
        return tuple(replace(each, traffic=Traffic(self.percent, "shift")) for each in chosen)

    def _message(self, wishes: Sequence[Wish], key: OrderKey, desk: Desk) -> str:
        name = self.destination.image.rpartition("/")[2]
        image = wishes[0][1]
        short = f" (sha256:{image.digest.short})" if image.digest is not None else ""
        return message(
            f"{name}: {self.percent} % of the requests to {image.tag[:12]}{short}",
            "The image stays; it was delivered before and gets another part of the requests.",
            (
                *order_trailers(wishes, key, "promotion"),
                f"Canary-Percent: {self.percent}",
                *([f"Promoted-By-Run: {one_line(desk.run_name)}"] if desk.run_name else []),
                *([f"Pipeline-Run: {key.run}"] if key.run else []),  # belongs to the key: who delivered it
            ),
        )


def _under_way(
    destination: Destination, images: DeployedImages, desk: Desk
) -> tuple[tuple[Wish, ...], Written]:
    """Return each target with the image that stands there, and the commit of ours that wrote it."""
    found: list[tuple[tuple[Wish, ...], Written]] = []

    def look(tree: Tree) -> tuple[EditedFile, ...]:
        references, _ = state_of(tree, destination.sought)
        there = [_deployed(reference, images) for reference in references]
        since = min((each.key.moment for each in there if each.key is not None), default=_LONG_AGO)
        ours = tuple(written_since(tree, since))
        targets = destination.targets
        last = [_last(ours, *each) for each in zip(targets, references, strict=True)]
        new = (_as_it_stands(*each) for each in zip(references, there, strict=True))
        found[:] = [(tuple(zip(targets, new, strict=True)), last[0])]
        return ()

    destination.git_branch().preview(look, desk)
    return found[0]


def _deployed(reference: Reference, images: DeployedImages) -> Deployed:
    if reference.digest is None:
        raise ManifestRefused(f"{reference} stands there without a digest", advice=_DELIVER)
    there = images.find(reference)
    if there.problem is not None:
        raise there.problem
    return there


def _last(ours: Sequence[Written], target: Target, reference: Reference) -> Written:
    """Return our last commit to a target, which must have written what stands there."""
    last = next((each for each in ours if plain_path(target.path) in each.manifests), None)
    if last is None or not wrote(last, target, reference):
        wrote_it = "no commit of this pipeline wrote"
        if last is not None:
            wrote_it = f"somebody else wrote; this pipeline wrote {', '.join(sorted(last.images))}"
        raise ManifestRefused(
            f"{target.path} names {reference}, which {wrote_it}",
            advice=_DELIVER,
        )
    return last


def _as_it_stands(reference: Reference, there: Deployed) -> NewImage:
    assert reference.digest is not None  # noqa: S101 - refused before
    tag = reference.tag or tag_of(there, reference.digest)
    return NewImage(repository=reference.repository, tag=tag, digest=reference.digest)
