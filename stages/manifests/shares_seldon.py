"""Seldon Core 1 divides requests between predictors by their `traffic`.

The predictor that is called `canary` gets the image first; with 100 % it goes to the other one too, which
then gets all requests, so that the canary is free for the next image.
"""

from collections.abc import Iterator, Sequence

from pipeline.reference import Reference
from stages.manifests.cursor import Cursor
from stages.manifests.edits import Edit
from stages.manifests.interface import InContainer, Place, same_image
from stages.manifests.seldon import CANARY, predictor_images
from stages.manifests.shares import ALL, Share, percent_edit, stand_in

_KEY = "traffic"
_TWO = (
    "Write two predictors, one of them with `name: canary`: it gets the new image first. "
    "Or leave `strategy:` out of this target."
)


def seldon(share: Share) -> Iterator[Edit]:
    """Yield the edits of a SeldonDeployment.

    Raises:
        ManifestRefused: there are not two predictors, one of them called `canary`, that both name the image.
    """
    canary, main = _predictors(share)
    mains = _images(share, main)
    found = share.percent_at(canary.get(_KEY), 0)
    current = found if _said(mains) != _said(share.places) else ALL
    percent = share.next(current, canary, mains)
    if percent == ALL or share.traffic.step == "rollback":
        yield from (edit for place in mains for edit in place.edits(share.image))
        percent = 0
    yield percent_edit(canary, _KEY, percent, below="name")
    yield percent_edit(main, _KEY, ALL - percent, below="name")


def _predictors(share: Share) -> tuple[Cursor, Cursor]:
    spec = share.document.get("spec")
    predictors = spec.list_at("predictors") if spec is not None else ()
    canaries = [each for each in predictors if each.text("name") == CANARY]
    others = [each for each in predictors if each.text("name") != CANARY]
    if len(canaries) != 1 or len(others) != 1 or not stand_in(canaries[0], share.places):
        at = spec.get("predictors") if spec is not None else None
        raise share.refused(at or share.document, "has no predictor `canary` beside one other", advice=_TWO)
    return canaries[0], others[0]


def _said(places: Sequence[Place]) -> set[str]:
    """Return what places name, however the repository is spelled."""
    return {place.current.rpartition("/")[2] for place in places}


def _images(share: Share, main: Cursor) -> tuple[Place, ...]:
    """Return the places of the main predictor that name the image."""
    named = {
        share.image.repository,
        Reference.parse(share.target.image or str(share.image.repository)).repository,
    }
    found = tuple(
        place
        for place in predictor_images(main)
        if any(same_image(place, name) for name in named)
        and share.target.container in {None, place.container if isinstance(place, InContainer) else ""}
    )
    if not found:
        raise share.refused(
            main,
            "does not name the image of the canary, so it could never get it",
            advice="Let both predictors name the same image, with different tags or digests.",
        )
    return found
