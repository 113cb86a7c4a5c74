"""Which part of the requests a new image gets, where a resource divides them itself: canary, blue-green."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby

from pipeline.errors import ManifestRefused
from stages.manifests.finding import Found, Resource
from stages.manifests.interface import NewImage, Target
from stages.manifests.refusal import refusal
from stages.manifests.shares import ALL, Share
from stages.manifests.shares_knative import knative
from stages.manifests.shares_kserve import kserve
from stages.manifests.shares_seldon import seldon
from stages.manifests.yaml_editing import Edit

_Divides = Callable[[Share], Iterator[Edit]]
_DIVIDERS: Mapping[tuple[str, str], _Divides] = {
    ("serving.kserve.io", "InferenceService"): kserve,
    ("serving.knative.dev", "Service"): knative,
    ("machinelearning.seldon.io", "SeldonDeployment"): seldon,
}
_OTHERS = (
    "Leave `strategy:` or `--percent` out for this target; an InferenceService of KServe, a Service of "
    "Knative and a SeldonDeployment divide requests by themselves."
)
_STEPS_ARE_ITS_OWN = (
    "Leave `strategy:` out of this target: the image alone changes, and then the steps of the Rollout run. "
    "`kubectl argo rollouts promote` takes it on."
)


def shares(chosen: Sequence[Found], target: Target, image: NewImage) -> list[Edit]:
    """Return the edits beside that of the image which give it its part of the requests.

    Raises:
        ManifestRefused: the resource cannot divide requests, or it is not clear between what.
    """
    if target.traffic is not None and not 0 <= target.traffic.percent <= ALL:
        raise refusal(
            target.path,
            None,
            f"cannot send {target.traffic.percent} % of the requests to an image",
            advice="Give a whole number of percent, from 0 to 100.",
        )
    edits: list[Edit] = []
    for _, group in groupby(chosen, key=lambda found: id(found.resource.root.node)):
        found = tuple(group)
        resource = found[0].resource
        divides = _DIVIDERS.get(resource.root.kind())
        if divides is None:
            raise _undivided(resource)
        edits += divides(Share(resource.root, tuple(each.place for each in found), target, image))
    return edits


def _undivided(resource: Resource) -> ManifestRefused:
    if resource.root.kind() == ("argoproj.io", "Rollout"):
        return refusal(
            resource.file.path,
            resource.root.node.line,
            f"{resource} goes by the steps that it names itself, not by percentages of this pipeline",
            advice=_STEPS_ARE_ITS_OWN,
        )
    named = str(resource)
    what = f"{named} cannot divide" if named else "is no resource that divides"
    return refusal(
        resource.file.path,
        resource.root.node.line,
        f"{what} requests between an old image and a new one",
        advice=_OTHERS,
    )
