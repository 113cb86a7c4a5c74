"""The hint for the deployment, from numbers that a person can check."""

import pytest

from pipeline.model import LoadResult, Resources, Sizing, Sweep
from stages.servers.sizing import sizing_of

MEBIBYTE = 1024**2
LOAD = LoadResult(shape="constant", rate_rps=50, duration_s=10, requests=500, errors=0, throughput_rps=50)
USED = Resources(
    steady_memory_bytes=100 * MEBIBYTE, cpu_cores=0.5, cpu_seconds_per_1000_requests=10, source="cgroup v2"
)


def sized(sweep: Sweep | None = None, cpus: float | None = None, used: Resources = USED) -> Sizing:
    found = sizing_of(200 * MEBIBYTE, LOAD, resources=used, sweep=sweep, cpus=cpus)
    assert found is not None
    return found


def test_memory_is_the_use_under_load_and_the_peak_with_some_room() -> None:
    assert sized().memory_request_bytes == 112 * MEBIBYTE  # 110, in steps of 16
    assert sized().memory_limit_bytes == 256 * MEBIBYTE  # 250


def test_the_rate_that_was_found_by_a_sweep_counts_first() -> None:
    sweep = Sweep(budget_p99_ms=100, best_rps=200, limit="latency")
    assert sized(sweep, cpus=1).requests_per_s_per_replica == pytest.approx(140)
    assert "200/s is the highest rate with p99 within 100 ms" in sized(sweep).because[-1]
    assert sized(sweep).cpu_request_cores == pytest.approx(1.4)  # 140/s of 10 ms each


def test_else_the_processors_say_how_much_a_replica_can_do() -> None:
    assert sized(cpus=1).requests_per_s_per_replica == pytest.approx(70)  # 70 % of 1 / 10 ms
    assert sized(cpus=1).cpu_request_cores == pytest.approx(0.7)


def test_else_what_was_answered_well_is_all_that_is_known() -> None:
    assert sized().requests_per_s_per_replica == 50
    assert "nobody tried more" in sized().because[-1]


def test_unknown_processors_give_no_hint_for_them() -> None:
    assert sized(used=Resources()).cpu_request_cores is None


def test_memory_that_could_not_be_read_gives_no_hint() -> None:
    assert sizing_of(0, LOAD, resources=USED, sweep=None, cpus=None) is None


def test_memory_that_grows_makes_no_limit_enough() -> None:
    growing = USED.model_copy(update={"memory_growth_bytes": 50 * MEBIBYTE})
    assert any("memory grew by 50 MiB during the load" in why for why in sized(used=growing).because)
    steady = USED.model_copy(update={"memory_growth_bytes": 8 * MEBIBYTE})
    assert not any("grew" in why for why in sized(used=steady).because)
