"""Changes single scalars of a YAML text and nothing else: not a comment, a quote, a line end or a space.

The new text is spliced in at the marks of the parsed value; the result is parsed again and compared with
what was meant, and an edit that would change anything else is not made.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pipeline.errors import ConfigurationError
from pipeline.model import FieldChange
from stages.manifests import yaml_tree
from stages.manifests.cursor import Cursor
from stages.manifests.quoting import quoted
from stages.manifests.refusal import refusal
from stages.manifests.yaml_tree import (
    BYTE_ORDER_MARK,
    STRING,
    AliasNode,
    Document,
    MappingNode,
    Node,
    ScalarNode,
    SequenceNode,
)

_QUOTES = frozenset("'\"")
_VARIABLES = ("${", "$(", "{{")
_LARGE_FILE_POINTER = b"version https://git-lfs.github.com/spec/"
_ADVICE = "Write the value out at this place, on one line, and run again."


@dataclass(frozen=True, slots=True)
class SetScalar:
    """Give a scalar that is there another value."""

    at: Cursor
    value: str


@dataclass(frozen=True, slots=True)
class AddKey:
    """Add a key to a mapping, below another key of it; below the last one where there is no such key."""

    at: Cursor
    key: str
    value: str
    below: str | None = None

    def neighbour(self) -> tuple[Node, Node]:
        """Return the key and the value below which the new key comes."""
        assert isinstance(self.at.node, MappingNode)  # noqa: S101 - forms add keys to mappings alone
        entries = self.at.node.entries
        named = (entry for entry in entries if self.below and yaml_tree.text_of(entry[0]) == self.below)
        return next(named, entries[-1])


Edit = SetScalar | AddKey


@dataclass(frozen=True, slots=True)
class YamlFile:
    """A file of one or more documents; `text` is without its byte order mark."""

    path: str
    mark: str
    text: str
    documents: tuple[Document, ...]

    @classmethod
    def parse(cls, path: str, content: bytes) -> "YamlFile":
        """Return the file with its documents.

        Raises:
            ConfigurationError: the content is not YAML in UTF-8.
        """
        if content.startswith(_LARGE_FILE_POINTER):
            raise refusal(
                path,
                None,
                "is a Git LFS pointer, not a manifest",
                advice="Take the file out of Git LFS (.gitattributes): manifests are small.",
            )
        try:
            whole = content.decode("utf-8")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise refusal(path, line, "is not UTF-8", advice="Save the file as UTF-8.") from error
        text = whole.removeprefix(BYTE_ORDER_MARK)
        mark = whole[: len(whole) - len(text)]
        return cls(path, mark, text, yaml_tree.parse(path, text))

    @property
    def content(self) -> bytes:
        """The file as it was read."""
        return f"{self.mark}{self.text}".encode()


@dataclass(frozen=True, slots=True)
class _Splice:
    start: int
    end: int
    text: str
    field: str
    old: str | None
    new: str


def apply(file: YamlFile, edits: Iterable[Edit]) -> tuple[bytes, tuple[FieldChange, ...]]:
    """Return the file's new content and what changed in it; an edit that changes nothing is left out.

    Raises:
        ConfigurationError: a value cannot be changed without changing something else, or by us.
    """
    wanted = [edit for edit in edits if not _is_there(edit)]
    for edit in wanted:
        _refuse_unsafe(edit)
    splices = [_splice(file, edit) for edit in wanted]
    text, changes = _spliced(file.text, splices)
    if wanted:
        _verify(file, text, wanted)
    return f"{file.mark}{text}".encode(), changes


def _is_there(edit: Edit) -> bool:
    node = edit.at.node
    return (
        isinstance(edit, SetScalar)
        and isinstance(node, ScalarNode)
        and (node.value, node.tag) == (edit.value, STRING)
        and (node.style != "" or quoted(edit.value, "") == edit.value)
    )


def _refuse_unsafe(edit: Edit) -> None:
    at, document = edit.at, edit.at.document
    _refuse_duplicate_keys(document)
    _refuse_encrypted(document)
    if at.shared:
        raise refusal(document.path, at.node.line, f"{at.path} {at.shared}", advice=_ADVICE)
    if isinstance(edit, SetScalar) and (problem := _unsafe_scalar(at.node)):
        raise refusal(document.path, at.node.line, f"{at.path} {problem}", advice=_ADVICE)


def _unsafe_scalar(node: Node) -> str:
    if not isinstance(node, ScalarNode):
        return "is not a single value"
    if node.style in {"|", ">"}:
        return "is a block of text"
    if node.explicit_tag not in {None, STRING}:
        return f"carries the tag {node.explicit_tag}"
    if any(sign in node.value for sign in _VARIABLES):
        return f"is filled in by a variable: {node.value}"
    return ""


def _refuse_duplicate_keys(document: Document) -> None:
    for mapping in (node for node in _nodes(document.root) if isinstance(node, MappingNode)):
        seen: dict[str, int] = {}
        for key, _ in mapping.entries:
            name = yaml_tree.text_of(key)
            if name is not None and name in seen:
                raise refusal(
                    document.path,
                    key.line,
                    f"has the key {name!r} a second time (first in line {seen[name]})",
                    advice="Remove one of the two: readers of YAML do not agree on which one counts.",
                )
            if name is not None:
                seen[name] = key.line


def _refuse_encrypted(document: Document) -> None:
    sops = Cursor.at_root(document).get("sops")
    if sops is None or sops.text("mac") is None or sops.text("mac_only_encrypted") == "true":
        return
    raise refusal(
        document.path,
        sops.node.line,
        "is encrypted by SOPS, whose checksum covers every value",
        advice="Encrypt the file with mac_only_encrypted: true, or keep the image in a file of its own.",
    )


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    if isinstance(node, MappingNode):
        for key, value in node.entries:
            yield from _nodes(key)
            yield from _nodes(value)
    elif isinstance(node, SequenceNode):
        for item in node.items:
            yield from _nodes(item)


def _splice(file: YamlFile, edit: Edit) -> _Splice:
    if isinstance(edit, AddKey):
        return _added(file, edit)
    node = edit.at.node
    assert isinstance(node, ScalarNode)  # noqa: S101 - refused before
    value = quoted(edit.value, node.style)
    if node.value_start == node.span.end:  # nothing is written there: keep apart from what stands beside it
        before, after = (
            file.text[node.span.end - 1 : node.span.end],
            file.text[node.span.end : node.span.end + 1],
        )
        value = f"{'' if before.isspace() else ' '}{value}{' ' if after == '#' else ''}"
    old = yaml_tree.text_of(node)
    return _Splice(node.value_start, node.span.end, value, edit.at.path, old, edit.value)


def _added(file: YamlFile, edit: AddKey) -> _Splice:
    mapping = edit.at.node
    assert isinstance(mapping, MappingNode)  # noqa: S101 - forms add keys to mappings alone
    key, above = edit.neighbour()
    if not isinstance(above, AliasNode) and (not isinstance(above, ScalarNode) or above.style in {"|", ">"}):
        raise refusal(
            file.path,
            above.line,
            f"{edit.at.path}.{yaml_tree.text_of(key)} is a value of several lines",
            advice=f"Add the line `{edit.key}:` to {edit.at.path} once, above that value.",
        )
    style = key.style if isinstance(key, ScalarNode) and key.style in _QUOTES else ""  # JSON stays JSON
    name = quoted(edit.key, style) if style else edit.key
    written = f"{name}: {quoted(edit.value, style)}"
    if mapping.flow:
        at, text = above.span.end, f", {written}"
    else:
        at, newline = _end_of_line(file.text, above.span.end)
        text = f"{newline}{' ' * key.span.column}{written}"
    return _Splice(at, at, text, f"{edit.at.path}.{edit.key}", None, edit.value)


def _end_of_line(text: str, position: int) -> tuple[int, str]:
    """Return where the line's content ends, comment included, and how its lines end."""
    at = text.find("\n", position)
    if at < 0:
        return len(text), "\r\n" if "\r\n" in text else "\n"
    return (at - 1, "\r\n") if text[at - 1] == "\r" else (at, "\n")


