"""`benchmark:` in pipeline.yaml: the load on the model server."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from pipeline.section import Number, Seconds, Section
from pipeline.variables import Variables


class BenchmarkSection(Section):
    """The load on the model server inside the image."""

    port: Annotated[int, Field(ge=1, le=65535), Number] = 8080
    """Port of the server in the container."""
    protocol: str = "v2"
    """How the server is spoken to: v2 (Open Inference Protocol: Triton, KServe, MLServer)."""
    model: str | None = None
    """Name of the model at the server; default: the image's name."""
    request: Path | None = None
    """JSON file with one inference request; default: zeros in the shape that the server says."""
    rate_rps: Annotated[float, Field(gt=0, le=10_000), Number] = 20
    """Requests per second, sent on a fixed schedule however slow the answers are."""
    duration_s: Seconds = 10
    """How long the load lasts."""
    warmup_s: Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False), Number] = 2
    """Load before the measurement that is not counted."""
    readiness_timeout_s: Seconds = 120
    """How long the server may take to be ready."""
    request_timeout_s: Seconds = 10
    """How long an answer may take before it counts as an error."""
    memory_limit: str | None = None
    """Memory limit of the container, such as 2g."""
    cpus: Annotated[float, Field(gt=0, allow_inf_nan=False), Number] | None = None
    """Number of processors that the container may use."""
    environment: Variables = Field(default={})
    """Variables to set in the container."""
    network: Literal["publish", "host"] = "publish"
    """How the port is reached: published where this job reaches it, or in the machine's own network."""
