"""An older build never replaces a newer one: judged on every attempt, on the head that is about to change.

What stands in a manifest is ordered by the key that its image carries, and by the key of the commit that
wrote it, if that is greater: a rollback brings back an old image by a new key.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from pipeline.errors import ConfigurationError, ManifestRefused, PipelineError, RemoteError
from pipeline.model import Proof, StandingImage
from pipeline.reference import Digest, Reference, Repository
from stages.gitops.history import written_since
from stages.gitops.message import Written, plain_path
from stages.gitops.wishes import Wish
from stages.manifests.editing import EditedFile, Standing, edit, standing
from stages.manifests.interface import NewImage, Target
from stages.manifests.proof import Prover
from stages.manifests.tree import Tree
from stages.oci.order_key import IsAncestor, OrderKey, is_newer, unknown_history
from stages.registries.deployed import Deployed

Level = Literal["enforce", "warn", "ignore"]
NO_DIGEST = Digest(f"sha256:{'0' * 64}")
"""What people write where a digest will be."""
NO_KEY = "carries no order key: another tool made it, or a version of this pipeline that wrote none"
GONE = "is not in its registry any more"
PLACEHOLDER = "nothing of that name was ever pushed"
ANOTHER = "another image stood there, which is no build of this one"
UNREADABLE = "is no reference that a registry could be asked for"
UNANSWERED = "cannot be compared"
_HOW_TO_GO_ON = (
    "If this delivery shall replace it, say so once: `pipeline run --force` (the record and the commit keep "
    "that). From then on an order key stands there. `order: warn` in `update:` never asks."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What a delivery is compared with, and what follows."""

    key: OrderKey
    level: Level = "enforce"
    forced: bool = False
    find: Callable[[Reference], Deployed]
    """Asks the registry for what stands in a manifest."""
    known: frozenset[Repository] = frozenset()
    """Repositories of the application, whose builds carry keys; any other image is no build of it."""
    unkeyed: frozenset[Repository] = frozenset()
    """Repositories of the weights, whose image depends on no commit: only commits tell their order."""
    is_ancestor: IsAncestor = unknown_history
    refuses: bool = True
    """Off in a preview, which says what it does not know."""

    def weigh(self, tree: Tree, wishes: Sequence[Wish]) -> tuple[tuple[Wish, StandingImage], ...]:
        """Return what stands at each place that the wishes would change, compared with this delivery."""
        commits = _Commits(tree, self.key.moment)
        return tuple(
            (one, self._weigh(one, place, commits))
            for one in wishes
            for place in standing(tree, one[0], one[1])
        )

    def _weigh(self, one: Wish, place: Standing, commits: "_Commits") -> StandingImage:
        found = StandingImage(path=place.path, line=place.line, reference=place.reference, order="same")
        reference = _parsed(place.reference)
        if reference is not None and _same(reference, one[1]):
            return found
        if self.forced or self.level == "ignore":
            return found.model_copy(update={"order": "ignored"})
        return self._judged(found, one, reference, commits)

    def _judged(
        self, found: StandingImage, one: Wish, reference: Reference | None, commits: "_Commits"
    ) -> StandingImage:
        if reference is None:
            return found.model_copy(update={"order": "unknown", "note": UNREADABLE})
        if reference.repository in self.unkeyed:
            return self._compared(found, None, commits.last(one[0], reference))
        if reference.repository not in self.known | {one[1].repository}:
            by = commits.last(one[0], reference)  # from a registry that was moved, say
            first = found.model_copy(update={"order": "first", "note": ANOTHER})
            return first if by is None else self._compared(found, None, by)
        return self._asked(found, one[0], reference, commits)

    def _asked(
        self, found: StandingImage, target: Target, reference: Reference, commits: "_Commits"
    ) -> StandingImage:
        there = self.find(reference)
        if there.key is not None and is_newer(there.key, self.key, self.is_ancestor):
            return self._compared(found, there.key, None)
        by = commits.last(target, reference)
        if there.key is None and by is None:
            order, note = _without_key(reference, there)
            return found.model_copy(update={"order": order, "note": note})
        return self._compared(found, there.key, by)

    def _compared(self, found: StandingImage, key: OrderKey | None, by: Written | None) -> StandingImage:
        """Compare with the greater of two keys: the image's own, and that of the commit that wrote it."""
        if by is not None and (key is None or not is_newer(key, by.key, self.is_ancestor)):
            key, occasion = by.key, by.occasion
        else:
            occasion = ""
        if key is None:
            return found.model_copy(update={"order": "older"})
        newer = is_newer(key, self.key, self.is_ancestor)
        return found.model_copy(
            update={"order": "newer" if newer else "older", "key": str(key), "occasion": occasion}
        )


