"""NumPy's own files: a header, then numbers, or a pickle where the array holds objects.

Source: NumPy 2.4, lib/_format_impl.py.
"""

import ast
import math
import re
from collections.abc import Callable

from stages.scanners.model_files.content import Content, Part, read_exactly
from stages.scanners.model_files.look import Place, Stop

MAGIC = b"\x93NUMPY"
LONGEST_HEADER = 64 * 1024
_OBJECT = re.compile(r"[|<>=]?O\d*")
_TYPE = re.compile(r"[<>|=]?([biufcSUVMm?a])(\d*)(\[[\w/]+\])?")


def scan_array(content: Content, place: Place, scan_pickle: Callable[[Content, Place], str]) -> str:
    """Check a .npy file against its header; the pickle in one of objects is followed.

    Raises:
        Stop: the header cannot be read.
    """
    place = place.as_format("npy")
    version = read_exactly(content, 6, 1, "the header")[0]
    if version not in {1, 2, 3}:
        raise Stop("unread", "npy-version", f"is of version {version}, which is not read")
    width = 2 if version == 1 else 4
    length = int.from_bytes(read_exactly(content, 8, width, "the header"), "little")
    if length > LONGEST_HEADER:
        raise Stop(
            "malformed", "npy-header", f"has a header of {length} bytes; at most {LONGEST_HEADER} are read"
        )
    begin = 8 + width + length
    shape, kind = _parse(read_exactly(content, 8 + width, length, "the header"))
    size_bytes = _element_bytes(kind)
    data = Part(content, begin, content.size - begin)
    if size_bytes is None:
        scan_pickle(data, place)
        return "npy"
    wanted = math.prod(shape) * size_bytes
    if data.size < wanted:
        raise Stop("unread", "truncated", f"has {data.size} bytes of numbers instead of {wanted}")
    if data.size > wanted:
        place.malformed("trailing-data", f"has {data.size - wanted} bytes behind its numbers")
    return "npy"


def _parse(header: bytes) -> tuple[tuple[int, ...], object]:
    broken = Stop("malformed", "npy-header", "has a header that is not NumPy's")
    try:
        value = ast.literal_eval(header.decode("utf-8").strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError, UnicodeDecodeError) as error:
        raise broken from error
    if not isinstance(value, dict) or value.keys() != {"descr", "fortran_order", "shape"}:
        raise broken
    shape = value["shape"]
    if not isinstance(shape, tuple) or not all(type(one) is int and 0 <= one < 2**63 for one in shape):
        raise broken
    return shape, value["descr"]


def _element_bytes(kind: object, depth: int = 0) -> int | None:
    """Return the size of an element; None where there is an object in it."""
    if depth > 8:
        raise Stop("malformed", "npy-header", "has a type that is nested too deep")
    if isinstance(kind, str):
        return _plain_bytes(kind)
    if isinstance(kind, tuple) and len(kind) == 2:  # a type and a shape
        inner = _element_bytes(kind[0], depth + 1)
        return None if inner is None else inner * math.prod(_shape(kind[1]))
    if not isinstance(kind, list):
        raise Stop("malformed", "npy-header", f"has a type that is not NumPy's: {str(kind)[:40]!r}")
    sizes = [_field_bytes(field, depth) for field in kind]
    return None if None in sizes else sum(size for size in sizes if size is not None)


def _field_bytes(field: object, depth: int) -> int | None:
    if not isinstance(field, tuple) or len(field) not in {2, 3}:
        raise Stop("malformed", "npy-header", "has a field that is not NumPy's")
    inner = _element_bytes(field[1], depth + 1)
    return None if inner is None else inner * math.prod(_shape(field[2]) if len(field) == 3 else ())


def _shape(value: object) -> tuple[int, ...]:
    lengths = (value,) if isinstance(value, int) else value
    if not isinstance(lengths, tuple) or not all(type(one) is int and one >= 0 for one in lengths):
        raise Stop("malformed", "npy-header", "has a field with a shape that is none")
    return lengths


def _plain_bytes(kind: str) -> int | None:
    if _OBJECT.fullmatch(kind):
        return None
    match = _TYPE.fullmatch(kind)
    if match is None:
        raise Stop("malformed", "npy-header", f"has a type that is not NumPy's: {kind[:40]!r}")
    return int(match[2] or 1) * (4 if match[1] == "U" else 1)
