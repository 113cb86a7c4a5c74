"""A commit in a real repository, and what a cluster makes of it: waited for, reported, on request undone."""

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from pipeline.desk import Desk
from pipeline.errors import Interrupted, RemoteError, StageFailed
from pipeline.model import ManifestUpdate, Rollout
from pipeline.reference import Digest, Repository
from stages.gitops.destination import Destination
from stages.gitops.rollback import Rollback
from stages.manifests.interface import Target
from stages.rollouts.cluster import Cluster as Watcher
from stages.rollouts.waiting import Wait
from stages.update import Update
from tests.support import cluster as api
from tests.support import keyed_images
from tests.support.cluster import Step, condition, deployment, pod, running_cluster, status
from tests.support.delivering import made
from tests.support.git_server import GitServer
from tests.support.git_server import Repository as ServedRepository
from tests.support.registry import Registry

pytestmark = pytest.mark.integration

CreateRepository = Callable[[Path | None], ServedRepository]
NOW = datetime.now(UTC).replace(microsecond=0)
PATH = "apps/digits/kustomization.yaml"
SERVER = "/apis/apps/v1/namespaces/digits/deployments/server"
FLUX = "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/flux-system/kustomizations/apps"
DEPLOYMENT = Watcher(kind="Deployment", name="server", namespace="digits")
KUSTOMIZATION = Watcher(kind="Kustomization", name="apps", namespace="flux-system")
CRASH = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 20s restarting failed container"}}


@dataclass(frozen=True)
class Place:
    """One image, the repository that deploys it, and the cluster that is told so."""

    image: Repository
    registry: Registry
    served: ServedRepository
    cluster: api.Cluster
    folder: Path

    def push(self, hours: int) -> Digest:
        moment = NOW + timedelta(hours=hours)
        name = str(self.image).partition("/")[2]
        return keyed_images.push_build(self.registry, name, f"{hours % 10}" * 40, moment)

    def deliver(self, hours: int, digest: Digest, wait: Wait | None) -> ManifestUpdate:
        moment = (NOW + timedelta(hours=hours)).isoformat()
        update = self.update(wait)
        return update.run(made(str(self.image), f"{hours % 10}" * 40, str(digest), moment), self.desk())

    def update(self, wait: Wait | None) -> Update:
        return Update(
            destination=Destination(
                image="digits",
                repositories=(self.image,),
                repository=self.served.url,
                targets=(Target(path=PATH),),
                wait=wait,
            )
        )

    def desk(self) -> Desk:
        folder = self.folder / f"desk-{uuid4().hex}"
        folder.mkdir()
        return Desk(folder=folder, cache=folder, run_name="run-0001")

    def stands(self) -> str:
        return self.served.read(PATH)

    def commit(self, path: str, text: str) -> str:
        content = self.folder / f"content-{uuid4().hex}"
        (content / path).parent.mkdir(parents=True)
        (content / path).write_text(text)
        return self.served.commit(content, "By hand")

    def put(self, tag: str, digest: Digest | None = None) -> None:
        pinned = f"  digest: {digest}\n" if digest is not None else ""
        head = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nimages:\n"
        self.commit(PATH, f'{head}- name: {self.image}\n  newTag: "{tag}"\n{pinned}')

    def runs(self, digest: Digest) -> Step:
        image = f"{self.image}@{digest}"
        return Step(deployment(image, replicas=1), (pod(image),))

    def breaks(self, digest: Digest) -> Step:
        image = f"{self.image}@{digest}"
        return Step(
            deployment(image, replicas=1, availableReplicas=0), (pod(image, ready=False, state=CRASH),)
        )


