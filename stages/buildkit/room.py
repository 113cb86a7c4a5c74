"""How much room an image will take: in a builder's engine, and as layers beside the records of the runs.

Where the last build of the image is still there, its layers tell; what of them the engine has (the base
image) is not needed twice, and what the build cache holds is taken for steps of this image. Before the first
build, base image and context are known at best. What may turn out larger is said to be a lower bound.

Measured with the example (73 MB of new layers, packed; base image in the engine; containerd store): 776 MB in
the engine at the most while it was built, 327 MB while the benchmark ran, 128 MB beside the records. With the
classic store 1,012 MB, 390 MB and 765 MB.
"""

import json
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipeline.errors import PipelineError
from pipeline.process import Command, Outcome, run
from pipeline.reference import Digest, Reference
from stages.asking import ask
from stages.buildkit.builder import Builder
from stages.buildkit.dockerfile import SCRATCH
from stages.oci.annotations import PREFIX
from stages.oci.layout import Layout

UNPACKED = 3
"""Libraries and programs take about three times the room of their compressed layers."""
STEPS = 3
"""Stages that are copied from, and steps whose files later ones replace, stay in the build cache too."""
UNKNOWN_BYTES = 300_000_000
"""For a base image that is not there yet, and for what the RUN steps of a first build add; unpacked."""
TIMEOUT_S = 30.0
UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """An image's size: packed as it is pushed, and the unpacked part that the engine does not have yet."""

    packed_bytes: int
    unpacked_bytes: int
    new_bytes: int
    at_least: bool
    reason: str

    def engine_bytes(self, cached_bytes: int, *, classic: bool) -> int:
        """Return what a build writes in an engine; a classic image store copies an image to save it.

        A cache that holds the image holds its steps: a run that fitted yesterday must not be refused today
        for stages of which nobody knows whether there are any.
        """
        exported = self.unpacked_bytes if classic else self.packed_bytes
        steps = 0 if cached_bytes >= self.new_bytes else STEPS * self.new_bytes - cached_bytes
        return steps + exported

    def layout_bytes(self, *, classic: bool) -> int:
        """Return what the layout takes; a classic image store saves an unpacked archive, taken apart here."""
        return 2 * self.unpacked_bytes if classic else self.packed_bytes

    @property
    def loaded_bytes(self) -> int:
        """What the image takes in an engine that loads it: its layers packed and unpacked."""
        packed = self.new_bytes * self.packed_bytes // self.unpacked_bytes if self.unpacked_bytes else 0
        return self.new_bytes + packed


def last_size(images: Path, engine: "EngineRoom") -> Size | None:
    """Return the size of the newest image that was built here, or None where there is none."""
    image = next((found for path in _newest_first(images) if (found := _image(path)).stacks), None)
    if image is None:
        return None
    stacks, there = image.stacks, engine.layers(image.bases)
    layers = {stack[: n + 1]: stack[n] for stack in stacks for n in range(len(stack))}
    new = (layer for place, layer in layers.items() if _diff_ids(place) not in there)
    return Size(
        packed_bytes=sum(layer.size_bytes for layer in layers.values()),
        unpacked_bytes=sum(layer.unpacked_bytes for layer in layers.values()),
        new_bytes=sum(layer.unpacked_bytes for layer in new),
        at_least=False,
        reason="as the last build's layers",
    )


def first_size(base_name: str | None, context_bytes: int, *, runs: bool, engine: "EngineRoom") -> Size:
    """Return what can be told of an image that was never built here.

    `base_name` is None where nobody can tell it; `runs`: it has RUN steps.
    """
    base = 0 if base_name == SCRATCH else engine.image_bytes(base_name) if base_name else None
    guesses = {"RUN steps": runs, "a base image to be pulled": base is None}
    guessed = [name for name, is_guessed in guesses.items() if is_guessed]
    new = context_bytes + UNKNOWN_BYTES * len(guessed)
    unpacked = new + (base or 0)
    allowance = f", with an allowance for {' and '.join(guessed)}" if guessed else ""
    return Size(
        packed_bytes=unpacked // UNPACKED,
        unpacked_bytes=unpacked,
        new_bytes=new,
        at_least=bool(guessed),
        reason=f"base image and context{allowance}",
    )


