"""What KServe, Knative, Argo Rollouts and Seldon Core tell of a rollout."""

import pytest

from pipeline.reference import Digest
from stages.rollouts.interface import Awaited, Json, Seen
from stages.rollouts.resources import judge
from tests.support.cluster import condition, pod

OLD = f"registry.example.com/team/digits:v1@{Digest.of(b'old')}"
NEW = f"registry.example.com/team/digits:v2@{Digest.of(b'new')}"
AWAITED = Awaited(commit="1" * 40, digests=(str(Digest.of(b"new")),))
READY = condition("Ready", "True")


def resource(kind: str, *conditions: Json, image: str = NEW, generation: int = 3, **status: object) -> Json:
    return {
        "kind": kind,
        "metadata": {"name": "digits", "generation": generation},
        "spec": {"predictor": {"containers": [{"image": image}]}},
        "status": {"conditions": list(conditions), "observedGeneration": 3, **status},
    }


@pytest.mark.parametrize(
    "told",
    [
        resource("InferenceService", READY, condition("PredictorReady", "True")),
        resource("LLMInferenceService", READY),
        resource("Service", READY, condition("RoutesReady", "True")),
        resource("Rollout", phase="Healthy"),
        resource("Rollout", phase="Healthy", observedGeneration="3"),  # as Argo Rollouts writes it
        resource("SeldonDeployment", state="Available"),
        resource("Model", READY, condition("ModelReady", "True")),
        resource("Server", READY),
    ],
    ids=lambda told: str(told["kind"]),
)
def test_what_is_ready_with_its_new_pods_is_live(told: Json) -> None:
    assert judge(told, (pod(NEW),), AWAITED).state == "live"
    assert judge(told, (), AWAITED).state == "live"  # scaled to zero
    # a rolling update leaves it ready, by the old pods; Knative's Service is ready by its newest revision
    old_alone = judge(told, (pod(OLD),), AWAITED)
    assert (old_alone.state == "live") is (told["kind"] == "Service")
    assert judge(told, (pod(OLD), pod(NEW, ready=False)), AWAITED).reason == "RollingOut"


def test_a_pod_that_was_evicted_keeps_nothing_from_being_live() -> None:
    evicted = pod(NEW, "gone", ready=False)
    evicted["status"] |= {"phase": "Failed", "reason": "Evicted", "message": "low on memory"}
    assert judge(resource("InferenceService", READY), (evicted, pod(NEW)), AWAITED).state == "live"


def test_an_image_that_a_runtime_names_is_found_in_the_pods() -> None:
    by_runtime = resource("InferenceService", READY, image="")
    assert judge(by_runtime, (pod(OLD),), AWAITED).reason == "NotApplied"
    assert judge(by_runtime, (pod(NEW),), AWAITED).state == "live"


def test_a_change_that_the_controller_has_not_seen_is_not_live() -> None:
    assert judge(resource("Service", READY, generation=4), (), AWAITED).reason == "NotObserved"


@pytest.mark.parametrize(
    ("told", "reason", "words"),
    [
        (
            resource(
                "InferenceService",
                condition("Ready", "False", "PredictorNotReady"),
                modelStatus={
                    "transitionStatus": "BlockedByFailedLoad",
                    "lastFailureInfo": {"reason": "ModelLoadFailed", "message": "no such file: model.joblib"},
                },
            ),
            "ModelLoadFailed",
            "no such file",
        ),
        (
            resource(
                "Service",
                condition("ConfigurationsReady", "False", "RevisionFailed", 'Revision "digits-2" failed'),
                condition("Ready", "False", "RevisionFailed", 'Revision "digits-2" failed'),
            ),
            "RevisionFailed",
            "digits-2",
        ),
        (
            resource("Rollout", phase="Degraded", message="RolloutAborted: metric failed"),
            "Degraded",
            "metric",
        ),
        (resource("Rollout", phase="Progressing", abort=True), "RolloutAborted", "aborted"),
        (resource("SeldonDeployment", state="Failed", description="bad graph"), "Failed", "bad graph"),
        (
            resource("Model", condition("Ready", "False", "ModelFailed", "rpc error")),
            "ModelFailed",
            "rpc error",
        ),
    ],
)
def test_what_does_not_pass_by_waiting_is_degraded(told: Json, reason: str, words: str) -> None:
    seen = judge(told, (), AWAITED)
    assert (seen.state, seen.reason) == ("degraded", reason)
    assert words in seen.message


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (
            resource("InferenceService", condition("Ready", "False", "MinimumReplicasUnavailable")),
            "MinimumReplicasUnavailable",
        ),
        (resource("InferenceService"), "NotReady"),
        (resource("Service", condition("Ready", "Unknown", "RevisionMissing")), "RevisionMissing"),
        (resource("Rollout", phase="Paused", message="CanaryPauseStep"), "Paused"),
        (resource("Rollout", phase="Progressing"), "Progressing"),
        (resource("SeldonDeployment", state="Creating"), "Creating"),
        (resource("Model", condition("Ready", "False", "ModelProgressing")), "ModelProgressing"),
    ],
)
def test_what_still_loads_is_progressing(told: Json, reason: str) -> None:
    seen = judge(told, (), AWAITED)
    assert (seen.state, seen.reason) == ("progressing", reason)


def test_pods_say_why_it_does_not_become_ready() -> None:
    loading = resource("InferenceService", condition("Ready", "False", "PredictorNotReady"))
    assert "ContainersNotReady" in judge(loading, (pod(NEW, ready=False),), AWAITED).message
    pulling = pod(NEW, ready=False, state={"waiting": {"reason": "ErrImagePull", "message": "not found"}})
    assert judge(loading, (pulling,), AWAITED) == Seen(
        "degraded", "ErrImagePull", "pod server-1, container server: not found"
    )
