"""The benchmark on a real engine: a small v2 server in an image of its own, its model mounted in place."""

import json
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from pipeline import process
from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import StageFailed, ToolMissing
from pipeline.model import BenchmarkReport, BuiltImage, Problem, Tool
from pipeline.reference import Digest, Tag
from stages.benchmark import Benchmark
from stages.load.closed_loop import ClosedLoop
from stages.load.open_loop import OpenLoop
from stages.load.sweep import SweepPlan
from stages.oci.assemble import Additions, assemble
from stages.oci.layout import Layout
from stages.servers.container import Container, ContainerSettings
from stages.servers.dialogue import Dialogue
from stages.servers.engine import Engine as DockerEngine
from stages.servers.interface import Answer, ModelServer, Payload, Target
from stages.servers.memory import EngineStatistics
from stages.servers.sidecars import Sidecar
from stages.servers.site import our_site
from stages.servers.v2 import OpenInference
from tests.support.engine import Engine
from tests.support.weights import describe

SERVER = """
    import json, os, signal, sys, threading, time
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from pathlib import Path

    MODE = os.environ.get("MODE", "good")
    if MODE == "dies":
        sys.exit("cannot find the tokenizer")
    if MODE == "hungry":
        hoard = bytearray(200 * 1024 * 1024)
        hoard[::4096] = b"x" * len(hoard[::4096])
    if MODE == "slow start":
        time.sleep(1.5)
    WEIGHTS = Path("/models/tiny/weights.txt").read_text()
    print("weights", WEIGHTS, "user", os.getuid(), flush=True)
    served = busy = 0
    hoards = []
    began = time.monotonic()

    def say():
        # The right answer, unless the mode has it otherwise.
        if MODE == "leaks":
            hoards.append(bytearray(os.urandom(256 * 1024)))
        if MODE == "worker dies" and served == 40 and not os.fork():
            hoard = os.urandom(300 * 1024 * 1024)
        if MODE == "stalls" and (now := (time.monotonic() - began) % 2) < 0.5:
            time.sleep(0.5 - now)
        if MODE in {"drains", "drops"}:
            time.sleep(0.6 if MODE == "drains" else 2)  # on a busy machine a signal takes its time
        if MODE == "mixes up" and busy > 1:
            return "9.5"
        return str(time.time()) if MODE == "varies" else WEIGHTS

    class Server(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self, status, document):
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            if self.path == "/v2/models/tiny":
                inputs = [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]
                self.answer(200, {"name": "tiny", "inputs": inputs})
            elif self.path == "/v2/models":
                self.answer(200, {"models": ["tiny"]})
            elif self.path.endswith("/other/ready"):
                self.answer(404, {})
            else:
                self.answer(503 if MODE == "never ready" else 200, {})

        def do_POST(self):
            global served, busy
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path == "/v2/repository/index":
                return self.answer(404, {})
            served += 1
            if MODE == "crashes" and served > 20:
                print("segmentation fault, or so", flush=True)
                os._exit(3)
            if MODE == "refuses":
                return self.answer(400, {"error": "I want another shape"})
            if MODE == "breaks" and served > 1:
                return self.answer(500, {"error": "CUDA is tired"})
            if MODE == "one in a hundred" and served % 100 == 0:
                return self.answer(500, {"error": "not this time"})
            busy += 1
            if MODE == "mixes up":
                time.sleep(0.03)
            outputs = [{"name": "y", "datatype": "BYTES", "shape": [1], "data": [say()]}]
            busy -= 1
            self.answer(200, {"model_name": "tiny", "outputs": outputs})

        def log_message(self, *arguments):
            pass

    def stop(*_):
        if MODE == "drops":
            os._exit(7)
        if MODE != "ignores TERM":
            threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    port = 9000 if MODE == "another port" else 8080
    address = "127.0.0.1" if MODE == "loopback" else "0.0.0.0"
    server = ThreadingHTTPServer((address, port), Server)
    server.daemon_threads = MODE != "drains"  # whether it waits for what it has begun to answer
    server.serve_forever()
    server.server_close()
"""
DOCKERFILE = """
    FROM python:3.11-slim
    COPY server.py /server.py
    USER 10001:10001
    CMD ["python3", "-u", "/server.py"]
"""
MakeImage = Callable[[Path], BuiltImage]


