"""Resources of a cluster, read over the Kubernetes API by its Python client (extra `kubernetes`).

They are asked for again and again: `get` on one resource and `list` on pods is all the right that takes.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pipeline.desk import Desk
from pipeline.errors import ConfigurationError, PipelineError, RemoteError, TemporaryRemoteError, ToolMissing
from pipeline.model import Check
from stages.rollouts import flux, resources, workloads
from stages.rollouts.fields import first_line, items, part, text
from stages.rollouts.interface import UNTRUSTED, Awaited, Json, Look, Seen, failing

if TYPE_CHECKING:
    from kubernetes.client import ApiClient, ApiException
    from urllib3 import BaseHTTPResponse

_TIMEOUT_S = (10, 30)
_HOME = Path("~/.kube/config")
Judge = Callable[[Json, Sequence[Json], Awaited], Seen]


@dataclass(frozen=True, slots=True)
class Kind:
    """Where the API has a kind of resource, who judges it, and the label that its pods carry."""

    group: str
    version: str
    plural: str
    judge: Judge
    label: str | None = None
    """None: the resource's own selector, if it has one."""


KINDS: Mapping[str, Kind] = {
    "Deployment": Kind("apps", "v1", "deployments", workloads.judge),
    "StatefulSet": Kind("apps", "v1", "statefulsets", workloads.judge),
    "DaemonSet": Kind("apps", "v1", "daemonsets", workloads.judge),
    "InferenceService": Kind(
        "serving.kserve.io",
        "v1beta1",
        "inferenceservices",
        resources.judge,
        "serving.kserve.io/inferenceservice",
    ),
    "LLMInferenceService": Kind(
        "serving.kserve.io",
        "v1alpha1",
        "llminferenceservices",
        resources.judge,
        "app.kubernetes.io/name",
    ),
    "Service": Kind("serving.knative.dev", "v1", "services", resources.judge, "serving.knative.dev/service"),
    "Rollout": Kind("argoproj.io", "v1alpha1", "rollouts", resources.judge),
    "SeldonDeployment": Kind(
        "machinelearning.seldon.io", "v1", "seldondeployments", resources.judge, "seldon-deployment-id"
    ),
    "Model": Kind("mlops.seldon.io", "v1alpha1", "models", resources.judge),
    "Server": Kind("mlops.seldon.io", "v1alpha1", "servers", resources.judge),
    "Kustomization": Kind("kustomize.toolkit.fluxcd.io", "v1", "kustomizations", flux.judge),
    "HelmRelease": Kind("helm.toolkit.fluxcd.io", "v2", "helmreleases", flux.judge),
}


class NotThere(RemoteError):
    """The API knows the kind, but there is no such resource."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A resource of a cluster."""

    kind: str
    name: str
    namespace: str
    context: str | None = None
    """Of the kubeconfig; None: its current one, or inside a cluster the pod's own account."""

    @property
    def subject(self) -> str:
        """What is watched, in words for people."""
        return f"{self.kind} {self.namespace}/{self.name}"

    def check(self, desk: Desk) -> Check:
        """Return whether the API answers and lets us read; what a first delivery makes may be missing yet."""
        try:
            with self._client() as client:
                found = self._read(client)
                self._pods(client, found)
        except NotThere as error:
            if KINDS[self.kind].judge is flux.judge:
                return failing(self.subject, error)
            return Check(subject=self.subject, found="not there yet; the API answers")
        except PipelineError as error:
            return failing(self.subject, error)
        if part(found, "spec").get("suspend") is True:
            how = f"flux resume {self.kind.lower()} {self.name} --namespace {self.namespace}"
            return failing(self.subject, RemoteError("it is suspended: nothing would be applied", advice=how))
        return Check(subject=self.subject, found="the API shows it")

    @contextmanager
    def looking(self, desk: Desk) -> Iterator[Look]:
        """Return what looks."""
        with self._client() as client:

            def look(awaited: Awaited) -> Seen:
                try:
                    found = self._read(client)
                except NotThere as error:
                    return Seen("progressing", "NotThere", error.message)
                return KINDS[self.kind].judge(found, self._pods(client, found), awaited)

            yield look

    @contextmanager
    def _client(self) -> "Iterator[ApiClient]":
        try:
            from kubernetes import client, config
        except ModuleNotFoundError as error:
            raise ToolMissing(
                f"Kubernetes is spoken to with the Python package {error.name!r}, which is not installed",
                advice="pip install 'model-image-pipeline[kubernetes]'",
            ) from error
        settings = client.Configuration()
        try:
            if os.environ.get("KUBECONFIG") or _HOME.expanduser().exists() or self.context is not None:
                config.load_kube_config(
                    config_file=os.environ.get("KUBECONFIG") or None,
                    context=self.context,
                    client_configuration=settings,
                )
            else:
                config.load_incluster_config(client_configuration=settings)
        except config.ConfigException as error:
            raise ConfigurationError(
                f"there is no way into a cluster: {first_line(str(error))}",
                advice="Set KUBECONFIG to a kubeconfig whose account may read, or correct `context:`.",
            ) from error
        settings.retries = False  # we try again by ourselves
        with client.ApiClient(settings) as opened:
            yield opened

    def _read(self, client: "ApiClient") -> Json:
        from kubernetes.client import CustomObjectsApi

        kind = KINDS[self.kind]
        asked = f"{kind.plural}.{kind.group}"
        with _answers(asked, self.namespace, "get"):
            found = CustomObjectsApi(client).get_namespaced_custom_object(
                kind.group, kind.version, self.namespace, kind.plural, self.name, _request_timeout=_TIMEOUT_S
            )
        return found if isinstance(found, dict) else {}

    def _pods(self, client: "ApiClient", resource: Json) -> tuple[Json, ...]:
        from kubernetes.client import CoreV1Api

        kind = KINDS[self.kind]
        selector = f"{kind.label}={self.name}" if kind.label is not None else selector_of(resource)
        if not selector:
            return ()
        with _answers("pods", self.namespace, "list"):
            raw = CoreV1Api(client).list_namespaced_pod(
                self.namespace,
                label_selector=selector,
                _preload_content=False,
                _request_timeout=_TIMEOUT_S,
            )
            found = json.loads(cast("BaseHTTPResponse", raw).data)
        return items(found, "items") if isinstance(found, dict) else ()


