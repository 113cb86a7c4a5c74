"""One image under measurement: started, waited for, warmed up, put under loads, stopped.

A session can be run several times, and those of two images in turn: every start is a container of its own.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pipeline.model import ColdStart, GpuUse, LoadResult, Resources, Shutdown, Sweep
from stages.load.open_files import many_open_files
from stages.load.sweep import SweepPlan
from stages.servers.container import Container, ContainerSettings
from stages.servers.dialogue import Dialogue
from stages.servers.gpus import GpuWatch
from stages.servers.interface import Target
from stages.servers.loading import Done, Load, Loads, unwatched
from stages.servers.memory import find_source
from stages.servers.resources import Sampler, resources_of
from stages.servers.serving import Serving
from stages.servers.shutdown import Ending
from stages.servers.sidecars import start_beside
from stages.servers.site import Site
from stages.servers.start import Clock, cold_start, until_open
from stages.servers.subject import Subject
from stages.servers.warming import steady_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What is asked of a running server."""

    loads: tuple[Load, ...]
    """The first one is the steady load, over which resources are counted."""
    warmup: Load | None = None
    sweep: SweepPlan | None = None
    sweep_step_s: float = 5.0
    shutdown: bool = False
    """Whether its end is measured too; if not, it is killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What was measured between one start of a server and its end."""

    model: str | None
    route: str
    cold_start: ColdStart
    warmup_requests: int
    loads: tuple[LoadResult, ...]
    error_samples: tuple[str, ...]
    """Of the first load, redacted."""
    sweep: Sweep | None
    resources: Resources
    """Over the first load, but for the kills: of the whole life."""
    peak_memory_bytes: int
    memory_source: str
    shutdown: Shutdown | None
    doubts: tuple[str, ...]
    """Why the numbers must not be trusted, beside what the loads say themselves."""


