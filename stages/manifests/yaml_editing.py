"""Changes single scalars of a YAML text and nothing else: not a comment, a quote, a line end or a space.

The new text is spliced in at the marks of the parsed value; the result is parsed again and compared with
what was meant, and an edit that would change anything else is not made.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.errors import ConfigurationError
from pipeline.model import FieldChange
from stages.manifests import yaml_tree
from stages.manifests.edits import AddItem, AddKey, AddList, Edit, SetScalar, Value, plain, shape, written
from stages.manifests.quoting import quoted
from stages.manifests.refusal import refusal
from stages.manifests.unsafe import WRITE_IT_OUT, refuse_encrypted, refuse_marked, refuse_unsafe
from stages.manifests.yaml_tree import (
    BYTE_ORDER_MARK,
    Document,
    MappingNode,
    Node,
    ScalarNode,
    SequenceNode,
)

__all__ = ["AddItem", "AddKey", "AddList", "Edit", "SetScalar", "YamlFile", "apply"]

_QUOTES = frozenset("'\"")
_LARGE_FILE_POINTER = b"version https://git-lfs.github.com/spec/"


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


def apply(
    file: YamlFile, edits: Iterable[Edit], *, marked: bool = False
) -> tuple[bytes, tuple[FieldChange, ...]]:
    """Return the file's new content and what changed in it; an edit that changes nothing is left out.

    `marked` says that scalars with Flux's marker are meant: without it they are Flux's to write.

    Raises:
        ConfigurationError: a value cannot be changed without changing something else, or by us.
    """
    wanted = [edit for edit in edits if not _is_there(edit)]
    for edit in wanted:
        refuse_unsafe(edit.at, sets=isinstance(edit, SetScalar))
        if isinstance(edit, SetScalar) and not marked:
            refuse_marked(edit.at)
    for document in file.documents if wanted else ():
        refuse_encrypted(document)
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
        and (node.tag, node.value) == plain(edit.value)
        and (node.style != "" or written(edit.value, "") == node.value)
    )


def _splice(file: YamlFile, edit: Edit) -> _Splice:
    if isinstance(edit, AddKey):
        return _added(file, edit)
    if isinstance(edit, AddItem):
        return _appended(file, edit)
    if isinstance(edit, AddList):
        return _with_list(file, edit)
    node = edit.at.node
    assert isinstance(node, ScalarNode)  # noqa: S101 - refused before
    value = written(edit.value, node.style)
    if node.value_start == node.span.end:  # nothing is written there: keep apart from what stands beside it
        before, after = (
            file.text[node.span.end - 1 : node.span.end],
            file.text[node.span.end : node.span.end + 1],
        )
        value = f"{'' if before.isspace() else ' '}{value}{' ' if after == '#' else ''}"
    old = yaml_tree.text_of(node)
    return _Splice(node.value_start, node.span.end, value, edit.at.path, old, _told(edit.value))


def _added(file: YamlFile, edit: AddKey) -> _Splice:
    mapping = edit.at.node
    assert isinstance(mapping, MappingNode)  # noqa: S101 - forms add keys to mappings alone
    key, above = edit.neighbour()
    last = _last_leaf(above)
    if isinstance(last, ScalarNode) and last.style in {"|", ">"}:
        raise refusal(
            file.path,
            last.line,
            f"{edit.at.path}.{yaml_tree.text_of(key)} is a value of several lines",
            advice=f"Add the line `{edit.key}:` to {edit.at.path} once, above that value.",
        )
    style = key.style if isinstance(key, ScalarNode) and key.style in _QUOTES else ""  # JSON stays JSON
    name = quoted(edit.key, style) if style else edit.key
    line = f"{name}: {written(edit.value, style)}"
    if mapping.flow:
        at, text = above.span.end, f", {line}"
    else:
        at, newline = _end_of_line(file.text, last.span.end)
        text = f"{newline}{' ' * key.span.column}{line}"
    return _Splice(at, at, text, f"{edit.at.path}.{edit.key}", None, _told(edit.value))


def _told(value: Value) -> str:
    return plain(value)[1]


def _appended(file: YamlFile, edit: AddItem) -> _Splice:
    sequence = edit.at.node
    assert isinstance(sequence, SequenceNode)  # noqa: S101 - forms add items to lists alone
    last = _last_leaf(sequence)
    if isinstance(last, ScalarNode) and last.style in {"|", ">"}:
        raise refusal(
            file.path,
            last.line,
            f"{edit.at.path} ends with a value of several lines",
            advice=f"Add {edit.value!r} to {edit.at.path} once.",
        )
    style = _last_style(sequence)
    if sequence.flow:
        at = sequence.items[-1].span.end if sequence.items else sequence.span.end - 1
        text = f"{', ' if sequence.items else ''}{_flow_item(edit, style)}"
    else:
        at, newline = _end_of_line(file.text, last.span.end)
        text = _block_item(file.text, sequence, edit, style, newline)
    return _Splice(at, at, text, f"{edit.at.path}[{len(sequence.items)}]", None, edit.value)


def _with_list(file: YamlFile, edit: AddList) -> _Splice:
    mapping = edit.at.node
    assert isinstance(mapping, MappingNode)  # noqa: S101 - forms add lists to mappings alone
    last = _last_leaf(mapping)
    if isinstance(last, ScalarNode) and last.style in {"|", ">"}:
        raise refusal(
            file.path,
            last.line,
            f"{edit.at.path or 'the document'} ends with a value of several lines",
            advice=f"Add the list {'.'.join(edit.keys)} once, above that value.",
        )
    if mapping.flow:
        key = mapping.entries[-1][0] if mapping.entries else None
        style = key.style if isinstance(key, ScalarNode) and key.style in _QUOTES else ""  # JSON stays JSON
        opened = ": {".join(written(name, style) for name in edit.keys)
        text = f"{opened}: [{written(edit.value, style)}]{'}' * (len(edit.keys) - 1)}"
        at = mapping.entries[-1][1].span.end if mapping.entries else mapping.span.end - 1
        text = f"{', ' if mapping.entries else ''}{text}"
    else:
        at, newline = _end_of_line(file.text, last.span.end)
        column = mapping.entries[0][0].span.column
        keys = [f"{' ' * (column + 2 * depth)}{key}:" for depth, key in enumerate(edit.keys)]
        item = f"{' ' * (column + 2 * len(edit.keys) - 2)}- {written(edit.value, '')}"
        text = "".join(f"{newline}{line}" for line in (*keys, item))
    path = ".".join(name for name in (edit.at.path, *edit.keys) if name)
    return _Splice(at, at, text, f"{path}[0]", None, edit.value)


def _last_style(sequence: SequenceNode) -> str:
    """Return the quote of the list's last value, so that new ones look like it; JSON stays JSON."""
    node = sequence.items[-1] if sequence.items else None
    if isinstance(node, MappingNode) and node.flow and node.entries:
        node = node.entries[-1][1]
    return node.style if isinstance(node, ScalarNode) and node.style in _QUOTES else ""


