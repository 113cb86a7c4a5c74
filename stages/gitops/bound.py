"""Where a delivery is bound for, in the words that the policies judge."""

from pipeline.model import Destinations
from stages.gitops.destination import Destination


def bound_for(destination: Destination, stage: str) -> Destinations | None:
    """Return the manifests that a stage writes to; None where nothing is written."""
    if destination.repository is None or not destination.targets:
        return None
    return Destinations(
        stage=stage,
        gitops=destination.git_branch().shown_url,
        gitops_branch=destination.branch,
        targets=tuple(dict.fromkeys(target.path for target in destination.targets)),
    )
