"""`pipeline init`: a CI host's workflow for what pipeline.yaml uses, and no permission beyond it."""

import argparse
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline import init_monorepo as monorepo
from pipeline.cache_section import cache_of
from pipeline.cascade import FILE_NAME, Configuration
from pipeline.config import Config
from pipeline.errors import ConfigurationError
from pipeline.init_forms import Needs, Registry, github, gitlab
from pipeline.matrix import places
from pipeline.record import write_text
from pipeline.source import default_branch, files_named, origin_path, top_folder

CLOUDS = {"ecr": "aws", "artifact_registry": "google", "acr": "azure"}
SOURCES = {"s3": "aws", "gs": "google", "az": "azure", "https": "azure", "hf": "huggingface"} | dict.fromkeys(
    ("models", "runs"), "mlflow"
)
WEIGHTS = {"huggingface": ("HF_TOKEN",), "mlflow": ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_URI")}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SPECIAL = re.compile(r"[*?+!\[\]\\]")
"""What is no plain character in a pattern of GitHub."""

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
    needs = needs_of(configuration, registries, folder)
    needs = replace(needs, paths=_patterns(top, places(top, Path(needs.config))))
    if host == "gitlab":
        return Written(top / ".gitlab-ci.yml", *gitlab(needs))
    name = "deliver.yml" if folder == "." else f"deliver-{needs.short_name}.yml"
    return Written(top / ".github" / "workflows" / name, *github(needs))


def make_for_all(found: Sequence[tuple[Configuration, Sequence[Registry]]], host: str) -> tuple[Written, ...]:
    """Return the files that deliver what a change concerns, for all models of a repository.

    Raises:
        ConfigurationError: a folder has a name that the host would misread, or a model needs a secret that
            the jobs for all of them have not.
    """
    top = top_folder(found[0][0].root)
    needs = [
        needs_of(each, registries, each.root.resolve().relative_to(top).as_posix())
        for each, registries in found
    ]
    if host == "gitlab":
        child = monorepo.gitlab_child(needs)
        return (
            Written(top / ".gitlab-ci.yml", *monorepo.gitlab(needs)),
            Written(top / ".gitlab" / "deliver.yml", child, ()),
        )
    return (Written(top / ".github" / "workflows" / "deliver.yml", *monorepo.github(needs)),)


def models_of(config: Path) -> tuple[Path, ...]:
    """Return every pipeline.yaml at the top of a repository of several, where none of them is named."""
    if config != Path(FILE_NAME):
        return ()
    top = top_folder(Path.cwd())
    found = files_named(top, FILE_NAME, untracked=True) if Path.cwd().resolve() == top else ()
    present = tuple(top / path for path in found if (top / path).is_file())
    return present if len(present) > 1 else ()


def needs_of(configuration: Configuration, registries: Sequence[Registry], folder: str) -> Needs:
    """Return what the jobs of a configuration need: clouds, extras, secrets."""
    values = configuration.values
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
        file=configuration.path.name,
        registries=tuple(registries),
        clouds=clouds,
        extras=tuple(extras),
        weights=source if weights else "",
        reading=(*WEIGHTS.get(weights, ()), *_build_secrets(values)),
        writing=tuple(_gitops_secrets(values)),
        signing=tuple(_signing_secrets(values)),
        repository=origin_path(configuration.root),
        branch=default_branch(configuration.root),
        github_cache=values.build.cache is not None and cache_of(values.build.cache).store == "gha",
        keyless=values.attest is not None and values.attest.keyless,
        signs=values.attest is not None,
        tests="test" not in values.skipped,
    )


def report(options: argparse.Namespace, found: Sequence[tuple[Configuration, Sequence[Registry]]]) -> int:
    """Write the files and print what to do next; none is written where one is there already.

    Raises:
        ConfigurationError: there is a file already, and nobody said --force.
    """
    made = make_for_all(found, options.host) if len(found) > 1 else (make(*found[0], options.host),)
    there = [each.path for each in made if each.path.exists()]
    if there and not options.force:
        raise ConfigurationError(
            f"{there[0]} is there already", advice="Add --force to replace it, or take it away first."
        )
    for each in made:
        write_text(each.path, each.text)
    written = " and ".join(str(each.path) for each in made)
    notes = (note for each in made for note in each.notes)
    print(f"{written} written. What is left to do:", *notes, sep="\n  - ")  # noqa: T201
    return 0


def _patterns(top: Path, places: Sequence[Path]) -> tuple[str, ...]:
    """Return patterns of GitHub for the files that concern a model; none where all of them do."""
    if Path() in places:
        return ()
    named = [(_SPECIAL.sub(r"\\\g<0>", place.as_posix()), (top / place).is_file()) for place in places]
    return tuple(name if is_file else f"{name}/**" for name, is_file in named)


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


def _signing_secrets(values: Config) -> Iterator[str]:
    """Yield what a private key in a file or a variable asks for; a KMS knows the job by other means."""
    key = values.attest.key if values.attest is not None else None
    if key is None:
        return
    variable = key.removeprefix("env://")
    if variable != key and _NAME.fullmatch(variable):
        yield variable
    if variable != key or "://" not in key:
        yield "COSIGN_PASSWORD"


def _host_of(repository: str) -> str:
    return "gitlab" if "gitlab" in repository else "github"
