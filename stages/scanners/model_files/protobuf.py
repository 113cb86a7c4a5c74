"""Messages of protocol buffers, walked without a schema and without reading what nobody asked for.

Source: protobuf.dev, "Encoding".
"""

from collections.abc import Iterator
from dataclasses import dataclass

from stages.scanners.model_files.content import Content, Part, read_exactly
from stages.scanners.model_files.forward import Forward
from stages.scanners.model_files.look import Stop

VARINT, FIXED64, BYTES, GROUP, GROUP_END, FIXED32 = 0, 1, 2, 3, 4, 5
LONGEST_TEXT = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a message: a number, or bytes that are a text or another message."""

    number: int
    wire: int
    value: int
    content: Part

    def text(self) -> str:
        """Return the field as a text."""
        if self.content.size > LONGEST_TEXT:
            raise Stop("unread", "too-large", f"has a text of {self.content.size} bytes")
        return read_exactly(self.content, 0, self.content.size, "a text").decode("utf-8", "replace")


def fields(content: Content) -> Iterator[Field]:
    """Yield the fields of a message in their order.

    Raises:
        Stop: this is no message, or it goes beyond its end.
    """
    reader = Forward(content)
    count = 0
    while reader.left:
        key = _varint(reader)
        wire, number = key & 7, key >> 3
        value, size = 0, 0
        if wire == VARINT:
            value = _varint(reader)
        elif wire == BYTES:
            size = _varint(reader)
        elif wire in {FIXED64, FIXED32}:
            size = 8 if wire == FIXED64 else 4
        if number == 0 or wire > FIXED32:
            raise Stop("malformed", "protobuf", "is no message of protocol buffers")
        part = Part(content, reader.position, size)
        reader.skip(size, "a field")
        yield Field(number, wire, value, part)  # a group's fields are taken for those of the message
        count += 1
        if count % 4096 == 0:
            content.read_at(reader.position, 1)  # looks at the time limit


def messages(content: Content, *way: int) -> Iterator[Part]:
    """Yield the messages, texts or bytes that stand at the end of a way of field numbers."""
    for field in fields(content):
        if field.number == way[0] and field.wire == BYTES:
            if len(way) == 1:
                yield field.content
            else:
                yield from messages(field.content, *way[1:])


def _varint(reader: Forward) -> int:
    value = shift = 0
    while True:
        byte = reader.take(1, "a field")[0]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF
        shift += 7
        if shift > 63:
            raise Stop("malformed", "protobuf", "is no message of protocol buffers")