@pytest.fixture(scope="module")
def application(base_image: str, tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """What BuildKit makes of the server, without a model."""
    context = tmp_path_factory.mktemp("context")
    (context / "server.py").write_text(textwrap.dedent(SERVER))
    (context / "Dockerfile").write_text(textwrap.dedent(DOCKERFILE))
    built = tmp_path_factory.mktemp("built")
    output = f"type=oci,tar=false,dest={built}"
    docker("buildx", "build", "--quiet", "--provenance=false", "--output", output, str(context))
    return Layout.open(built)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model of one file."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights.txt").write_text("0.5")
    (folder / "weights.txt").chmod(0o644)
    folder.chmod(0o755)
    return folder


@pytest.fixture
def image(application: Layout, model: Path, tmp_path: Path) -> BuiltImage:
    """The image: the server's layers and the model's."""
    layer = describe(model, "/models/tiny")
    created = datetime(2026, 1, 1, tzinfo=UTC)
    target = Layout.create(tmp_path / "image")
    additions = Additions(model_layers=(layer,), labels={}, annotations={}, created=created)
    assembled = assemble(application, target, additions)
    return BuiltImage(
        name="tiny",
        tag=Tag("test"),
        digest=assembled.root.digest,
        media_type=assembled.root.media_type,
        layout=target.path,
        platforms=assembled.platforms,
        model_layers=(layer,),
        revision="0" * 40,
        dirty=False,
        created=created,
        builder=Tool(name="buildkit", version="0"),
    )


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A desk that is cleared as the runner does it; nothing is left of the run then."""
    folder = tmp_path / "stage"
    folder.mkdir()
    desk = Desk(folder=folder, cache=tmp_path / "cache", run_name=f"test-{uuid4().hex[:12]}")
    yield desk
    desk.clear()
    assert left_of(desk.run_name) == ([], [])
    assert not (folder / "model").exists()


def left_of(run_name: str) -> tuple[list[str], list[str]]:
    """Return the containers and the images that a run left behind."""
    containers = docker("ps", "--all", "--quiet", "--filter", f"label=model-image-pipeline.run={run_name}")
    images = docker("image", "ls", "--quiet", f"model-image-pipeline/benchmark:*{run_name}*")
    return containers.split(), images.split()


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=120, check=True)
    return done.stdout.strip()


def benchmark(
    mode: str = "good", *, rate_rps: float = 50, duration_s: float = 3, **options: Any
) -> Benchmark:
    usual = {"warmup_s": 0.5, "starts": 1, "readiness_timeout_s": 60}
    load = OpenLoop(rate_rps=rate_rps, duration_s=duration_s)
    return Benchmark(port=8080, environment={"MODE": mode}, **{"load": load, **usual, **options})


def run(stage: Benchmark, image: BuiltImage, desk: Desk) -> BenchmarkReport:
    return stage.run(Artifacts(image), desk)


def test_a_server_is_measured_from_its_start_to_its_load(image: BuiltImage, desk: Desk) -> None:
    said: list[str] = []
    desk.say = said.append
    report = run(benchmark(), image, desk)
    assert report.digest == image.digest
    assert (report.model, report.requests, report.errors, report.warmup_requests) == ("tiny", 150, 0, 25)
    steps = report.cold_start
    assert 0 < steps.port_open_ms <= steps.ready_ms <= steps.first_answer_ms
    assert report.latency is not None
    assert report.service_time is not None
    assert report.latency.p50_ms <= report.latency.p99_ms <= report.latency.max_ms
    assert 40 < report.throughput_rps <= 50
    assert report.memory_source in {"cgroup v1", "cgroup v2"}
    assert report.route == report.LOOPBACK
    assert 2e6 < report.peak_memory_bytes < 200e6
    assert any(line.startswith("load: ") for line in said)
    desk.clear()
    # Not root, and with the model in its place.
    assert "weights 0.5 user 10001" in (desk.folder / "server.log").read_text()


def test_the_engine_runs_the_application_layers_alone(image: BuiltImage, desk: Desk) -> None:
    """The image in the engine has the configuration that was built, and no byte of the weights."""
    seen: list[Any] = []

    def look(line: str) -> None:
        if line.startswith("load: ") and not seen:
            (container,), images = left_of(desk.run_name)
            assert len(images) == 1
            (found,) = json.loads(docker("inspect", container))
            (loaded,) = json.loads(docker("image", "inspect", found["Config"]["Image"]))
            seen.extend((found, loaded))

    desk.say = look
    run(benchmark(memory_limit="256m", cpus=1), image, desk)
    container, loaded = seen
    config = Layout.open(image.layout).read_json(image.platforms[0].config.digest)
    assert loaded["RootFS"]["Layers"] == config["rootfs"]["diff_ids"][:-1]
    assert config["rootfs"]["diff_ids"][-1] == image.model_layers[0].descriptor.digest
    assert container["Config"]["User"] == config["config"]["User"] == "10001:10001"
    assert container["Config"]["Cmd"] == config["config"]["Cmd"]
    assert container["HostConfig"]["Memory"] == container["HostConfig"]["MemorySwap"] == 256 * 1024**2
    assert container["HostConfig"]["NanoCpus"] == 10**9
    (mount,) = container["Mounts"]
    assert (mount["Destination"], mount["RW"]) == ("/models/tiny", False)
    (binding,) = container["NetworkSettings"]["Ports"]["8080/tcp"]
    assert binding["HostIp"] == "127.0.0.1"


def test_the_server_has_no_way_to_anybody_but_us(image: BuiltImage, desk: Desk) -> None:
    """Without an address of the engine's own (masquerade), no answer from anywhere else finds back to it."""
    seen: list[Any] = []

    def look(line: str) -> None:
        if line.startswith("load: ") and not seen:
            (container,), _ = left_of(desk.run_name)
            networks = json.loads(docker("inspect", container))[0]["NetworkSettings"]["Networks"]
            seen.extend(json.loads(docker("network", "inspect", *networks)))

    desk.say = look
    run(benchmark(duration_s=0.5), image, desk)
    (network,) = seen
    assert network["Options"] == {"com.docker.network.bridge.enable_ip_masquerade": "false"}
    assert network["Labels"]["model-image-pipeline.run"] == desk.run_name
    desk.clear()
    assert network["Id"][:12] not in docker("network", "ls", "--quiet")


