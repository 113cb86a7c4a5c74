"""From what was counted to the evidence."""

from pipeline.model import LoadResult, TokenTimes
from stages.load.closed_loop import ClosedLoop
from stages.load.measured import Measured, TokenCounts
from stages.load.open_loop import OpenLoop
from stages.load.validity import doubts


def result_of(load: OpenLoop | ClosedLoop, measured: Measured) -> LoadResult:
    """Return what came of a load."""
    return LoadResult(
        shape=load.shape if isinstance(load, OpenLoop) else "closed",
        rate_rps=load.rate_rps if isinstance(load, OpenLoop) else None,
        concurrency=load.concurrency if isinstance(load, ClosedLoop) else None,
        duration_s=load.duration_s,
        requests=measured.due,
        errors=measured.failed,
        errors_by_kind=dict(measured.kinds.most_common()),
        wrong_answers=measured.wrong,
        checked_answers=measured.checked,
        throughput_rps=measured.good / measured.elapsed_s,
        latency=measured.latencies.summary() if measured.good else None,
        service_time=measured.service.summary() if measured.good else None,
        tokens=None if measured.tokens is None else _tokens(measured.tokens, measured.elapsed_s),
        send_lag_p99_ms=measured.send_lag_p99_ms,
        generator_cpu=min(1.0, measured.generator_cpu),
        invalid=doubts(measured),
    )


def _tokens(found: TokenCounts, elapsed_s: float) -> TokenTimes | None:
    first, each = found.first.summary(), found.each.summary()
    if first is None:
        return None
    return TokenTimes(
        tokens=found.tokens,
        tokens_per_s=found.tokens / elapsed_s,
        first_token=first,
        per_token=each,
        request_tokens_per_s=1000 / each.p50_ms if each is not None else 0.0,
        counted_by="usage" if found.counted_by_server else "chunks",
    )
