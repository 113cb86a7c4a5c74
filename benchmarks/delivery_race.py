"""Deliveries of builds of a few applications at once into the large GitOps repository, and how they went."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from statistics import median

from benchmarks import tables
from benchmarks.big_repository import image, overlay
from stages.manifests.proof import Mode
from tests.support.git_server import GitServer, Repository
from tests.support.ordered_race import Delivered, push_builds, race, wrongs
from tests.support.registry import Registry

EACH = 8
"""Builds of one application that are delivered at once."""
_FIRST: Mapping[Mode, int] = {"off": 500, "auto": 600}
"""Applications that nothing else has changed."""
_PASSED = ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM", "GIT_TERMINAL_PROMPT", "DOCKER_CONFIG")


def deliver_at_once(
    served: Repository, server: GitServer, registry: Registry, writers: int
) -> Mapping[Mode, tuple[Delivered, ...]]:
    """Have so many processes deliver at once, first without proofs and then with them.

    Raises:
        RuntimeError: a commit is lost, or an older build has replaced a newer one.
    """
    return {proof: _race(served, server, registry, writers, proof) for proof in _FIRST}


def _race(
    served: Repository, server: GitServer, registry: Registry, writers: int, proof: Mode
) -> tuple[Delivered, ...]:
    count = max(1, writers // EACH)
    applications = [(overlay(_FIRST[proof] + n), image(_FIRST[proof] + n)) for n in range(count)]
    builds = push_builds(registry, applications, writers // count)
    environment = {name: os.environ[name] for name in _PASSED}
    begin = served.head()
    delivered = race(server, served.url, builds, environment, proof)
    if found := wrongs(served, begin, delivered):
        raise RuntimeError("; ".join(found))
    return delivered


def said_of_races(races: Mapping[Mode, Sequence[Delivered]]) -> str:
    """Return a table of how often they tried and how long they took."""
    first = next(iter(races.values()))
    count = len({one.build.application for one in first})
    rows = [
        (
            f"`proof: {proof}`",
            str(len(done)),
            str(sum(one.status == "committed" for one in done)),
            str(sum(one.status == "superseded" for one in done)),
            str(sum(one.attempts for one in done)),
            f"{median(one.attempts for one in done):.0f}",
            str(max(one.attempts for one in done)),
            f"{median(one.duration_s for one in done):.1f}",
            f"{max(one.duration_s for one in done):.1f}",
        )
        for proof, done in races.items()
    ]
    names = ("deliveries", "committed", "superseded", "attempts", "in the middle", "at most")
    table = tables.table(("at once", *names, "s, in the middle", "s, the last"), rows)
    return (
        f"{len(first)} processes, each with the delivery of another build into the large repository, "
        f"{len(first) // count} of each of {count} applications. Every commit is there, no application ever "
        f"went back to an older build, and each names its newest one at the end:\n\n{table}"
    )
