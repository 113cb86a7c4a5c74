from __future__ import annotations

import signal
import subprocess
import sys
import threading
from contextlib import suppress

import pytest

from stages.oci.parallel import for_each


def test_the_results_come_in_the_order_of_the_things() -> None:
    both = threading.Barrier(2, timeout=10)  # opens only when two work at the same time

    def work(number: int) -> int:
        both.wait()
        return number * number

    assert for_each(work, range(6), threads=2, stopped=threading.Event()) == (0, 1, 4, 9, 16, 25)


def test_nothing_to_do_is_done() -> None:
    assert for_each(str, (), threads=4, stopped=threading.Event()) == ()


def test_the_first_error_stops_what_has_not_begun() -> None:
    begun: list[int] = []
    stopped = threading.Event()

    def work(number: int) -> None:
        begun.append(number)
        raise LookupError(number)

    with pytest.raises(LookupError, match="0"):
        for_each(work, range(100), threads=1, stopped=stopped)
    assert stopped.is_set()
    assert begun == [0]


SILENT_PEER = """
import threading
from stages.oci.parallel import for_each

def work(number):
    print("begun", flush=True)
    threading.Event().wait()

for_each(work, range(4), threads=2, stopped=threading.Event())
"""


def test_an_interruption_does_not_wait_for_a_silent_peer() -> None:
    command = [sys.executable, "-c", SILENT_PEER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        child.stdout.readline()
        for _ in range(20):  # one that comes while a thread starts may be swallowed by the interpreter
            child.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                child.wait(timeout=1)
                break
        else:
            child.kill()
        assert child.stderr is not None
        said = child.stderr.read()
    assert child.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in said
