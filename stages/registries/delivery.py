"""Images into several registries side by side: no failure of one hides the success of another."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.desk import Desk, Say
from pipeline.errors import InternalError, Interrupted, PipelineError, RemoteError
from pipeline.model import ImageTag, PushedReference
from pipeline.reference import Repository
from stages.oci.image_content import ImageContent
from stages.oci.parallel import for_each
from stages.oci.push_image import UPLOADS_AT_A_TIME, ImagePush
from stages.oci.transport import Transport
from stages.registries.connections import Registries, client, connect
from stages.registries.interface import Registry
from stages.registries.progress import beside
from stages.registries.readiness import explained, require_fitting

REGISTRIES_AT_A_TIME = 4
UPLOADS_IN_ALL = 8  # a blob takes a connection, an open file and a few megabytes of memory while it travels


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """An image that one repository shall get."""

    repository: Repository
    content: ImageContent
    tags: tuple[ImageTag, ...]
    """The first one names the image in manifests."""
    mount_from: tuple[Repository, ...] = ()
    """Repositories that may hold the blobs already."""
    after: Repository | None = None
    """What must have got its image before: nobody shall pull an application whose weights are not there."""


Outcome = PushedReference | PipelineError


def deliver(deliveries: Sequence[Delivery], registries: Registries, desk: Desk) -> tuple[Outcome, ...]:
    """Return what became of each delivery, in their order; all are tried, whatever becomes of the others.

    What goes to one registry goes there one after the other, so that the later ones can mount what the
    earlier ones have uploaded. What ends the run (a Ctrl-C, a defect) ends all.
    """
    lanes: dict[object, _Lane] = {}
    for number, delivery in enumerate(deliveries):
        lane = lanes.setdefault(registries.login_of(delivery.repository), _Lane(registries, desk, desk.say))
        lane.deliveries[number] = delivery
    at_a_time = min(REGISTRIES_AT_A_TIME, len(lanes))
    say_of = beside(len(lanes), desk.say)
    for number, lane in enumerate(lanes.values()):
        lane.uploads_at_a_time = min(UPLOADS_AT_A_TIME, UPLOADS_IN_ALL // at_a_time)
        lane.say = say_of(number)
    stopped = threading.Event()
    try:
        found = for_each(
            lambda lane: lane.run(stopped), tuple(lanes.values()), threads=at_a_time, stopped=stopped
        )
    except BaseException:
        for lane in lanes.values():
            lane.stop()
        raise
    outcomes = {number: outcome for lane in found for number, outcome in lane.items()}
    return tuple(outcomes[number] for number in range(len(deliveries)))


@dataclass(slots=True)
class _Lane:
    """All that goes to one registry under one login, one after the other over the same connections."""

    registries: Registries
    desk: Desk
    say: Say
    deliveries: dict[int, Delivery] = field(default_factory=dict)
    uploads_at_a_time: int = UPLOADS_AT_A_TIME
    _transport: Transport | None = None
    _failed: set[Repository] = field(default_factory=set)
    _pushed: list[Repository] = field(default_factory=list)

    def run(self, stopped: threading.Event) -> dict[int, Outcome]:
        outcomes: dict[int, Outcome] = {}
        for number, delivery in self.deliveries.items():
            if stopped.is_set():
                raise Interrupted("stopped before all registries had the image")
            outcomes[number] = self._outcome(delivery)
        return outcomes

    def stop(self) -> None:
        if self._transport is not None:
            self._transport.stopped.set()

    def _outcome(self, delivery: Delivery) -> Outcome:
        try:
            if delivery.after in self._failed:
                raise _useless(delivery)
            reference = self._push(delivery)
        except (Interrupted, InternalError):
            raise
        except PipelineError as error:
            self._failed.add(delivery.repository)
            self._transport = None  # it was stopped with the error
            return error
        self._pushed.append(delivery.repository)
        return reference

    def _push(self, delivery: Delivery) -> PushedReference:
        repository, content, tags = delivery.repository, delivery.content, delivery.tags
        registry = self.registries.of(repository)
        require_fitting(content, registry, repository)
        pushing = client(repository, registry, self._connected(registry), self.desk)
        with explained(registry, repository):
            registry.prepare(repository, self.desk)
            push = ImagePush(
                content=content,
                tag=tags[0].tag,
                further_tags=tags[1:],
                client=pushing,
                mount_from=self._mountable(delivery, registry),
                say=self.say,
                uploads_at_a_time=self.uploads_at_a_time,
            )
            reference = push.run()
            evidence = registry.verify(pushing, content, tags[0].tag)
        self.say(f"{repository}: read back as it was pushed ({evidence.asked})")
        return reference.model_copy(update={"evidence": evidence})

    def _connected(self, registry: Registry) -> Transport:
        if self._transport is None:
            self._transport = connect(registry, self.desk)
            self.desk.on_exit(self._transport.close)
        return self._transport

    def _mountable(self, delivery: Delivery, registry: Registry) -> tuple[Repository, ...]:
        """Return where the blobs may be already: first where this run has pushed them."""
        own = delivery.repository
        known = [each for each in dict.fromkeys(delivery.mount_from) if each.host == own.host and each != own]
        known.sort(key=lambda each: each not in self._pushed)
        return tuple(known) if known and registry.mounts else ()


def _useless(delivery: Delivery) -> RemoteError:
    return RemoteError(
        f"{delivery.repository}: not tried, because {delivery.after} did not get the weights",
        advice="An application is pushed only where its weights are.",
    )
