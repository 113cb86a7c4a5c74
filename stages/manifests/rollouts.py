"""Argo Rollouts: its template is a pod's, or stands in the Deployment that `workloadRef` names."""

from stages.manifests.cursor import Cursor
from stages.manifests.kubernetes import TEMPLATE, PodForm

ROLLOUTS = PodForm("rollouts", {("argoproj.io", "Rollout"): TEMPLATE})
"""A Rollout that holds its template; its steps are its own."""


def workload_of(document: Cursor) -> tuple[str, str] | None:
    """Return kind and name of the workload that holds a Rollout's image; None where it holds its own."""
    reference = document.at("spec", "workloadRef")
    if document.kind() != ("argoproj.io", "Rollout") or reference is None:
        return None
    return reference.text("kind") or "Deployment", reference.text("name") or ""
