"""Many processes that write to the same branch at once, as many deliveries do.

Each edits its own manifest, its own entry of a shared one and the entry that all of them write, at once.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.desk import Desk
from pipeline.reference import Digest, Repository, Tag
from stages.gitops.git import GitBranch
from stages.manifests.editing import EditedFile, edit
from stages.manifests.interface import NewImage, Target
from stages.manifests.tree import Tree

if TYPE_CHECKING:
    from multiprocessing.synchronize import Barrier

REGISTRY = "registry.example.com/team"
OWN, SHARED, SAME = "writers/own-{}", "writers/shared", "writers/same"
LIMIT_S = 240


@dataclass(frozen=True, slots=True)
class Written:
    """What became of one writer's commit."""

    number: int
    commit: str
    attempts: int
    duration_s: float


def kustomization(*names: str) -> str:
    """Return a kustomization that names images without a registry's digest yet."""
    entries = "".join(f"- name: {REGISTRY}/{name}\n  newTag: v0\n" for name in names)
    return f"apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nimages:\n{entries}"


def manifests(writers: int) -> dict[str, str]:
    """Return the files that so many writers edit, by path."""
    names = [f"model-{number}" for number in range(writers)]
    own = {f"{OWN.format(n)}/kustomization.yaml": kustomization(name) for n, name in enumerate(names)}
    shared = {SHARED: kustomization(*names), SAME: kustomization("same")}
    return own | {f"{folder}/kustomization.yaml": text for folder, text in shared.items()}


def digest(number: int) -> Digest:
    """Return what a writer writes."""
    return Digest.of(str(number).encode())


def race(url: str, writers: int, environment: Mapping[str, str]) -> tuple[Written, ...]:
    """Have so many processes write at once, and return what became of each."""
    context = multiprocessing.get_context("forkserver")  # the modules are imported once
    context.set_forkserver_preload([__name__])
    begin = context.Barrier(writers)
    with context.Pool(writers, _prepare, (begin, dict(environment))) as pool:
        return tuple(pool.starmap_async(_write, [(url, n) for n in range(writers)], 1).get(LIMIT_S))


def _prepare(begin: Barrier, environment: Mapping[str, str]) -> None:
    os.environ.update(environment)
    begin.wait(LIMIT_S)


def _write(url: str, number: int) -> Written:
    names = {OWN.format(number): f"model-{number}", SHARED: f"model-{number}", SAME: "same"}
    wishes = [_wish(path, f"{REGISTRY}/{name}", number) for path, name in names.items()]

    def apply(tree: Tree) -> tuple[EditedFile, ...]:
        return edit(tree, wishes)

    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(folder=Path(folder), cache=Path(folder))
        begin = time.monotonic()
        landing = GitBranch(url=url, branch="main").land(apply, f"writer {number}\n", desk)
        return Written(number, landing.commit or "", landing.attempts, time.monotonic() - begin)


def _wish(path: str, name: str, number: int) -> tuple[Target, NewImage]:
    new = NewImage(repository=Repository(name), tag=Tag(f"v{number + 1}"), digest=digest(number))
    return Target(path=path, image=name), new
