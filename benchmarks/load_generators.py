"""The load generators that are compared: how each is had, driven, and read."""

from __future__ import annotations

import csv
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from benchmarks.peers.installing import installed
from tests.support.commands import cache_folder, run_logged
from tests.support.errors import SetupError

HERE = Path(__file__).resolve().parent
PERCENTILES = ("50", "90", "95", "99", "99.9")
TENSOR = {"name": "input", "datatype": "FP32", "shape": [1, 16], "data": [0.0] * 16}
BODY = json.dumps({"id": "benchmark", "inputs": [TENSOR]})
LOADGEN = "mlcommons-loadgen==6.0.17"
PERF_ANALYZER = "perf-analyzer==2.60.0"
# What its wheel needs in a newer version than Debian 12 has; the newer ones are put beside it, not installed.
LIBRARIES = ("libc6", "libstdc++6", "libgcc-s1", "zlib1g", "libssl3t64", "libzstd1")
MODEL = "digits"
Shape = Literal["poisson", "constant", "closed"]


@dataclass(frozen=True, slots=True)
class Load:
    """What a generator is asked for."""

    path: str
    shape: Shape
    amount: float
    """Requests per second, or clients in a closed loop."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a generator says."""

    percentiles: Mapping[str, float]
    """Milliseconds, by `50`, `90`, `95`, `99`, `99.9`; not every generator has all."""
    requests: int
    throughput_rps: float
    cpu_s: float
    doubt: str = ""
    lag_p99_ms: float = 0.0


class Generator(Protocol):
    """A load generator."""

    @property
    def name(self) -> str:
        """What the tables call it."""
        ...

    @property
    def what(self) -> str:
        """What is run."""
        ...

    @property
    def shapes(self) -> frozenset[Shape]:
        """The loads that it can make."""
        ...

    def missing(self) -> str | None:
        """Have it ready; say why it is not, if it cannot be had."""
        ...

    def run(self, port: int, load: Load) -> Outcome:
        """Put a server under a load."""
        ...


class Ours:
    """The engine of `stages/load`."""

    name = "pipeline"
    what = "`stages/load`, as `benchmark` uses it: open loop, constant and Poisson, and closed loop"
    shapes: frozenset[Shape] = frozenset({"poisson", "constant", "closed"})

    def __init__(self, protocol: str = "http") -> None:
        self._protocol = protocol

    def missing(self) -> str | None:
        """See `Generator.missing`."""
        return None

    def run(self, port: int, load: Load) -> Outcome:
        """See `Generator.run`."""
        with _written(BODY) as body:
            said, _ = _output(
                *(sys.executable, str(HERE / "load_ours.py"), "--protocol", self._protocol),
                *("--port", str(port), "--path", load.path, "--body", body.name, "--shape", load.shape),
                *("--load", str(load.amount), "--seconds", str(load.seconds)),
            )
        found = json.loads(said)
        latency = found["latency"] or {}
        return Outcome(
            percentiles={name: latency[f"p{name.replace('.', '_')}_ms"] for name in PERCENTILES if latency},
            requests=found["requests"],
            throughput_rps=found["throughput_rps"],
            cpu_s=found["cpu_s"],
            doubt="; ".join(found["invalid"]),
            lag_p99_ms=found["send_lag_p99_ms"],
        )


class Wrk:
    """wrk, one thread, of Debian."""

    name = "wrk"
    what = "`wrk --threads 1`, closed loop only (written in C)"
    shapes: frozenset[Shape] = frozenset({"closed"})

    def missing(self) -> str | None:
        """See `Generator.missing`."""
        return installed("wrk")

    def run(self, port: int, load: Load) -> Outcome:
        """See `Generator.run`."""
        percentiles = ", ".join(f"latency:percentile({name})" for name in PERCENTILES)
        script = (
            f'wrk.method = "POST"\nwrk.body = [[{BODY}]]\nwrk.headers["Content-Type"] = "application/json"\n'
            "done = function(summary, latency)\n"
            f'  print(table.concat({{"measured", summary.requests, summary.duration, {percentiles}}}, " "))\n'
            "end\n"
        )
        with _written(script) as lua:
            said, cpu_s = _output(
                *("wrk", "--threads", "1", "--connections", f"{load.amount:.0f}"),
                *("--duration", f"{load.seconds:.0f}s", "--timeout", "10s", "--script", lua.name),
                f"http://127.0.0.1:{port}{load.path}",
            )
        (line,) = (line for line in said.splitlines() if line.startswith("measured "))
        requests, duration_us, *found = map(float, line.split()[1:])
        return Outcome(
            percentiles={name: value / 1000 for name, value in zip(PERCENTILES, found, strict=True)},
            requests=int(requests),
            throughput_rps=requests / duration_us * 1e6,
            cpu_s=cpu_s,
        )


