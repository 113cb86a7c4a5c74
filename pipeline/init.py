"""`pipeline init`: a CI host's workflow for what pipeline.yaml uses, and no permission beyond it."""

import argparse
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.cascade import Configuration
from pipeline.config import Config
from pipeline.errors import ConfigurationError
from pipeline.init_forms import Needs, Registry, github, gitlab
from pipeline.record import write_text
from pipeline.source import top_folder

CLOUDS = {"ecr": "aws", "artifact_registry": "google", "acr": "azure"}
SOURCES = {"s3": "aws", "gs": "google", "az": "azure", "https": "azure", "hf": "huggingface"} | dict.fromkeys(
    ("models", "runs"), "mlflow"
)
WEIGHTS = {"huggingface": ("HF_TOKEN",), "mlflow": ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_URI")}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

Recognise = Callable[[Configuration], Sequence[Registry]]


@dataclass(frozen=True, slots=True)
class Written:
    """A file for a CI host, and what people still have to do there."""

    path: Path
    text: str
    notes: tuple[str, ...]


def make(configuration: Configuration, registries: Sequence[Registry], host: str) -> Written:
    """Return the file for a CI host (github, gitlab).

    Raises:
        ConfigurationError: pipeline.yaml is in no git repository, or in a folder that the host would misread.
    """
    top = top_folder(configuration.root)
    folder = configuration.root.resolve().relative_to(top).as_posix()
    if not folder.isprintable() or "${{" in folder or "$[[" in folder:
        raise ConfigurationError(
            f"the folder {folder!r} holds what a CI host reads as an expression", advice="Rename it."
        )
    needs = needs_of(configuration.values, registries, folder, configuration.path.name)
    if host == "gitlab":
        return Written(top / ".gitlab-ci.yml", *gitlab(needs))
    name = "deliver.yml" if folder == "." else f"deliver-{needs.short_name}.yml"
    return Written(top / ".github" / "workflows" / name, *github(needs))


def needs_of(values: Config, registries: Sequence[Registry], folder: str, file: str) -> Needs:
    """Return what the jobs of a configuration need: clouds, extras, secrets."""
    clouds = tuple(dict.fromkeys(CLOUDS[each.kind] for each in registries if each.kind in CLOUDS))
    source = values.model.source if values.model is not None else ""
    weights = SOURCES.get(source.partition(":")[0], "") if ":/" in source else ""
    request, wait = values.update.pull_request, values.update.wait
    providers = () if request is None else (request.provider or _host_of(values.update.repository or ""),)
    cluster = ("kubernetes",) if wait is not None and (wait.flux or wait.kubernetes) else ()
    extras = dict.fromkeys(filter(None, (*clouds, weights, *providers, *cluster)))
    return Needs(
        image=values.image,
        folder=folder,
        file=file,
        registries=tuple(registries),
        clouds=clouds,
        extras=tuple(extras),
        weights=source if weights else "",
        reading=(*WEIGHTS.get(weights, ()), *_build_secrets(values)),
        writing=tuple(_gitops_secrets(values)),
    )


def report(options: argparse.Namespace, configuration: Configuration, registries: Sequence[Registry]) -> int:
    """Write the file and print what to do next.

    Raises:
        ConfigurationError: there is a file already, and nobody said --force.
    """
    made = make(configuration, registries, options.host)
    if made.path.exists() and not options.force:
        raise ConfigurationError(
            f"{made.path} is there already", advice="Add --force to replace it, or take it away first."
        )
    write_text(made.path, made.text)
    print(f"{made.path} written. What is left to do:", *made.notes, sep="\n  - ")  # noqa: T201
    return 0


def _build_secrets(values: Config) -> Iterator[str]:
    for secret in values.build.secrets:
        if secret.environment is not None and _NAME.fullmatch(secret.environment):
            yield secret.environment


def _gitops_secrets(values: Config) -> Iterator[str]:
    section = values.update
    if section.repository is None:
        return
    if section.github_app is not None:
        yield "GITOPS_GITHUB_APP_KEY"
    elif section.repository.startswith(("http://", "https://")):
        yield from ("GITOPS_PASSWORD", "GITOPS_USERNAME")
    else:
        yield "GITOPS_SSH_KEY"
    if section.pull_request is not None and not section.repository.startswith("http"):
        yield "GITOPS_PASSWORD"
    if section.signing is not None and section.signing.key is None:
        yield "GITOPS_SIGNING_KEY"
    if section.wait is not None and section.wait.argocd is not None:
        yield "ARGOCD_AUTH_TOKEN"


def _host_of(repository: str) -> str:
    return "gitlab" if "gitlab" in repository else "github"
