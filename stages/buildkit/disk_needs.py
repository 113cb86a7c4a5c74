"""What a build, and an engine that loads its image, need of a disk; `room` tells how large images are."""

import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.model import DiskNeed
from stages.buildkit import context
from stages.buildkit.builder import find_builder
from stages.buildkit.dockerfile import SCRATCH, base_name, instructions
from stages.buildkit.room import STEPS, EngineRoom, Size, first_size, last_size, room_of
from stages.buildkit.transfer import transferred_bytes

PLENTY = 10
"""How many times over a build must fit so that nobody looks into the build cache, which takes a moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedBuild:
    """A build that has not begun."""

    context: Path
    dockerfile: Path
    target: str | None
    arguments: Mapping[str, str]
    left_out: Collection[Path]
    builder: str | None
    """Its name, or None for the one in use."""
    images: Path
    """Where images of earlier builds are kept, and this one will be."""
    cache: bool

    def disk_needs(self) -> tuple[DiskNeed, ...]:
        """Return what context and steps take in the engine, and the layers beside the records of the runs.

        Nothing where no builder answers or there is no Dockerfile: other checks say so.
        """
        try:
            builder = find_builder(self.builder)
            text = self.dockerfile.read_text(encoding="utf-8", errors="replace")
        except (PipelineError, OSError):
            return ()
        engine, folder = room_of(builder)
        ignored = context.ignored(self.dockerfile, self.context)
        context_bytes = transferred_bytes(self.context, text, ignored, self.left_out)
        size, cached_bytes = last_size(self.images, engine), 0
        if size is None:
            size = self._first_size(text, context_bytes, engine)
        elif self.cache:
            cached_bytes = engine.cached_bytes(builder.name)
        classic = not builder.exports_layout
        return (
            _context(context_bytes, folder),
            _steps(size, cached_bytes, folder, classic=classic),
            _layers(size, self.images, classic=classic),
        )

    def _first_size(self, text: str, context_bytes: int, engine: EngineRoom) -> Size:
        base = base_name(text, target=self.target, arguments=self.arguments)
        runs = any(keyword == "RUN" for keyword, _ in instructions(text))
        return first_size(base, context_bytes, runs=runs, engine=engine)


def loading_need(images: Path) -> DiskNeed:
    """Return what an engine needs that loads the image to run it, its weights aside."""
    engine = EngineRoom()
    size = last_size(images, engine) or first_size(SCRATCH, 0, runs=True, engine=engine)
    return DiskNeed(
        purpose="engine for the benchmark",
        path=engine.folder(),
        size_bytes=size.loaded_bytes,
        at_least=size.at_least,
        reason=f"{size.reason}, loaded",
        advice="`docker image prune` frees images that nobody uses; `skip: {benchmark: why}` needs none.",
    )


def _is_plenty(folder: Path | None, size: Size) -> bool:
    """Tell whether the steps fit many times over, so that the build cache need not be asked what it has."""
    most = size.engine_bytes(0, classic=True)
    return folder is not None and shutil.disk_usage(folder).free > PLENTY * most


def _context(context_bytes: int, folder: Path | None) -> DiskNeed:
    return DiskNeed(
        purpose="context",
        path=folder,
        size_bytes=context_bytes,
        reason="what the Dockerfile may copy",
        advice="List in .dockerignore what the build does not use.",
    )


def _steps(size: Size, cached_bytes: int, folder: Path | None, *, classic: bool) -> DiskNeed:
    unpacked = f"{STEPS} times unpacked for the steps of the build"
    if cached_bytes >= size.new_bytes > 0:
        unpacked = "its steps are taken to be in the build cache"
    elif cached_bytes:
        unpacked += f", less {cached_bytes / 1e6:.0f} MB in the build cache"
    return DiskNeed(
        purpose="engine",
        path=folder,
        size_bytes=size.engine_bytes(cached_bytes, classic=classic),
        at_least=size.at_least or cached_bytes > 0,
        reason=f"{size.reason}; {unpacked}",
        advice="`docker image prune` and `docker builder prune` free what is no longer in use.",
    )


def _layers(size: Size, images: Path, *, classic: bool) -> DiskNeed:
    return DiskNeed(
        purpose="image layers",
        path=images,
        size_bytes=size.layout_bytes(classic=classic),
        at_least=size.at_least,
        reason=size.reason,
        advice=f"Older images in {images} may be removed.",
    )