def test_a_model_file_that_only_its_owner_may_read_is_shown_as_the_layer_gives_it(
    image: BuiltImage, model: Path, desk: Desk
) -> None:
    (model / "weights.txt").chmod(0o600)
    assert run(benchmark(duration_s=0.5), image, desk).errors == 0
    assert (model / "weights.txt").stat().st_mode & 0o777 == 0o600


def test_the_same_files_in_the_network_of_the_host(image: BuiltImage, desk: Desk) -> None:
    report = run(benchmark(network="host", duration_s=0.5), image, desk)
    assert report.errors == 0


def test_a_taken_port_of_the_host_is_named(image: BuiltImage, desk: Desk) -> None:
    import http.server

    with http.server.ThreadingHTTPServer(("127.0.0.1", 8080), http.server.BaseHTTPRequestHandler) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        with pytest.raises(StageFailed, match="port 8080 of this machine is taken"):
            run(benchmark(network="host"), image, desk)
        other.shutdown()


def test_a_server_that_is_never_ready_is_given_up(image: BuiltImage, desk: Desk) -> None:
    with pytest.raises(StageFailed, match="not ready after 3 s: /v2/health/ready answers 503") as raised:
        run(benchmark("never ready", readiness_timeout_s=3), image, desk)
    assert "weights 0.5" in raised.value.tail
    assert "readiness_timeout_s" in raised.value.advice


@pytest.mark.parametrize(
    ("mode", "asked", "advice"),
    [
        ("another port", None, "Inside the container it listens at 9000: set `benchmark.port`"),
        ("loopback", None, "Inside the container it listens on 127.0.0.1:8080"),
        ("good", "other", "Mend `benchmark.model`: the server has tiny, and no other."),
    ],
)
def test_the_advice_tells_what_the_container_does(
    image: BuiltImage, desk: Desk, mode: str, asked: str | None, advice: str
) -> None:
    with pytest.raises(StageFailed, match="not ready after 3 s") as raised:
        run(benchmark(mode, model=asked, readiness_timeout_s=3), image, desk)
    assert raised.value.advice.startswith(advice)


def test_a_server_that_misses_its_weights_is_told_how_to_get_them(image: BuiltImage, desk: Desk) -> None:
    with pytest.raises(StageFailed, match="ended by itself with exit code 1") as raised:
        run(benchmark(), image.model_copy(update={"model_layers": ()}), desk)
    assert "FileNotFoundError" in raised.value.tail
    assert raised.value.advice.startswith("No `model:` is configured, so no weights were mounted")


