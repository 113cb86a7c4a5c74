"""`benchmark.load`, `further_loads` and `sweep` in pipeline.yaml: how much is asked of the server."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.section import Number, Seconds, Section

Rate = Annotated[float, Field(gt=0, le=10_000), Number]


class LoadSection(Section):
    """One load: a rate that is kept however slow the answers are, or clients that wait for theirs."""

    shape: Literal["constant", "poisson"] = "constant"
    """Requests at even distances, or at random ones as many independent users send them."""
    rate_rps: Rate | None = None
    """Requests per second; default: `benchmark.rate_rps`."""
    concurrency: Annotated[int, Field(ge=1, le=10_000), Number] | None = None
    """Instead of a rate: so many clients, each of which sends its next request when it has its answer."""
    duration_s: Seconds | None = None
    """How long the load lasts; default: `benchmark.duration_s`."""

    @model_validator(mode="after")
    def _is_one_of_two(self) -> Self:
        if self.concurrency is not None and (self.rate_rps is not None or self.shape != "constant"):
            raise ValueError(
                "`concurrency` goes without `rate_rps` and `shape`: waiting clients keep no rate"
            )
        return self


class SweepSection(Section):
    """The search for the highest rate whose p99 is within a budget."""

    p99_ms: Annotated[float, Field(gt=0, allow_inf_nan=False), Number]
    """Latency that 99 % of the requests have to stay below."""
    begin_rps: Rate = 10
    """The first rate that is tried; then twice as much, and so on."""
    highest_rps: Rate = 10_000
    """No more is tried."""
    step_s: Seconds = 5
    """How long each rate is tried; low rates longer, up to a minute, as a p99 needs 100 answers."""
    within: Annotated[float, Field(gt=0, lt=1), Number] = 0.1
    """How closely the highest rate is searched for, from 0 to 1."""
