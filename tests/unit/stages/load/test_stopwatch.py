"""How busy the generator was, while it sent."""

import time

import pytest

from stages.load.measured import Measured
from stages.load.stopwatch import Stopwatch


def test_waiting_for_the_last_answers_does_not_hide_how_busy_the_generator_was() -> None:
    begin, used = time.perf_counter(), time.process_time()
    stopwatch, measured = Stopwatch(duration_s=0.01), Measured()
    while time.process_time() - used < 0.1:
        pass
    stopwatch.sent()
    time.sleep(3 * (time.perf_counter() - begin))
    stopwatch.stop(measured)
    over_all = (time.process_time() - used) / (time.perf_counter() - begin)
    assert measured.generator_cpu > 2 * over_all


def test_a_load_lasts_until_its_last_good_answer_and_as_long_as_was_asked_for() -> None:
    stopwatch, measured = Stopwatch(duration_s=2.0), Measured()
    stopwatch.stop(measured)
    assert measured.elapsed_s == 2.0
    measured.answered_at = stopwatch.begin + 3.0
    stopwatch.stop(measured)
    assert measured.elapsed_s == 3.0


def test_a_load_may_last_from_its_first_answer_on() -> None:
    stopwatch, measured = Stopwatch(duration_s=2.0), Measured()
    measured.answered_at = stopwatch.begin + 3.0
    stopwatch.stop(measured, since=stopwatch.begin + 0.25)
    assert measured.elapsed_s == pytest.approx(2.75)
    stopwatch.stop(measured, since=stopwatch.begin + 1.5)
    assert measured.elapsed_s == 2.0
