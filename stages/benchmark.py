"""The benchmark stage: runs the image as it will be run, and measures the model server inside it."""

import asyncio
import json
import os
import platform
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from pipeline import process
from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import PipelineError, StageFailed
from pipeline.model import BenchmarkReport, BuiltImage, Check, ColdStart, DiskNeed, Problem
from pipeline.reference import Digest
from stages.buildkit.disk_needs import loading_need
from stages.load.measured import Measured
from stages.load.open_loop import OpenLoop, drive
from stages.load.result import result_of
from stages.load.sending import Sender
from stages.load.validity import is_late
from stages.models.disk_needs import benchmark_needs
from stages.models.fetch import fetch
from stages.models.interface import Files
from stages.models.model import Model
from stages.models.registry_layers import RegistryLayers
from stages.servers import PROTOCOLS
from stages.servers.archive import load_application
from stages.servers.causes import with_weights
from stages.servers.checks import (
    check_limits,
    check_load,
    check_platforms,
    check_protocol,
    check_request,
    missing,
    parse_memory,
)
from stages.servers.container import Container, ContainerSettings, while_alive
from stages.servers.engine import Engine, EngineFacts
from stages.servers.interface import LOOPBACK, ModelServer, Payload, ServerProtocol, Target
from stages.servers.memory import PeakMemory, find_source
from stages.servers.reach import SUBJECT, check_reach, find_reach
from stages.servers.site import Site
from stages.servers.start import Clock, NotReady, PortClosed, cold_start, is_open
from stages.servers.weights import place_weights

