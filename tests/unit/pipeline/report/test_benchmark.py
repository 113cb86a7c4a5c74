"""The rows of a benchmark: everything that was measured, and nothing that was not."""

from pipeline.model import (
    ColdStart,
    GpuUse,
    Latency,
    LoadResult,
    Machine,
    Pull,
    Resources,
    Shutdown,
    Sizing,
    Sweep,
    TokenTimes,
)
from pipeline.report.benchmark import benchmark_rows
from pipeline.report.benchmark_charts import charts
from pipeline.report.phrases import describe
from tests.unit.policies.evidence import benchmark

LATENCY = Latency(p50_ms=5, p90_ms=8, p95_ms=10, p99_ms=40, p99_9_ms=90, max_ms=99, mean_ms=6)
START = ColdStart(container_ms=90, port_open_ms=500, live_ms=600, ready_ms=800, first_answer_ms=900)
LOAD = LoadResult(
    shape="poisson",
    rate_rps=50,
    duration_s=10,
    requests=500,
    errors=3,
    errors_by_kind={"HTTP 500": 2, "wrong answer": 1},
    wrong_answers=1,
    checked_answers=50,
    throughput_rps=49.7,
    latency=LATENCY,
)
WHOLE = benchmark().model_copy(
    update={
        "starts": (START, START.model_copy(update={"first_answer_ms": 300, "ready_ms": 200})),
        "cold_start": START.model_copy(update={"steady_ms": 1500}),
        "pull": Pull(
            total_bytes=2_000_000_000,
            application_bytes=300_000_000,
            bandwidth_bytes_per_s=125_000_000,
            estimated_s=16,
        ),
        "load": LOAD,
        "further_loads": (
            LOAD.model_copy(
                update={
                    "shape": "closed",
                    "concurrency": 8,
                    "rate_rps": None,
                    "send_lag_p99_ms": 2.5,
                    "generator_cpu": 0.3,
                }
            ),
        ),
        "sweep": Sweep(budget_p99_ms=100, best_rps=180, limit="latency: p99 130.0 ms"),
        "resources": Resources(
            steady_memory_bytes=200_000_000,
            page_cache_bytes=1_000_000,
            cpu_seconds_per_1000_requests=12.5,
            cpu_cores=0.6,
            throttled_share=0.1,
            out_of_memory_kills=1,
            source="cgroup v2",
            gpus=(GpuUse(name="A100", peak_memory_bytes=2e9, mean_utilisation=0.5),),
        ),
        "sizing": Sizing(memory_request_bytes=1, memory_limit_bytes=2, because=("memory: so much",)),
        "shutdown": Shutdown(
            duration_s=1.25, exit_code=0, killed=False, in_flight=4, finished=3, with_connection_s=10.1
        ),
        "machine": Machine(
            kind="AMD EPYC, 2 cores, 24 GiB", calibration_spread=0.08, steal_share=0.02, frequency_mhz=2445.4
        ),
    }
)


def test_every_measurement_has_its_row() -> None:
    assert list(benchmark_rows(WHOLE)) == [
        ("pull", "2.0 GB in all, 300 MB without the weights, 16.0 s at 125 MB/s"),
        (
            "first start",
            (
                "container 90 ms → port 500 ms → live 600 ms → ready 800 ms → first answer 900 ms → "
                "steady 1500 ms"
            ),
        ),
        ("warm starts", "1, first answer after 300 ms (median)"),
        (
            "50/s at random",
            (
                "49.7 good answers/s; p50 5.0, p90 8.0, p95 10.0, p99 40.0, p99.9 90.0, max 99.0 ms; "
                "3 errors (2 HTTP 500, 1 wrong answer); 50 answers compared, 1 wrong"
            ),
        ),
        (
            "8 clients",
            (
                "49.7 good answers/s; p50 5.0, p90 8.0, p95 10.0, p99 40.0, p99.9 90.0, max 99.0 ms; "
                "3 errors (2 HTTP 500, 1 wrong answer); 50 answers compared, 1 wrong"
            ),
        ),
        ("generator", "sent at most 2.5 ms late (p99), 30% of a core"),
        ("sweep", "180 requests/s within p99 100 ms; then latency: p99 130.0 ms"),
        (
            "memory",
            (
                "peak 315 MB, 200 MB under load, beside it 1.0 MB of page cache, 1 kill for want of memory "
                "(cgroup v2)"
            ),
        ),
        ("processors", "12.50 CPU s per 1,000 requests, 0.60 in use, throttled in 10% of the periods"),
        ("A100", "peak 2.0 GB, 50% busy"),
        ("sizing", "memory: so much"),
        (
            "stop",
            (
                "1.2 s, exit code 0, 3 of 4 requests on their way were answered, "
                "10.1 s while a client keeps its connection"
            ),
        ),
        (
            "machine",
            (
                "AMD EPYC, 2 cores, 24 GiB, the same work took 8% more or less, 2.0% of the time "
                "taken away by its host, 2445 MHz"
            ),
        ),
    ]


