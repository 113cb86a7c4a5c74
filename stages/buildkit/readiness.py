"""What a build needs of this machine, looked at before any work: tools and free disk."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import PipelineError, ToolMissing
from pipeline.model import Check, Problem
from stages.buildkit.builder import Builder, buildx_version, find_builder
from stages.buildkit.platforms import platform_checks

FREE_BYTES = 2 * 1024**3
"""Beside twice the context: room for a base image and for the layers that are exported."""


def tool_checks(name: str | None, platforms: Sequence[str]) -> tuple[tuple[Check, ...], Builder | None]:
    """Look for buildx and for a builder that can build for these platforms; return the builder too."""
    named = platform_checks(platforms)
    try:
        buildx = Check(subject="buildx", found=buildx_version())
    except ToolMissing as error:
        return (*named, failed("buildx", error)), None
    subject = f"builder {name}" if name else "builder"
    try:
        builder = find_builder(name)
    except PipelineError as error:
        return (*named, buildx, failed(subject, error)), None
    return (*named, buildx, _builder_check(subject, builder, platforms)), builder


def _builder_check(subject: str, builder: Builder, platforms: Sequence[str]) -> Check:
    if len(platforms) > 1 and not builder.exports_layout:
        return Check(
            subject=subject,
            found=f"the engine's classic image store holds one platform, not {len(platforms)}",
            problem=Problem.CONFIGURATION,
            advice="Make a builder (`docker buildx create --name multi`) and set `build.builder: multi`.",
        )
    return Check(subject=subject, found=f"{builder.tool.name} {builder.tool.version}")


def disk_checks(places: Sequence[Path], context_bytes: int) -> tuple[Check, ...]:
    """Compare the free disk of every file system that a build writes to with what it needs at least."""
    needed = FREE_BYTES + 2 * context_bytes
    devices = {place.stat().st_dev: place for place in map(_existing, reversed(places))}
    return tuple(_disk_check(place, needed) for place in reversed(devices.values()))


def engine_folder(builder: Builder | None) -> tuple[Path, ...]:
    """Return where the engine keeps its images, when that is a folder of this machine."""
    engine = builder.engine if builder is not None else None
    return (engine.data_root,) if engine is not None and _is_there(engine.data_root) else ()


def failed(subject: str, error: PipelineError) -> Check:
    """Return the check that an error amounts to."""
    problem = Problem.TOOL if isinstance(error, ToolMissing) else Problem.CONFIGURATION
    return Check(subject=subject, found=error.message, problem=problem, advice=error.advice)


def _disk_check(place: Path, needed: int) -> Check:
    free = shutil.disk_usage(place).free
    subject, found = f"free disk for {place}", f"{free / 1e9:.1f} GB free, {needed / 1e9:.1f} GB needed"
    if free >= needed:
        return Check(subject=subject, found=found)
    advice = "Free some (`docker buildx prune`, `docker image prune`), or work on a larger disk."
    return Check(subject=subject, found=found, problem=Problem.DISK, advice=advice)


def _existing(path: Path) -> Path:
    return next(place for place in (path, *path.absolute().parents) if _is_there(place))


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:
        return False
