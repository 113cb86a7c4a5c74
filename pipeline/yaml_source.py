"""YAML that remembers where every value stands, so that each mistake is answered with file and line.

`load` reads a file, `parse` a text; `Tree.with_value` lays a value from elsewhere (environment, a flag)
over it; `validate` makes a pydantic model of it, or raises one error that lists every problem.
"""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from pipeline.errors import ConfigurationError
from pipeline.yaml_problems import Key, Place, describe, dotted

__all__ = ["Place", "Tree", "at", "dotted", "invalid", "load", "parse", "validate"]

M = TypeVar("M", bound=BaseModel)
Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C one where it was built


@dataclass(frozen=True, slots=True)
class Tree:
    """Plain data, and for the place of each value where it was written: `pipeline.yaml:7`."""

    name: str
    """What messages call the source, usually the file's path."""
    value: object
    origins: Mapping[Place, str]

    def origin(self, place: Place) -> str:
        """Return where the value of this place was written, or a part of it, or what is around it."""
        if place not in self.origins:
            inside = (origin for known, origin in self.origins.items() if known[: len(place)] == place)
            if (origin := next(inside, None)) is not None:
                return origin
        for length in range(len(place), -1, -1):
            if (origin := self.origins.get(place[:length])) is not None:
                return origin
        return self.name

    def only(self, key: str) -> "Tree":
        """Return the tree with nothing but this key of the outermost mapping; its places stay the same."""
        kept = {place: origin for place, origin in self.origins.items() if place[:1] in {(), (key,)}}
        return Tree(self.name, {key: at(self.value, (key,))}, kept)

    def with_value(self, place: Place, value: object, origin: str) -> "Tree":
        """Return a copy where the value at this place comes from elsewhere; missing mappings are made.

        Raises:
            ConfigurationError: something on the way to the place is no mapping.
        """
        below = {known for known in self.origins if known[: len(place)] == place}
        kept = {known: where for known, where in self.origins.items() if known not in below}
        return Tree(self.name, self._replaced(place, (), value, origin), {**kept, place: origin})

    def with_value_of(self, place: Place, source: Place) -> "Tree":
        """Return a copy where a place has the value of another place, with the lines of all its parts."""
        tree = self.with_value(place, at(self.value, source), self.origin(source))
        inside = {known: origin for known, origin in self.origins.items() if known[: len(source)] == source}
        parts = {(*place, *known[len(source) :]): origin for known, origin in inside.items()}
        return Tree(tree.name, tree.value, {**tree.origins, **parts})

    def _replaced(self, rest: Place, done: Place, value: object, origin: str) -> object:
        if not rest:
            return value
        here = at(self.value, done)
        if here is not None and not isinstance(here, dict):
            raise ConfigurationError(
                f"{origin} sets {dotted(done + rest)}, but {self.origin(done)} says {dotted(done)}: {here!r}",
                advice=f"Write {dotted(done)} as a mapping, or set {dotted(done)} itself.",
            )
        first = rest[0]
        return {**(here or {}), first: self._replaced(rest[1:], (*done, first), value, origin)}