def test_a_server_that_ended_before_its_address_was_asked_for_is_told_the_same(
    base_image: str, desk: Desk, tmp_path: Path
) -> None:
    command = json.dumps(["python3", "-c", "open('/models/none')"])
    (tmp_path / "Dockerfile").write_text(f"FROM {base_image}\nCMD {command}\n")
    name = f"model-image-pipeline-test/ends:{uuid4().hex}"
    docker("build", "--quiet", "--tag", name, str(tmp_path))
    try:
        container = Container(our_site(desk)[0], ContainerSettings(image=name, port=8080))
        container.start()
        assert container.ended.wait(60)
        with (
            Dialogue(container, with_weights=False, readiness_timeout_s=1) as dialogue,
            pytest.raises(StageFailed, match="ended by itself with exit code 1") as raised,
        ):
            dialogue.address()
        assert raised.value.advice.startswith("No `model:` is configured, so no weights were mounted")
    finally:
        desk.clear()
        docker("image", "rm", name)


def test_a_server_that_dies_at_its_start_is_noticed_at_once(image: BuiltImage, desk: Desk) -> None:
    with pytest.raises(StageFailed, match="ended by itself with exit code 1") as raised:
        run(benchmark("dies", readiness_timeout_s=100_000), image, desk)
    assert "cannot find the tokenizer" in raised.value.tail


def test_a_server_that_crashes_under_load_is_noticed(image: BuiltImage, desk: Desk) -> None:
    with pytest.raises(StageFailed, match="ended by itself with exit code 3") as raised:
        run(benchmark("crashes", duration_s=100_000), image, desk)
    assert "segmentation fault, or so" in raised.value.tail


def test_a_server_that_needs_more_memory_than_its_limit_is_named(image: BuiltImage, desk: Desk) -> None:
    with pytest.raises(StageFailed, match="more memory than its limit of 64 MiB") as raised:
        run(benchmark("hungry", memory_limit="64m"), image, desk)
    assert "benchmark.memory_limit" in raised.value.advice


def test_a_slow_start_is_seen_step_by_step_and_every_start_is_kept(image: BuiltImage, desk: Desk) -> None:
    report = run(benchmark("slow start", rate_rps=100, duration_s=1, starts=3), image, desk)
    assert len(report.starts) == 3
    assert report.starts[0] == report.cold_start
    for start in report.starts:
        assert start.container_ms is not None
        assert start.live_ms is not None
        assert 0 < start.container_ms < start.port_open_ms
        assert 1500 < start.port_open_ms <= start.live_ms <= start.ready_ms <= start.first_answer_ms
    assert report.cold_start.steady_ms is not None
    assert report.cold_start.steady_ms > report.cold_start.first_answer_ms
    assert report.shutdown is not None
    assert report.shutdown.with_connection_s is not None
    assert report.pull is not None
    assert report.pull.total_bytes > report.pull.application_bytes > 1_000_000
    assert report.machine is not None
    assert "cores" in report.machine.kind


def test_what_the_server_uses_is_counted_and_a_size_is_hinted_at(image: BuiltImage, desk: Desk) -> None:
    report = run(benchmark("leaks", rate_rps=100, duration_s=2, memory_limit="512m", cpus=1), image, desk)
    used, size = report.resources, report.sizing
    assert used is not None
    assert size is not None
    assert used.steady_memory_bytes is not None
    assert report.peak_memory_bytes > used.steady_memory_bytes + 5e6  # it grew by 50 MB meanwhile
    assert used.cpu_seconds_per_1000_requests is not None
    assert 0.05 < used.cpu_seconds_per_1000_requests < 100
    assert used.throttled_share is not None
    assert used.out_of_memory_kills == 0
    assert size.memory_limit_bytes > report.peak_memory_bytes
    assert size.requests_per_s_per_replica is not None
    assert any("CPU s per 1,000" in why for why in size.because)
    assert any("memory grew by" in why for why in size.because)


def test_a_worker_that_is_killed_for_its_memory_is_counted(image: BuiltImage, desk: Desk) -> None:
    report = run(benchmark("worker dies", rate_rps=100, duration_s=1.5, memory_limit="128m"), image, desk)
    assert report.resources is not None
    assert report.resources.out_of_memory_kills == 1