MEASURES = 1  # raised whenever what is measured, or how, changes: an older record is then not taken again
SHOWN_ERRORS = 5
ATTEMPTS = 3  # a machine that was busy with something else for a moment is no reason to fail


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """Run the image with its model mounted in place, wait until it answers, and drive a steady load."""

    port: int
    """Where the server listens inside the container."""
    protocol: str = "v2"
    model: str | None = None
    """The model's name at the server; None asks the server."""
    request: Path | None = None
    """A file with the body of an inference request; None has one made from the model's metadata."""
    rate_rps: float = 20.0
    duration_s: float = 10.0
    warmup_s: float = 2.0
    readiness_timeout_s: float = 120.0
    request_timeout_s: float = 10.0
    memory_limit: str | None = None
    """Such as 512m or 2Gi, in units of 1,024."""
    cpus: float | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    network: Literal["publish", "host"] = "publish"
    files: Files | None = None
    """Where remote weights are fetched from; the server needs them on this machine."""
    registries: RegistryLayers | None = None
    """Where the weights' layers may be already, nearer than their source."""
    weights: Model | None = None
    """The model, to tell how much of it will have to come here."""
    platforms: tuple[str, ...] = ()
    """What the image is built for, as far as it is known before the build."""
    protocols: Mapping[str, ServerProtocol] = field(default_factory=lambda: PROTOCOLS)

    name: ClassVar[str] = "benchmark"
    needs: ClassVar[tuple[type, ...]] = (BuiltImage,)
    gives: ClassVar[type[BenchmarkReport]] = BenchmarkReport

    def check(self, desk: Desk) -> tuple[Check, ...]:
        """Return whether protocol, request and load are sound, and the engine can run what is asked for."""
        checks = (
            check_protocol(self.protocol, self.protocols),
            check_request(self.request),
            check_load(self._of_rate(self.duration_s)),
        )
        try:
            facts = Engine(desk.run).facts()
        except PipelineError as error:
            return (*checks, missing(SUBJECT, Problem.TOOL, error.message, error.advice))
        limits = check_limits(self.memory_limit, self.cpus, self.environment, facts)
        reach = check_reach(facts, host_network=self.network == "host")
        return (*checks, reach, check_platforms(self.platforms, facts), limits)

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
            body = "" if self.request is None else Digest.of(self.request.read_bytes())
        except (PipelineError, OSError):
            return None
        image = have[BuiltImage]
        told_otherwise = {
            "protocols",
            "environment",
            "files",
            "registries",
            "weights",
            "platforms",
        }  # the digest tells of the last three
        options = {name: getattr(self, name) for name in self.__slots__ if name not in told_otherwise}
        known = {
            **options,
            "environment": dict(self.environment),
            "request": body,
            "digest": image.digest,
            "model": [[layer.descriptor.digest, layer.path] for layer in image.as_mounted(image.weights)],
            "engine": [facts.version, facts.platform, facts.cpus, reach.kind],
            "machine": [platform.machine(), platform.release(), os.cpu_count()],
            "measures": MEASURES,
        }
        return Digest.of(json.dumps(known, sort_keys=True).encode())

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
        engine = Engine(desk.run)
        facts = engine.facts()
        site = Site(engine=engine, desk=desk, reach=find_reach(facts), name=_unique(desk.run_name))
        container = self._container(image, facts, site)
        clock = Clock(started=time.perf_counter(), timeout_s=self.readiness_timeout_s, say=desk.say)
        container.start()
        source = find_source(container.id, container.state().pid)
        with PeakMemory(source) as memory:
            measured = self._measure(container, image, clock)
        return self._report(image, measured, memory, container)

    def _container(self, image: BuiltImage, facts: EngineFacts, site: Site) -> Container:
        layers = fetch(image.weights, self.files, site.desk, self.registries)
        application = load_application(image, facts, site.engine, site.desk, site.name)
        settings = ContainerSettings(
            image=application,
            port=self.port,
            host_network=self.network == "host",
            mounts=place_weights(image.as_mounted(layers), application, site),
            environment=self.environment,
            memory_bytes=None if self.memory_limit is None else parse_memory(self.memory_limit),
            cpus=self.cpus,
        )
        if settings.host_network:
            _refuse_taken(self.port)
        site.desk.say("starting the server")
        return Container(site, settings)

    def _measure(self, container: Container, image: BuiltImage, clock: Clock) -> "_Result":
        import uvloop

        try:
            host, port = container.address()
            target = Target(
                host=host,
                port=port,
                model=self.model,
                image=image.name.rpartition("/")[2],
                payloads=() if self.request is None else (Payload(body=self.request.read_bytes()),),
            )
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return runner.run(while_alive(container, self._session(target, clock)))
        except NotReady as error:
            what = f"the server was not ready after {self.readiness_timeout_s:g} s: {error}"
            advice = container.why_closed() if isinstance(error, PortClosed) else error.advice
            raise _explained(StageFailed(what, advice=advice), container, image) from None
        except StageFailed as error:
            raise _explained(error, container, image) from error

    async def _session(self, target: Target, clock: Clock) -> "_Result":
        async with self.protocols[self.protocol].connect(target) as server:
            start = await cold_start(server, target, clock)
            warmup = await self._load(server, "warm-up", self.warmup_s, clock) if self.warmup_s > 0 else None
            load = await self._steady_load(server, clock)
            return _Result(server.model, start, 0 if warmup is None else warmup.due, load)

    async def _steady_load(self, server: ModelServer, clock: Clock) -> Measured:
        """Return the first load during which nothing else kept this machine busy, or the last one."""
        for _ in range(ATTEMPTS - 1):
            measured = await self._load(server, "load", self.duration_s, clock)
            if not is_late(measured):
                return measured
            clock.say(f"the load generator was late (p99 {measured.send_lag_p99_ms:.0f} ms): once more")
        return await self._load(server, "load", self.duration_s, clock)

    async def _load(self, server: ModelServer, what: str, duration_s: float, clock: Clock) -> Measured:
        load = self._of_rate(duration_s)
        measured = Measured()
        sender = Sender(server=server, request_timeout_s=self.request_timeout_s, measured=measured)
        narrator = asyncio.create_task(_narrate(what, load, measured, clock))
        try:
            await drive(sender, load)
        finally:
            narrator.cancel()
        return measured

    def _of_rate(self, duration_s: float) -> OpenLoop:
        return OpenLoop(rate_rps=self.rate_rps, duration_s=duration_s)

    def _report(
        self, image: BuiltImage, result: "_Result", memory: PeakMemory, container: Container
    ) -> BenchmarkReport:
        redact = container.site.desk.redact
        samples = result.load.errors.most_common(SHOWN_ERRORS)
        load = result_of(self._of_rate(self.duration_s), result.load)
        return BenchmarkReport(
            digest=image.digest,
            protocol=self.protocol,
            model=result.model,
            rate_rps=self.rate_rps,
            duration_s=self.duration_s,
            warmup_requests=result.warmup_requests,
            cold_start=result.cold_start,
            requests=load.requests,
            errors=load.errors,
            error_samples=tuple(redact(f"{count} times: {message}") for message, count in samples),
            throughput_rps=load.throughput_rps,
            latency=load.latency,
            service_time=load.service_time,
            send_lag_p99_ms=load.send_lag_p99_ms,
            generator_cpu=load.generator_cpu,
            peak_memory_bytes=memory.peak_bytes,
            memory_source=memory.source,
            route=container.route,
            invalid=(*load.invalid, *memory.doubts()),
            load=load,
        )


def _unique(run_name: str) -> str:
    name = f"model-image-pipeline-{run_name or 'run'}-{secrets.token_hex(4)}"
    return re.sub(r"[^a-z0-9.-]+", "-", name.lower())


@dataclass(frozen=True, slots=True)
class _Result:
    """What was measured while the container ran."""

    model: str | None
    cold_start: ColdStart
    warmup_requests: int
    load: Measured


async def _narrate(what: str, load: OpenLoop, measured: Measured, clock: Clock) -> None:
    begin = time.perf_counter()
    while True:
        spent = time.perf_counter() - begin
        done = f"{measured.good} good answers, {measured.failed} errors"
        clock.say(f"{what}: {min(spent, load.duration_s):.0f} of {load.duration_s:g} s, {done}")
        await asyncio.sleep(1.0)


def _explained(error: StageFailed, container: Container, image: BuiltImage) -> StageFailed:
    """Return the error with the end of the server's log, and with what that log tells of the weights."""
    tail = error.tail or "\n".join(container.log_tail())
    advice = with_weights(error.advice, tail, mounted=bool(image.weights))
    return StageFailed(error.message, advice=advice, tail=tail)


def _refuse_taken(port: int) -> None:
    if asyncio.run(is_open(LOOPBACK, port)):
        raise StageFailed(
            f"port {port} of this machine is taken, so the server in the container could not have it",
            advice="Stop what listens there, or set `benchmark.network: publish`.",
        )
