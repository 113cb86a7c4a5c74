from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from pipeline.errors import Interrupted, RemoteError, TemporaryRemoteError
from stages.oci.retries import Retries


def failing(times: int, error: RemoteError) -> Callable[[], str]:
    left = [error] * times

    def work() -> str:
        if left:
            raise left.pop()
        return "done"

    return work


def test_a_temporary_error_is_tried_again_and_said() -> None:
    said: list[str] = []
    retries = Retries(attempts=3, first_wait_s=0.001)
    work = failing(2, TemporaryRemoteError("the registry is down"))
    assert retries.run(work, threading.Event(), said.append) == "done"
    assert len(said) == 2
    assert all(line.startswith("the registry is down; trying again") for line in said)


def test_the_number_of_attempts_is_bounded() -> None:
    with pytest.raises(TemporaryRemoteError):
        Retries(attempts=2, first_wait_s=0.001).run(
            failing(2, TemporaryRemoteError("down")), threading.Event(), lambda _: None
        )


def test_a_lasting_error_is_not_tried_again() -> None:
    with pytest.raises(RemoteError, match="denied"):
        Retries().run(failing(1, RemoteError("denied")), threading.Event(), lambda _: None)


def test_a_stopped_run_does_not_wait() -> None:
    stopped = threading.Event()
    stopped.set()
    error = TemporaryRemoteError("busy", retry_after_s=50)
    with pytest.raises(Interrupted):
        Retries().run(failing(1, error), stopped, lambda _: None)


def test_a_registry_that_restarts_is_waited_for() -> None:
    waits: list[float] = []

    class Clock(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout or 0.0)
            return False

    with pytest.raises(TemporaryRemoteError):
        Retries().run(failing(100, TemporaryRemoteError("503")), Clock(), lambda _: None)
    assert 15 < sum(waits) < 60