def test_a_server_that_stalls_shows_in_the_p99(image: BuiltImage, desk: Desk) -> None:
    report = run(benchmark("stalls", rate_rps=100, duration_s=4, warmup_s=0), image, desk)
    assert report.latency is not None
    assert report.latency.p99_ms > 400
    assert report.latency.p50_ms < 100


def test_one_error_in_a_hundred_is_counted(image: BuiltImage, desk: Desk) -> None:
    report = run(benchmark("one in a hundred", rate_rps=200, duration_s=2, warmup_s=0), image, desk)
    assert report.requests == 400
    assert report.errors == 4
    assert report.load is not None
    assert report.load.errors_by_kind == {"HTTP 500": 4}


REQUEST = '{"id": "1", "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]}'
RIGHT = '{"outputs": [{"name": "y", "data": ["0.5"]}]}'
WRONG = '{"outputs": [{"name": "y", "data": ["0.7"]}]}'


def asked(folder: Path, expected: str) -> Path:
    """Return a request with the answer that is expected beside it."""
    (folder / "request.json").write_text(REQUEST)
    (folder / "request.expected.json").write_text(expected)
    return folder / "request.json"


def test_a_ready_server_that_answers_something_else_is_refused(
    image: BuiltImage, desk: Desk, tmp_path: Path
) -> None:
    with pytest.raises(StageFailed, match=r"request.json wrongly.*outputs.y\[0\] is .0.5., not .0.7."):
        run(benchmark(request=asked(tmp_path, WRONG)), image, desk)


def test_expected_answers_are_checked_under_load(image: BuiltImage, desk: Desk, tmp_path: Path) -> None:
    report = run(benchmark(request=asked(tmp_path, RIGHT), rate_rps=100, duration_s=1), image, desk)
    assert report.load is not None
    assert (report.errors, report.load.wrong_answers, report.load.checked_answers) == (0, 0, 10)


def test_answers_that_only_a_busy_server_gives_are_wrong(image: BuiltImage, desk: Desk) -> None:
    report = run(benchmark("mixes up", rate_rps=100, duration_s=2), image, desk)
    assert report.load is not None
    assert report.load.wrong_answers > 0
    assert report.load.errors_by_kind["wrong answer"] == report.load.wrong_answers
    assert "compared with the answer when asked alone" in report.error_samples[0]
    off = run(benchmark("mixes up", rate_rps=100, duration_s=1, check_answers=False), image, desk)
    assert off.errors == 0


def test_answers_that_always_differ_are_not_compared(image: BuiltImage, desk: Desk) -> None:
    report = run(benchmark("varies", rate_rps=100, duration_s=1), image, desk)
    assert report.load is not None
    assert (report.errors, report.load.checked_answers) == (0, 0)


@pytest.mark.parametrize(
    ("mode", "exit_code", "lost"), [("drains", 0, False), ("drops", 7, True)], ids=["drains", "drops"]
)
def test_requests_on_their_way_are_followed_to_the_end(
    image: BuiltImage, desk: Desk, mode: str, exit_code: int, lost: bool
) -> None:
    report = run(benchmark(mode, duration_s=1, rate_rps=5, warmup_s=0), image, desk)
    end = report.shutdown
    assert end is not None
    assert (end.exit_code, end.killed) == (exit_code, False)
    assert 1 <= end.in_flight <= 4
    assert end.finished == (0 if lost else end.in_flight)


def test_a_server_that_does_not_stop_is_killed(image: BuiltImage, desk: Desk) -> None:
    report = run(benchmark("ignores TERM", duration_s=0.5, stop_timeout_s=1), image, desk)
    assert report.shutdown is not None
    assert (report.shutdown.killed, report.shutdown.exit_code) == (True, 137)
    assert report.shutdown.duration_s >= 1


def test_several_loads_and_a_sweep(image: BuiltImage, desk: Desk) -> None:
    further = (ClosedLoop(concurrency=2, duration_s=1), OpenLoop(rate_rps=100, duration_s=1, shape="poisson"))
    plan = SweepPlan(budget_p99_ms=2000, begin_rps=50, highest_rps=100)
    stage = benchmark(duration_s=0.5, further_loads=further, sweep=plan, sweep_step_s=0.5)
    report = run(stage, image, desk)
    assert [each.shape for each in report.further_loads] == ["closed", "poisson"]
    assert report.further_loads[0].concurrency == 2
    assert all(each.requests > 10 and each.errors == 0 for each in report.further_loads)
    assert report.sweep is not None
    assert [each.rate_rps for each in report.sweep.steps] == [50, 100]
    assert report.sweep.best_rps == 100


