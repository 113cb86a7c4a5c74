"""A matrix as GitHub and GitLab read it; names of folders are data, whatever they hold."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import yaml

from pipeline.errors import ConfigurationError
from pipeline.matrix import Model

Form = Callable[[Sequence[Model]], str]
MOST_JOBS = 256
"""Of one matrix on GitHub."""
MOST_INCLUDES = 150
"""Of one pipeline on GitLab, unless its administrator allows more."""
TEMPLATE = "/templates/deliver.yml"
_PLAIN = re.compile(r"[A-Za-z0-9._/@+=,~-]*")
"""What GitLab takes as it stands; in other text it looks for variables."""


def github(models: Sequence[Model]) -> str:
    """Return one line for `fromJSON`, as `strategy.matrix` takes it.

    Raises:
        ConfigurationError: a folder has a name that no JSON can hold, or there are too many models.
    """
    if len(models) > MOST_JOBS:
        raise ConfigurationError(
            f"{len(models)} models are concerned, and GitHub runs at most {MOST_JOBS} jobs of a matrix",
            advice="Name folders: `pipeline matrix models/a models/b`, in several jobs.",
        )
    return _json({"include": [_entry(model) for model in models]})


def plain(models: Sequence[Model]) -> str:
    """Return a list that also says why each model is in it."""
    return _json([{**_entry(model), "because": _text(model.because)} for model in models])


def gitlab(models: Sequence[Model], template: str = TEMPLATE) -> str:
    """Return a child pipeline that includes the template once for each model: its folder, and the jobs' name.

    Raises:
        ConfigurationError: GitLab would read a folder's name as something else, or there are too many models.
    """
    if len(models) > MOST_INCLUDES:
        raise ConfigurationError(
            f"{len(models)} models are concerned, and GitLab includes at most {MOST_INCLUDES} files",
            advice="Name folders: `pipeline matrix --gitlab models/a models/b`, in several child pipelines.",
        )
    child: dict[str, object] = {"include": [_include(model, template) for model in models]}
    if not models:  # a child pipeline without a job is an error
        child = {"no model changed": {"script": ["true"], "variables": {"GIT_STRATEGY": "none"}}}
    return yaml.safe_dump(child, sort_keys=False, width=1000).rstrip("\n")


def _include(model: Model, template: str) -> Mapping[str, object]:
    folder = model.folder.as_posix()
    if not _PLAIN.fullmatch(folder):
        raise ConfigurationError(
            f"the folder {folder!r} holds characters that GitLab reads as something else",
            advice="Rename it: letters, digits and . _ / @ + = , ~ - stay what they are.",
        )
    return {"local": template, "inputs": {"working-directory": folder, "name": f"deliver {folder}"}}


def _entry(model: Model) -> Mapping[str, str]:
    return {
        "config": _path(model.config),
        "name": _text(model.name),
        "folder": _path(model.folder),
        "id": _id(model),
    }


def _id(model: Model) -> str:
    """Return a name of letters, digits and hyphens that no other model has, for artifacts, say."""
    plain = re.sub(r"[^A-Za-z0-9]+", "-", model.folder.as_posix())[:40].strip("-")
    digest = hashlib.sha256(os.fsencode(model.config)).hexdigest()[:8]
    return "-".join(filter(None, (plain, digest)))


def _path(path: Path) -> str:
    """Return a path that no program takes for a flag.

    Raises:
        ConfigurationError: it is no text, or holds control characters.
    """
    text = path.as_posix()
    if not text.isprintable():  # bytes that are no UTF-8 are not, either
        raise ConfigurationError(
            f"the path {text!r} holds characters that cannot be printed", advice="Rename the folder."
        )
    return f"./{text}" if text.startswith("-") else text


def _text(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _json(document: object) -> str:
    """Return JSON in one line of ASCII; no string in it holds what GitHub takes for a command."""
    return json.dumps(document, separators=(",", ":")).replace("##[", "#\\u0023[")
