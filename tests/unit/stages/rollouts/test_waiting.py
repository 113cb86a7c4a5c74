"""The wait: what ends it, what does not, and what follows."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipeline.desk import Desk
from pipeline.errors import RemoteError, TemporaryRemoteError
from pipeline.model import Check, FieldChange, FileChange, ManifestUpdate, Rollout, StandingImage
from pipeline.reference import Digest
from stages.rollouts.interface import Awaited, Look, Seen
from stages.rollouts.landed import digests_of, failure
from stages.rollouts.waiting import Wait

OLD, NEW = str(Digest.of(b"old")), str(Digest.of(b"new"))
AWAITED = Awaited(commit="1" * 40, digests=(NEW,))
LIVE, GOING = Seen("live", "", "ready"), Seen("progressing", "RollingOut", "1 of 2 pods are new")
BROKEN = Seen("degraded", "CrashLoopBackOff", "pod a")
GONE = TemporaryRemoteError("no answer")


@dataclass(frozen=True)
class Scripted:
    """Sees one thing after the other, the last one for ever."""

    seen: list[Seen | Exception]
    subject: str = "Deployment digits/server"
    looks: list[None] = field(default_factory=list)
    takes_s: float = 0

    def check(self, desk: Desk) -> Check:
        return Check(subject=self.subject, found=str(desk.dry_run))

    @contextmanager
    def looking(self, desk: Desk) -> Iterator[Look]:
        def look(awaited: Awaited) -> Seen:
            assert awaited is AWAITED
            found = self.seen[min(len(self.looks), len(self.seen) - 1)]
            self.looks.append(None)
            if isinstance(found, Exception):
                raise found
            time.sleep(self.takes_s if found is GOING else 0)
            return found

        yield look


def wait(*watchers: Scripted, settle_s: float = 0, time_limit_s: float = 60) -> Wait:
    return Wait(
        watchers=watchers, settle_s=settle_s, time_limit_s=time_limit_s, pause_s=0.001, longest_pause_s=0.001
    )


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(folder=tmp_path, cache=tmp_path)


def test_it_ends_when_all_are_live(desk: Desk) -> None:
    first = Scripted([GOING, LIVE], "Kustomization flux-system/apps")
    second = Scripted([GOING, GONE, GOING, LIVE])
    ended = wait(first, second).until_live(AWAITED, desk)
    assert (ended.status, ended.watched) == ("live", (first.subject, second.subject))
    assert len(second.looks) == 4
    log = (desk.folder / "rollout.log").read_text()
    assert [line.split()[2] for line in log.splitlines()] == ["progressing", "unknown", "progressing", "live"]


def test_what_is_broken_for_a_moment_only_goes_on(desk: Desk) -> None:
    recovers = Scripted([BROKEN, GOING, BROKEN, LIVE], takes_s=0.3)
    assert wait(recovers, settle_s=0.2).until_live(AWAITED, desk).status == "live"


def test_what_stays_broken_ends_it_and_is_told(desk: Desk) -> None:
    ended = wait(Scripted([LIVE], "Kustomization flux-system/apps"), Scripted([GOING, BROKEN])).until_live(
        AWAITED, desk
    )
    assert (ended.status, ended.subject) == ("degraded", "Deployment digits/server")
    assert (ended.reason, ended.message) == ("CrashLoopBackOff", "pod a")


def test_the_time_limit_ends_it_with_what_was_last_seen(desk: Desk) -> None:
    ended = wait(Scripted([GOING]), time_limit_s=0.01).until_live(AWAITED, desk)
    assert (ended.status, ended.message, ended.answered) == ("timeout", GOING.message, True)
    ended = wait(Scripted([BROKEN]), settle_s=60, time_limit_s=0.01).until_live(AWAITED, desk)
    assert ended.status == "degraded"
    ended = wait(Scripted([GOING, GONE]), time_limit_s=0.01).until_live(AWAITED, desk)
    assert (ended.status, ended.reason, ended.answered) == ("timeout", "NoAnswer", False)


def test_a_refusal_ends_it_at_once(desk: Desk) -> None:
    with pytest.raises(RemoteError, match="forbidden"):
        wait(Scripted([GOING, RemoteError("forbidden")])).until_live(AWAITED, desk)


def update(*fields: FieldChange, rollout: Rollout | None = None, standing: str = "") -> ManifestUpdate:
    before = (StandingImage(path="a.yaml", line=1, reference=standing, order="same"),) if standing else ()
    return ManifestUpdate(
        status="committed",
        commit="4f9c1d2e8a7b" + "0" * 28,
        files=(FileChange(path="a.yaml", fields=fields, diff=""),),
        before=before,
        rollout=rollout,
    )


def test_only_digests_that_the_commit_has_changed_prove_that_it_is_live() -> None:
    application = FieldChange(line=1, field="image", old=f"digits@{OLD}", new=f"digits@{OLD}")
    weights = FieldChange(line=2, field="reference", old=f"model:v1@{OLD}", new=f"model:v2@{NEW}")
    assert digests_of(update(application, weights)) == (NEW,)
    assert digests_of(update(standing=f"digits@{OLD}")) == (OLD,)  # nothing was to change


def rollout(status: str, **told: object) -> Rollout:
    return Rollout.model_validate(
        {
            "status": status,
            "watched": ("Deployment digits/server",),
            "duration_s": 41.7,
            "subject": "Deployment digits/server",
            "reason": "ImagePullBackOff",
            "message": "not found",
            **told,
        }
    )


def test_a_failed_rollout_says_what_why_and_what_stands_there_now() -> None:
    error = failure(update(rollout=rollout("degraded")))
    assert error.message == (
        "4f9c1d2e8a7b has landed, but Deployment digits/server is broken: ImagePullBackOff: not found"
    )
    assert "The manifests still name the new image" in error.advice
    late = failure(
        update(rollout=rollout("timeout", reason="", message="", not_undone="Not rolled back: why"))
    )
    assert late.message.endswith(
        "not live after 42 s. Last seen of Deployment digits/server: nothing was seen"
    )
    assert late.advice.startswith("Not rolled back: why. ")
    undone = failure(update(rollout=rollout("degraded", undone_by="2" * 40)))
    assert undone.advice == "It was rolled back: commit 222222222222 names again what stood there before."