def selector_of(resource: Json) -> str:
    """Return a workload's selector as the API takes it in a query; empty: it has none."""
    selector = part(resource, "spec", "selector")
    terms = [f"{key}={value}" for key, value in part(selector, "matchLabels").items()]
    for one in items(selector, "matchExpressions"):
        key, values = text(one, "key"), one.get("values")
        listed = f"({','.join(map(str, values))})" if isinstance(values, list) else ""
        kinds = {"In": f"{key} in {listed}", "NotIn": f"{key} notin {listed}", "DoesNotExist": f"!{key}"}
        terms.append(kinds.get(text(one, "operator"), key))
    return ",".join(terms)


@contextmanager
def _answers(asked: str, namespace: str, verb: str) -> Iterator[None]:
    """Turn what the API refuses, or does not answer, into an error for people."""
    import urllib3
    from kubernetes.client import ApiException

    try:
        yield
    except ApiException as error:
        if UNTRUSTED in str(error.reason):  # the client makes an answer without a status of it
            raise RemoteError(
                "the cluster has a certificate that nobody here trusts",
                advice="Give the cluster's authority in the kubeconfig: `certificate-authority-data`.",
            ) from error
        raise _refused(error, asked, namespace, verb) from error
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise TemporaryRemoteError(
            f"the cluster's API does not answer: {type(error).__name__}",
            advice="Check the kubeconfig, the network and the proxy.",
        ) from error


def _refused(error: "ApiException", asked: str, namespace: str, verb: str) -> RemoteError:
    try:
        told = json.loads(error.body or "")
    except ValueError:
        told = None
    said = first_line(text(told, "message")) if isinstance(told, dict) else ""
    status = error.status or 0
    words = f"HTTP {status}{said and ': '}{said}"
    if status == HTTPStatus.UNAUTHORIZED:
        advice = "Give a kubeconfig with a valid token or certificate: those of a CI job end with it."
        return RemoteError(f"the cluster does not accept who we are ({words})", advice=advice)
    if status == HTTPStatus.FORBIDDEN:
        advice = f"Give the account a Role in {namespace} with the verb {verb} on {asked}."
        return RemoteError(f"the cluster does not let us {verb} {asked} ({words})", advice=advice)
    if status == HTTPStatus.NOT_FOUND and said:
        return NotThere(said, advice="Correct `name:` and `namespace:` of `wait:`.")
    if status == HTTPStatus.NOT_FOUND:
        return RemoteError(
            f"the cluster knows no {asked}",
            advice="Install what brings it, or correct `kind:` or `context:`.",
        )
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in {0, HTTPStatus.TOO_MANY_REQUESTS}:
        return TemporaryRemoteError(
            f"the cluster's API answers {words if status else first_line(str(error.reason))}",
            advice="Run again.",
        )
    return RemoteError(f"the cluster's API refuses ({words})", advice="Correct `wait:` of `update:`.")