@pytest.fixture
def place(  # noqa: PLR0913, PLR0917 - the real parts
    registry: Registry,
    repository_name: str,
    create_repository: CreateRepository,
    git_server: GitServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Place]:
    monkeypatch.setenv("GITOPS_USERNAME", git_server.username)
    monkeypatch.setenv("GITOPS_PASSWORD", git_server.password)
    monkeypatch.setenv("REGISTRY_USERNAME", registry.username)
    monkeypatch.setenv("REGISTRY_PASSWORD", registry.password)
    with running_cluster(tmp_path) as (cluster, kubeconfig):
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        image = Repository(f"{registry.address}/{repository_name}")
        found = Place(image, registry, create_repository(None), cluster, tmp_path)
        found.put("none-yet")
        yield found


def waiting(*watchers: Watcher, on_failure: str = "fail", time_limit_s: float = 60) -> Wait:
    return Wait(
        watchers=watchers or (DEPLOYMENT,),
        on_failure="rollback" if on_failure == "rollback" else "fail",
        time_limit_s=time_limit_s,
        settle_s=0,
        pause_s=0.01,
        longest_pause_s=0.01,
    )


def rollout(update: object) -> Rollout:
    assert isinstance(update, ManifestUpdate)
    assert update.rollout is not None
    return update.rollout


def test_a_commit_is_live_when_flux_is_past_it_and_its_pods_run_the_image(place: Place) -> None:
    old, new = place.push(-2), place.push(-1)

    def flux(revision: str) -> Step:
        ready = {"conditions": [condition("Ready", "True")], "observedGeneration": 1}
        told = {"lastAppliedRevision": f"main@sha1:{revision}", **ready}
        return Step({"kind": "Kustomization", "metadata": {"generation": 1}, "spec": {}, "status": told})

    before = place.served.head()

    def others_commit() -> Step:  # the cluster never sees our commit by itself
        return flux(place.commit("apps/other.yaml", "a: 1\n"))

    place.cluster.put(FLUX, flux(before), flux(before), others_commit, lambda: flux(place.served.head()))
    place.cluster.put(SERVER, place.runs(old), place.runs(old), api.CUT, place.breaks(old), place.runs(new))
    wait = waiting(KUSTOMIZATION, DEPLOYMENT)

    assert all(check.passed for check in place.update(wait).check(place.desk()))
    update = place.deliver(-1, new, wait)

    assert (update.status, rollout(update).status) == ("committed", "live")
    assert rollout(update).watched == ("Kustomization flux-system/apps", "Deployment digits/server")
    assert place.served.head() != update.commit


def test_a_broken_rollout_fails_the_run_and_leaves_the_manifests(place: Place) -> None:
    new = place.push(-1)
    place.cluster.put(SERVER, place.breaks(new))

    with pytest.raises(StageFailed, match="Deployment digits/server is broken: CrashLoopBackOff") as failed:
        place.deliver(-1, new, waiting())

    update = failed.value.made
    assert rollout(update).status == "degraded"
    assert isinstance(update, ManifestUpdate)
    assert (update.commit, failed.value.exit_code) == (place.served.head(), 1)
    assert str(new) in place.stands()

    # mended by hand meanwhile: the next run has nothing to commit, and waits all the same
    place.cluster.put(SERVER, place.runs(new))
    again = place.deliver(-1, new, waiting())
    assert (again.status, again.head, rollout(again).status) == ("unchanged", place.served.head(), "live")


def test_a_broken_rollout_is_rolled_back_where_that_is_asked_for(place: Place) -> None:
    old, new = place.push(-2), place.push(-1)
    place.deliver(-2, old, None)
    place.cluster.put(SERVER, place.runs(old), place.breaks(new))

    with pytest.raises(StageFailed, match="is broken") as failed:
        place.deliver(-1, new, waiting(on_failure="rollback"))

    assert str(old) in place.stands()
    assert str(new) not in place.stands()
    assert rollout(failed.value.made).undone_by == place.served.head()
    assert "It was rolled back" in failed.value.advice


