"""The cascade: default < pipeline.yaml < environment < flag; every value knows where it came from."""

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pipeline.config import Config, SkipSection
from pipeline.errors import ConfigurationError
from pipeline.record import Setting
from pipeline.redaction import MASK, SECRET_NAME
from pipeline.source import without_password
from pipeline.yaml_source import Place, Tree, at, dotted, load, parse, validate

FILE_NAME = "pipeline.yaml"
PREFIX = "PIPELINE_"
_KEY_FILES = {
    ("update", "ssh_key"),
    ("github_app", "private_key"),
    ("signing", "key"),
    ("attest", "key"),
    ("verify", "key"),
}
"""Settings that name a file with a key, which is no secret."""
_SHORT_FORMS = {("build", "cache"): "store"}
"""Where one word stands for a key of a mapping: laid over a mapping, it leaves the other keys alone."""
EXAMPLE = "image: my-model\nregistries: [registry.example.com/team]"


@dataclass(frozen=True, slots=True)
class Configuration:
    """The configuration of a run, and where each of its values came from."""

    values: Config
    tree: Tree
    path: Path

    @property
    def root(self) -> Path:
        """The folder that paths are relative to."""
        return self.path.parent

    def settings(self) -> tuple[Setting, ...]:
        """Return every value with its origin, in the order of the model; secrets are masked."""
        return tuple(
            Setting(key=dotted(place), value=_shown(place, value), origin=self._origin(place))
            for place, value in self._leaves()
        )

    def secrets(self) -> tuple[str, ...]:
        """Return the values whose names say that they are secrets."""
        return tuple(str(value) for place, value in self._leaves() if value and _is_secret(place))

    def _leaves(self) -> list[tuple[Place, object]]:
        return _leaves(self.values.model_dump(mode="json"), ())

    def _origin(self, place: Place) -> str:
        return "default" if at(self.tree.value, place) is None else self.tree.origin(place)


def read_config(
    path: Path,
    assignments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    *,
    deployed_to: str | None = None,
) -> Configuration:
    """Read pipeline.yaml and lay variables and flags (`key.sub=value`) over it.

    `deployed_to` names one of its `environments:`, whose keys are laid over those of the file before.

    Raises:
        ConfigurationError: lists every problem with file, line, value and the nearest right key.
    """
    tree = _file(path)
    if deployed_to is not None:
        tree = _deployed_to(deployed_to, tree)
    for name, value in sorted((os.environ if environment is None else environment).items()):
        if value and (place := _place(name)):  # an empty variable is what CI makes of an input left out
            tree = _laid_over(tree, place, value, f"${name}")
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not re.fullmatch(r"[\w-]+(\.[\w-]+)*", key):
            raise ConfigurationError(
                f"--set {assignment}: this sets nothing",
                advice="Write --set key=value, such as --set benchmark.port=9000.",
            )
        tree = _laid_over(tree, tuple(key.split(".")), value, f"--set {key}")
    return Configuration(validate(Config, tree), tree, path)


def _laid_over(tree: Tree, place: Place, text: str, origin: str) -> Tree:
    """Return the tree with what a variable or flag says at this place."""
    value = _value(text)
    if place in _SHORT_FORMS and isinstance(value, str) and isinstance(at(tree.value, place), dict):
        place = (*place, _SHORT_FORMS[place])
    return tree.with_value(place, value, origin)


def _deployed_to(name: str, tree: Tree) -> Tree:
    """Return the tree with what one of its environments says instead."""
    known = at(tree.value, ("environments",))
    section = known.get(name) if isinstance(known, dict) else None
    if not isinstance(known, dict) or name not in known:
        names = ", ".join(map(str, known)) if isinstance(known, dict) and known else "none"
        raise ConfigurationError(
            f"{tree.name}: there is no environment called {name!r}",
            advice=f"It has: {names}. Write, for example:\nenvironments:\n  {name}:\n    update:\n"
            "      targets:\n      - path: …",
        )
    for key, value in section.items() if isinstance(section, dict) else ():
        inner = value if key == "update" and isinstance(value, dict) else {None: value}
        for below in inner:
            rest = (key,) if below is None else (key, below)
            tree = tree.with_value_of(rest, ("environments", name, *rest))
    return tree


