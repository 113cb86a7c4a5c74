"""What a build needs of this machine, looked at before any work: the tools."""

from collections.abc import Sequence

from pipeline.desk import Desk
from pipeline.errors import PipelineError, ToolMissing
from pipeline.model import Check, Problem
from stages.buildkit.builder import Builder, buildx_version, find_builder
from stages.buildkit.external_cache import ExternalCache
from stages.buildkit.platforms import platform_checks


def tool_checks(name: str | None, platforms: Sequence[str]) -> tuple[Check, ...]:
    """Look for buildx and for a builder that can build for these platforms."""
    named = platform_checks(platforms)
    try:
        buildx = Check(subject="buildx", found=buildx_version())
    except ToolMissing as error:
        return (*named, failed("buildx", error))
    subject = f"builder {name}" if name else "builder"
    try:
        builder = find_builder(name)
    except PipelineError as error:
        return (*named, buildx, failed(subject, error))
    return (*named, buildx, _builder_check(subject, builder, platforms))


def cache_checks(name: str | None, cache: ExternalCache | None, desk: Desk) -> tuple[Check, ...]:
    """Say what will be read from the cache and written to it; another check says where no builder answers."""
    if cache is None:
        return ()
    try:
        return (cache.check(find_builder(name), desk),)
    except PipelineError:
        return ()


def _builder_check(subject: str, builder: Builder, platforms: Sequence[str]) -> Check:
    if len(platforms) > 1 and not builder.exports_layout:
        return Check(
            subject=subject,
            found=f"the engine's classic image store holds one platform, not {len(platforms)}",
            problem=Problem.CONFIGURATION,
            advice="Make a builder (`docker buildx create --name multi`) and set `build.builder: multi`.",
        )
    return Check(subject=subject, found=f"{builder.tool.name} {builder.tool.version}")


def failed(subject: str, error: PipelineError) -> Check:
    """Return the check that an error amounts to."""
    problem = Problem.TOOL if isinstance(error, ToolMissing) else Problem.CONFIGURATION
    return Check(subject=subject, found=error.message, problem=problem, advice=error.advice)
