"""Knative Serving: a Service, and the Configuration and Revision below it."""

from stages.manifests.kubernetes import TEMPLATE, PodForm

_GROUP = "serving.knative.dev"

KNATIVE = PodForm(
    "knative",
    {(_GROUP, "Service"): TEMPLATE, (_GROUP, "Configuration"): TEMPLATE, (_GROUP, "Revision"): ("spec",)},
)
"""Resources of Knative Serving that run pods."""
