"""What the model server inside the image did under load, and how that compares with what is deployed."""

from datetime import datetime
from typing import ClassVar, Literal

from pydantic import Field

from pipeline.model.base import Evidence, Value
from pipeline.model.comparison import Comparison
from pipeline.reference import Digest


class ColdStart(Value):
    """Time from the start of the container to each step, in milliseconds."""

    container_ms: float | None = Field(default=None, description="the engine says that the process runs")
    port_open_ms: float
    live_ms: float | None = Field(default=None, description="the server answers; None: it is not asked")
    ready_ms: float
    first_answer_ms: float
    steady_ms: float | None = Field(
        default=None,
        description="answers are no slower than later ones; None: not in the warm-up",
    )

    def steps(self) -> tuple[tuple[str, float], ...]:
        """Return the steps that were seen, in their order, and when each was done."""
        known = (
            ("container", self.container_ms),
            ("port", self.port_open_ms),
            ("live", self.live_ms),
            ("ready", self.ready_ms),
            ("first answer", self.first_answer_ms),
            ("steady", self.steady_ms),
        )
        return tuple((name, ms) for name, ms in known if ms is not None)


class Pull(Value):
    """What a node has to fetch before it can start the container, compressed."""

    total_bytes: int = Field(description="every layer, on a node that has nothing")
    application_bytes: int = Field(description="without the weights' layers")
    bandwidth_bytes_per_s: int | None = Field(default=None, description="that was assumed for the estimate")
    estimated_s: float | None = None
    measured_s: float | None = Field(default=None, description="of a pull from the registry, where asked for")
    not_measured: str = Field(default="", description="why not, where it was asked for")


class Latency(Value):
    """Percentiles of a set of durations, in milliseconds."""

    p50_ms: float
    p90_ms: float | None = Field(default=None, description="None in older records, as p99_9_ms")
    p95_ms: float
    p99_ms: float
    p99_9_ms: float | None = None
    max_ms: float
    mean_ms: float


class TokenTimes(Value):
    """How fast a language model generated, over the requests of one load."""

    tokens: int = Field(description="that were generated, of all requests")
    tokens_per_s: float = Field(description="of all requests together")
    first_token: Latency = Field(description="from the moment at which the request was due")
    per_token: Latency | None = Field(default=None, description="after the first; None: one token each")
    request_tokens_per_s: float = Field(description="of one request, the median")
    counted_by: Literal["usage", "chunks"] = Field(description="by the server, or parts of the stream")


class LoadResult(Value):
    """What came of one load.

    constant, poisson: requests are due at a rate, whatever the server does (open loop); closed: so many
    clients, each of which sends its next request when it has the answer.
    """

    shape: Literal["constant", "poisson", "closed"]
    rate_rps: float | None = Field(default=None, description="requests per second that were due")
    concurrency: int | None = Field(default=None, description="clients of a closed loop")
    duration_s: float
    requests: int
    errors: int
    errors_by_kind: dict[str, int] = Field(default={})
    wrong_answers: int = Field(default=0, description="of those that were checked; they count as errors too")
    checked_answers: int = 0
    throughput_rps: float = Field(description="good answers per second")
    latency: Latency | None = Field(default=None, description="None where no request was answered")
    service_time: Latency | None = None
    tokens: TokenTimes | None = None
    send_lag_p99_ms: float = 0.0
    generator_cpu: float = Field(default=0.0, description="share of one core")
    invalid: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.shape == "closed":
            return f"{self.concurrency or 0} client{'' if self.concurrency == 1 else 's'}"
        return f"{self.rate_rps or 0:g}/s{' at random' if self.shape == 'poisson' else ''}"


class Sweep(Value):
    """The highest rate that the server answered within the budget, and the rates that were tried."""

    budget_p99_ms: float
    best_rps: float | None = Field(default=None, description="None: not even the lowest rate fitted")
    limit: str = Field(default="", description="why no higher rate: latency, errors, generator, or the end")
    steps: tuple[LoadResult, ...] = ()


class GpuUse(Value):
    """What one GPU was used, as nvidia-smi tells."""

    name: str
    peak_memory_bytes: int
    mean_utilisation: float = Field(description="0 to 1")


class Resources(Value):
    """What the container used; memory without the page cache where the kernel tells it apart."""

    steady_memory_bytes: int | None = Field(default=None, description="the median under load")
    page_cache_bytes: int | None = None
    memory_growth_bytes: int | None = Field(
        default=None, description="from the first fifth of the load to the last; None: too short to tell"
    )
    cpu_seconds_per_1000_requests: float | None = None
    cpu_cores: float | None = Field(default=None, description="used under load, the mean")
    throttled_share: float | None = Field(default=None, description="of the scheduler's periods, 0 to 1")
    out_of_memory_kills: int | None = None
    gpus: tuple[GpuUse, ...] = ()
    source: str = Field(default="", description="cgroup v1, cgroup v2, engine statistics")


class Sizing(Value):
    """A hint for requests and limits, with the numbers behind it."""

    memory_request_bytes: int
    memory_limit_bytes: int
    cpu_request_cores: float | None = None
    requests_per_s_per_replica: float | None = None
    because: tuple[str, ...] = ()


class Shutdown(Value):
    """What the server did when it was asked to stop while requests were on their way."""

    duration_s: float
    exit_code: int | None
    killed: bool = Field(description="it had to be killed when the time was over")
    in_flight: int = Field(default=0, description="requests that were on their way")
    finished: int = Field(default=0, description="of those, that got a good answer")
    with_connection_s: float | None = Field(
        default=None, description="of another start, while a client kept an idle connection; None: not tried"
    )


class Machine(Value):
    """Where it was measured, and how quiet it was."""

    kind: str = Field(description="processor, cores and memory: numbers of other kinds do not compare")
    calibration_spread: float | None = Field(
        default=None, description="of a fixed piece of work during the measurement: deviation over mean"
    )
    steal_share: float | None = Field(default=None, description="time that the host took away, 0 to 1")
    frequency_mhz: float | None = None
    load_before: float | None = Field(default=None, description="processes that wanted to run")


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
    starts: tuple[ColdStart, ...] = Field(
        default=(), description="every start, the first one first: `cold_start` is that one"
    )
    pull: Pull | None = None
    load: LoadResult | None = Field(default=None, description="the steady load; None in older records")
    further_loads: tuple[LoadResult, ...] = ()
    sweep: Sweep | None = None
    resources: Resources | None = None
    sizing: Sizing | None = None
    shutdown: Shutdown | None = None
    machine: Machine | None = None
    settings: str = Field(
        default="", description="a digest of all that was asked for but the image; empty in older records"
    )
    comparison: Comparison | None = None
    comparison_missing: str = Field(default="", description="why there is none, where one was wanted")

    @property
    def all_loads(self) -> tuple[LoadResult, ...]:
        """Every load that was on the server after the warm-up, those of the sweep last."""
        first = () if self.load is None else (self.load,)
        return (*first, *self.further_loads, *(self.sweep.steps if self.sweep is not None else ()))