@dataclass(frozen=True, slots=True)
class EngineRoom:
    """An engine as a place on a disk; what it does not answer is not known."""

    context: str | None = None
    """The docker context that leads to it; None for the one in use."""

    def folder(self) -> Path | None:
        """Return where it keeps its images, or None where that is no folder of this machine."""
        named = (self.context,) if self.context else ()
        host = _answer(ask, "context", "inspect", *named, "--format", "{{.Endpoints.docker.Host}}")
        root = Path(self._information().get("DockerRootDir") or "")
        local = urlsplit(host).scheme in {"unix", "npipe"} and root.is_absolute()
        return root if local and _is_there(root) else None

    def image_bytes(self, name: str) -> int | None:
        """Return an image's unpacked size, or None where the engine does not have it."""
        size = self._ask("image", "inspect", name, "--format", "{{.Size}}")
        if not size.isdigit():
            return None
        return int(size) * (UNPACKED if self._sizes_are_packed() else 1)

    def layers(self, names: Collection[str]) -> frozenset[tuple[str, ...]]:
        """Return the layers of these images, each with those below it, by their diff ids; none it lacks."""
        if not names:
            return frozenset()
        found = self._ask("image", "inspect", *sorted(names), "--format", "{{json .RootFS.Layers}}")
        stacks = (json.loads(line) or [] for line in found.splitlines() if line.startswith(("[", "null")))
        return frozenset(tuple(stack[: n + 1]) for stack in stacks for n in range(len(stack)))

    def cached_bytes(self, builder: str) -> int:
        """Return how large a builder's cache is."""
        found = re.search(
            r"^Total:\s+([\d.]+)([kMGT]?)B", self._ask("buildx", "du", "--builder", builder), re.MULTILINE
        )
        return int(float(found[1]) * UNITS[found[2]]) if found else 0

    def _sizes_are_packed(self) -> bool:
        # the containerd image store tells the size of what was pulled, the classic one of what it unpacked
        return "io.containerd.snapshotter" in json.dumps(self._information().get("DriverStatus"))

    def _information(self) -> dict[str, Any]:
        text = _answer(ask, *self._chosen, "info", "--format", "{{json .}}")
        information: dict[str, Any] = json.loads(text) if text.startswith("{") else {}
        return information

    def _ask(self, *arguments: str) -> str:
        return _answer(run, *self._chosen, *arguments)

    @property
    def _chosen(self) -> tuple[str, ...]:
        return ("--context", self.context) if self.context else ()


def room_of(builder: Builder) -> tuple[EngineRoom, Path | None]:
    """Return the engine whose images a builder starts from, and the folder that a build fills, if it is here.

    A builder of its own container keeps its cache where only its engine knows.
    """
    if builder.engine is None:
        return EngineRoom(), None
    engine = EngineRoom(builder.engine.context)
    return engine, engine.folder()


def _newest_first(images: Path) -> list[Path]:
    found = [path for path in images.glob("[!.]*") if path.is_dir()]
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)


@dataclass(frozen=True, slots=True)
class _Layer:
    diff_id: str
    size_bytes: int
    media_type: str

    @property
    def unpacked_bytes(self) -> int:
        return self.size_bytes * (UNPACKED if self.media_type.endswith(("gzip", "zstd")) else 1)


def _diff_ids(stack: Sequence[_Layer]) -> tuple[str, ...]:
    return tuple(layer.diff_id for layer in stack)


@dataclass(frozen=True, slots=True)
class _Image:
    """What a layout tells: the application layers of each platform from the base up, and the bases' names."""

    stacks: tuple[tuple[_Layer, ...], ...] = ()
    bases: frozenset[str] = frozenset()


def _image(path: Path) -> _Image:
    layout = Layout(path)
    try:
        roots = [layout.read_json(root.descriptor.digest) for root in layout.roots()]
        manifests = [manifest for root in roots for manifest in _manifests(layout, root)]
        stacks = tuple(_stack(layout, manifest) for manifest in manifests)
    except (PipelineError, OSError, ValueError, LookupError, TypeError):  # damaged, or going away
        return _Image()
    return _Image(stacks, frozenset(name for manifest in manifests for name in _base_names(manifest)))


def _manifests(layout: Layout, document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for child in document.get("manifests", ()):
        yield from _manifests(layout, layout.read_json(Digest(child["digest"])))
    if "config" in document:
        yield document


def _stack(layout: Layout, manifest: dict[str, Any]) -> tuple[_Layer, ...]:
    diff_ids = layout.read_json(Digest(manifest["config"]["digest"]))["rootfs"]["diff_ids"]
    layers = zip(diff_ids, manifest["layers"], strict=True)
    # the weights' blobs are not in it
    return tuple(
        _Layer(one, blob["size"], blob["mediaType"])
        for one, blob in layers
        if layout.has(Digest(blob["digest"]))
    )


def _base_names(manifest: dict[str, Any]) -> Iterator[str]:
    """Yield the names by which an engine may know the base image."""
    said = manifest.get("annotations") or {}
    name, digest = said.get(f"{PREFIX}base.name"), said.get(f"{PREFIX}base.digest")
    if name:
        yield name
        if digest:
            yield f"{Reference.parse(name).repository}@{digest}"


def _answer(put: Callable[[Command], Outcome], *arguments: str) -> str:
    """Ask docker; `put` runs the question, or remembers the answer that it got before."""
    try:
        return put(Command(arguments=("docker", *arguments), timeout_s=TIMEOUT_S)).stdout.strip()
    except PipelineError:
        return ""


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:
        return False