BESIDE = """
import http.server, os, time
print("beside", os.environ["ROLE"], flush=True)
time.sleep(0.5)
http.server.HTTPServer(("0.0.0.0", 9100), http.server.BaseHTTPRequestHandler).{how}
"""


def beside(base_image: str, how: str) -> Sidecar:
    command = ("python3", "-u", "-c", BESIDE.format(how=how))
    return Sidecar(image=base_image, environment={"ROLE": "proxy"}, command=command, port=9100)


def test_a_sidecar_runs_in_the_same_network_and_is_removed(
    image: BuiltImage, desk: Desk, base_image: str
) -> None:
    said: list[str] = []
    seen: list[str] = []

    def look(line: str) -> None:
        said.append(line)
        if line.startswith("load: ") and not seen:
            seen.extend(left_of(desk.run_name)[0])

    desk.say = look
    report = run(benchmark(duration_s=0.5, sidecars=(beside(base_image, "serve_forever()"),)), image, desk)
    assert report.errors == 0
    assert len(seen) == 2
    assert any("beside the server" in line for line in said)


def test_a_sidecar_that_ends_is_named(image: BuiltImage, desk: Desk, base_image: str) -> None:
    stage = benchmark(duration_s=100_000, sidecars=(beside(base_image, "handle_request()"),))
    with pytest.raises(StageFailed, match="beside the server, ended with exit code 0: beside proxy"):
        run(stage, image, desk)


def test_a_sidecar_and_gpus_that_the_engine_has_not_are_told_with_advice(
    image: BuiltImage, desk: Desk
) -> None:
    with pytest.raises(StageFailed, match="localhost:1/none:1 cannot run beside the server") as raised:
        run(benchmark(sidecars=(Sidecar(image="localhost:1/none:1"),)), image, desk)
    assert "`benchmark.sidecars`" in raised.value.advice
    with pytest.raises(StageFailed, match="`docker start` failed") as raised:
        run(benchmark(gpus="device=nobody-has-it"), image, desk)
    assert "`benchmark.gpus`" in raised.value.advice


def test_a_request_that_the_model_refuses_stops_with_its_answer(image: BuiltImage, desk: Desk) -> None:
    with pytest.raises(StageFailed, match="I want another shape") as raised:
        run(benchmark("refuses"), image, desk)
    assert "benchmark.request" in raised.value.advice


def test_errors_under_load_are_evidence(image: BuiltImage, desk: Desk) -> None:
    report = run(benchmark("breaks", duration_s=1, warmup_s=0), image, desk)
    assert (report.requests, report.errors) == (50, 50)
    assert "50 times: 500" in report.error_samples[0]
    assert "CUDA is tired" in report.error_samples[0]
    assert report.latency is None
    assert "none of 50 requests got a good answer" in report.invalid