class LoadGen:
    """MLPerf LoadGen with a client of its own over HTTP."""

    name = "loadgen"
    what = f"MLPerf's LoadGen (`{LOADGEN}`), scenario Server (Poisson), by `benchmarks/load_mlperf.py`"
    shapes: frozenset[Shape] = frozenset({"poisson"})

    def missing(self) -> str | None:
        """See `Generator.missing`."""
        if (_folder("loadgen") / "mlcommons_loadgen").exists():
            return None
        return _fetched([*_pip("install"), "--no-deps", "--target", str(_folder("loadgen")), LOADGEN])

    def run(self, port: int, load: Load) -> Outcome:
        """See `Generator.run`."""
        with _written(BODY) as body, tempfile.TemporaryDirectory() as logs:
            said, _ = _output(
                *(sys.executable, str(HERE / "load_mlperf.py"), str(port), load.path, body.name),
                *(str(load.amount), str(load.seconds), logs),
                environment={"PYTHONPATH": str(_folder("loadgen"))},
            )
        found = json.loads(said.splitlines()[-1])
        return Outcome(
            percentiles=found["percentiles"],
            requests=found["requests"],
            throughput_rps=found["requests"] / found["elapsed_s"],
            cpu_s=found["cpu_s"],
        )


class PerfAnalyzer:
    """NVIDIA's perf_analyzer, against the part of Triton's protocol that it asks for."""

    name = "perf_analyzer"
    what = f"NVIDIA's `{PERF_ANALYZER}`, closed loop and Poisson; latency from the send (written in C++)"
    shapes: frozenset[Shape] = frozenset({"poisson", "closed"})

    def missing(self) -> str | None:
        """See `Generator.missing`."""
        if self._program().exists():
            return None
        wheels = ("--platform", "manylinux_2_38_x86_64", "--only-binary=:all:", "--no-deps")
        why = _fetched([*_pip("install"), *wheels, "--target", str(_folder("perf_analyzer")), PERF_ANALYZER])
        if why is None and not self._new_enough():
            why = self._fetch_libraries()
        if why is None:
            self._program().chmod(0o755)
        else:
            shutil.rmtree(_folder("perf_analyzer"), ignore_errors=True)
        return why

    def run(self, port: int, load: Load) -> Outcome:
        """See `Generator.run`; three windows, of which it reports the whole."""
        wanted = (
            ("--concurrency-range", f"{load.amount:.0f}")
            if load.shape == "closed"
            else ("--request-rate-range", f"{load.amount:.0f}", "--request-distribution", "poisson")
        )
        with tempfile.TemporaryDirectory() as folder:
            table = Path(folder) / "table.csv"
            _, cpu_s = _output(
                *self._command(),
                *("-m", MODEL, "-u", f"127.0.0.1:{port}", *wanted, "--max-threads", "128"),
                *("--measurement-interval", f"{load.seconds / 3 * 1000:.0f}", "--max-trials", "3"),
                *("--stability-percentage", "999", "--percentile", "99", "-f", str(table)),
            )
            (row,) = csv.DictReader(table.read_text().splitlines())
        rate = float(row["Inferences/Second"])
        found = {name: row.get(f"p{name} latency") for name in PERCENTILES}
        return Outcome(
            percentiles={name: float(value) / 1000 for name, value in found.items() if value},
            requests=round(rate * load.seconds),
            throughput_rps=rate,
            cpu_s=cpu_s,
        )

    def _command(self) -> tuple[str, ...]:
        libraries = _folder("perf_analyzer") / "root" / "usr" / "lib" / "x86_64-linux-gnu"
        if not libraries.exists():
            return (str(self._program()),)
        loader = str(libraries / "ld-linux-x86-64.so.2")
        return (loader, "--library-path", str(libraries), str(self._program()))

    def _program(self) -> Path:
        return _folder("perf_analyzer") / "perf_analyzer" / "bin" / "perf_analyzer"

    def _new_enough(self) -> bool:
        name, version = platform.libc_ver()
        return name == "glibc" and tuple(map(int, version.split("."))) >= (2, 38)

    def _fetch_libraries(self) -> str | None:
        folder = _folder("perf_analyzer")
        names = [f"{name}/sid" for name in LIBRARIES]
        why = _fetched(["apt-get", "-q", "download", *names], folder)
        for package in folder.glob("*.deb"):
            why = why or _fetched(["dpkg-deb", "-x", str(package), str(folder / "root")])
            package.unlink()
        return why


def generators() -> Sequence[Generator]:
    """Return everybody, us first."""
    return (Ours(), Wrk(), LoadGen(), PerfAnalyzer())


def _folder(name: str) -> Path:
    folder = cache_folder() / "generators" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _pip(command: str) -> list[str]:
    return [sys.executable, "-m", "pip", "--disable-pip-version-check", "-qq", command]


def _fetched(command: list[str], folder: Path | None = None) -> str | None:
    """Run a command that fetches something; return what it says where it fails."""
    try:
        log = cache_folder() / "logs" / "generators.log"
        run_logged(command, log=log, advice="see the log", folder=folder, timeout_s=180)
    except SetupError as error:
        return error.message.splitlines()[0]
    return None


def _written(text: str) -> tempfile._TemporaryFileWrapper[str]:
    file = tempfile.NamedTemporaryFile("w")  # noqa: SIM115 - the caller's `with` closes it
    file.write(text)
    file.flush()
    return file


def _output(*command: str, environment: Mapping[str, str] | None = None) -> tuple[str, float]:
    """Return what a program prints, and the seconds of processor time that it used."""
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as complaints:
        process = subprocess.Popen(
            command, stdout=said, stderr=complaints, env={**os.environ, **(environment or {})}
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        complaints.seek(0)
        if process.returncode:
            raise RuntimeError(f"{command[0]} failed: {complaints.read()[-2000:]}")
        return said.read(), used.ru_utime + used.ru_stime