@dataclass(slots=True)
class OrderedEdit:
    """The edit of a delivery that gives way to a newer one; `weighed` is of the head that it saw last."""

    wishes: tuple[Wish, ...]
    rule: Rule
    prover: Prover | None = None
    weighed: tuple[StandingImage, ...] = ()
    proofs: tuple[Proof, ...] = ()
    """What shows that the edit of the head that it saw last changes the image alone."""
    still: frozenset[str] = frozenset()
    """Digests of which one must stand there yet; empty: whatever stands there."""

    def __call__(self, tree: Tree) -> tuple[EditedFile, ...]:
        """Return the files that change; none where a newer build, or this very one, stands there.

        Raises:
            ConfigurationError: nobody knows which build is the newer one, or an edit or its proof is refused.
            RemoteError: a registry does not say what stands there.
            ToolMissing: the proof needs a program that is not there.
        """
        weighed = self.rule.weigh(tree, self.wishes)
        self.weighed = tuple(found for _, found in weighed)
        self.proofs = ()
        if self.still and not any(digest in each.reference for each in self.weighed for digest in self.still):
            raise ManifestRefused("another image stands there by now", advice="Look how that one does.")
        if self.superseded is not None:
            return ()
        self._refuse_unknown()
        changing = [one for one, found in weighed if found.order != "same"]
        wishes = list(dict.fromkeys(changing))
        files = edit(tree, wishes)
        if self.prover is not None:
            self.proofs = self.prover(tree, files, wishes)
        return files

    @property
    def superseded(self) -> StandingImage | None:
        """The newer build that stands there, if there is one; then nothing at all is written."""
        return next((found for found in self.weighed if found.order == "newer"), None)

    @property
    def notes(self) -> tuple[str, ...]:
        """What people should know of what stood there."""
        told = (found for found in self.weighed if found.order in {"first", "unknown"})
        return tuple(f"{found.place} named {found.reference}: {found.note}" for found in told)

    def told(self) -> str:
        """Return why a superseded delivery wrote nothing."""
        found = self.superseded
        theirs = OrderKey.parse(found.key) if found is not None and found.key is not None else None
        if found is None or theirs is None:
            return ""
        ours = self.rule.key.shown
        if found.occasion in {"rollback", "forced"}:
            how = "rolled back to" if found.occasion == "rollback" else "deployed by force"
            return (
                f"superseded: {found.place} names {found.reference}, {how} at {theirs.time}; this build is "
                f"of {ours}, so nothing was written. A newer commit replaces it, or `--force`"
            )
        return (
            f"superseded: {found.place} names {found.reference}, which is of {theirs.shown}; "
            f"this build is of {ours}, so nothing was written"
        )

    def _refuse_unknown(self) -> None:
        if self.rule.level != "enforce" or not self.rule.refuses:
            return
        for found in self.weighed:
            if found.order == "unknown":
                raise unknown(found)


def unknown(found: StandingImage) -> PipelineError:
    """Return the error of a delivery that would replace what nobody can compare it with."""
    kind: type[PipelineError] = ConfigurationError
    first = ""
    if found.note.startswith(UNANSWERED):
        kind, first = RemoteError, "Run again when the registry gives it out. "
    return kind(
        f"{found.place} names {found.reference}, which {found.note}; it may be newer than this build",
        advice=f"{first}{_HOW_TO_GO_ON}",
    )


@dataclass(slots=True)
class _Commits:
    """What our commits have written since the delivered commit was made; asked for at the first use."""

    tree: Tree
    since: datetime
    _known: tuple[Written, ...] | None = field(default=None)

    def last(self, target: Target, reference: Reference) -> Written | None:
        """Return the last commit that wrote this digest there, if there is one."""
        if reference.digest is None:
            return None
        if self._known is None:
            self._known = tuple(written_since(self.tree, self.since))
        return next((one for one in self._known if wrote(one, target, reference)), None)


def wrote(one: Written, target: Target, reference: Reference) -> bool:
    """Tell whether a commit wrote this digest to this target."""
    return plain_path(target.path) in one.manifests and any(
        image.endswith(f"@{reference.digest}") and _parsed_repository(image) == reference.repository
        for image in one.images
    )


def _without_key(reference: Reference, there: Deployed) -> tuple[str, str]:
    if there.problem is not None:
        return "unknown", f"{UNANSWERED}: {there.problem.message}"
    if there.digest is None and reference.digest in {None, NO_DIGEST}:
        return "first", PLACEHOLDER
    return "unknown", GONE if there.digest is None else NO_KEY


def _same(reference: Reference, image: NewImage) -> bool:
    return reference.digest is not None and (reference.repository, reference.digest) == (
        image.repository,
        image.digest,
    )


def _parsed(text: str) -> Reference | None:
    try:
        return Reference.parse(text)
    except ValueError:
        return None


def _parsed_repository(text: str) -> Repository | None:
    found = _parsed(text)
    return found.repository if found is not None else None
