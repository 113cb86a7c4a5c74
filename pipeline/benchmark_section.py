"""`benchmark:` in pipeline.yaml: the load on the model server."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, ByteSize, Field

from pipeline.load_section import LoadSection, Rate, SweepSection
from pipeline.reference import Reference
from pipeline.section import Number, Seconds, Section, Words
from pipeline.variables import Variables

DEPLOYED = "deployed"


def _deployed_or_image(text: str) -> str:
    if text != DEPLOYED:
        Reference.parse(text)  # ValueError: it is none
    return text


class RequestSection(Section):
    """A file with requests among others."""

    file: Path
    """JSON file, JSON lines, or any other file that is sent as it is."""
    weight: Annotated[float, Field(gt=0, allow_inf_nan=False), Number] = 1
    """How often it is sent: twice the weight of another file is twice as often."""
    expect: Path | None = None
    """File with the expected answer; default: `<file>.expected.json` beside it, if any."""


class SidecarSection(Section):
    """A container that runs beside the model server, in the same network as in a pod."""

    image: str
    """Image as the engine knows it, or can pull it."""
    environment: Variables = Field(default={})
    """Variables to set in the container."""
    command: Words = ()
    """Arguments in place of the image's own."""
    port: Annotated[int, Field(ge=1, le=65535), Number] | None = None
    """Port at which it has to listen before the model server is asked whether it is ready."""


class BenchmarkSection(Section):
    """The load on the model server inside the image."""

    port: Annotated[int, Field(ge=1, le=65535), Number] = 8080
    """Port of the server in the container."""
    protocol: str = "v2"
    """How the server is spoken to: v2 (Open Inference Protocol: Triton, KServe, MLServer)."""
    model: str | None = None
    """Name of the model at the server; default: the image's name."""
    request: Path | Annotated[tuple[RequestSection, ...], Field(min_length=1)] | None = None
    """JSON file with one inference request, JSON lines (.jsonl) with one a line, any other file as it is,
    or a list of `{file, weight, expect}`; default: zeros in the shape that the server says."""
    options: dict[str, str] = Field(default={})
    """What the protocol alone understands, such as `path` of plain HTTP."""
    expect: Path | None = None
    """File with the expected answer to the request, of JSON lines a line each; default:
    `<request>.expected.json` beside it, if any."""
    check_answers: bool | None = None
    """Compare answers under load with those asked alone; default: on, but off for language models."""
    tolerance: Annotated[float, Field(ge=0, le=1), Number] = 1e-4
    """Share by which a fraction in an answer may differ from the expected one; whole numbers must not."""
    rate_rps: Rate = 20
    """Requests per second, sent on a fixed schedule however slow the answers are."""
    duration_s: Seconds = 10
    """How long the load lasts."""
    load: LoadSection = LoadSection()
    """The steady load, where it is more than `rate_rps` and `duration_s`."""
    further_loads: tuple[LoadSection, ...] = ()
    """Other loads after it, each with numbers of its own."""
    sweep: SweepSection | None = None
    """Search for the highest rate within a budget."""
    warmup_s: Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False), Number] = 2
    """Load before the measurement that is not counted."""
    starts: Annotated[int, Field(ge=1, le=100), Number] = 3
    """How often the server is started: the first start is told apart from the warm ones."""
    readiness_timeout_s: Seconds = 120
    """How long the server may take to be ready."""
    request_timeout_s: Seconds = 10
    """How long an answer may take before it counts as an error."""
    stop_timeout_s: Seconds = 30
    """How long the server may take to stop before it is killed; a cluster's own default is 30."""
    resources: Literal["from-manifest"] | None = None
    """Take `memory_limit` and `cpus`, where they are not set here, from the manifest that will be updated."""
    memory_limit: str | None = None
    """Memory limit of the container, such as 2g."""
    cpus: Annotated[float, Field(gt=0, allow_inf_nan=False), Number] | None = None
    """Number of processors that the container may use."""
    gpus: str | None = None
    """GPUs for the container, as `docker run --gpus` has it: all, 1, device=0."""
    pull_bandwidth: ByteSize = ByteSize(125_000_000)
    """Bytes per second at which a node pulls the image, for an estimate: such as 1gbit or 100MB."""
    measure_pull: bool = False
    """Fetch the image from its registry too, if it is there already, and tell how long that takes."""
    baseline: Annotated[str, AfterValidator(_deployed_or_image)] | None = None
    """Image to compare with, run in turn with the new one: `deployed`, which the manifests name now, or a
    reference such as registry.example.com/models/digits:stable. Default: none."""
    rounds: Annotated[int, Field(ge=5, le=100), Number] = 5
    """How often each of the two is started and measured."""
    most_rounds: Annotated[int, Field(ge=5, le=1000), Number] = 15
    """How many rounds there may be while a rule with `inconclusive: more-rounds` is undecided."""
    rounds_time_limit_s: Seconds = 1800
    """No round begins that would end later than this after the first one began."""
    environment: Variables = Field(default={})
    """Variables to set in the container."""
    sidecars: tuple[SidecarSection, ...] = ()
    """Containers beside the server, in the order of their start."""
    network: Literal["publish", "host"] = "publish"
    """How the port is reached: published where this job reaches it, in a network without a way to anybody
    else, or in the machine's own network."""
