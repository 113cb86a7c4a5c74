"""MLPerf LoadGen's Server scenario over HTTP: a small client that sends what LoadGen issues.

    python benchmarks/load_mlperf.py PORT PATH BODY RATE SECONDS FOLDER     # FOLDER gets LoadGen's logs

LoadGen's thread writes each request to a free connection; another thread waits for all answers and reports
them. Latency is LoadGen's own, from the moment at which it had scheduled a request.
"""

from __future__ import annotations

import json
import re
import select
import socket
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

import mlperf_loadgen as loadgen  # type: ignore[import-not-found]  # a library of C++, installed for the benchmark

PERCENTILE = re.compile(r"^\s*([\d.]+) percentile latency \(ns\)\s*:\s*(\d+)", re.MULTILINE)
WARM_CONNECTIONS = 200


class Client:
    """Connections with one request each at a time."""

    def __init__(self, port: int, path: str, body: bytes) -> None:
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        self._request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        self._port = port
        self._free: deque[socket.socket] = deque()
        self._busy: dict[int, tuple[socket.socket, int]] = {}
        self._poll = select.epoll()
        self.count = 0
        self._free.extend(self._open() for _ in range(WARM_CONNECTIONS))

    def issue(self, samples: Any) -> None:
        """Send each sample; LoadGen calls this when one is due."""
        for sample in samples:
            connection = self._free.popleft() if self._free else self._open()
            self._busy[connection.fileno()] = connection, sample.id
            connection.sendall(self._request)

    def answers(self) -> None:
        """Report answers for as long as the process lives."""
        while True:
            for number, _ in self._poll.poll():
                connection, sample = self._busy[number]
                received = connection.recv(65536)
                head, _, body = received.partition(b"\r\n\r\n")
                length = int(head.rpartition(b"Content-Length: ")[2].split(b"\r\n")[0])
                if not head.startswith(b"HTTP/1.1 200") or len(body) != length:
                    raise RuntimeError(f"an answer that came in pieces, or none: {received[:80]!r}")
                self._free.append(connection)
                self.count += 1
                loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(sample, 0, 0)])

    def _open(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self._port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._poll.register(connection, select.EPOLLIN)
        return connection


def main() -> None:
    """Print the percentiles in milliseconds, the rate and the processor's time as JSON."""
    port, path, body, rate, seconds, folder = sys.argv[1:]
    client = Client(int(port), path, Path(body).read_bytes())
    threading.Thread(target=client.answers, daemon=True).start()
    settings = loadgen.TestSettings()
    settings.scenario = loadgen.TestScenario.Server
    settings.mode = loadgen.TestMode.PerformanceOnly
    settings.server_target_qps = float(rate)
    settings.server_target_latency_ns = 1_000_000_000
    settings.min_duration_ms = int(float(seconds) * 1000)
    settings.min_query_count = 100
    settings.use_token_latencies = False
    output = loadgen.LogOutputSettings()
    output.outdir = folder
    logs = loadgen.LogSettings()
    logs.log_output = output
    logs.enable_trace = False
    system = loadgen.ConstructSUT(client.issue, lambda: None)
    library = loadgen.ConstructQSL(1, 1, lambda _: None, lambda _: None)
    cpu, begin = time.process_time(), time.perf_counter()
    loadgen.StartTestWithLogSettings(system, library, settings, logs)
    cpu, elapsed = time.process_time() - cpu, time.perf_counter() - begin
    summary = (Path(folder) / "mlperf_log_summary.txt").read_text()
    found = {f"{float(name):g}": int(value) / 1e6 for name, value in PERCENTILE.findall(summary)}
    print(json.dumps({"percentiles": found, "requests": client.count, "elapsed_s": elapsed, "cpu_s": cpu}))


if __name__ == "__main__":
    main()
