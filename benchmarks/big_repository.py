"""A GitOps repository as large as a company has: many applications, each with overlays, and a history."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

APPLICATION_FILES = 20
"""Eight in the base, and four in each of three overlays."""
REGISTRY = "registry.example.com/team"
_BASE = ("service", "ingress", "config-map", "service-account", "network-policy", "budget")
_OVERLAYS = ("development", "staging", "production")
_OVERLAY_FILES = ("patch", "config-map", "quota")
_WHO = "Platform Team <platform@example.com>"
_FIRST_S = 1_700_000_000
_LINES = 12


@dataclass(frozen=True, slots=True)
class Size:
    """How large the repository is."""

    files: int = 20_000
    commits: int = 2_000

    @property
    def applications(self) -> int:
        """How many applications there are."""
        return self.files // APPLICATION_FILES


def overlay(application: int, environment: str = "production") -> str:
    """Return the folder of an application's overlay."""
    return f"apps/app-{application:04}/overlays/{environment}"


def image(application: int) -> str:
    """Return the image that an application's kustomizations name."""
    return f"{REGISTRY}/app-{application:04}"


def fill(repository: Path, size: Size, branch: str) -> None:
    """Write the commits into a bare repository, as one pack that clients are served from."""
    git = ("git", "--git-dir", str(repository))
    with subprocess.Popen(
        (*git, "-c", "fastimport.unpackLimit=1", "fast-import", "--quiet", "--done"), stdin=subprocess.PIPE
    ) as process:
        assert process.stdin is not None  # noqa: S101 - it was asked for as a pipe
        for piece in _stream(size, branch):
            process.stdin.write(piece.encode())
        process.stdin.close()
    if process.returncode != 0:
        raise RuntimeError("git fast-import failed")
    # what a hosting service does of its own accord: good deltas, and a map of what each commit reaches
    subprocess.run((*git, "repack", "-a", "-d", "-q", "--write-bitmap-index"), check=True)
    subprocess.run((*git, "commit-graph", "write", "--reachable"), check=True, capture_output=True)


def _stream(size: Size, branch: str) -> Iterator[str]:
    words = random.Random(7)  # noqa: S311 - the same content every time
    yield _commit(branch, 0, "Begin")
    for application in range(size.applications):
        yield from (_file(path, content) for path, content in _application(application, words))
    for number in range(1, size.commits):
        application = words.randrange(size.applications)
        yield "\n" + _commit(branch, number, f"app-{application:04}: deploy build {number}")
        path = f"{overlay(application)}/kustomization.yaml"
        yield _file(path, _kustomization(application, f"build-{number}"))
    yield "\ndone\n"


def _commit(branch: str, number: int, message: str) -> str:
    return (
        f"commit refs/heads/{branch}\ncommitter {_WHO} {_FIRST_S + 60 * number} +0000\n"
        f"data {len(message)}\n{message}\n"
    )


def _file(path: str, content: str) -> str:
    return f"M 100644 inline {path}\ndata {len(content)}\n{content}\n"


def _application(number: int, words: random.Random) -> Iterator[tuple[str, str]]:
    folder = f"apps/app-{number:04}"
    resources = "".join(f"- {name}.yaml\n" for name in ("deployment", *_BASE))
    yield f"{folder}/base/kustomization.yaml", f"resources:\n{resources}"
    yield f"{folder}/base/deployment.yaml", _deployment(number, words)
    for name in _BASE:
        yield f"{folder}/base/{name}.yaml", _manifest(name, number, words)
    for environment in _OVERLAYS:
        where = overlay(number, environment)
        yield f"{where}/kustomization.yaml", _kustomization(number, "build-0")
        for name in _OVERLAY_FILES:
            yield f"{where}/{name}.yaml", _manifest(f"{name}-{environment}", number, words)


def _kustomization(number: int, tag: str) -> str:
    return (
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [../../base]\n"
        f"images:\n- name: {image(number)}\n  newTag: {tag}\n"
    )


def _deployment(number: int, words: random.Random) -> str:
    variables = "".join(
        f'        - {{name: KEY_{line}, value: "{words.getrandbits(96):x}"}}\n' for line in range(_LINES)
    )
    name = f"app-{number:04}"
    return (
        f"apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: {name}}}\nspec:\n"
        f"  selector: {{matchLabels: {{app: {name}}}}}\n  template:\n"
        f"    metadata: {{labels: {{app: {name}}}}}\n    spec:\n      containers:\n"
        f"      - name: server\n        image: {image(number)}\n        env:\n{variables}"
    )


def _manifest(name: str, number: int, words: random.Random) -> str:
    data = "".join(f'  key-{line}: "{words.getrandbits(96):x}"\n' for line in range(_LINES))
    head = f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}-{number:04}\n"
    return f"{head}  namespace: app-{number:04}\ndata:\n{data}"
