"""What the benchmark needs, looked at before any work begins."""

import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence

from pipeline.model import Check, Problem
from stages.load.closed_loop import ClosedLoop
from stages.load.open_loop import OpenLoop
from stages.load.validity import FEWEST_FOR_P99
from stages.servers.engine import EngineFacts
from stages.servers.interface import ServerProtocol
from stages.servers.limits import Limits

LEAST_MEMORY_BYTES = 6 * 1024**2  # engines refuse less
LEAST_CPUS = 0.01  # the same
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", re.IGNORECASE)
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}


def check_protocol(name: str, known: Mapping[str, ServerProtocol], options: Iterable[str]) -> Check:
    """Tell whether somebody knows the protocol, and the protocol its options."""
    names = sorted(known)
    if name in names:
        return _check_options(name, known[name].options, options)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.0)
    return missing(
        "server protocol",
        Problem.CONFIGURATION,
        f"`benchmark.protocol` is {name!r}, which nobody knows",
        f"Did you mean {', '.join(near)}? Known are: {', '.join(names)}.",
    )


def _check_options(name: str, known: frozenset[str], options: Iterable[str]) -> Check:
    strange = sorted(set(options) - known)
    if not strange:
        return Check(subject="server protocol", found=name)
    these = f"It knows {', '.join(sorted(known))}." if known else "It has none."
    return missing(
        "server protocol",
        Problem.CONFIGURATION,
        f"`benchmark.options` has {', '.join(strange)}, which the protocol {name} does not know",
        f"{these} Mend or remove what it does not know.",
    )


def check_platforms(platforms: Sequence[str], facts: EngineFacts) -> Check:
    """Tell whether the engine will be able to run one of the platforms that the image is built for."""
    if not platforms or any(runs_on(platform, facts) for platform in platforms):
        return Check(subject="benchmark platform", found=facts.platform)
    return missing(
        "benchmark platform",
        Problem.CONFIGURATION,
        f"`build.platforms` is {', '.join(platforms)}, but the engine here runs {facts.platform}",
        f"Add {facts.platform} to `build.platforms`, work on a machine of that kind, or leave the stage out "
        "with a reason (`skip`).",
    )


def runs_on(platform: str, facts: EngineFacts) -> bool:
    """Tell whether the engine runs images for this platform; a variant of it makes no difference."""
    return "/".join(platform.split("/")[:2]) == facts.platform


def check_load(load: OpenLoop | ClosedLoop) -> Check:
    """Tell whether enough requests will be sent for a p99, which every set of rules asks for."""
    if isinstance(load, ClosedLoop):  # nobody knows how many answers there will be
        return Check(subject="benchmark load", found=f"{load.concurrency} clients for {load.duration_s:g} s")
    found = f"{load.rate_rps:g} requests per second for {load.duration_s:g} s"
    if load.requests >= FEWEST_FOR_P99:
        return Check(subject="benchmark load", found=found)
    enough_s = math.ceil(FEWEST_FOR_P99 / load.rate_rps)
    return missing(
        "benchmark load",
        Problem.CONFIGURATION,
        f"{found} are {load.requests} answers, too few for a p99: at least {FEWEST_FOR_P99} are needed",
        f"Set `benchmark.duration_s` to {enough_s} or more, or raise `benchmark.rate_rps`.",
    )


def check_limits(
    memory_limit: str | None, cpus: float | None, environment: Mapping[str, str], facts: EngineFacts
) -> Check:
    """Tell whether the engine can run a container with these limits."""
    for problem, advice in (
        _memory_problem(memory_limit),
        _cpu_problem(cpus, facts),
        _environment_problem(environment),
    ):
        if problem:
            return missing("benchmark limits", Problem.CONFIGURATION, problem, advice)
    limits = f"memory {memory_limit or 'unlimited'}, cpus {cpus or facts.cpus or 'all'}"
    return Check(subject="benchmark limits", found=limits)


def check_found(limits: Limits, facts: EngineFacts) -> Check:
    """Tell whether the engine can run a container with the limits of a manifest."""
    subject, instead = "benchmark limits", "or set `benchmark.cpus` and `benchmark.memory_limit` instead."
    if (limits.cpus or 1) < LEAST_CPUS or (limits.memory_bytes or LEAST_MEMORY_BYTES) < LEAST_MEMORY_BYTES:
        found = f"engines ask for {LEAST_CPUS:g} processors and 6 MiB at least: {limits.found}"
        return missing(subject, Problem.CONFIGURATION, found, f"State what the server needs, {instead}")
    if _cpu_problem(limits.cpus, facts)[0]:
        found = f"the engine has {facts.cpus} processors: {limits.found}"
        return missing(subject, Problem.CONFIGURATION, found, f"Run it on a larger machine, {instead}")
    return Check(subject=subject, found=limits.found)


def missing(subject: str, problem: Problem, found: str, advice: str) -> Check:
    """Return the check of something that is not as it must be."""
    return Check(subject=subject, found=found, problem=problem, advice=advice)


def parse_memory(text: str) -> int:
    """Return a memory limit such as 512m, 512Mi or 2g in bytes; every unit is of 1,024.

    Raises:
        ValueError: it is none.
    """
    match = _MEMORY.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no amount of memory")
    return math.floor(float(match[1]) * _UNITS[match[2].lower()])


def _memory_problem(limit: str | None) -> tuple[str, str]:
    advice = "Write it like 512m or 2Gi."
    try:
        if limit is None or parse_memory(limit) >= LEAST_MEMORY_BYTES:
            return "", ""
    except ValueError as error:
        return f"`benchmark.memory_limit`: {error}", advice
    return f"`benchmark.memory_limit` is {limit}, less than the 6 MiB that engines ask for", advice


def _cpu_problem(cpus: float | None, facts: EngineFacts) -> tuple[str, str]:
    if cpus is not None and cpus < LEAST_CPUS:
        return f"`benchmark.cpus` is {cpus:g}, less than the {LEAST_CPUS:g} that engines ask for", "Raise it."
    if cpus is None or not facts.cpus or cpus <= facts.cpus:
        return "", ""
    advice = "Lower it, or run the benchmark on a larger machine."
    return f"`benchmark.cpus` is {cpus:g}, but the engine has {facts.cpus}", advice


def _environment_problem(environment: Mapping[str, str]) -> tuple[str, str]:
    for name, value in environment.items():
        if "\n" in value or not re.fullmatch(r"[^\s=#][^\s=]*", name):
            advice = "Give it a plain name and one line; what is longer belongs into a file of the image."
            return f"`benchmark.environment`: {name!r} cannot be passed to a container", advice
    return "", ""
