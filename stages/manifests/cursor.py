"""A way through a document that remembers what else would change together with a value."""

from collections.abc import Iterable
from dataclasses import dataclass

from stages.manifests.field_path import Step, joined
from stages.manifests.yaml_tree import (
    MERGE,
    AliasNode,
    Document,
    MappingNode,
    Node,
    SequenceNode,
    text_of,
)


@dataclass(frozen=True, slots=True)
class Cursor:
    """A value of a document, the path that leads to it, and why it is not this place's own, if so."""

    document: Document
    node: Node
    path: str = ""
    shared: str = ""

    @classmethod
    def at_root(cls, document: Document) -> "Cursor":
        """Return the cursor that stands on the whole document."""
        return cls(document, document.root)._step(document.root, "", "")

    def kind(self) -> tuple[str, str]:
        """Return the group of `apiVersion`, and `kind`; empty where the document does not say."""
        return (self.text("apiVersion") or "").rpartition("/")[0], self.text("kind") or ""

    def get(self, key: str) -> "Cursor | None":
        """Return the value of a key, also one that is merged in by `<<`; None where there is none."""
        if not isinstance(self.node, MappingNode):
            return None
        path = joined(self.path, key)
        value = self.node.own(key)
        return self._step(value, path, self.shared) if value is not None else self._merged(key, path)

    def at(self, *keys: str) -> "Cursor | None":
        """Return the value below several keys."""
        cursor: Cursor | None = self
        for key in keys:
            cursor = cursor.get(key) if cursor is not None else None
        return cursor

    def follow(self, steps: Iterable[Step]) -> "Cursor | None":
        """Return the value at the end of a path of keys and indices."""
        cursor: Cursor | None = self
        for step in steps:
            if cursor is None:
                return None
            items = cursor.items() if isinstance(step, int) else ()
            cursor = cursor.get(step) if isinstance(step, str) else items[step] if step < len(items) else None
        return cursor

    def items(self) -> tuple["Cursor", ...]:
        """Return the items of this list; empty where it is none."""
        if not isinstance(self.node, SequenceNode):
            return ()
        return tuple(
            self._step(item, joined(self.path, index), self.shared)
            for index, item in enumerate(self.node.items)
        )

    def list_at(self, key: str) -> tuple["Cursor", ...]:
        """Return the items of the list below a key; empty where there is none."""
        found = self.get(key)
        return found.items() if found is not None else ()

    def text(self, key: str) -> str | None:
        """Return the value of a scalar below a key; None where there is none, or null."""
        found = self.get(key)
        return text_of(found.node) if found is not None else None

    def _step(self, node: Node, path: str, shared: str) -> "Cursor":
        if isinstance(node, AliasNode):
            shared = shared or f"is the alias *{node.name} of another value (line {node.line})"
            return self._step(node.target, path, shared)
        if node.anchor is not None and (lines := self.document.aliases.get(node.anchor)):
            shared = shared or f"belongs to &{node.anchor}, which line {lines[0]} uses too"
        return Cursor(self.document, node, path, shared)

    def _merged(self, key: str, path: str) -> "Cursor | None":
        base = self.get(MERGE) if key != MERGE else None
        if base is None:
            return None
        bases = base.items() if isinstance(base.node, SequenceNode) else (base,)
        for cursor in bases:
            if (found := cursor.get(key)) is not None:
                shared = f"is merged in by << from line {found.node.line}"
                return Cursor(self.document, found.node, path, shared)
        return None
