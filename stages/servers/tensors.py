"""Tensors of the Open Inference Protocol as bytes: little-endian, row by row, text with its length before it.

Source: the protocol's "Tensor Data Types" and the binary tensor data extension.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

FORMATS = {
    "BOOL": "?",
    "INT8": "b",
    "INT16": "h",
    "INT32": "i",
    "INT64": "q",
    "UINT8": "B",
    "UINT16": "H",
    "UINT32": "I",
    "UINT64": "Q",
    "FP16": "e",
    "FP32": "f",
    "FP64": "d",
}
Scalar = bool | int | float | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One input or output."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    raw: bytes

    def values(self) -> list[Scalar]:
        """Return the elements, row by row.

        Raises:
            ValueError: the bytes do not fit the data type.
        """
        if self.datatype == "BYTES":
            return [*_texts(self.raw)]
        if self.datatype == "BF16":  # the upper half of a float32
            halves = struct.iter_unpack("<H", self.raw)
            return [struct.unpack("<f", struct.pack("<I", half << 16))[0] for (half,) in halves]
        try:
            return [value for (value,) in struct.iter_unpack(f"<{_format(self.datatype)}", self.raw)]
        except struct.error as error:
            raise ValueError(f"{self.name}: {len(self.raw)} bytes are no {self.datatype}: {error}") from error


def tensor_of(name: str, datatype: str, shape: object, data: object) -> Tensor:
    """Return a tensor of elements that may be nested in lists.

    Raises:
        ValueError: the shape is none, or an element does not fit the data type.
    """
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError(f"{name}: the shape {shape!r} is no list of whole numbers")
    try:
        raw = _packed(datatype, [*flat(data)])
    except (struct.error, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name}: the data are no {datatype}: {error}") from error
    return Tensor(name=name, datatype=datatype, shape=tuple(shape), raw=raw)


def _packed(datatype: str, values: list[object]) -> bytes:
    if datatype == "BYTES":
        texts = [str(value).encode() for value in values]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    if datatype == "BF16":
        return b"".join(struct.pack("<f", value)[2:] for value in values)
    return struct.pack(f"<{len(values)}{_format(datatype)}", *values)


def _format(datatype: str) -> str:
    if datatype not in FORMATS:
        raise ValueError(f"{datatype!r} is no data type of the Open Inference Protocol")
    return FORMATS[datatype]


def flat(data: object) -> Iterator[object]:
    """Yield elements that may be nested in lists, row by row."""
    if isinstance(data, list):
        for entry in data:
            yield from flat(entry)
    else:
        yield data


def _texts(raw: bytes) -> Iterator[str]:
    at = 0
    while at < len(raw):
        if at + 4 > len(raw):
            raise ValueError("a text's length is cut off")
        (length,) = struct.unpack_from("<I", raw, at)
        if at + 4 + length > len(raw):
            raise ValueError("a text is cut off")
        yield raw[at + 4 : at + 4 + length].decode(errors="replace")
        at += 4 + length