class Running:
    """A server that is ready, for as long as `Session.running` lends it."""

    cold_start: ColdStart

    def __init__(
        self, session: "Session", container: Container, dialogue: Dialogue, sampler: Sampler, clock: Clock
    ) -> None:
        self.container, self.sampler = container, sampler
        self._dialogue, self._serving, self._clock = dialogue, session.serving, clock
        host, port = dialogue.address()
        serving = session.serving
        self._target = Target(
            host=host,
            port=port,
            model=serving.model,
            image=session.subject.name,
            payloads=serving.payloads,
            options=dict(serving.options),
            tolerance=serving.tolerance,
        )
        self._server = dialogue.connect(serving.protocol, self._target)
        self._loads = Loads(self._server, serving.request_timeout_s, container.site.desk.say)

    @property
    def model(self) -> str | None:
        """The model's name at the server."""
        return self._server.model

    def wait_until_ready(self, container_ms: float) -> None:
        """Start what runs beside it, and wait for port, life, readiness and a first answer."""
        for sidecar in self._serving.sidecars:
            start_beside(self.container, sidecar)
            if sidecar.port is not None:
                host, port = self._dialogue.address(sidecar.port)
                self._dialogue.run(until_open(host, port, self._clock, sidecar.image))
        start = self._dialogue.run(cold_start(self._server, self._target, self._clock))
        self.cold_start = start.model_copy(update={"container_ms": container_ms})

    def warm_up(self, load: Load) -> int:
        """Return how many requests were sent; the cold start tells then since when answers are quick."""
        timed, requests = self._dialogue.run(self._loads.warm_up(load))
        if (steady := steady_at(timed.answered)) is not None:
            steady_ms = (steady - self._clock.started) * 1000
            self.cold_start = self.cold_start.model_copy(update={"steady_ms": steady_ms})
        return requests

    def expect_answers(self) -> None:
        """Ask every payload alone, so that answers under load can be compared."""
        compare = self._serving.check_answers
        self._dialogue.run(self._loads.ask_alone(compare=compare))

    def load(self, load: Load, what: str = "load", *, watched: bool = False) -> Done:
        """Put the server under one load; once more where something else kept this machine busy."""
        watch = self.sampler.window if watched else unwatched
        return self._dialogue.run(self._loads.steady(load, what, watch))

    def used(self, done: Done, gpus: tuple[GpuUse, ...] = ()) -> Resources:
        """Return what was used over a load that was watched."""
        return resources_of(
            done.window, good=done.good, elapsed_s=done.elapsed_s, source=self.sampler.source, gpus=gpus
        )

    def sweep(self, plan: SweepPlan, step_s: float) -> Sweep:
        """Look for the highest rate within a budget."""
        return self._dialogue.run(self._loads.sweep(plan, step_s))

    def shut_down(self, usual_s: float) -> Shutdown:
        """Ask it to stop while requests are on their way, hang up, and wait for its end."""
        self.container.site.desk.say("asking the server to stop")
        timeout_s, signal = self._serving.stop_timeout_s, self.container.stop_signal()
        ending = Ending(self.container, self._server, timeout_s, usual_s, signal)
        self.sampler.stop()
        self._dialogue.run_to_its_end(ending.ask())
        self._dialogue.hang_up()
        return ending.wait()

    def stop_with_connection(self) -> float:
        """Return the seconds that it takes to stop, or until it is given up, with a connection left open."""
        self.sampler.stop()
        signal = self.container.stop_signal()
        begin = time.perf_counter()
        self.container.signal(signal)
        self.container.ended.wait(self._serving.stop_timeout_s)
        return time.perf_counter() - begin


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """An image, how it is served, and the engine that runs it."""

    site: Site
    subject: Subject
    serving: Serving

    @contextmanager
    def running(self) -> Iterator[Running]:
        """Start the server and lend it once it is ready; nothing of it is left afterwards.

        Raises:
            StageFailed: it ended, did not become ready, or answers no inference.
        """
        site = self.site.part()
        serving = self.serving
        try:
            container = Container(site, _settings(self.subject, serving))
            site.desk.say("starting the server")
            clock = Clock(
                started=time.perf_counter(), timeout_s=serving.readiness_timeout_s, say=site.desk.say
            )
            container.start()
            container_ms = clock.since_start_ms()
            source = find_source(container.id, container.state().pid)
            with (
                many_open_files(),
                Sampler(source) as sampler,
                Dialogue(
                    container,
                    with_weights=self.subject.with_weights,
                    readiness_timeout_s=serving.readiness_timeout_s,
                ) as dialogue,
            ):
                running = Running(self, container, dialogue, sampler, clock)
                running.wait_until_ready(container_ms)
                yield running
        finally:
            site.desk.close()

    def start_once(self) -> ColdStart:
        """Start the server, and end it as soon as it has answered."""
        with self.running() as running:
            return running.cold_start

    def start_and_stop(self) -> tuple[ColdStart, float]:
        """Start the server, ask it to stop while we keep an idle connection, and return the seconds it took.

        Some servers wait for their clients to hang up, and a cluster's load balancer does not.
        """
        with self.running() as running:
            return running.cold_start, running.stop_with_connection()

    def measure(self, work: Workload) -> Measurement:
        """Start the server, do the work, and stop it.

        Raises:
            StageFailed: it ended, did not become ready, or answers no inference.
        """
        with self.running() as running:
            warmup_requests = 0 if work.warmup is None else running.warm_up(work.warmup)
            running.expect_answers()
            gpus = GpuWatch(wanted=self.serving.gpus is not None)
            with gpus:
                first = running.load(work.loads[0], watched=True)
            further = tuple(running.load(each, "further load").result for each in work.loads[1:])
            swept = None if work.sweep is None else running.sweep(work.sweep, work.sweep_step_s)
            usual = first.result.service_time
            usual_s = 0.0 if usual is None else usual.p50_ms / 1000
            shutdown = running.shut_down(usual_s) if work.shutdown else None
            return Measurement(
                model=running.model,
                route=running.container.route,
                cold_start=running.cold_start,
                warmup_requests=warmup_requests,
                loads=(first.result, *further),
                error_samples=tuple(map(self.site.desk.redact, first.samples)),
                sweep=swept,
                resources=running.used(first, gpus.used()).model_copy(
                    update={"out_of_memory_kills": running.sampler.kills}
                ),
                peak_memory_bytes=running.sampler.peak_bytes,
                memory_source=running.sampler.source,
                shutdown=shutdown,
                doubts=running.sampler.doubts(),
            )


def _settings(subject: Subject, serving: Serving) -> ContainerSettings:
    return ContainerSettings(
        image=subject.image,
        port=serving.port,
        host_network=serving.host_network,
        mounts=subject.mounts,
        environment=serving.environment,
        memory_bytes=serving.memory_bytes,
        cpus=serving.cpus,
        gpus=serving.gpus,
        more_ports=tuple(each.port for each in serving.sidecars if each.port is not None),
    )
