"""Real model servers with real small models, each measured by `pipeline run --until benchmark`.

Only one benchmark runs on a machine at a time, and the images are large: `make test-servers` runs them.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

from pipeline.model import BenchmarkReport
from tests.support.engine import Engine
from tests.support.model_servers.examples import Benchmarked, ServerExample, copy_of, prepare
from tests.support.model_servers.llama_image import ensure_llama_image

pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(900),  # wheels are fetched, images built, and only one benchmark runs at a time
]

QUICK = {"benchmark__starts": "1", "benchmark__warmup_s": "1"}


@pytest.fixture(scope="module")
def triton(base_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerExample]:
    yield from lent(prepare("triton"), tmp_path_factory)


@pytest.fixture(scope="module")
def kserve(base_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerExample]:
    yield from lent(prepare("kserve"), tmp_path_factory)


@pytest.fixture(scope="module")
def onnx(base_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerExample]:
    yield from lent(prepare("onnx"), tmp_path_factory)


@pytest.fixture(scope="module")
def mlserver(
    base_image: str, prepared_example: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerExample]:
    yield from lent(prepared_example, tmp_path_factory)


@pytest.fixture(scope="module")
def llm(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerExample]:
    ensure_llama_image(engine)
    yield from lent(prepare("llm"), tmp_path_factory)


def lent(source: Path, folders: pytest.TempPathFactory) -> Iterator[ServerExample]:
    """Lend a copy of an example; the layouts of its images go with it."""
    folder = folders.mktemp(source.name) / source.name
    yield copy_of(source, folder)
    shutil.rmtree(folder)


def agreed(made: Benchmarked) -> BenchmarkReport:
    """Return a report whose numbers and verdict a human would agree with."""
    report = made.report
    assert (report.errors, report.error_samples) == (0, ())
    assert report.load is not None
    assert report.load.wrong_answers == 0
    for start in report.starts:
        assert start.live_ms is not None
        assert 0 < start.port_open_ms <= start.live_ms <= start.ready_ms <= start.first_answer_ms
    assert report.latency is not None
    assert report.service_time is not None
    assert 0 < report.service_time.p50_ms <= report.latency.p50_ms <= report.latency.p99_ms
    assert report.shutdown is not None
    # A machine that was busy with other things is no reason to fail, but then the verdict must say so.
    assert len(made.refused) == len(report.invalid)
    assert all("the numbers must not be trusted" in reason for reason in made.refused)
    return report


def test_onnx_runtime_behind_fastapi_is_sent_files_by_their_weights(onnx: ServerExample) -> None:
    report = agreed(onnx.benchmark())
    assert (report.protocol, len(report.starts)) == ("http", 3)
    assert report.load is not None
    assert report.load.checked_answers > 0  # both files have an expected answer
    assert report.load.requests == 100


@pytest.mark.parametrize(("protocol", "port"), [("v2-binary", "8000"), ("v2", "8000"), ("v2-grpc", "8001")])
def test_triton_over_every_protocol(triton: ServerExample, protocol: str, port: str) -> None:
    made = triton.benchmark(benchmark__protocol=protocol, benchmark__port=port, **QUICK)
    report = agreed(made)
    assert (report.protocol, report.model) == (protocol, "content-type")
    assert report.load is not None
    assert report.load.checked_answers > 0
    assert "Started GRPCInferenceService" in made.log


def test_kserve_over_http_counts_what_the_server_counts(kserve: ServerExample) -> None:
    made = kserve.benchmark(benchmark__load__concurrency="1", **QUICK)  # no request waits for another
    report = agreed(made)
    told_ms = told(made.log, r"predict_ms: ([\d.]+)")
    assert len(told_ms) >= report.requests + report.warmup_requests
    assert report.service_time is not None
    assert median(told_ms) < report.service_time.p50_ms < 3 * median(told_ms) + 50


def test_kserve_over_grpc_makes_its_own_request(kserve: ServerExample) -> None:
    (kserve.folder / "request.expected.json").rename(kserve.folder / "kept.json")
    settings = {"benchmark__protocol": "v2-grpc", "benchmark__port": "8081", "benchmark__request": ""}
    report = agreed(kserve.benchmark(**settings, **QUICK))
    assert (report.protocol, report.model) == ("v2-grpc", "content-type")


@pytest.mark.parametrize(("protocol", "port"), [("v2", "8080"), ("v2-grpc", "8081")])
def test_mlserver_over_http_and_grpc(mlserver: ServerExample, protocol: str, port: str) -> None:
    settings = {"benchmark__protocol": protocol, "benchmark__port": port, "benchmark__duration_s": "2"}
    report = agreed(mlserver.benchmark(**settings, **QUICK))
    assert (report.protocol, report.model) == (protocol, "digits")


def test_mlserver_takes_no_binary_tensors_and_the_advice_says_so(mlserver: ServerExample) -> None:
    said = mlserver.failure(benchmark__protocol="v2-binary", **QUICK)
    assert "the first inference does not work" in said
    assert "`benchmark.protocol: v2` sends JSON" in said


def test_a_language_model_is_timed_as_it_times_itself(llm: ServerExample) -> None:
    made = llm.benchmark(benchmark__duration_s="15", **QUICK)
    report = agreed(made)
    assert report.load is not None
    tokens = report.load.tokens
    assert tokens is not None
    assert tokens.counted_by == "usage"
    assert tokens.per_token is not None
    assert tokens.tokens <= 16 * report.requests
    assert tokens.tokens_per_s > tokens.request_tokens_per_s > 1  # two at a time
    prompt_ms = median(told(made.log, r"prompt eval time = +([\d.]+) ms"))
    per_token_ms = median(told(made.log, r"\| +eval time = .*\( *([\d.]+) ms per token"))
    assert tokens.per_token.p50_ms == pytest.approx(per_token_ms, rel=0.25, abs=2)
    # The first token comes after the prompt, and the other answer's next tokens may come between.
    assert 0.8 * prompt_ms < tokens.first_token.p50_ms < 1.5 * prompt_ms + 4 * per_token_ms


def told(log: str, pattern: str) -> list[float]:
    """Return what the server's log says of each answer."""
    found = [float(number) for number in re.findall(pattern, log)]
    assert len(found) >= 3
    return found
