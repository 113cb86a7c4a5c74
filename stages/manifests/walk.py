"""All values below a value, each with the way to it."""

from collections.abc import Iterator
from itertools import chain

from stages.manifests.cursor import Cursor
from stages.manifests.yaml_tree import MERGE, MappingNode, text_of


def entries(cursor: Cursor) -> Iterator[tuple[str, Cursor]]:
    """Return the keys and values of a mapping that stand there themselves; nothing where it is none."""
    if not isinstance(cursor.node, MappingNode):
        return
    for key, _ in cursor.node.entries:
        name = text_of(key)
        found = cursor.get(name) if name is not None and name != MERGE else None
        if name is not None and found is not None:
            yield name, found


def descend(cursor: Cursor) -> Iterator[Cursor]:
    """Return a value and every value below it, in the order of the text."""
    yield cursor
    for below in chain((value for _, value in entries(cursor)), cursor.items()):
        yield from descend(below)
