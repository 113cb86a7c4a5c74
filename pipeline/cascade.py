"""The cascade: default < pipeline.yaml < environment < flag; every value knows where it came from."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from pipeline.config import Config
from pipeline.errors import ConfigurationError
from pipeline.record import Setting
from pipeline.source import without_password
from pipeline.yaml_source import Place, Tree, at, dotted, load, validate

FILE_NAME = "pipeline.yaml"
PREFIX = "PIPELINE_"
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
        """Return every value with its origin, in the order of the model."""
        leaves = _leaves(self.values.model_dump(mode="json"), ())
        return tuple(
            Setting(key=dotted(place), value=_shown(value), origin=self._origin(place))
            for place, value in leaves
        )

    def _origin(self, place: Place) -> str:
        return "default" if at(self.tree.value, place) is None else self.tree.origin(place)


def read_config(
    path: Path, assignments: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Configuration:
    """Read pipeline.yaml and lay the environment and the flags (`key.sub=value`) over it.

    Raises:
        ConfigurationError: lists every problem with file, line, value and the nearest right key.
    """
    tree = _file(path)
    for name, value in sorted((os.environ if environment is None else environment).items()):
        if name.startswith(PREFIX) and value:  # an empty variable is what CI makes of an input left out
            tree = tree.with_value(
                tuple(name.removeprefix(PREFIX).lower().split("__")), _value(value), f"${name}"
            )
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not re.fullmatch(r"[\w-]+(\.[\w-]+)*", key):
            raise ConfigurationError(
                f"--set {assignment}: this sets nothing",
                advice="Write --set key=value, such as --set benchmark.port=9000.",
            )
        tree = tree.with_value(tuple(key.split(".")), _value(value), f"--set {key}")
    return Configuration(validate(Config, tree), tree, path)


def _file(path: Path) -> Tree:
    try:
        tree = load(path, path.name)
    except ConfigurationError as error:
        if path.exists():
            raise
        raise ConfigurationError(
            f"there is no {path}",
            advice=f"Go to the folder of your model, name the file by --config, or begin with:\n{EXAMPLE}",
        ) from error
    if not isinstance(tree.value, dict):
        raise ConfigurationError(
            f"{path.name}:1: the file is no mapping of keys to values",
            advice=f"Begin with these lines:\n{EXAMPLE}",
        )
    return tree


def _value(text: str) -> object:
    """Return what a variable or flag says: text, or a list or mapping in YAML's flow style (JSON is one)."""
    if not text.startswith(("[", "{")):
        return None if text == "null" else text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _leaves(value: object, place: Place) -> list[tuple[Place, object]]:
    """Return the places of single values, lists and free mappings; sections are taken apart."""
    if isinstance(value, dict) and value:
        return [leaf for key, below in value.items() for leaf in _leaves(below, (*place, key))]
    return [(place, value)]


def _shown(value: object) -> object:
    return without_password(value) if isinstance(value, str) else value
