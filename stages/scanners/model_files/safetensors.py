"""The header of a safetensors file, checked more strictly than its own library does.

Source: safetensors 0.8, README.md, "Format".
"""

import math
from itertools import pairwise

from stages.scanners.model_files.content import Content
from stages.scanners.model_files.look import Place, Stop
from stages.scanners.model_files.texts import MOST_JSON_BYTES, parse_json

_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "C64": 64, "F64": 64,
    "I64": 64, "U64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip


def looks_like(content: Content) -> bool:
    """Tell whether this begins as safetensors does: a length, then an object of JSON."""
    head = content.read_at(0, 10)
    return len(head) >= 10 and head[8:9] == b"{" and head[9:10] in b'"} \n\t\r'


def scan_safetensors(content: Content, place: Place) -> str:
    """Check header and offsets.

    Raises:
        Stop: the header cannot be read.
    """
    place = place.as_format("safetensors")
    length = int.from_bytes(content.read_at(0, 8), "little")
    if length > content.size - 8:
        raise Stop("malformed", "safetensors-header", f"has a header of {length} bytes in {content.size}")
    if length > MOST_JSON_BYTES:
        raise Stop(
            "malformed", "safetensors-header", f"has a header of {length} bytes; {MOST_JSON_BYTES} are read"
        )
    header = parse_json(content, place, 8, length)
    if not isinstance(header, dict):
        raise Stop("malformed", "safetensors-header", "has a header that is no object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        place.malformed("safetensors-header", "has __metadata__ that is more than texts")
    ranges = sorted(_range(name, value) for name, value in header.items())
    _check_ranges(ranges, content.size - 8 - length, place)
    return "safetensors"


def _range(name: str, value: object) -> tuple[int, int]:
    """Return where a tensor lies.

    Raises:
        Stop: it is not described as the format has it.
    """
    broken = Stop(
        "malformed", "safetensors-tensor", f"describes tensor {name!r} in another way than its format"
    )
    if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data_offsets"}:
        raise broken
    bits, shape, offsets = _BITS.get(str(value["dtype"])), value["shape"], value["data_offsets"]
    if bits is None or not _numbers(shape) or not _numbers(offsets) or len(offsets) != 2:
        raise broken
    if len(shape) > 64 or any(length > 2**53 for length in shape):
        raise broken
    if (offsets[1] - offsets[0]) * 8 != math.prod(shape) * bits:
        raise Stop(
            "malformed", "safetensors-tensor", f"gives tensor {name!r} another size than its shape has"
        )
    return offsets[0], offsets[1]


def _numbers(value: object) -> bool:
    return isinstance(value, list) and all(type(one) is int and one >= 0 for one in value)


def _check_ranges(ranges: list[tuple[int, int]], size_bytes: int, place: Place) -> None:
    begin = 0
    for _, (start, end) in pairwise([(0, 0), *ranges]):
        if start < begin:
            place.malformed("safetensors-overlap", "has tensors that overlap")
        elif start > begin:
            place.malformed("safetensors-hole", f"has {start - begin} bytes between tensors that none has")
        begin = max(begin, end)
    if begin > size_bytes:
        raise Stop("unread", "truncated", f"has {size_bytes} bytes of tensors instead of {begin}")
    if begin < size_bytes:
        place.malformed("trailing-data", f"has {size_bytes - begin} bytes behind its last tensor")
