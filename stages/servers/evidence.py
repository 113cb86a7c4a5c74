"""From measurements to the benchmark's report."""

from collections.abc import Sequence
from datetime import UTC, datetime

from pipeline.model import BenchmarkReport, ColdStart, Machine, Pull
from pipeline.reference import Digest
from stages.servers.session import Measurement
from stages.servers.sizing import sizing_of


def report_of(  # noqa: PLR0913 - what a benchmark consists of
    digest: Digest,
    protocol: str,
    measured: Measurement,
    *,
    starts: Sequence[ColdStart],
    pull: Pull | None = None,
    cpus: float | None = None,
    machine: Machine | None = None,
    doubts: Sequence[str] = (),
) -> BenchmarkReport:
    """Return the report whose numbers are those of the steady load, the first one."""
    load, *further = measured.loads
    return BenchmarkReport(
        digest=digest,
        protocol=protocol,
        model=measured.model,
        rate_rps=load.throughput_rps if load.rate_rps is None else load.rate_rps,
        duration_s=load.duration_s,
        warmup_requests=measured.warmup_requests,
        cold_start=starts[0],
        requests=load.requests,
        errors=load.errors,
        error_samples=measured.error_samples,
        throughput_rps=load.throughput_rps,
        latency=load.latency,
        service_time=load.service_time,
        send_lag_p99_ms=load.send_lag_p99_ms,
        generator_cpu=load.generator_cpu,
        peak_memory_bytes=measured.peak_memory_bytes,
        memory_source=measured.memory_source,
        route=measured.route,
        finished_at=datetime.now(UTC),
        invalid=(*load.invalid, *measured.doubts, *doubts),
        starts=tuple(starts),
        pull=pull,
        load=load,
        further_loads=tuple(further),
        sweep=measured.sweep,
        resources=measured.resources,
        sizing=sizing_of(
            measured.peak_memory_bytes,
            load,
            resources=measured.resources,
            sweep=measured.sweep,
            cpus=cpus,
        ),
        shutdown=measured.shutdown,
        machine=machine,
    )
