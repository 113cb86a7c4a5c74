"""Models that are messages of protocol buffers: ONNX and TensorFlow, and the vocabularies of SentencePiece.

Sources: onnx.proto3 of ONNX 1.19; saved_model.proto and graph.proto of TensorFlow 2.19;
sentencepiece_model.proto.
"""

import contextlib
import re
from collections.abc import Callable, Iterator

from stages.scanners.model_files.content import Content
from stages.scanners.model_files.look import Place, Stop
from stages.scanners.model_files.protobuf import BYTES, FIXED32, VARINT, Field, fields, messages

_ONNX = {1: VARINT, 2: BYTES, 3: BYTES, 4: BYTES, 5: VARINT, 6: BYTES, 7: BYTES, 8: BYTES, 14: BYTES,
         20: BYTES, 25: BYTES, 26: BYTES}  # fmt: skip
_SAVED_MODEL = {1: VARINT, 2: BYTES}
_SENTENCEPIECE = {1: BYTES, 2: BYTES, 3: BYTES, 4: BYTES, 5: BYTES}
_PYTHON_OPERATORS = frozenset(
    {"PyFunc", "PyFuncStateless", "EagerPyFunc", "PyOp", "PythonOp", "PythonOpGrad"}
)
_FILE_OPERATORS = frozenset({"ReadFile", "WriteFile", "MatchingFiles", "DebugIdentity", "DebugIdentityV2",
                             "DebugIdentityV3", "DebugNanCount", "DebugNumericSummary", "LoadDataset",
                             "SaveDataset", "SaveDatasetV2", "SnapshotDataset", "SnapshotDatasetV2",
                             "DatasetToTFRecord", "ExperimentalDatasetToTFRecord", "DistributedSave",
                             "ImmutableConst", "CreateSummaryFileWriter", "CreateSummaryDbWriter",
                             "ImportEvent"})  # fmt: skip
_PRINT = "PrintV2"
"""Prints for people, or to a file."""
_FLEX = re.compile(rb"Flex(" + "|".join(sorted(_PYTHON_OPERATORS | _FILE_OPERATORS)).encode() + rb")\0")
_SEARCHED_AT_ONCE_BYTES = 4 * 1024 * 1024
_OPERATOR = re.compile(r"[A-Za-z_]\w{0,200}")
_BEYOND = 64
"""Stands for every larger number of a field: no model has any that tells what it is."""
_MOST_TOP_FIELDS = 5_000_000
_DEEPEST = 16


def recognise(content: Content) -> str | None:
    """Return which of these models this message is, by its outermost fields; None where it is none."""
    seen: dict[int, int] = {}
    mixed = False
    try:
        for count, field in enumerate(fields(content)):
            mixed |= seen.setdefault(min(field.number, _BEYOND), field.wire) != field.wire
            if count > _MOST_TOP_FIELDS:
                return None
    except Stop as stop:
        # a model that was cut off is still known by how it begins
        begun = stop.code == "truncated" and _fits(seen, _ONNX) and {1, 2} <= seen.keys()
        return "onnx" if begun else None
    return (None if mixed else _by_fields(content, seen)) or _by_operators(content)


def _by_fields(content: Content, seen: dict[int, int]) -> str | None:
    """Return which model has these fields and no others."""
    if _fits(seen, _ONNX) and {1, 7} <= seen.keys():
        return "onnx"
    if _fits(seen, _SAVED_MODEL) and seen.keys() == {1, 2}:
        return "tensorflow-saved-model"
    return _repeated(content, seen)


def _by_operators(content: Content) -> str | None:
    """Return which model has operators here: its readers pass over fields that they do not know."""
    kinds: dict[str, Callable[[], bool]] = {
        "onnx": lambda: any(messages(content, 7, 1, 4)) or any(messages(content, 7, 5)),
        "tensorflow-saved-model": lambda: any(map(_is_graph, messages(content, 2, 2))),
        "tensorflow-graph": lambda: _is_graph(content),
    }
    for kind, holds in kinds.items():
        with contextlib.suppress(Stop):
            if holds():
                return kind
    return None


def _repeated(content: Content, seen: dict[int, int]) -> str | None:
    """Return which model begins with a list of messages: the pieces of a vocabulary, say."""
    with contextlib.suppress(Stop):
        if _is_graph(content):
            return "tensorflow-graph"
    if _fits(seen, _SENTENCEPIECE) and {1, 2} <= seen.keys() and _is_vocabulary(content):
        return "sentencepiece"
    return None


def _is_vocabulary(content: Content) -> bool:
    """Tell whether the first piece is a text and its score."""
    for piece in messages(content, 1):
        head = {min(field.number, _BEYOND): field.wire for field in fields(piece)}
        return {1, 2} <= head.keys() <= {1, 2, 3} and (head[1], head[2]) == (BYTES, FIXED32)
    return False


def _fits(seen: dict[int, int], known: dict[int, int]) -> bool:
    return bool(seen) and all(known.get(number) == wire for number, wire in seen.items())


def _is_graph(content: Content) -> bool:
    """Tell whether a node of it, or of one of its functions, has an operator."""
    return any(_OPERATOR.fullmatch(name) for name in _operators(content))


