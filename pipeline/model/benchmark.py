"""What the model server inside the image did under load."""

from datetime import datetime
from typing import ClassVar

from pydantic import Field

from pipeline.model.base import Evidence, Value
from pipeline.reference import Digest


class ColdStart(Value):
    """Time from the start of the container to each step, in milliseconds."""

    port_open_ms: float
    ready_ms: float
    first_answer_ms: float


class Latency(Value):
    """Percentiles of a set of durations, in milliseconds."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    mean_ms: float


class BenchmarkReport(Evidence):
    """What the model server inside the image did under a steady load.

    Latency counts from the moment at which a request was *due*, so a stalled server shows (open loop);
    `service_time` counts from the moment at which it was sent.
    """

    LOOPBACK: ClassVar[str] = "this machine's loopback"
    """The route to a server whose engine is on this machine."""

    digest: Digest
    protocol: str
    model: str | None = None
    rate_rps: float = Field(description="requests per second that were due")
    duration_s: float
    warmup_requests: int
    cold_start: ColdStart
    requests: int
    errors: int
    error_samples: tuple[str, ...] = ()
    throughput_rps: float = Field(description="good answers per second")
    latency: Latency | None = Field(default=None, description="None where no request was answered")
    service_time: Latency | None = None
    send_lag_p99_ms: float = Field(description="how late the generator itself was")
    generator_cpu: float = Field(description="share of one core that the load generator used, 0 to 1")
    peak_memory_bytes: int
    memory_source: str = Field(description="where the peak was read: cgroup v1, cgroup v2, engine statistics")
    route: str = Field(default="", description="how the load came to the server; empty: unknown")
    finished_at: datetime | None = Field(default=None, description="None in older records")
    invalid: tuple[str, ...] = Field(default=(), description="why the numbers must not be trusted, if so")
