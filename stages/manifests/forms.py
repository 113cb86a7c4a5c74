"""All forms of manifests, in the order in which they are asked."""

from stages.manifests.argocd import ArgoCD
from stages.manifests.field import Field
from stages.manifests.flux import Flux
from stages.manifests.helm_values import HelmValues
from stages.manifests.interface import Form
from stages.manifests.json_patch import JsonPatch
from stages.manifests.knative import KNATIVE
from stages.manifests.kserve import KServe
from stages.manifests.kubernetes import WORKLOADS
from stages.manifests.kustomize import Kustomize
from stages.manifests.rollouts import ROLLOUTS
from stages.manifests.seldon import Seldon

FORMS: tuple[Form, ...] = (
    Kustomize(),
    WORKLOADS,
    ROLLOUTS,
    KNATIVE,
    KServe(),
    Seldon(),
    Flux(),
    ArgoCD(),
    JsonPatch(),
    HelmValues(),
    Field(),
)
