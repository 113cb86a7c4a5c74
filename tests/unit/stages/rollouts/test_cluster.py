"""How a cluster is asked: the real Python client, against an API on loopback."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.desk import Desk
from pipeline.errors import ConfigurationError, RemoteError, TemporaryRemoteError
from pipeline.model import Problem
from pipeline.reference import Digest
from stages.rollouts.cluster import KINDS, Cluster, selector_of
from stages.rollouts.interface import Awaited
from tests.support import cluster as api
from tests.support.cluster import CUT, HALF, Step, deployment, pod, running_cluster, status, write_kubeconfig
from tests.support.loopback import Reply

NEW = f"registry.example.com/team/digits:v2@{Digest.of(b'new')}"
AWAITED = Awaited(commit="1" * 40, digests=(str(Digest.of(b"new")),))
PATH = "/apis/apps/v1/namespaces/digits/deployments/server"
WATCHER = Cluster(kind="Deployment", name="server", namespace="digits")
DONE = Step(deployment(NEW, replicas=1), (pod(NEW), pod(NEW, "other", labels={"app": "other"})))


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[api.Cluster]:
    with running_cluster(tmp_path) as (cluster, kubeconfig):
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        yield cluster


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(folder=tmp_path, cache=tmp_path)


def test_a_rollout_is_followed_until_it_is_done(there: api.Cluster, desk: Desk) -> None:
    there.put(PATH, status(404, "NotFound", 'deployments.apps "server" not found'), DONE)
    with WATCHER.looking(desk) as look:
        first, second = look(AWAITED), look(AWAITED)
    assert (first.state, first.reason) == ("progressing", "NotThere")
    assert (second.state, second.message) == ("live", "1 of 1 pods run the new image")


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"Deployment", "StatefulSet", "DaemonSet"}))
def test_every_kind_is_asked_for_where_its_api_has_it(there: api.Cluster, desk: Desk, kind: str) -> None:
    ready = {"conditions": [api.condition("Ready", "True")], "state": "Available", "phase": "Healthy"}
    revision = {"lastAppliedRevision": f"main@sha1:{AWAITED.commit}"}
    resource = {
        "kind": kind,
        "metadata": {"name": "digits"},
        "spec": {"image": NEW},
        "status": {**ready, **revision},
    }
    known = KINDS[kind]
    there.put(f"/apis/{known.group}/{known.version}/namespaces/digits/{known.plural}/digits", Step(resource))
    with Cluster(kind=kind, name="digits", namespace="digits").looking(desk) as look:
        assert look(AWAITED).state == "live"


@pytest.mark.parametrize(
    "reply",
    [
        CUT,
        HALF,
        status(500, "InternalError", "etcdserver: leader changed"),
        status(429, "TooManyRequests", "slow"),
    ],
)
def test_no_answer_passes(there: api.Cluster, desk: Desk, reply: Reply) -> None:
    there.put(PATH, reply, DONE)
    with WATCHER.looking(desk) as look:
        with pytest.raises(TemporaryRemoteError):
            look(AWAITED)
        assert look(AWAITED).state == "live"


def test_a_server_that_is_gone_passes(
    there: api.Cluster, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = write_kubeconfig(
        tmp_path / "gone", "https://127.0.0.1:1", tmp_path / "authority" / "authority.pem"
    )
    monkeypatch.setenv("KUBECONFIG", str(gone))
    with WATCHER.looking(desk) as look, pytest.raises(TemporaryRemoteError, match="does not answer"):
        look(AWAITED)


@pytest.mark.parametrize(
    ("what", "verb"), [("deployments", "get on deployments.apps"), ("pods", "list on pods")]
)
def test_a_right_that_is_missing_is_named(there: api.Cluster, desk: Desk, what: str, verb: str) -> None:
    there.put(PATH, DONE)
    there.forbidden.add(what)
    with WATCHER.looking(desk) as look, pytest.raises(RemoteError, match="is forbidden") as refused:
        look(AWAITED)
    assert not isinstance(refused.value, TemporaryRemoteError)
    assert verb in refused.value.advice
    check = WATCHER.check(desk)
    assert (check.problem, verb in check.advice) == (Problem.REMOTE, True)


def test_the_check_says_what_is_there_and_what_is_missing(
    there: api.Cluster, desk: Desk, tmp_path: Path
) -> None:
    assert WATCHER.check(desk).found == "not there yet; the API answers"
    there.put(PATH, DONE)
    assert WATCHER.check(desk).passed
    foreign = Cluster(kind="InferenceService", name="digits", namespace="digits").check(desk)
    assert (foreign.problem, foreign.found) == (
        Problem.REMOTE,
        "the cluster knows no inferenceservices.serving.kserve.io",
    )
    elsewhere = Cluster(kind="Deployment", name="server", namespace="digits", context="prod").check(desk)
    assert (elsewhere.problem, "prod" in elsewhere.found) == (Problem.CONFIGURATION, True)


def test_a_resource_of_flux_must_be_there_and_not_suspended(there: api.Cluster, desk: Desk) -> None:
    watcher = Cluster(kind="Kustomization", name="apps", namespace="flux-system")
    path = "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/flux-system/kustomizations/{}"
    there.put(path.format("other"), Step({"kind": "Kustomization"}))
    assert '"apps" not found' in watcher.check(desk).found
    there.put(path.format("apps"), Step({"kind": "Kustomization", "spec": {"suspend": True}}))
    check = watcher.check(desk)
    assert (check.problem, check.advice) == (
        Problem.REMOTE,
        "flux resume kustomization apps --namespace flux-system",
    )


def test_a_token_or_certificate_that_is_not_accepted_is_an_error(
    there: api.Cluster, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert there.server is not None
    authority = tmp_path / "authority" / "authority.pem"
    for token, ca, words in (
        ("expired", authority, "does not accept who we are"),
        (api.TOKEN, Path("/etc/ssl/certs/ca-certificates.crt"), "nobody here trusts"),
    ):
        path = write_kubeconfig(tmp_path / token, there.server.url, ca, token)
        monkeypatch.setenv("KUBECONFIG", str(path))
        with WATCHER.looking(desk) as look, pytest.raises(RemoteError, match=words) as refused:
            look(AWAITED)
        assert not isinstance(refused.value, TemporaryRemoteError)


def test_without_a_way_into_a_cluster_the_configuration_is_wrong(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ConfigurationError, match="no way into a cluster"), WATCHER.looking(desk):
        pass


def test_selectors_are_written_as_the_api_takes_them() -> None:
    expressions = [
        {"key": "tier", "operator": "In", "values": ["a", "b"]},
        {"key": "old", "operator": "DoesNotExist"},
        {"key": "new", "operator": "Exists"},
        {"key": "zone", "operator": "NotIn", "values": ["c"]},
    ]
    selector = {"matchLabels": {"app": "digits"}, "matchExpressions": expressions}
    expected = "app=digits,tier in (a,b),!old,new,zone notin (c)"
    assert selector_of({"spec": {"selector": selector}}) == expected
    assert not selector_of({"spec": {"workloadRef": {"name": "server"}}})
