"""The benchmark stage: runs the image as it will be run, and measures the model server inside it."""

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Literal

from pipeline import process
from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import PipelineError
from pipeline.model import (
    BenchmarkReport,
    BuiltImage,
    Check,
    ColdStart,
    DiskNeed,
    Problem,
    Pull,
)
from stages.benchmark_identity import asked_of_a_server, digest_of
from stages.buildkit.disk_needs import loading_need
from stages.load.open_loop import OpenLoop
from stages.load.sweep import SweepPlan
from stages.models.disk_needs import benchmark_needs
from stages.models.interface import Files
from stages.models.model import Model
from stages.models.registry_layers import RegistryLayers
from stages.servers import PROTOCOLS
from stages.servers import pull as pulls
from stages.servers.baseline import Contest, Outcome
from stages.servers.built import BuiltHere
from stages.servers.checks import (
    check_found,
    check_limits,
    check_load,
    check_platforms,
    check_protocol,
    missing,
    parse_memory,
)
from stages.servers.engine import Engine, EngineFacts
from stages.servers.evidence import report_of
from stages.servers.found import FoundImage, Near
from stages.servers.interface import Payload, ServerProtocol
from stages.servers.limits import Limits, ReadLimits
from stages.servers.loading import Load, shortened
from stages.servers.machine import Watch, kind_of
from stages.servers.payloads import Requests, check_request, read_payloads
from stages.servers.reach import SUBJECT, check_reach, find_reach
from stages.servers.serving import Serving
from stages.servers.session import Measurement, Session, Workload
from stages.servers.sidecars import Sidecar
from stages.servers.site import our_site
from stages.servers.start import refuse_taken
from stages.servers.subject import Subject
from stages.servers.turn import our_turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """Run the image with its model mounted in place, wait until it answers, and drive a steady load."""

    port: int
    """Where the server listens inside the container."""
    protocol: str = "v2"
    model: str | None = None
    """The model's name at the server; None asks the server."""
    options: Mapping[str, str] = field(default_factory=dict)
    """What the protocol alone understands."""
    request: Requests = None
    """Files with inference requests; None has one made from the model's metadata."""
    expect: Path | None = None
    """A file with the answer that is expected to the only request file; None looks for one beside it."""
    load: Load = field(default_factory=lambda: OpenLoop(rate_rps=20.0, duration_s=10.0))
    further_loads: tuple[Load, ...] = ()
    sweep: SweepPlan | None = None
    sweep_step_s: float = 5.0
    warmup_s: float = 2.0
    starts: int = 3
    """How often the server is started; the load runs in the first start."""
    readiness_timeout_s: float = 120.0
    request_timeout_s: float = 10.0
    stop_timeout_s: float = 30.0
    check_answers: bool | None = None
    """Whether answers under load are compared with those asked alone; None: as the protocol has it."""
    tolerance: float = 1e-4
    """The share by which a fraction in an answer may differ from the expected one."""
    memory_limit: str | None = None
    """Such as 512m or 2Gi, in units of 1,024."""
    cpus: float | None = None
    limits: ReadLimits | None = None
    """Where limits come from that are not set here; None: there are none."""
    gpus: str | None = None
    pull_bandwidth: int | None = None
    """Bytes per second, for the estimate of a pull."""
    measure_pull: bool = False
    """Fetch the layers from the registry too, where it has them."""
    environment: Mapping[str, str] = field(default_factory=dict)
    sidecars: tuple[Sidecar, ...] = ()
    network: Literal["publish", "host"] = "publish"
    files: Files | None = None
    """Where remote weights are fetched from; the server needs them on this machine."""
    registries: RegistryLayers | None = None
    """Where the weights' layers may be already, nearer than their source."""
    weights: Model | None = None
    """The model, to tell how much of it will have to come here."""
    platforms: tuple[str, ...] = ()
    """What the image is built for, as far as it is known before the build."""
    contest: Contest | None = None
    """How it is compared with what is deployed."""
    protocols: Mapping[str, ServerProtocol] = field(default_factory=lambda: PROTOCOLS)

    name: ClassVar[str] = "benchmark"
    needs: ClassVar[tuple[type, ...]] = (BuiltImage,)
    gives: ClassVar[type[BenchmarkReport]] = BenchmarkReport

    def check(self, desk: Desk) -> tuple[Check, ...]:
        """Return whether protocol, request and load are sound, and the engine can run what is asked for."""
        checks = (
            check_protocol(self.protocol, self.protocols, self.options),
            check_request(self.request, self.expect, self._unfit),
            *map(check_load, (self.load, *self.further_loads)),
        )
        try:
            facts = Engine(desk.run).facts()
        except PipelineError as error:
            return (*checks, missing(SUBJECT, Problem.TOOL, error.message, error.advice))
        reach = check_reach(facts, host_network=self.network == "host")
        return (*checks, reach, check_platforms(self.platforms, facts), self._check_limits(desk, facts))

    def _unfit(self, payloads: Sequence[Payload]) -> str:
        """Return why the protocol could not send these; nothing where it can, or cannot tell yet."""
        problem_of = getattr(self.protocols.get(self.protocol), "problem_of", None)
        return problem_of(self.options, payloads) if callable(problem_of) else ""

    def _check_limits(self, desk: Desk, facts: EngineFacts) -> Check:
        limits = check_limits(self.memory_limit, self.cpus, self.environment, facts)
        if not limits.passed or self.limits is None:
            return limits
        try:
            return check_found(self._limits(desk), facts)
        except PipelineError as error:
            return missing("benchmark limits", Problem.MANIFEST, error.message, error.advice)

    def _limits(self, desk: Desk) -> Limits:
        """Return what is set here, and for the rest what the manifest states."""
        found = Limits() if self.limits is None else self.limits(desk)
        memory = found.memory_bytes if self.memory_limit is None else parse_memory(self.memory_limit)
        cpus, gpus = self.cpus or found.cpus, self.gpus or found.gpus
        return replace(found, memory_bytes=memory, cpus=cpus, gpus=gpus)

    def disk_needs(self, have: Artifacts, desk: Desk) -> tuple[DiskNeed, ...]:
        """Return what the engine needs to load the image, and the weights where they are not here."""
        del have
        weights = benchmark_needs(self.weights, desk) if self.weights is not None else ()
        return (loading_need(desk.cache / "images"), *weights)

    def identity(self, have: Artifacts) -> str | None:
        """Return the image, the options, the engine and the machine; None where they cannot be told."""
        try:
            facts = Engine(process.run).facts()
            reach = find_reach(facts)
            payloads = read_payloads(self.request, self.expect)
        except (PipelineError, OSError):
            return None
        if (self.limits is not None and self.limits.known is None) or self.contest is not None:
            return None  # what is deployed is not known beforehand
        image = have[BuiltImage]
        return digest_of(
            {
                **self._asked(payloads),
                "digest": image.digest,
                "model": [[layer.descriptor.digest, layer.path] for layer in image.as_mounted(image.weights)],
                "engine": [facts.version, facts.platform, facts.cpus, reach.kind],
                "machine": [kind_of(facts, reach), platform.release()],
                "limits": None if self.limits is None else self.limits.known,
            }
        )

    def _asked(self, payloads: Sequence[Payload]) -> dict[str, object]:
        options = {name: getattr(self, name) for name in self.__slots__}
        return asked_of_a_server(options, self.environment, payloads)

    def usable(self, made: BenchmarkReport) -> bool:
        """Tell whether recorded numbers may be taken again; those that must not be trusted may not."""
        return not made.invalid

    def run(self, have: Artifacts, desk: Desk) -> BenchmarkReport:
        """Measure, and leave neither container nor image behind.

        Raises:
            StageFailed: the server ended, did not become ready, or answers no inference.
            ToolMissing: the engine does not answer, or nothing in it can be reached from here.
            DiskFull: there is no room for the image in the engine.
        """
        image = have[BuiltImage]
        built = BuiltHere(image=image, files=self.files, registries=self.registries)
        return self.measure(built, desk, near=built.near)

    def measure(
        self,
        image: FoundImage,
        desk: Desk,
        *,
        near: Callable[[Desk], Near] = lambda _: Near(),
    ) -> BenchmarkReport:
        """Measure any image; `near` tells what another one may share with it, where there is a contest.

        Raises:
            PipelineError: as for `run`, or the image cannot be had.
        """
        site, facts = our_site(desk)
        subject = image.place(Near(), facts, site)
        if self.network == "host":
            refuse_taken(self.port)
        serving = self._serving(self._limits(desk))
        session = Session(site=site, subject=subject, serving=serving)
        with our_turn(desk.say) as doubts, Watch(kind_of(facts, site.reach)) as watch:
            measured, starts = self._measure(session)
            outcome = self._compared(session, image, lambda: near(desk), facts)
        report = report_of(
            image.digests[0],
            self.protocol,
            measured,
            starts=starts,
            pull=self._pull(subject, desk),
            cpus=serving.cpus,
            machine=watch.machine(),
            doubts=doubts,
        ).model_copy(update={"settings": self._settings(serving)})
        return outcome.told_in(report)

    def _pull(self, subject: Subject, desk: Desk) -> Pull | None:
        pull = pulls.pull_of(subject, self.pull_bandwidth)
        if pull is None or not self.measure_pull:
            return pull
        return pulls.measured(pull, subject, self.registries, desk)

    def _compared(
        self, session: Session, image: FoundImage, near: Callable[[], Near], facts: EngineFacts
    ) -> Outcome:
        if self.contest is None:
            return Outcome()
        return self.contest.held(session, image.digests, near, self._workload(), facts)

    def _settings(self, serving: Serving) -> str:
        """Return a digest of all that is asked but the image: numbers of other settings do not compare."""
        limits = [serving.memory_bytes, serving.cpus, *filter(None, (serving.gpus,))]
        return digest_of({**self._asked(serving.payloads), "limits": limits})

    def _measure(self, session: Session) -> tuple[Measurement, tuple[ColdStart, ...]]:
        """Return what was measured, and every start; in the last one a client keeps its connection."""
        measured = session.measure(self._workload())
        end = measured.shutdown
        keeps = getattr(self.protocols[self.protocol], "keeps_connections", True)
        if self.starts == 1 or not keeps or end is None or end.killed:  # who does not stop alone never does
            return measured, (
                measured.cold_start,
                *(session.start_once() for _ in range(self.starts - 1)),
            )
        between = tuple(session.start_once() for _ in range(self.starts - 2))
        last, duration_s = session.start_and_stop()
        end = end.model_copy(update={"with_connection_s": duration_s})
        return replace(measured, shutdown=end), (measured.cold_start, *between, last)

    def _serving(self, limits: Limits) -> Serving:
        protocol = self.protocols[self.protocol]
        varying = bool(getattr(protocol, "answers_vary", False))
        return Serving(
            port=self.port,
            protocol=protocol,
            model=self.model,
            payloads=read_payloads(self.request, self.expect),
            options=self.options,
            environment=self.environment,
            memory_bytes=limits.memory_bytes,
            cpus=limits.cpus,
            gpus=limits.gpus,
            host_network=self.network == "host",
            sidecars=self.sidecars,
            check_answers=not varying if self.check_answers is None else self.check_answers,
            tolerance=self.tolerance,
            readiness_timeout_s=self.readiness_timeout_s,
            request_timeout_s=self.request_timeout_s,
            stop_timeout_s=self.stop_timeout_s,
        )

    def _workload(self) -> Workload:
        return Workload(
            loads=(self.load, *self.further_loads),
            warmup=shortened(self.load, self.warmup_s) if self.warmup_s > 0 else None,
            sweep=self.sweep,
            sweep_step_s=self.sweep_step_s,
            shutdown=True,
        )