def _last_leaf(node: Node) -> Node:
    """Return what stands last in a value: the marks of a block end where the next one begins."""
    while isinstance(node, MappingNode | SequenceNode) and not node.flow:
        node = node.items[-1] if isinstance(node, SequenceNode) else node.entries[-1][1]
    return node


def _flow_item(edit: AddItem, style: str) -> str:
    if isinstance(edit.item, str):
        return written(edit.item, style)
    key_style = '"' if style == '"' else ""  # JSON stays JSON
    pairs = (f"{written(key, key_style)}: {written(value, style)}" for key, value in edit.item)
    return f"{{{', '.join(pairs)}}}"


def _block_item(text: str, sequence: SequenceNode, edit: AddItem, style: str, newline: str) -> str:
    first = sequence.items[0].span
    dash = text.rfind("-", 0, first.start)
    indent = dash - text.rfind("\n", 0, dash) - 1
    same_line = "\n" not in text[dash : first.start]
    lead = f"-{' ' * (first.start - dash - 1 if same_line else 1)}"
    begin = f"{newline}{' ' * indent}"
    if isinstance(edit.item, str):
        return f"{begin}{lead}{written(edit.item, style)}"
    lines = (f"{key}: {written(value, '')}" for key, value in edit.item)
    between = f"{begin}{' ' * len(lead)}"
    return f"{begin}{lead}{between.join(lines)}"


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
    meant = [shape(document.root, edits) for document in file.documents]
    if meant != [shape(document.root, ()) for document in documents]:
        raise refusal(
            file.path,
            min(edit.at.node.line for edit in edits),
            "is written in a way in which the image cannot be changed alone",
            advice=WRITE_IT_OUT,
        )