def _place(variable: str) -> Place | None:
    """Return the place that a variable sets, or None where it is somebody else's.

    Kubernetes and some CI systems set variables such as PIPELINE_WORKSPACE: one that is near none of our keys
    is left alone. Below a free mapping (build arguments, variables) the case of a name is kept.
    """
    if not variable.startswith(PREFIX):
        return None
    parts = variable.removeprefix(PREFIX).split("__")
    first = parts[0].lower()
    section, _, key = first.partition("_")
    if key in _keys(section) and first not in Config.model_fields:
        raise ConfigurationError(
            f"${variable}: a section and its key are joined by two underscores",
            advice=f"Write {PREFIX}{section.upper()}__{variable.removeprefix(PREFIX)[len(section) + 1 :]}.",
        )
    if first not in Config.model_fields and not difflib.get_close_matches(
        first, Config.model_fields, cutoff=0.75
    ):
        return None
    free = len(parts) > 2 and _is_mapping(first, parts[1].lower())
    return tuple(part if free and number > 1 else part.lower() for number, part in enumerate(parts))


def _is_mapping(section: str, key: str) -> bool:
    keys = _keys(section)
    return key in keys and get_origin(keys[key].annotation) is dict


def _keys(section: str) -> Mapping[str, FieldInfo]:
    kind = Config.model_fields[section].annotation if section in Config.model_fields else None
    return kind.model_fields if isinstance(kind, type) and issubclass(kind, BaseModel) else {}


def no_file(path: Path) -> ConfigurationError:
    """Return the error for a missing pipeline.yaml: it says how to begin one."""
    return ConfigurationError(
        f"there is no {path}",
        advice=f"Go to the folder of your model, name the file by --config, or begin with:\n{EXAMPLE}",
    )


def _file(path: Path) -> Tree:
    if not path.exists():
        raise no_file(path)
    tree = load(path, path.name)
    if not isinstance(tree.value, dict):
        raise ConfigurationError(
            f"{path.name}:1: the file is no mapping of keys to values",
            advice=f"Begin with these lines:\n{EXAMPLE}",
        )
    _require_reasons(tree)
    return tree


def _require_reasons(tree: Tree) -> None:
    """Refuse a stage that the file leaves out without a word: null means that nobody asked for it."""
    said = at(tree.value, ("skip",))
    for stage, reason in said.items() if isinstance(said, dict) else ():
        if reason is None and stage in SkipSection.model_fields:
            raise ConfigurationError(
                f"{tree.origin(('skip', stage))}: skip.{stage}: a stage is left out only with a reason",
                advice=f'Say why, for example `{stage}: "no GPU on this runner"`, or take the line away.',
            )


def _value(text: str) -> object:
    """Return what a variable or flag says: text, or a list or mapping in YAML's flow style (JSON is one)."""
    if not text.startswith(("[", "{")):
        return None if text == "null" else text
    try:
        return parse(text, text).value
    except ConfigurationError:
        return text


def _leaves(value: object, place: Place) -> list[tuple[Place, object]]:
    """Return the places of single values, lists and free mappings; sections are taken apart."""
    if isinstance(value, dict) and value:
        return [leaf for key, below in value.items() for leaf in _leaves(below, (*place, key))]
    return [(place, value)]


def _is_secret(place: Place) -> bool:
    return place[-2:] not in _KEY_FILES and bool(SECRET_NAME.search(str(place[-1])))


def _shown(place: Place, value: object) -> object:
    if value and _is_secret(place):
        return MASK
    return without_password(value) if isinstance(value, str) else value
