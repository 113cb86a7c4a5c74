"""What pipeline.yaml says of waiting until a change is live: who is asked, how long, and what follows."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from pipeline.section import Seconds, Section


def _require_https(text: str) -> str:
    if not text.startswith("https://"):
        raise ValueError("expected an address that starts with https://: the token is sent there")
    return text


Name = Annotated[
    str, Field(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$")
]
"""A name of a Kubernetes resource."""


class ArgoCDSection(Section):
    """An Argo CD Application, asked for with the token in the variable ARGOCD_AUTH_TOKEN."""

    server: Annotated[str, AfterValidator(_require_https)]
    """Address of Argo CD, as people open it."""
    application: Name
    """Name of the Application."""
    namespace: Name | None = None
    """Namespace of the Application, where that is not Argo CD's own."""
    ca_file: str | None = None
    """File with the authority of the server's certificate; default: those that this machine trusts."""


class FluxSection(Section):
    """A resource of Flux, asked for over the Kubernetes API."""

    kind: Literal["Kustomization", "HelmRelease"] = "Kustomization"
    """Kustomization, or HelmRelease."""
    name: Name
    """Name of the resource."""
    namespace: Name = "flux-system"
    """Namespace of the resource."""
    context: str | None = None
    """Context of the kubeconfig; default: its current one, or inside a cluster the pod's own account."""


class KubernetesSection(Section):
    """A resource whose pods run the image, asked for over the Kubernetes API."""

    kind: Literal[
        "Deployment",
        "StatefulSet",
        "DaemonSet",
        "InferenceService",
        "LLMInferenceService",
        "Service",
        "Rollout",
        "SeldonDeployment",
        "Model",
        "Server",
    ] = "Deployment"
    """Kind of the resource; Service is Knative's, Model and Server are Seldon's."""
    name: Name
    """Name of the resource."""
    namespace: Name
    """Namespace of the resource."""
    context: str | None = None
    """Context of the kubeconfig; default: its current one, or inside a cluster the pod's own account."""


class WaitSection(Section):
    """Watch, after the commit, until the new image is live. Where several are named, all have to be."""

    argocd: ArgoCDSection | None = None
    """Argo CD's Application: synced, healthy, and a pod of it runs the image."""
    flux: FluxSection | None = None
    """Flux's Kustomization or HelmRelease: ready, with this commit applied."""
    kubernetes: KubernetesSection | None = None
    """What runs the image: rolled out, ready, and all its pods run it."""
    time_limit_s: Seconds = 600
    """How long that may take; after it the run fails."""
    on_failure: Literal["fail", "rollback"] = "fail"
    """What follows where it stays broken or takes too long: `fail` leaves the manifests as they are,
    `rollback` makes them name again what stood there before. The run fails in both cases."""

    @model_validator(mode="after")
    def _watches_something(self) -> Self:
        if self.argocd is None and self.flux is None and self.kubernetes is None:
            raise ValueError("name who is asked: `argocd:`, `flux:` or `kubernetes:`")
        return self
