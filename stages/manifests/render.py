"""Renders a kustomization or a chart in a scratch folder: without network, plugins, cluster, for a minute."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from pipeline.desk import Desk
from pipeline.process import KEPT_BYTES, Command, Outcome, run
from stages.manifests.rendered_files import Files

TIME_LIMIT_S = 60.0
_MOST_VALUES = 1_000_000
_NOWHERE = "http://127.0.0.1:9"  # nobody answers there
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc] # whichever there is
    """Reads YAML as Kubernetes does, to whom a date is a string."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own way
        first: [one for one in known if not one[0].endswith((":timestamp", ":value"))]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


class NotRendered(Exception):
    """The renderer did not render; the text is what it said last."""


@dataclass(frozen=True, slots=True)
class Kustomizer:
    """Kustomize, or the one in kubectl."""

    command: tuple[str, ...]
    folder: str

    def arguments(self) -> tuple[str, ...]:
        """Return the command; the folder holds files of the tree alone, so none is out of bounds."""
        return *self.command, "--load-restrictor", "LoadRestrictionsNone", self.folder or "."


@dataclass(frozen=True, slots=True)
class Helm:
    """`helm template` with a chart's own values, and another file of them."""

    folder: str
    values: str | None = None

    def arguments(self) -> tuple[str, ...]:
        """Return the command."""
        values = ("--values", self.values) if self.values is not None else ()
        return "helm", "template", "release", self.folder or ".", *values


Renderer = Kustomizer | Helm


def kustomize_command() -> tuple[str, ...] | None:
    """Return how Kustomize is called on this machine; None where it is not there."""
    if shutil.which("kustomize"):
        return "kustomize", "build"
    return ("kubectl", "kustomize") if shutil.which("kubectl") else None


def has_helm() -> bool:
    """Tell whether Helm is on this machine."""
    return shutil.which("helm") is not None


def render(
    renderer: Renderer, files: Files, edited: Mapping[str, bytes], scratch: Path, desk: Desk
) -> tuple[object, ...]:
    """Return the rendered documents.

    Raises:
        NotRendered: the renderer refuses, takes too long, or renders something that is no YAML.
    """
    root, home = scratch / "files", scratch / "home"
    shutil.rmtree(scratch, ignore_errors=True)
    root.mkdir(parents=True)
    home.mkdir()
    files.write(root, edited)
    command = Command(
        arguments=renderer.arguments(), cwd=root, environment=_environment(home), timeout_s=TIME_LIMIT_S
    )
    outcome = run(command)  # not by the desk, which keeps what is printed: there may be secrets in it
    with desk.log("proof") as log:
        log.write(desk.redact(f"$ {command}\n{outcome.stderr}= exit code {outcome.exit_code}\n"))
    if not outcome.succeeded:
        raise NotRendered(_why(outcome, root))
    return documents(outcome.stdout)


def documents(text: str) -> tuple[object, ...]:
    """Return the documents of a text, items of lists apart, without empty ones.

    Raises:
        NotRendered: the text is no YAML, or too much of it.
    """
    if len(text) >= KEPT_BYTES:
        raise NotRendered("that is too much to compare")
    try:
        found = [one for one in yaml.load_all(text.removeprefix("\ufeff"), _Loader) if one is not None]
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise NotRendered(f"that is no YAML: {' '.join(str(error).split())}") from error
    if _too_large(found):
        raise NotRendered("that is too much to compare")
    return tuple(part for one in found for part in _items(one))


def _items(document: object) -> tuple[object, ...]:
    if isinstance(document, dict) and document.get("kind") == "List":
        items = document.get("items")
        return tuple(items) if isinstance(items, list) else ()
    return (document,)


def _too_large(value: object) -> bool:
    """Tell whether a value has too many parts, those counted twice that an alias stands for."""
    todo, count = [value], 0
    while todo and count <= _MOST_VALUES:
        one = todo.pop()
        count += 1
        if isinstance(one, dict):
            todo += one.values()
        elif isinstance(one, list):
            todo += one
    return count > _MOST_VALUES


def _environment(home: Path) -> dict[str, str | None]:
    """Return an environment without the pipeline's secrets, and without a way to others."""
    kept = {"PATH", "LANG", "TMPDIR", "SYSTEMROOT"}
    nothing: dict[str, str | None] = dict.fromkeys(name for name in os.environ if name not in kept)
    return {
        **nothing,
        **dict.fromkeys(_PROXIES, _NOWHERE),
        "HOME": str(home),
        "KUBECONFIG": os.devnull,
        "GIT_ALLOW_PROTOCOL": "none",
    }


def _why(outcome: Outcome, root: Path) -> str:
    if outcome.timed_out:
        return f"it took longer than {TIME_LIMIT_S:.0f} s"
    lines = [line.strip() for line in outcome.stderr.splitlines() if line.strip()]
    text = next((line for line in lines if line.lower().startswith("error")), "".join(lines[-1:]))
    return text.removeprefix("Error: ").removeprefix("error: ").replace(f"{root}/", "") or "it says nothing"
