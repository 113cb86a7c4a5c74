"""What Argo CD tells of a commit, and how it is asked."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.desk import Desk
from pipeline.errors import RemoteError, TemporaryRemoteError
from pipeline.model import Problem
from pipeline.reference import Digest
from stages.rollouts import argocd
from stages.rollouts.argocd import ArgoCD, judge
from stages.rollouts.interface import Awaited, Json, Seen
from tests.support.argocd import TOKEN, Argo, application, error, running_argocd
from tests.support.cluster import CUT, HALF
from tests.support.loopback import Reply

BEFORE, COMMIT, AFTER = "0" * 40, "1" * 40, "2" * 40
OLD, NEW = (
    f"registry.example.com/digits@{Digest.of(b'old')}",
    f"registry.example.com/digits@{Digest.of(b'new')}",
)
AWAITED = Awaited(
    commit=COMMIT,
    digests=(str(Digest.of(b"new")),),
    includes=lambda revision, commit: (revision, commit) == (AFTER, COMMIT),
)


@pytest.fixture
def argo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Argo]:
    monkeypatch.setenv(argocd.TOKEN, TOKEN)
    with running_argocd(tmp_path) as running:
        yield running


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(folder=tmp_path, cache=tmp_path)


def watcher(argo: Argo, name: str = "digits") -> ArgoCD:
    return ArgoCD(server=f"{argo.url}/", application=name, ca_file=argo.authority)


def looked(argo: Argo, desk: Desk, *steps: Json | Reply) -> Seen:
    argo.steps = list(steps)
    with watcher(argo).looking(desk) as look:
        return look(AWAITED)


@pytest.mark.parametrize(
    "told",
    [
        application(COMMIT, NEW),
        application(AFTER, NEW, OLD),
        application(COMMIT),  # scaled to zero: there is no pod
    ],
)
def test_a_synced_healthy_application_that_runs_the_image_is_live(told: Json) -> None:
    assert judge(told, AWAITED).state == "live"


def test_one_of_several_sources_may_be_at_the_commit() -> None:
    told = application("", NEW)
    told["status"]["sync"]["revisions"] = ["6.1.0", COMMIT]
    assert judge(told, AWAITED).state == "live"


def test_an_application_in_which_the_commit_changed_the_image_has_revisions_of_its_own() -> None:
    told = application("3.2.1", NEW)
    assert judge(told, AWAITED).reason == "NotSynced"
    told["status"]["sync"]["comparedTo"]["source"]["kustomize"] = {"images": [f"digits={NEW}"]}
    assert judge(told, AWAITED).state == "live"


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (application(BEFORE, OLD), "NotSynced"),
        (application(BEFORE, OLD, NEW, health="Degraded"), "NotSynced"),  # of what was there before
        (application(COMMIT, OLD, sync="OutOfSync"), "OutOfSync"),
        (application(COMMIT, OLD, sync="OutOfSync", health="Degraded"), "OutOfSync"),
        (application(COMMIT, OLD, phase="Running"), "Syncing"),
        (application(COMMIT, OLD, NEW, health="Progressing"), "Progressing"),
        (application(COMMIT, OLD, NEW, health="Suspended"), "Suspended"),
        (application(COMMIT, OLD), "NotRunning"),  # the wrong application
        (application(BEFORE, OLD, phase="Failed"), "NotSynced"),  # an earlier operation
    ],
)
def test_an_application_under_way_is_progressing(told: Json, reason: str) -> None:
    seen = judge(told, AWAITED)
    assert (seen.state, seen.reason) == ("progressing", reason)


@pytest.mark.parametrize(
    ("told", "reason", "words"),
    [
        (application(COMMIT, NEW, health="Degraded"), "Degraded", ""),
        (
            application(COMMIT, OLD, sync="OutOfSync", phase="Failed", message="field is immutable"),
            "SyncFailed",
            "immutable",
        ),
        (
            application(
                BEFORE, OLD, conditions=({"type": "ComparisonError", "message": "kustomize build failed"},)
            ),
            "ComparisonError",
            "kustomize build",
        ),
    ],
)
def test_a_broken_application_is_degraded(told: Json, reason: str, words: str) -> None:
    seen = judge(told, AWAITED)
    assert (seen.state, seen.reason) == ("degraded", reason)
    assert words in seen.message


def test_argo_cd_is_asked_to_look_at_the_branch_once(argo: Argo, desk: Desk) -> None:
    argo.steps = [application(BEFORE, OLD), application(COMMIT, NEW)]
    with watcher(argo).looking(desk) as look:
        assert [look(AWAITED).state, look(AWAITED).state] == ["progressing", "live"]
    assert argo.refreshes == 1


def test_the_words_of_a_degraded_pod_are_found_in_the_tree(argo: Argo, desk: Desk) -> None:
    argo.tree = {
        "nodes": [
            {"kind": "Deployment", "name": "server", "health": {"status": "Degraded", "message": "deadline"}},
            {
                "kind": "Pod",
                "name": "server-1",
                "health": {"status": "Degraded", "message": "Back-off pulling image"},
            },
            {"kind": "Service", "name": "server", "health": {"status": "Healthy"}},
        ]
    }
    seen = looked(argo, desk, application(COMMIT, NEW, health="Degraded"))
    assert seen.message == "Pod server-1: Back-off pulling image; Deployment server: deadline"


@pytest.mark.parametrize(
    "reply", [CUT, HALF, error(502, 14, "upstream"), error(503, 14, ""), error(429, 8, "slowly")]
)
def test_no_answer_passes(argo: Argo, desk: Desk, reply: Reply) -> None:
    with pytest.raises(TemporaryRemoteError):
        looked(argo, desk, reply)


def test_a_token_that_is_refused_is_an_error_and_never_shown(
    argo: Argo, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(argocd.TOKEN, "expired-token")
    with pytest.raises(RemoteError, match="does not accept the token") as refused:
        looked(argo, desk, application(COMMIT))
    assert not isinstance(refused.value, TemporaryRemoteError)
    assert "generate-token" in refused.value.advice
    assert desk.redact("Bearer expired-token") == "Bearer ***"


def test_the_check_says_what_is_there_and_what_is_missing(
    argo: Argo, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    argo.steps = [application(COMMIT, NEW)]
    assert watcher(argo).check(desk).found == "Synced, Healthy"
    argo.steps = [application(COMMIT, NEW, automated=False)]
    assert "syncs only when somebody says so" in watcher(argo).check(desk).found
    unknown = watcher(argo, "dgits").check(desk)
    assert (unknown.problem, "shows no application dgits" in unknown.found) == (Problem.REMOTE, True)
    untrusted = replace(watcher(argo), ca_file=None).check(desk)
    assert "nobody here trusts" in untrusted.found
    argo.steps = [Reply(200, {"Content-Type": "text/html"}, b"<html>")]  # some other web page
    assert "does not answer as Argo CD's API does" in watcher(argo).check(desk).found
    monkeypatch.delenv(argocd.TOKEN)
    assert watcher(argo).check(desk).problem is Problem.CONFIGURATION
