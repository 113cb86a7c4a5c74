"""What can be done to a YAML text: set a scalar, add a key or an item; and what the text says afterwards."""

from collections.abc import Sequence
from dataclasses import dataclass

from stages.manifests import yaml_tree
from stages.manifests.cursor import Cursor
from stages.manifests.quoting import quoted
from stages.manifests.yaml_tree import STRING, AliasNode, MappingNode, Node, ScalarNode, SequenceNode

_BOOLEAN, INTEGER = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:int"

Value = str | int
"""A string, or a whole number or a truth, which are written without quotes."""
Item = str | tuple[tuple[str, Value], ...]
"""A string, or a mapping of strings, numbers and truths."""


@dataclass(frozen=True, slots=True)
class SetScalar:
    """Give a scalar that is there another value."""

    at: Cursor
    value: Value


@dataclass(frozen=True, slots=True)
class AddKey:
    """Add a key to a mapping, below another key of it; below the last one where there is no such key."""

    at: Cursor
    key: str
    value: Value
    below: str | None = None

    def neighbour(self) -> tuple[Node, Node]:
        """Return the key and the value below which the new key comes."""
        assert isinstance(self.at.node, MappingNode)  # noqa: S101 - forms add keys to mappings alone
        entries = self.at.node.entries
        named = (entry for entry in entries if self.below and yaml_tree.text_of(entry[0]) == self.below)
        return next(named, entries[-1])


@dataclass(frozen=True, slots=True)
class AddItem:
    """Add an item to the end of a list."""

    at: Cursor
    item: Item

    @property
    def value(self) -> str:
        """The item as it is told to people."""
        if isinstance(self.item, str):
            return self.item
        return ", ".join(f"{key}: {written(value, '')}" for key, value in self.item)


@dataclass(frozen=True, slots=True)
class AddList:
    """Add a list of one string to the end of a mapping, below one or more new keys."""

    at: Cursor
    keys: tuple[str, ...]
    value: str


Edit = SetScalar | AddKey | AddItem | AddList


def written(value: Value, style: str) -> str:
    """Return a value as it is written in a style: a quote character, or plain where that is safe."""
    return quoted(value, style) if isinstance(value, str) else str(value).lower()


def shape(node: Node, edits: Sequence[Edit]) -> object:
    """Return what a value says, without where and how it is written, as it is after the edits."""
    if isinstance(node, AliasNode):
        return "*", node.name
    if isinstance(node, ScalarNode):
        values = [edit.value for edit in edits if isinstance(edit, SetScalar) and edit.at.node is node]
        return (node.anchor, *plain(values[-1])) if values else (node.anchor, node.tag, node.value)
    if isinstance(node, SequenceNode):
        more = [
            _item_shape(edit.item) for edit in edits if isinstance(edit, AddItem) and edit.at.node is node
        ]
        return node.anchor, [*(shape(item, edits) for item in node.items), *more]
    assert isinstance(node, MappingNode)  # noqa: S101 - there is no other kind of node
    added = [edit for edit in edits if isinstance(edit, AddKey) and edit.at.node is node]
    pairs: list[object] = []
    for key, value in node.entries:
        pairs.append((shape(key, edits), shape(value, edits)))
        here = (edit for edit in added if edit.neighbour()[0] is key)
        pairs += (((None, STRING, edit.key), (None, *plain(edit.value))) for edit in here)
    lists = (edit for edit in edits if isinstance(edit, AddList) and edit.at.node is node)
    return node.anchor, pairs + [_list_shape(edit.keys, edit.value) for edit in lists]


def _list_shape(keys: tuple[str, ...], item: str) -> object:
    below = (None, [_list_shape(keys[1:], item)]) if keys[1:] else (None, [_item_shape(item)])
    return (None, STRING, keys[0]), below


def plain(value: Value) -> tuple[str, str]:
    """Return the tag of a value, and its text."""
    if isinstance(value, str):
        return STRING, value
    return _BOOLEAN if isinstance(value, bool) else INTEGER, written(value, "")


def _item_shape(item: Item | Value) -> object:
    if isinstance(item, tuple):
        return None, [(_item_shape(key), _item_shape(value)) for key, value in item]
    return None, *plain(item)