def test_the_request_of_the_user_is_sent(image: BuiltImage, desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "request.json"
    path.write_text('{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]}')
    stage = benchmark(request=path, model="tiny", duration_s=2)
    assert all(check.passed for check in stage.check(desk))
    assert run(stage, image, desk).errors == 0


def test_an_image_for_another_platform_is_named(image: BuiltImage, desk: Desk) -> None:
    other = image.platforms[0].model_copy(update={"platform": "linux/s390x"})
    with pytest.raises(StageFailed, match="the image is for linux/s390x"):
        run(benchmark(), image.model_copy(update={"platforms": (other,)}), desk)


def test_a_load_and_a_platform_that_cannot_be_measured_are_named_before_any_work(desk: Desk) -> None:
    stage = benchmark(duration_s=0.5, platforms=("linux/s390x",))
    problems = {check.subject: check.problem for check in stage.check(desk) if not check.passed}
    assert problems == {
        "benchmark load": Problem.CONFIGURATION,
        "benchmark platform": Problem.CONFIGURATION,
    }


def test_a_program_that_is_not_in_the_image_is_the_engines_error(
    image: BuiltImage, application: Layout, desk: Desk
) -> None:
    layout, platform = Layout.open(image.layout), image.platforms[0]
    config = layout.read_json(platform.config.digest)
    config["config"]["Cmd"] = ["no-such-program"]
    written = layout.write(json.dumps(config).encode(), platform.config.media_type)
    manifest = layout.read_json(platform.manifest.digest)
    manifest["config"] = {
        "mediaType": written.media_type,
        "digest": written.digest,
        "size": written.size_bytes,
    }
    again = layout.write(json.dumps(manifest).encode(), platform.manifest.media_type)
    changed = platform.model_copy(update={"config": written, "manifest": again})
    with pytest.raises(StageFailed, match="no-such-program"):
        run(benchmark(), image.model_copy(update={"platforms": (changed,)}), desk)


def test_without_an_engine_nothing_begins(image: BuiltImage, desk: Desk) -> None:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DOCKER_HOST", "unix:///nowhere.sock")
        checks = {check.subject: check for check in benchmark().check(desk)}
        assert checks["benchmark engine"].problem is Problem.TOOL
        assert benchmark().identity(Artifacts(image)) is None
        with pytest.raises(ToolMissing, match="does not answer"):
            run(benchmark(), image, desk)
        desk.clear()


def test_the_engine_of_this_machine_passes_the_checks(image: BuiltImage, desk: Desk) -> None:
    facts = DockerEngine(process.run).facts()
    assert facts.local
    assert facts.platform == image.platforms[0].platform
    assert all(check.passed for check in benchmark().check(desk))


def test_the_same_inputs_have_the_same_identity(image: BuiltImage, tmp_path: Path) -> None:
    path = tmp_path / "request.json"
    path.write_text("{}")
    known = benchmark(request=path).identity(Artifacts(image))
    assert known == benchmark(request=path).identity(Artifacts(image))
    path.write_text('{"inputs": []}')
    other = image.model_copy(update={"digest": Digest.of(b"other")})
    different = {
        benchmark(request=path).identity(Artifacts(image)),
        benchmark().identity(Artifacts(image)),
        benchmark(rate_rps=51).identity(Artifacts(image)),
        benchmark("other").identity(Artifacts(image)),
        benchmark().identity(Artifacts(other)),
    }
    assert len({known, None, *different}) == 7


def test_the_engines_own_statistics_say_the_same_memory(image: BuiltImage, desk: Desk) -> None:
    seen: list[int] = []

    def look(line: str) -> None:
        if line.startswith("load: ") and not seen:
            (container,), _ = left_of(desk.run_name)
            usage = EngineStatistics(DockerEngine(process.run), container).read()
            seen.append(usage.memory_bytes)

    desk.say = look
    report = run(benchmark(), image, desk)
    assert 0.5 * report.peak_memory_bytes < seen[0] <= 1.1 * report.peak_memory_bytes


class Hogging:
    """The protocol of a third party, whose first 25 requests keep the load generator itself busy."""

    @asynccontextmanager
    async def connect(self, target: Target) -> AsyncIterator[ModelServer]:
        async with OpenInference().connect(target) as server:
            yield HoggingServer(server)


class HoggingServer:
    def __init__(self, server: ModelServer) -> None:
        self._server = server
        self._left = 25

    @property
    def model(self) -> str | None:
        return self._server.model

    @property
    def payloads(self) -> tuple[Payload, ...]:
        return self._server.payloads

    async def unlive(self) -> str:
        return await self._server.unlive()

    async def unready(self) -> str:
        return await self._server.unready()

    async def advise(self) -> str:
        return await self._server.advise()

    async def prepare(self) -> None:
        await self._server.prepare()

    async def infer(self, payload: Payload) -> Answer:
        self._left -= 1
        if self._left > 0:
            time.sleep(0.1)
        return await self._server.infer(payload)

    def same(self, expected: bytes, answer: bytes) -> str:
        return self._server.same(expected, answer)


def test_a_load_that_the_generator_was_late_for_is_repeated(image: BuiltImage, desk: Desk) -> None:
    said: list[str] = []
    desk.say = said.append
    stage = benchmark(protocol="hog", protocols={"hog": Hogging()}, duration_s=0.5, warmup_s=0)
    report = run(stage, image, desk)
    assert (report.protocol, report.errors) == ("hog", 0)
    assert any("the load generator was late" in line for line in said)


INTERRUPTED = """
    import signal, sys
    from pathlib import Path

    from pipeline.artifacts import Artifacts
    from pipeline.desk import Desk
    from pipeline.model import BuiltImage
    from stages.benchmark import Benchmark
    from stages.load.open_loop import OpenLoop

    def interrupt(*_):
        signal.raise_signal(signal.SIGINT)

    signal.signal(signal.SIGINT, signal.default_int_handler)  # the background ignores it
    signal.signal(signal.SIGTERM, interrupt)  # as the command line has it
    image = BuiltImage.model_validate_json(Path(sys.argv[1]).read_text())
    desk = Desk(folder=Path(sys.argv[2]), cache=Path(sys.argv[2]), run_name=sys.argv[3])
    desk.say = lambda line: print(line, flush=True)
    load = OpenLoop(rate_rps=50, duration_s=100_000)
    stage = Benchmark(port=8080, load=load, environment={"MODE": sys.argv[4]})
    try:
        stage.run(Artifacts(image), desk)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    finally:
        desk.clear()
"""


@pytest.mark.parametrize(
    ("mode", "until", "sent"),
    [
        ("good", "loading the image", signal.SIGINT),
        ("never ready", "waiting for the server", signal.SIGINT),
        ("good", "load: 1 of", signal.SIGINT),
        ("good", "load: 1 of", signal.SIGTERM),
    ],
    ids=["loading", "waiting", "load", "terminated"],
)
def test_an_interrupted_benchmark_leaves_nothing(
    image: BuiltImage, desk: Desk, mode: str, until: str, sent: signal.Signals
) -> None:
    described = desk.folder / "image.json"
    described.write_text(image.model_dump_json())
    program = textwrap.dedent(INTERRUPTED)
    command = [
        sys.executable,
        "-W",
        "error",
        "-c",
        program,
        str(described),
        str(desk.folder),
        desk.run_name,
        mode,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            assert child.stderr is not None
            for line in child.stdout:
                if line.startswith(until):
                    break
            child.send_signal(sent)
            rest = child.stdout.read()
            complaints = child.stderr.read()
        finally:
            child.kill()  # it would go on for a day where the signal is lost
    assert child.returncode == 0, complaints
    assert "interrupted" in rest
    assert complaints == ""
    assert left_of(desk.run_name) == ([], [])


def test_what_a_killed_benchmark_left_is_removed_by_the_next_one_and_nothing_else(
    image: BuiltImage, desk: Desk, tmp_path: Path
) -> None:
    """While one is killed, another one runs: nothing of that is touched."""
    described = tmp_path / "image.json"
    described.write_text(image.model_dump_json())
    killed, living = f"{desk.run_name}-killed", f"{desk.run_name}-living"
    with started(described, tmp_path / "killed", killed) as child:
        read_until(child, "load: 1 of")
        child.kill()  # -9
    assert [len(kind) for kind in left_of(killed)] == [1, 1]
    with started(described, tmp_path / "living", living) as child:
        read_until(child, "loading the image")
        assert left_of(killed) == ([], [])
        read_until(child, "load: 1 of")
        waits: list[str] = []

        def finish(line: str) -> None:
            if not line.startswith("waiting for another benchmark"):
                return
            waits.append(line)
            if len(waits) == 1:  # said again where a third benchmark was faster than this one
                assert [len(kind) for kind in left_of(living)] == [1, 1]
                child.send_signal(signal.SIGINT)

        desk.say = finish
        report = run(benchmark(duration_s=0.5), image, desk)
        assert child.stdout is not None
        assert "interrupted" in child.stdout.read()
    assert waits, "the benchmark did not wait for the one that was running"
    assert report.errors == 0
    assert left_of(living) == ([], [])


def started(image: Path, folder: Path, run_name: str) -> "subprocess.Popen[str]":
    folder.mkdir()
    words = [str(image), str(folder), run_name, "good"]
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(INTERRUPTED), *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def read_until(child: "subprocess.Popen[str]", begin: str) -> None:
    assert child.stdout is not None
    for line in child.stdout:
        if line.startswith(begin):
            return
    raise AssertionError(f"the benchmark ended before it said {begin!r}")


def test_an_engine_with_the_classic_image_store(
    image: BuiltImage, desk: Desk, classic_engine: Engine
) -> None:
    with pytest.MonkeyPatch.context() as environment:
        for name, value in classic_engine.environment().items():
            environment.setenv(name, value)
        report = run(benchmark(duration_s=0.5), image, desk)
        assert report.errors == 0
        desk.clear()
        assert left_of(desk.run_name) == ([], [])
