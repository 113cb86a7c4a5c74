"""What a node has to fetch before it can start the container."""

import threading
import time
from collections.abc import Sequence

from pipeline.desk import Desk
from pipeline.errors import Interrupted, PipelineError
from pipeline.model import Descriptor, Pull
from pipeline.reference import Digest
from stages.models.registry_layers import RegistryLayers
from stages.oci.distribution import RepositoryClient
from stages.oci.parallel import for_each
from stages.servers.subject import Subject

AT_ONCE = 3  # as containerd and Docker fetch


def pull_of(subject: Subject, bandwidth_bytes_per_s: int | None) -> Pull | None:
    """Return the bytes of the layers as a registry has them, and how long they take at a bandwidth.

    None where only the engine knows the image: it does not tell how its layers were compressed.
    """
    application = _bytes_of(subject.application_layers)
    total = application + _bytes_of(subject.weights_layers)
    if not total:
        return None
    return Pull(
        total_bytes=total,
        application_bytes=application,
        bandwidth_bytes_per_s=bandwidth_bytes_per_s,
        estimated_s=None if not bandwidth_bytes_per_s else total / bandwidth_bytes_per_s,
    )


def _bytes_of(layers: Sequence[Descriptor]) -> int:
    return sum({each.digest: each.size_bytes for each in layers}.values())  # none is fetched twice


def measured(pull: Pull, subject: Subject, registries: RegistryLayers | None, desk: Desk) -> Pull:
    """Return the same with the time that the layers take from a registry; they are thrown away."""
    layers = (*subject.application_layers, *subject.weights_layers)
    try:
        client = None if registries is None else _holder(registries, subject.digest, desk)
        if client is None:
            why = "no registry has this digest yet: the benchmark runs before the push"
            return pull.model_copy(update={"not_measured": why})
        desk.say(f"fetching the image from {client.repository}, to see how long that takes")
        begin = time.perf_counter()
        once = tuple(dict.fromkeys(each.digest for each in layers))
        for_each(lambda each: _drain(client, each), once, threads=AT_ONCE, stopped=threading.Event())
        return pull.model_copy(update={"measured_s": time.perf_counter() - begin})
    except Interrupted:
        raise
    except PipelineError as error:
        return pull.model_copy(update={"not_measured": error.message})


def _holder(registries: RegistryLayers, digest: Digest, desk: Desk) -> RepositoryClient | None:
    for client in registries.open(desk).clients:
        if client.find_manifest(digest) is not None:
            return client
    return None


def _drain(client: RepositoryClient, digest: Digest) -> None:
    for _ in client.stream_blob(digest):
        pass
