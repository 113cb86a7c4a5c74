"""Many deliveries of a few applications at once, each a process: their order keys decide, not luck.

All builds of one application write the same field of the same manifest.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from pipeline.desk import Desk
from pipeline.reference import Digest, Repository
from stages.gitops.destination import Destination
from stages.manifests.interface import Target
from stages.manifests.proof import Mode
from stages.update import Update
from tests.support import keyed_images
from tests.support.delivering import made
from tests.support.git_server import BRANCH, GitServer
from tests.support.git_server import Repository as ServedRepository
from tests.support.registry import Registry

if TYPE_CHECKING:
    from multiprocessing.synchronize import Barrier

LIMIT_S = 240


@dataclass(frozen=True, slots=True)
class Application:
    """A folder whose kustomization names an image, which builds in a registry replace."""

    path: str
    image: str
    repository: Repository


@dataclass(frozen=True, slots=True)
class Build:
    """A build of an application; the one with the greatest number is of the newest commit."""

    application: Application
    number: int
    moment: datetime
    digest: Digest

    @property
    def commit(self) -> str:
        """The commit that was built."""
        return f"{self.number:040x}"


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of the delivery of a build."""

    build: Build
    status: str
    commit: str | None
    attempts: int
    duration_s: float


def push_builds(registry: Registry, applications: Sequence[tuple[str, str]], each: int) -> tuple[Build, ...]:
    """Push so many builds of each application, given as path and image, and return them, mixed."""
    now = datetime.now(UTC).replace(microsecond=0)
    builds = []
    for number in range(1, each + 1):
        moment = now - timedelta(minutes=each - number)
        for place, (path, image) in enumerate(applications):
            name = f"racing-{place}"
            digest = keyed_images.push_build(registry, name, f"{number:040x}", moment)
            application = Application(path, image, Repository(f"{registry.address}/{name}"))
            builds.append(Build(application, number, moment, digest))
    return tuple(builds)


def race(
    server: GitServer, url: str, builds: Sequence[Build], environment: Mapping[str, str], proof: Mode = "auto"
) -> tuple[Delivered, ...]:
    """Deliver all builds at once, each by a process, and return what became of each."""
    context = multiprocessing.get_context("forkserver")  # the modules are imported once
    context.set_forkserver_preload([__name__])
    begin = context.Barrier(len(builds))
    login = {"GITOPS_USERNAME": server.username, "GITOPS_PASSWORD": server.password}
    with context.Pool(len(builds), _prepare, (begin, {**environment, **login})) as pool:
        work = [(url, build, proof) for build in builds]
        return tuple(pool.starmap_async(_deliver, work, 1).get(LIMIT_S))


def wrongs(served: ServedRepository, begin: str, delivered: Sequence[Delivered]) -> tuple[str, ...]:
    """Return what was lost or downgraded since a commit; nothing where every delivery did as it should."""
    others = [one for one in delivered if one.status not in {"committed", "superseded"}]
    found = [f"{one.build} {one.status}" for one in others]
    history = served.git("rev-list", "--reverse", f"{begin}..{BRANCH}").split()
    if sorted(history) != sorted(one.commit for one in delivered if one.commit):
        found.append(f"{len(history)} commits are there")
    by_commit = {one.commit: one.build for one in delivered if one.commit}
    for application in {one.build.application for one in delivered}:
        builds = [by_commit[commit] for commit in history if commit in by_commit]
        numbers = [build.number for build in builds if build.application == application]
        if numbers != sorted(set(numbers)):
            found.append(f"{application.path} went {numbers}")
        newest = max(
            (one.build for one in delivered if one.build.application == application),
            key=lambda build: build.number,
        )
        stands = yaml.safe_load(served.read(f"{application.path}/kustomization.yaml"))["images"]
        if [entry["digest"] for entry in stands] != [newest.digest]:
            found.append(f"{application.path} does not name build {newest.number}")
    return tuple(found)


def _prepare(begin: Barrier, environment: Mapping[str, str]) -> None:
    os.environ.update(environment)
    begin.wait(LIMIT_S)


def _deliver(url: str, build: Build, proof: Mode) -> Delivered:
    application = build.application
    update = Update(
        destination=Destination(
            image="racing",
            repositories=(application.repository,),
            repository=url,
            branch=BRANCH,
            targets=(Target(path=application.path, image=application.image),),
            proof=proof,
        )
    )
    have = made(application.repository, build.commit, build.digest, build.moment.isoformat())
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(folder=Path(folder), cache=Path(folder), run_name=f"run-{build.number}")
        begin = time.monotonic()
        done = update.run(have, desk)
        return Delivered(build, done.status, done.commit, done.attempts, time.monotonic() - begin)
