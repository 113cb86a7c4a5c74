"""GGUF: metadata, tensors' places, and the chat template.

Source: ggml, docs/gguf.md (versions 2 and 3).
"""

from stages.scanners.model_files.content import Content
from stages.scanners.model_files.forward import Forward
from stages.scanners.model_files.look import Place, Stop
from stages.scanners.model_files.texts import report_template

MAGIC = b"GGUF"
MOST_ENTRIES = 1_000_000
MOST_NAMES_BYTES = 32 * 1024 * 1024
"""Of all keys, and of all names of tensors: each is kept to see that there is no other."""
_MOST_DIMENSIONS = 8
_LONGEST_KEY = 65_535
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY, _ALIGNMENT = 8, 9, "general.alignment"


def scan_gguf(content: Content, place: Place) -> str:
    """Check that everything lies within the file, and the chat template.

    Raises:
        Stop: it cannot be followed.
    """
    place = place.as_format("gguf")
    reader = Forward(content)
    reader.take(4)
    version = reader.number(4)
    if version not in {2, 3}:
        raise Stop("unread", "gguf-version", f"is GGUF of version {version}, which is not read")
    tensors, pairs = reader.number(8), reader.number(8)
    if max(tensors, pairs) > MOST_ENTRIES:
        raise Stop("malformed", "gguf-bounds", f"says that it has {max(tensors, pairs)} entries")
    alignment = 32
    names: set[str] = set()
    kept = 0
    for _ in range(pairs):
        key = _text(reader, _LONGEST_KEY)
        if key in names:
            place.malformed("gguf-duplicate", f"has {key!r} twice")
        _add(names, key, kept := kept + len(key))
        value = _value(reader, reader.number(4), template=key.startswith("tokenizer.chat_template"))
        if isinstance(value, str):
            report_template(value, place)
        elif key == _ALIGNMENT and value is not None:
            alignment = value
    _check_tensors(reader, tensors, alignment, place)
    return "gguf"


def _add(names: set[str], name: str, kept: int) -> None:
    if kept > MOST_NAMES_BYTES:
        raise Stop("malformed", "gguf-bounds", f"has names of more than {MOST_NAMES_BYTES} bytes")
    names.add(name)


def _text(reader: Forward, longest: int) -> str:
    length = reader.number(8)
    if length > longest:
        raise Stop("malformed", "gguf-bounds", f"has a text of {length} bytes; at most {longest} are read")
    return reader.take(length, "a text").decode("utf-8", "replace")


def _value(reader: Forward, kind: int, *, template: bool, depth: int = 0) -> str | int | None:
    """Go past a value; a template and a number are returned."""
    if kind == _STRING:
        if template:
            return _text(reader, 4 * 1024 * 1024)
        reader.skip(reader.number(8), "a text")
        return None
    if kind != _ARRAY:
        if kind not in _SIZES:
            raise Stop("malformed", "gguf-bounds", f"has a value of type {kind}, which there is not")
        return reader.number(_SIZES[kind])
    inner, count = reader.number(4), reader.number(8)
    if depth > 2:
        raise Stop("malformed", "gguf-bounds", "has lists that are nested too deep")
    if inner in _SIZES:
        reader.skip(count * _SIZES[inner], "a list")
        return None
    if count > reader.left:
        raise Stop("malformed", "gguf-bounds", f"says that it has a list of {count} values")
    for number in range(count):
        if number % 4096 == 0:
            reader.content.read_at(reader.position, 1)  # looks at the time limit
        _value(reader, inner, template=False, depth=depth + 1)
    return None


def _check_tensors(reader: Forward, count: int, alignment: int, place: Place) -> None:
    names: set[str] = set()
    furthest = kept = 0
    for _ in range(count):
        name = _text(reader, _LONGEST_KEY)
        if name in names:
            place.malformed("gguf-duplicate", f"has tensor {name!r} twice")
        _add(names, name, kept := kept + len(name))
        dimensions = reader.number(4)
        if dimensions > _MOST_DIMENSIONS:
            raise Stop("malformed", "gguf-bounds", f"has a tensor of {dimensions} dimensions")
        reader.skip(8 * dimensions + 4, "a tensor")
        offset = reader.number(8)
        if alignment < 1 or offset % alignment:
            place.malformed("gguf-bounds", f"has tensor {name!r} at an offset that is not aligned")
        furthest = max(furthest, offset)
    begin = -(-reader.position // max(1, alignment)) * max(1, alignment)
    if count and begin + furthest >= reader.content.size:
        raise Stop("unread", "truncated", "has tensors beyond the end of the file")