def _spliced(text: str, splices: Sequence[_Splice]) -> tuple[str, tuple[FieldChange, ...]]:
    pieces, changes, done, line = [], [], 0, 1
    for splice in sorted(splices, key=lambda splice: splice.start):
        before = text[done : splice.start]
        line += before.count("\n") + splice.text.count("\n")
        changes.append(FieldChange(line=line, field=splice.field, old=splice.old, new=splice.new))
        pieces += [before, splice.text]
        done = splice.end
    return "".join([*pieces, text[done:]]), tuple(changes)


def _verify(file: YamlFile, text: str, edits: Sequence[Edit]) -> None:
    """Refuse a result that differs from the original in anything but what was to be changed."""
    try:
        documents = yaml_tree.parse(file.path, text)
    except ConfigurationError:
        documents = ()
    meant = [_shape(document.root, edits) for document in file.documents]
    if meant != [_shape(document.root, ()) for document in documents]:
        raise refusal(
            file.path,
            min(edit.at.node.line for edit in edits),
            "is written in a way in which the image cannot be changed alone",
            advice=_ADVICE,
        )


def _shape(node: Node, edits: Sequence[Edit]) -> object:
    """Return what a value says, without where and how it is written, as it is after the edits."""
    if isinstance(node, AliasNode):
        return "*", node.name
    if isinstance(node, ScalarNode):
        values = [edit.value for edit in edits if isinstance(edit, SetScalar) and edit.at.node is node]
        return (node.anchor, STRING, values[-1]) if values else (node.anchor, node.tag, node.value)
    if isinstance(node, SequenceNode):
        return node.anchor, [_shape(item, edits) for item in node.items]
    assert isinstance(node, MappingNode)  # noqa: S101 - there is no other kind of node
    added = [edit for edit in edits if isinstance(edit, AddKey) and edit.at.node is node]
    pairs: list[object] = []
    for key, value in node.entries:
        pairs.append((_shape(key, edits), _shape(value, edits)))
        here = (edit for edit in added if edit.neighbour()[0] is key)
        pairs += (((None, STRING, edit.key), (None, STRING, edit.value)) for edit in here)
    return node.anchor, pairs