def load(path: Path, name: str | None = None) -> Tree:
    """Return what a YAML file says.

    Raises:
        ConfigurationError: the file cannot be read, or is not YAML.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"there is no file {path}", advice="Check the name and the folder it is looked up from."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error}", advice="It has to be a readable text file in UTF-8."
        ) from error
    return parse(text, name or str(path))


def parse(text: str, name: str) -> Tree:
    """Return what a YAML text says; an empty one is an empty mapping.

    Raises:
        ConfigurationError: it is not YAML, or a key stands twice in one mapping.
    """
    loader = Loader(text)
    try:
        node = loader.get_single_node()
        builder = _Builder(loader, name)
        value = {} if node is None else builder.build(node, (), ())
    except yaml.MarkedYAMLError as error:
        raise ConfigurationError(
            f"{name}:{_position(error)}: this is not YAML: {error.problem or error.context}",
            advice="Look at the line above too: indentation, a missing colon or an unclosed quote.",
        ) from error
    except yaml.YAMLError as error:
        raise ConfigurationError(
            f"{name}: this is not YAML: {str(error).splitlines()[0]}", advice="Save it as UTF-8 text."
        ) from error
    finally:
        loader.dispose()
    return Tree(name, value, builder.origins)


def validate(model: type[M], tree: Tree) -> M:
    """Return the model that a tree describes.

    Raises:
        ConfigurationError: lists every problem, each with file, line, value and the nearest right key.
    """
    try:
        return model.model_validate(tree.value)
    except ValidationError as error:
        raise invalid(error, model, tree) from error


def invalid(error: ValidationError, model: type[BaseModel], tree: Tree) -> ConfigurationError:
    """Return the one error that lists all the problems of a validation."""
    lines = [
        f"{tree.origin(problem.origin)}: {problem.text}" for problem in describe(error, model, tree.value)
    ]
    lines = sorted(dict.fromkeys(lines), key=lambda line: _line_number(line, tree.name))
    many = len(lines) > 1
    return ConfigurationError(
        (f"{len(lines)} problems in {tree.name}:\n  " if many else "") + "\n  ".join(lines),
        advice=f"Mend {'these' if many else 'this'} and run again.",
    )


def at(value: object, place: Place) -> object:
    """Return what stands at a place of plain data, None where nothing does."""
    for key in place:
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and isinstance(key, int) and key < len(value):
            value = value[key]
        else:
            return None
    return value


class _Builder:
    """Turns composed nodes into plain data and notes the line of each."""

    def __init__(self, loader: yaml.SafeLoader, name: str) -> None:
        self._loader, self._name = loader, name
        self.origins: dict[Place, str] = {}

    def build(self, node: yaml.Node, place: Place, around: tuple[int, ...]) -> object:
        """Return the data of a node; `around` holds the nodes that it lies in."""
        self.origins.setdefault(place, self._at(node))
        if id(node) in around:
            raise ConfigurationError(
                f"{self._at(node)}: the alias of {dotted(place)} contains itself",
                advice="Write the value out instead of using an alias.",
            )
        inside = (*around, id(node))
        if isinstance(node, yaml.MappingNode):
            return {key: self._entry(k, v, (*place, key), inside) for key, k, v in self._entries(node)}
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*place, i), inside) for i, item in enumerate(node.value)]
        return self._scalar(node, f"{dotted(place)}: ".removeprefix(": "))

    def _entry(self, key: yaml.Node, value: yaml.Node, place: Place, around: tuple[int, ...]) -> object:
        self.origins[place] = self._at(key)  # the key's line: a value may begin below it
        return self.build(value, place, around)

    def _entries(self, node: yaml.MappingNode) -> Iterator[tuple[Key, yaml.Node, yaml.Node]]:
        self._refuse_duplicates(node)
        self._loader.flatten_mapping(node)
        merged: dict[Hashable, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in node.value:
            merged[self._key(key)] = (key, value)  # after a merge (<<) the mapping's own key comes last
        for name, (key, value) in merged.items():
            yield name if isinstance(name, int) and not isinstance(name, bool) else str(name), key, value

    def _refuse_duplicates(self, node: yaml.MappingNode) -> None:
        first: dict[Hashable, yaml.Node] = {}
        for key, _ in node.value:
            name = self._key(key)
            if name in first:
                raise ConfigurationError(
                    f"{self._at(key)}: the key {name!r} stands here twice; first at {self._at(first[name])}",
                    advice="Keep one of the two.",
                )
            first[name] = key

    def _key(self, node: yaml.Node) -> Hashable:
        if not isinstance(node, yaml.ScalarNode):
            raise ConfigurationError(
                f"{self._at(node)}: a key has to be a single word",
                advice="Quote text that begins with {, [ or ?.",
            )
        if node.tag.rpartition(":")[2] in {"bool", "null", "merge"}:
            return str(node.value)  # `on:` and `no:` are words where a key stands
        key = self._scalar(node, "")
        return key if isinstance(key, Hashable) else str(node.value)

    def _scalar(self, node: yaml.Node, what: str) -> object:
        try:
            value: object = self._loader.construct_object(node)
        except (
            ValueError,
            LookupError,
            AttributeError,
        ) as error:  # `2027-02-30`, `!!bool x`, `!!timestamp x`
            kind = node.tag.rpartition(":")[2]
            problem = str(error) if isinstance(error, ValueError) else f"this is no {kind}"
            raise ConfigurationError(
                f"{self._at(node)}: {what}{node.value!r} - {problem}", advice="Mend this line."
            ) from error
        return value

    def _at(self, node: yaml.Node) -> str:
        return f"{self._name}:{node.start_mark.line + 1}"


def _position(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return "?" if mark is None else f"{mark.line + 1}:{mark.column + 1}"


def _line_number(line: str, name: str) -> tuple[bool, int]:
    number = line.removeprefix(f"{name}:").partition(":")[0]
    return (not number.isdigit(), int(number) if number.isdigit() else 0)