def test_what_others_have_deployed_meanwhile_is_not_rolled_back(place: Place) -> None:
    old, new, newest = place.push(-3), place.push(-2), place.push(-1)
    place.deliver(-3, old, None)

    def overtaken() -> Step:
        place.put("v3", newest)
        return place.breaks(new)

    place.cluster.put(SERVER, overtaken)
    with pytest.raises(StageFailed, match="is broken") as failed:
        place.deliver(-2, new, waiting(on_failure="rollback"))

    assert str(newest) in place.stands()
    assert rollout(failed.value.made).undone_by is None
    assert "another image stands there by now" in failed.value.advice


def test_nothing_is_rolled_back_where_nobody_knows_how_it_is(place: Place) -> None:
    old, new = place.push(-2), place.push(-1)
    place.deliver(-2, old, None)
    place.cluster.put(SERVER, status(503, "ServiceUnavailable", "the server is overloaded"))

    with pytest.raises(StageFailed, match="not live after") as failed:
        place.deliver(-1, new, waiting(on_failure="rollback", time_limit_s=0.2))

    assert (rollout(failed.value.made).status, rollout(failed.value.made).answered) == ("timeout", False)
    assert str(new) in place.stands()

    place.cluster.forbidden.add("deployments")
    with pytest.raises(RemoteError, match="nobody knows whether it is live") as refused:
        place.deliver(-1, new, waiting(on_failure="rollback"))
    assert isinstance(refused.value.made, ManifestUpdate)
    assert str(new) in place.stands()


def test_a_canary_that_waits_for_people_is_not_rolled_back(place: Place) -> None:
    old, new = place.push(-2), place.push(-1)
    place.deliver(-2, old, None)
    path = "/apis/argoproj.io/v1alpha1/namespaces/digits/rollouts/server"
    paused = place.runs(new)
    paused.resource.update(kind="Rollout", status={"observedGeneration": 2, "phase": "Paused"})
    place.cluster.put(path, paused)
    watched = Watcher(kind="Rollout", name="server", namespace="digits")

    with pytest.raises(StageFailed, match="waits for somebody to promote it") as failed:
        place.deliver(-1, new, waiting(watched, on_failure="rollback", time_limit_s=0.2))

    assert str(new) in place.stands()
    assert rollout(failed.value.made).undone_by is None
    assert "Not rolled back" in failed.value.advice


def test_a_rollback_waits_too_and_is_never_undone(place: Place) -> None:
    old, new = place.push(-2), place.push(-1)
    place.deliver(-2, old, None)
    place.deliver(-1, new, None)
    place.cluster.put(SERVER, place.breaks(old))
    destination = place.update(waiting(on_failure="rollback")).destination
    source = made(str(place.image), "9" * 40, str(new), NOW.isoformat())
    alone = type(source)(next(iter(source)))  # a rollback has the commit alone

    with pytest.raises(StageFailed, match="is broken") as failed:
        Rollback(destination=destination).run(alone, place.desk())

    assert rollout(failed.value.made).undone_by is None
    assert str(old) in place.stands()


def test_whoever_interrupts_the_wait_is_told_that_the_commit_stands(place: Place) -> None:
    new = place.push(-1)

    def interrupts() -> Step:
        os.kill(os.getpid(), signal.SIGINT)
        return place.breaks(new)

    place.cluster.put(SERVER, interrupts)
    with pytest.raises(Interrupted, match="interrupted while waiting") as stopped:
        place.deliver(-1, new, waiting())
    assert isinstance(stopped.value.made, ManifestUpdate)
    assert (stopped.value.made.commit, stopped.value.exit_code) == (place.served.head(), 130)


def test_a_dry_run_does_not_wait(place: Place) -> None:
    new = place.push(-1)
    desk = place.desk()
    desk.dry_run = True
    have = made(str(place.image), "9" * 40, str(new), NOW.isoformat())
    update = place.update(waiting()).run(have, desk)
    assert (update.status, update.rollout) == ("preview", None)
