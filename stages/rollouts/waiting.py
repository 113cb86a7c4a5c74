"""Look, pause and look again until everything is live, or something stays broken, or time is up."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal

from pipeline.desk import Desk
from pipeline.errors import TemporaryRemoteError
from pipeline.model import Check, Rollout
from stages.rollouts.interface import Awaited, Look, Seen, Watcher

_LONGER = 1.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """What has to become live, and how long that may take."""

    watchers: tuple[Watcher, ...]
    time_limit_s: float = 600.0
    on_failure: Literal["fail", "rollback"] = "fail"
    settle_s: float = 30.0
    """How long something has to stay broken until it counts: pulls and probes fail once in a while."""
    pause_s: float = 1.0
    longest_pause_s: float = 10.0

    def check(self, desk: Desk) -> tuple[Check, ...]:
        """Return whether everybody who will be asked answers."""
        return tuple(watcher.check(desk) for watcher in self.watchers)

    def until_live(self, awaited: Awaited, desk: Desk) -> Rollout:
        """Return what became of a commit.

        Raises:
            RemoteError: an API does not accept us; whether it is live, nobody knows.
            ConfigurationError: a token or a kubeconfig is missing.
        """
        with ExitStack() as connections:
            looks = [(one.subject, connections.enter_context(one.looking(desk))) for one in self.watchers]
            return self._watch(looks, awaited, desk)

    def _watch(self, looks: Sequence[tuple[str, Look]], awaited: Awaited, desk: Desk) -> Rollout:
        began, pause = time.monotonic(), self.pause_s
        broken_since: float | None = None
        told = ""
        while True:
            subject, seen = _worst(looks, awaited)
            now = time.monotonic()
            if f"{subject}: {seen}" != told:
                told = f"{subject}: {seen}"
                _tell(desk, f"{now - began:7.1f} s  {seen.state:<11}  {told}")
                desk.say(f"waiting until it is live: {told}")
            if seen.state != "unknown":  # no answer says neither that it is broken nor that it is not
                broken_since = (broken_since or now) if seen.state == "degraded" else None
            if seen.state == "live":
                return self._ended("live", now - began, subject, seen)
            if seen.state == "degraded" and broken_since is not None and now - broken_since >= self.settle_s:
                return self._ended("degraded", now - began, subject, seen)
            left = self.time_limit_s - (now - began)
            if left <= 0:
                status: Literal["degraded", "timeout"] = "degraded" if seen.state == "degraded" else "timeout"
                return self._ended(status, now - began, subject, seen)
            time.sleep(min(pause, left))
            pause = min(pause * _LONGER, self.longest_pause_s)

    def _ended(
        self, status: Literal["live", "degraded", "timeout"], duration_s: float, subject: str, seen: Seen
    ) -> Rollout:
        return Rollout(
            status=status,
            watched=tuple(watcher.subject for watcher in self.watchers),
            duration_s=round(duration_s, 1),
            subject="" if status == "live" else subject,
            reason=seen.reason,
            message=seen.message,
            answered=seen.state != "unknown",
        )


_ORDER = ("degraded", "unknown", "progressing", "live")


def _worst(looks: Sequence[tuple[str, Look]], awaited: Awaited) -> tuple[str, Seen]:
    """Return what is farthest from being live; of several the first."""
    seen = [(subject, _look(look, awaited)) for subject, look in looks]
    return min(seen, key=lambda one: _ORDER.index(one[1].state))


def _look(look: Look, awaited: Awaited) -> Seen:
    try:
        return look(awaited)
    except TemporaryRemoteError as error:
        return Seen("unknown", "NoAnswer", error.message)


def _tell(desk: Desk, line: str) -> None:
    with desk.log("rollout") as stream:
        stream.write(f"{desk.redact(line)}\n")
