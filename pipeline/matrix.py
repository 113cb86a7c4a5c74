"""Which models of a monorepo a change concerns: their own files, what they read, and what they depend on."""

import argparse
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from pipeline.cascade import FILE_NAME
from pipeline.ci_base import find_base
from pipeline.errors import ConfigurationError
from pipeline.matrix_packs import entries, pack_files, relative, tree_of
from pipeline.reference import Repository
from pipeline.section import words
from pipeline.source import changed_since, files_named, top_folder
from pipeline.yaml_source import Place, Tree, at

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/")
_PATHS: tuple[Place, ...] = (
    ("model", "source"),
    ("benchmark", "request"),
    ("benchmark", "expect"),
    ("scan", "known_exploited"),
)
"""Where a path of pipeline.yaml stands that is relative to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A pipeline.yaml, the paths that concern it, and why it is delivered; all relative to the top."""

    config: Path
    name: str
    reads: tuple[Path, ...]
    """Paths outside its own folder."""
    because: str = ""

    @property
    def folder(self) -> Path:
        """The folder of the pipeline.yaml."""
        return self.config.parent

    def concerned_by(self, path: Path) -> bool:
        """Tell whether a changed path is the model's own, or one that it reads."""
        return any(path.is_relative_to(place) for place in (self.folder, *self.reads))

    def depends_on(self, other: "Model") -> bool:
        """Tell whether it reads anything in another model's folder."""
        return any(
            place.is_relative_to(other.folder) or other.folder.is_relative_to(place) for place in self.reads
        )


def models(top: Path, below: Sequence[Path] = ()) -> tuple[Model, ...]:
    """Return all models of a repository, or those below some folders."""
    found = (path for path in files_named(top, FILE_NAME) if (top / path).is_file())
    chosen = (path for path in found if not below or any(path.is_relative_to(folder) for folder in below))
    return _distinct([_model(top, path) for path in chosen])


def concerned(
    everything: Sequence[Model], changes: Iterable[Path] | None, said: str = ""
) -> tuple[Model, ...]:
    """Return the models that changed, and those that depend on one of them; without changes, all."""
    if changes is None:
        return tuple(replace(model, because=said) for model in everything)
    paths = tuple(changes)
    found: dict[Path, Model] = {}
    for model in everything:
        if (path := next(filter(model.concerned_by, paths), None)) is not None:
            found[model.config] = replace(model, because=f"{path} changed")
    while more := {
        model.config: replace(model, because=f"depends on {other.folder}")
        for model in everything
        for other in found.values()
        if model.config not in found and model.depends_on(other)
    }:
        found |= more
    return tuple(found[model.config] for model in everything if model.config in found)


def places(top: Path, config: Path) -> tuple[Path, ...]:
    """Return the paths whose changes concern one model: its folder, what it reads, and what it depends on."""
    own = _model(top, config)
    found = {own.config: own}
    everything = [model for model in models(top) if model.config != config]
    while more := {
        other.config: other
        for model in found.values()
        for other in everything
        if other.config not in found and model.depends_on(other)
    }:
        found |= more
    return tuple(dict.fromkeys(path for model in found.values() for path in (model.folder, *model.reads)))


def find(top: Path, below: Sequence[Path], base: str | None) -> tuple[tuple[Model, ...], str]:
    """Return the models of the change that the CI host, or the user, asks for, and what it is compared with.

    Raises:
        ConfigurationError: it is no git repository, or the base is not in it.
    """
    since = find_base(top, base, os.environ)
    changes = changed_since(top, since.commit) if since.commit is not None else None
    return concerned(models(top, below), changes, since.said), since.said


def report(options: argparse.Namespace) -> int:
    """Print the matrix in the asked form, and on standard error what it was compared with."""
    from pipeline import matrix_forms as forms

    top = top_folder(Path.cwd())
    below = tuple(_below(top, folder) for folder in options.folders)
    found, said = find(top, below, options.base)
    child: forms.Form = partial(forms.gitlab, template=options.template)
    texts = {"github": forms.github, "gitlab": child}
    print(texts.get(options.form, forms.plain)(found))  # noqa: T201
    count = f"{len(found)} model{'s' if len(found) != 1 else ''} to deliver"
    print(f"{count} ({said})", file=sys.stderr)  # noqa: T201
    return 0


def _below(top: Path, folder: Path) -> Path:
    path = relative(top, Path.cwd() / folder)
    if not (Path.cwd() / folder).is_dir():
        raise ConfigurationError(
            f"there is no folder {folder} here, so no model in it would ever be delivered",
            advice="Check its name; it is looked up from the folder that you are in.",
        )
    if path is None:
        raise ConfigurationError(f"{folder} is not in the repository {top}", advice="Name a folder in it.")
    return path


def _model(top: Path, config: Path) -> Model:
    tree = tree_of(top / config)
    name = at(tree.value, ("image",))
    return Model(
        config=config,
        name=name if isinstance(name, str) and _is_image(name) else config.parent.as_posix(),
        reads=tuple(_reads(top, config.parent, tree)),
    )


def _is_image(name: str) -> bool:
    try:
        Repository(f"registry.invalid/{name}")
    except ValueError:
        return False
    return True


def _reads(top: Path, folder: Path, tree: Tree) -> Iterable[Path]:
    """Yield the paths outside the model's folder that its configuration names, or a pack of its own."""
    said = (relative(top, top / folder / one) for one in _said(tree.value))
    choices = [at(tree.value, ("policies",)), *_of_environments(tree.value)]
    named = (one for choice in choices for one in pack_files(top, folder, choice))
    for path in dict.fromkeys((*said, *named)):
        if path is not None and not path.is_relative_to(folder):
            yield path


def _of_environments(value: object) -> Iterable[object]:
    environments = at(value, ("environments",))
    return (
        (at(each, ("policies",)) for each in environments.values()) if isinstance(environments, dict) else ()
    )


def _said(value: object) -> Iterable[str]:
    """Yield what the configuration says of other files, relative to the pipeline.yaml; no URLs."""
    context = at(value, ("build", "context"))
    dockerfile = at(value, ("build", "dockerfile"))
    found = [context, *(at(value, place) for place in _PATHS), *entries(words(at(value, ("depends_on",))))]
    if isinstance(dockerfile, str):
        found.append(str(Path(context if isinstance(context, str) else "") / dockerfile))
    found += (at(each, ("lifecycle",)) for each in entries(at(value, ("registries",))))
    found += (at(each, ("file",)) for each in entries(at(value, ("build", "secrets"))))
    requests = entries(at(value, ("benchmark", "request")))
    found += (at(each, (key,)) for each in requests for key in ("file", "expect"))
    yield from (path for path in found if isinstance(path, str) and path and not _URL.match(path))


def _distinct(found: Sequence[Model]) -> tuple[Model, ...]:
    """Return the models with names of their own: two of one image name get their folders too."""
    counts: Mapping[str, int] = {
        name: sum(model.name == name for model in found) for name in {model.name for model in found}
    }
    return tuple(
        model if counts[model.name] == 1 else replace(model, name=f"{model.name} ({model.folder.as_posix()})")
        for model in found
    )
