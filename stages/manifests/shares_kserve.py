"""KServe divides requests between the newest revision of a component and the last one that got them all.

`canaryTrafficPercent` is what the newest gets. KServe itself remembers the revision that had 100 % last.
"""

from collections.abc import Iterator

from stages.manifests.edits import Edit
from stages.manifests.kserve import COMPONENTS
from stages.manifests.shares import ALL, Share, percent_edit, stand_in
from stages.manifests.yaml_tree import text_of

_KEY = "canaryTrafficPercent"
_MODE = "serving.kserve.io/deploymentMode"
_WITHOUT_REVISIONS = {"RawDeployment", "Standard", "ModelMesh"}


def kserve(share: Share) -> Iterator[Edit]:
    """Yield the edits of an InferenceService: of every component that has the image.

    Raises:
        ManifestRefused: it runs without Knative, so that there are no revisions.
    """
    _refuse_raw(share)
    for name in COMPONENTS:
        component = share.document.at("spec", name)
        if component is None or not stand_in(component, share.places):
            continue
        found = component.get(_KEY)
        current = share.percent_at(found, ALL)
        percent = share.next(current, component)
        if found is not None or percent != ALL:
            yield percent_edit(component, _KEY, percent)


def _refuse_raw(share: Share) -> None:
    mode = share.document.at("metadata", "annotations", _MODE)
    said = text_of(mode.node) if mode is not None else None
    if mode is not None and said in _WITHOUT_REVISIONS:
        raise share.refused(
            mode,
            f"is {said}, in which KServe divides no requests",
            advice="Take the mode that stands on Knative, or leave `strategy:` out of this target.",
        )
