"""What Deployments, StatefulSets, DaemonSets and their pods tell of a rollout."""

import pytest

from pipeline.reference import Digest
from stages.rollouts.interface import Awaited, Json, Seen
from stages.rollouts.workloads import judge
from tests.support.cluster import condition, deployment, pod

OLD = f"registry.example.com/team/digits:v1@{Digest.of(b'old')}"
NEW = f"registry.example.com/team/digits:v2@{Digest.of(b'new')}"
AWAITED = Awaited(commit="1" * 40, digests=(str(Digest.of(b"new")),))
READY = (pod(NEW, "a"), pod(NEW, "b"))
PULL = {"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "digits:v2"'}}
CRASH = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 20s restarting failed container"}}
KILLED = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}


def stateful_set(
    image: str = NEW, *, partition: int = 0, strategy: str = "RollingUpdate", **told: object
) -> Json:
    made = deployment(image)
    made["kind"] = "StatefulSet"
    made["spec"]["updateStrategy"] = {"type": strategy, "rollingUpdate": {"partition": partition}}
    whole = {"replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2}
    made["status"] = {"observedGeneration": 2, "currentRevision": "a", "updateRevision": "b", **whole, **told}
    return made


def daemon_set(**told: object) -> Json:
    made = deployment(NEW)
    made["kind"] = "DaemonSet"
    numbers = {"desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberAvailable": 2}
    made["status"] = {"observedGeneration": 2, **numbers, **told}
    return made


@pytest.mark.parametrize(
    ("resource", "pods"),
    [
        (deployment(NEW), READY),
        (
            deployment(NEW),
            (*READY, pod(OLD, "old") | {"metadata": {"deletionTimestamp": "2026-01-02T03:04:05Z"}}),
        ),
        (deployment(NEW, replicas=0), ()),
        (stateful_set(), READY),
        (stateful_set(partition=1, updatedReplicas=1), READY[:1]),
        (stateful_set(currentRevision="b", updatedReplicas=0, currentReplicas=2), READY),
        (daemon_set(), READY),
        (daemon_set(desiredNumberScheduled=0, updatedNumberScheduled=0, numberAvailable=0), ()),
    ],
)
def test_a_rollout_that_is_done_is_live(resource: Json, pods: tuple[Json, ...]) -> None:
    assert judge(resource, pods, AWAITED).state == "live"


def test_what_kubernetes_ran_by_another_name_counts_by_its_image_id() -> None:
    mirrored = pod(NEW)
    mirrored["spec"]["containers"][0]["image"] = "mirror.example.com/digits:v2"
    assert judge(deployment(NEW, replicas=1), (mirrored,), AWAITED).state == "live"


@pytest.mark.parametrize(
    ("resource", "pods", "reason", "words"),
    [
        (deployment(OLD), (pod(OLD),), "NotApplied", "does not name the new image"),
        (deployment(NEW, observed=1), (pod(OLD),), "NotObserved", ""),
        (deployment(NEW, updatedReplicas=1), (), "RollingOut", "1 of 2 pods are new"),
        (
            deployment(NEW, replicas=2) | {"status": {"observedGeneration": 2}},
            (),
            "RollingOut",
            "0 of 2 pods",
        ),
        (
            deployment(NEW, replicas=2),
            READY[:1],
            "RollingOut",
            "1 of 2 pods of the new image are ready",
        ),
        (deployment(NEW, availableReplicas=1), READY, "RollingOut", "1 of 2 new pods are available"),
        (stateful_set(updatedReplicas=1), READY[:1], "RollingOut", "1 of 2 pods are new"),
        (stateful_set(availableReplicas=1), READY, "RollingOut", "1 of 2 pods are available"),
        (stateful_set(strategy="OnDelete"), (), "RollingOut", "OnDelete"),
        (daemon_set(updatedNumberScheduled=1), (), "RollingOut", "1 of 2 pods are new"),
        (daemon_set(numberAvailable=0), (), "RollingOut", "0 of 2 pods are available"),
    ],
)
def test_a_rollout_under_way_says_how_far_it_is(
    resource: Json, pods: tuple[Json, ...], reason: str, words: str
) -> None:
    seen = judge(resource, pods, AWAITED)
    assert (seen.state, seen.reason) == ("progressing", reason)
    assert words in seen.message


def test_old_pods_that_still_run_are_counted() -> None:
    resource = deployment(NEW)
    resource["status"]["replicas"] = 3
    assert judge(resource, READY, AWAITED) == Seen("progressing", "RollingOut", "1 old pods are still to end")


def test_a_pod_that_is_not_ready_or_finds_no_node_says_why() -> None:
    slow = judge(deployment(NEW, availableReplicas=0), (pod(NEW, "a", ready=False),), AWAITED)
    assert slow.message.endswith("pod a: ContainersNotReady: containers with unready status: [server]")
    lonely = pod(NEW, "b", ready=False)
    lonely["status"]["conditions"].append(
        condition(
            "PodScheduled",
            "False",
            "Unschedulable",
            "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
        )
    )
    seen = judge(deployment(NEW, availableReplicas=0), (lonely,), AWAITED)
    assert seen.state == "progressing"  # a node with a GPU may take minutes to come
    assert "Insufficient nvidia.com/gpu" in seen.message


@pytest.mark.parametrize(
    ("pods", "told", "reason", "words"),
    [
        (
            (pod(NEW, "a", ready=False, state=PULL),),
            {},
            "ImagePullBackOff",
            "pod a, container server: Back-off pulling",
        ),
        (
            (pod(NEW, "a", ready=False, state=CRASH, lastState=KILLED),),
            {},
            "CrashLoopBackOff",
            "(it ended with OOMKilled, exit code 137)",
        ),
        (
            (),
            {"conditions": [condition("Progressing", "False", "ProgressDeadlineExceeded", "has timed out")]},
            "ProgressDeadlineExceeded",
            "has timed out",
        ),
        (
            (),
            {"conditions": [condition("ReplicaFailure", "True", "FailedCreate", "exceeded quota")]},
            "FailedCreate",
            "exceeded quota",
        ),
    ],
)
def test_a_broken_rollout_says_what_breaks_it(
    pods: tuple[Json, ...], told: dict[str, object], reason: str, words: str
) -> None:
    resource = deployment(NEW, availableReplicas=0)
    resource["status"] |= told
    seen = judge(resource, pods, AWAITED)
    assert (seen.state, seen.reason) == ("degraded", reason)
    assert words in seen.message


def test_an_init_container_breaks_it_too() -> None:
    starting = pod(NEW, ready=False)
    starting["status"]["initContainerStatuses"] = [{"name": "fetch", "state": PULL}]
    assert judge(deployment(NEW), (starting,), AWAITED).reason == "ImagePullBackOff"


def test_an_evicted_pod_is_replaced_and_breaks_nothing() -> None:
    evicted = pod(NEW, "gone", ready=False)
    evicted["status"] |= {
        "phase": "Failed",
        "reason": "Evicted",
        "message": "The node was low on resource: memory.",
    }
    assert judge(deployment(NEW), (evicted, *READY), AWAITED).state == "live"
    starting = judge(deployment(NEW, availableReplicas=1), (evicted, READY[0]), AWAITED)
    assert starting.state == "progressing"
    assert "pod gone: Evicted: The node was low on resource: memory." in starting.message


def test_the_trouble_of_old_pods_is_not_ours() -> None:
    old = pod(OLD, "old", ready=False, state=CRASH)
    assert judge(deployment(NEW, updatedReplicas=1), (old,), AWAITED).state == "progressing"
