"""What Flux's Kustomization and HelmRelease tell of a commit."""

import pytest

from pipeline.reference import Digest
from stages.rollouts.flux import judge
from stages.rollouts.interface import Awaited, Json
from tests.support.cluster import condition

BEFORE, COMMIT, AFTER = "0" * 40, "1" * 40, "2" * 40
NEW = str(Digest.of(b"new"))
AWAITED = Awaited(
    commit=COMMIT, digests=(NEW,), includes=lambda revision, commit: (revision, commit) == (AFTER, COMMIT)
)
READY = condition("Ready", "True", "ReconciliationSucceeded", "Applied revision")


def kustomization(ready: Json, applied: str, tried: str = "", **spec: object) -> Json:
    status = {"conditions": [ready], "observedGeneration": 1, "lastAppliedRevision": applied}
    return {
        "kind": "Kustomization",
        "metadata": {"generation": 1},
        "spec": spec,
        "status": {**status, "lastAttemptedRevision": tried or applied},
    }


def helm_release(*conditions: Json, digest: str = NEW, observed: int = 2) -> Json:
    return {
        "kind": "HelmRelease",
        "metadata": {"generation": 2},
        "spec": {"values": {"image": {"repository": "digits", "tag": f"v2@{digest}"}}},
        "status": {"conditions": list(conditions), "observedGeneration": observed},
    }


@pytest.mark.parametrize(
    "revision", [f"main@sha1:{COMMIT}", f"main/{COMMIT}", f"sha1:{COMMIT}", f"main@sha1:{AFTER}"]
)
def test_a_kustomization_is_live_at_the_commit_or_after_it(revision: str) -> None:
    assert judge(kustomization(READY, revision), (), AWAITED).state == "live"


@pytest.mark.parametrize("revision", [f"main@sha1:{BEFORE}", "", "latest@sha256:" + "1" * 64])
def test_a_kustomization_at_another_revision_is_not(revision: str) -> None:
    seen = judge(kustomization(READY, revision), (), AWAITED)
    assert (seen.state, seen.reason) == ("progressing", "NotApplied")


def test_a_kustomization_that_has_changed_itself_is_ready_as_it_was_before() -> None:
    changed = kustomization(READY, f"main@sha1:{COMMIT}")
    changed["metadata"] = {"generation": 2}
    assert judge(changed, (), AWAITED).state == "progressing"


def test_a_kustomization_whose_health_checks_fail_is_degraded_at_our_commit_only() -> None:
    failed = condition("Ready", "False", "HealthCheckFailed", "timeout waiting for Deployment/digits/server")
    ours = judge(kustomization(failed, f"main@sha1:{BEFORE}", f"main@sha1:{COMMIT}"), (), AWAITED)
    assert (ours.state, ours.reason) == ("degraded", "HealthCheckFailed")
    theirs = judge(kustomization(failed, f"main@sha1:{BEFORE}"), (), AWAITED)
    assert (theirs.state, theirs.reason) == ("progressing", "NotApplied")
    assert "HealthCheckFailed" in theirs.message


def test_what_waits_for_others_or_is_suspended_is_not_degraded() -> None:
    waits = condition("Ready", "False", "DependencyNotReady", "dependency is not ready")
    assert judge(kustomization(waits, "", f"main@sha1:{COMMIT}"), (), AWAITED).state == "progressing"
    runs = condition("Ready", "Unknown", "Progressing", "Reconciliation in progress")
    assert judge(kustomization(runs, "", f"main@sha1:{COMMIT}"), (), AWAITED).reason == "Progressing"
    assert judge(kustomization(READY, COMMIT, suspend=True), (), AWAITED).reason == "Suspended"


def test_a_helm_release_is_live_when_it_names_the_image_and_is_ready() -> None:
    ready = condition("Ready", "True", "UpgradeSucceeded")
    assert judge(helm_release(ready), (), AWAITED).state == "live"
    assert judge(helm_release(ready, digest=str(Digest.of(b"old"))), (), AWAITED).reason == "NotApplied"
    assert judge(helm_release(ready, observed=1), (), AWAITED).reason == "NotObserved"


def test_a_helm_release_says_why_it_fails() -> None:
    failed = condition("Ready", "False", "UpgradeFailed", "context deadline exceeded")
    assert judge(helm_release(failed), (), AWAITED).reason == "UpgradeFailed"
    stalled = condition("Stalled", "True", "RetriesExceeded", "Failed to upgrade after 1 attempt(s)")
    seen = judge(helm_release(condition("Ready", "Unknown", "Progressing"), stalled), (), AWAITED)
    assert (seen.state, seen.reason) == ("degraded", "RetriesExceeded")
    waits = condition("Ready", "False", "DependencyNotReady")
    assert judge(helm_release(waits), (), AWAITED).state == "progressing"