def search_flex(content: Content, place: Place) -> None:
    """Report TensorFlow's own operators in a TFLite model that run Python or reach files, by their names."""
    position = 0
    while piece := content.read_at(position, _SEARCHED_AT_ONCE_BYTES):
        for name in sorted({match[1].decode() for match in _FLEX.finditer(piece)}):
            place.unsafe("tensorflow-operator", f"has an operator Flex{name}", subject=name)
        if len(piece) < _SEARCHED_AT_ONCE_BYTES:
            return
        position += len(piece) - 64


def scan_graph(content: Content, place: Place, kind: str) -> str:
    """Look into a model of a recognised kind."""
    place = place.as_format(kind)
    if kind == "onnx":
        for field in fields(content):
            if field.number in {7, 25} and field.wire == BYTES:
                _scan_onnx(field.content, place, 0, is_function=field.number == 25)
            elif field.number == 20 and field.wire == BYTES:
                for part in (*messages(field.content, 1), *messages(field.content, 2)):
                    _scan_onnx(part, place, 0)
    elif kind == "tensorflow-saved-model":
        for graph in messages(content, 2, 2):
            _report_operators(graph, place)
    elif kind == "tensorflow-graph":
        _report_operators(content, place)
    return kind


def _scan_onnx(graph: Content, place: Place, depth: int, *, is_function: bool = False) -> None:
    """Look into the nodes and tensors of a graph and of the graphs in it."""
    if depth > _DEEPEST:
        raise Stop(
            "unread", "nested-too-deep", f"has graphs that are nested more than {_DEEPEST} levels deep"
        )
    for field in fields(graph):
        if field.wire != BYTES:
            continue
        if field.number == (7 if is_function else 1):
            _scan_node(field.content, place, depth)
        elif field.number == 5 and not is_function:
            _scan_tensor(field.content, place)
        elif field.number == 15 and not is_function:
            for part in (*messages(field.content, 1), *messages(field.content, 2)):
                _scan_tensor(part, place)


def _scan_node(node: Content, place: Place, depth: int) -> None:
    for field in fields(node):
        if field.number == 4 and field.wire == BYTES and field.text() in _PYTHON_OPERATORS:
            place.unsafe("onnx-python", f"has an operator {field.text()}, which runs Python", field.text())
        elif field.number == 5 and field.wire == BYTES:
            _scan_attribute(field.content, place, depth)


def _scan_attribute(attribute: Content, place: Place, depth: int) -> None:
    for field in fields(attribute):
        if field.wire == BYTES and field.number in {5, 10}:
            _scan_tensor(field.content, place)
        elif field.wire == BYTES and field.number in {22, 23}:
            for part in (*messages(field.content, 1), *messages(field.content, 2)):
                _scan_tensor(part, place)
        elif field.wire == BYTES and field.number in {6, 11}:
            _scan_onnx(field.content, place, depth + 1)


def _scan_tensor(tensor: Content, place: Place) -> None:
    """Report a tensor whose data is in a file that is not beside the model."""
    for entry in messages(tensor, 13):
        pair = {field.number: field for field in fields(entry) if field.wire == BYTES and field.number <= 2}
        if 1 in pair and 2 in pair and pair[1].text() == "location":
            _report_location(pair[2], place)


def _report_location(field: Field, place: Place) -> None:
    location = field.text()
    plain = location.replace("\\", "/")
    if (
        plain.startswith("/")
        or plain[1:2] == ":"
        or "://" in plain
        or ".." in plain.split("/")
        or "\0" in plain
    ):
        place.unsafe(
            "onnx-external-data", f"takes a tensor from {location!r}, outside of the model", location
        )


def _report_operators(graph: Content, place: Place) -> None:
    """Report the operators of a TensorFlow graph, and of its functions, that run Python or reach files."""
    wanted = _PYTHON_OPERATORS | _FILE_OPERATORS
    found = {name for name in _operators(graph) if name in wanted or name == _PRINT}
    for operator in sorted(found - {_PRINT}):
        what = "runs Python" if operator in _PYTHON_OPERATORS else "reaches files"
        place.unsafe("tensorflow-operator", f"has an operator {operator}, which {what}", subject=operator)
    for node in _nodes(graph) if _PRINT in found else ():
        if _PRINT in _texts(node, 2) and any(map(_is_file, messages(node, 5))):
            place.unsafe("tensorflow-operator", f"has an operator {_PRINT}, which writes to a file", _PRINT)
            return


def _is_file(attribute: Content) -> bool:
    """Tell whether an attribute of PrintV2 says that it prints to a file: a key, and a text as its value."""
    return "output_stream" in _texts(attribute, 1) and any(
        text.lstrip().lower().startswith("file:")
        for value in messages(attribute, 2)
        for text in _texts(value, 2)
    )


def _operators(graph: Content) -> Iterator[str]:
    for node in _nodes(graph):
        yield from _texts(node, 2)


def _nodes(graph: Content) -> Iterator[Content]:
    """Yield the nodes of a TensorFlow graph and of its functions."""
    for field in fields(graph):
        if field.wire == BYTES and field.number == 1:
            yield field.content
        elif field.wire == BYTES and field.number == 2:
            yield from messages(field.content, 1, 3)


def _texts(message: Content, number: int) -> Iterator[str]:
    yield from (field.text() for field in fields(message) if field.number == number and field.wire == BYTES)