def test_a_language_model_has_its_tokens_times() -> None:
    tokens = TokenTimes(
        tokens=1600,
        tokens_per_s=52.4,
        first_token=LATENCY,
        per_token=LATENCY,
        request_tokens_per_s=27.1,
        counted_by="usage",
    )
    rows = dict(benchmark_rows(WHOLE.model_copy(update={"load": LOAD.model_copy(update={"tokens": tokens})})))
    assert rows["50/s at random"].endswith(
        "52 tokens/s, 27 of one request, first after p50 5 ms, p99 40 ms, "
        "each further one after p50 5.0 ms, p99 40.0 ms"
    )
    whole = tokens.model_copy(update={"per_token": None, "request_tokens_per_s": 0.0})
    rows = dict(benchmark_rows(WHOLE.model_copy(update={"load": LOAD.model_copy(update={"tokens": whole})})))
    assert rows["50/s at random"].endswith("; 52 tokens/s, first after p50 5 ms, p99 40 ms")


def test_starts_are_drawn_as_waterfalls_after_the_pull() -> None:
    (chart,) = charts(WHOLE.model_copy(update={"sweep": None}))
    assert chart.splitlines() == [
        "```mermaid",
        "gantt",
        "  dateFormat x",
        "  axisFormat %M:%S.%L",
        "  section first start",
        "  pull (estimated) :0, 16000",
        "  container :16000, 16090",
        "  port :16090, 16500",
        "  live :16500, 16600",
        "  ready :16600, 16800",
        "  first answer :16800, 16900",
        "  steady :16900, 17500",
        "  section warm start",
        "  container :0, 90",
        "  port :90, 500",
        "  live :500, 600",
        "  ready :600, 601",
        "  first answer :600, 601",
        "```",
    ]


def test_a_sweep_is_drawn_rate_by_rate() -> None:
    slow = LATENCY.model_copy(update={"p99_ms": 320.0})
    steps = tuple(
        LOAD.model_copy(update={"shape": "constant", "rate_rps": rate, "latency": latency, "errors": 0})
        for rate, latency in ((90.0, LATENCY), (360.0, None), (180.0, LATENCY), (200.0, slow))
    )
    swept = Sweep(budget_p99_ms=100, best_rps=180, limit="latency: p99 320.0 ms", steps=steps)
    *_, table = charts(WHOLE.model_copy(update={"sweep": swept}))
    assert table.splitlines()[2:] == [
        "| 90 | 5.0 | 40.0 | 0 | ▂ |",
        "| 180 | 5.0 | 40.0 | 0 | ▂ the highest that fits |",
        "| 200 | 5.0 | 320.0 | 0 | █ |",
        "| 360 |   |   | 0 | ▁ |",
    ]


def test_an_older_record_has_fewer_rows() -> None:
    assert [name for name, _ in benchmark_rows(benchmark())] == ["first start", "memory"]


def test_the_one_line_tells_the_warm_starts_and_a_server_that_had_to_be_killed() -> None:
    assert "ready in 0.8 s (warm 0.2 s)" in describe(WHOLE)
    killed = Shutdown(duration_s=30, exit_code=137, killed=True)
    assert "killed as it did not stop" in describe(WHOLE.model_copy(update={"shutdown": killed}))
