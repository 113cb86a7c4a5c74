"""The types of the evidence as protobuf describes them, which is how CEL's checker wants to be told."""

import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta
from enum import Enum
from functools import cache
from pathlib import PurePath
from typing import TYPE_CHECKING

from pydantic import BaseModel

if TYPE_CHECKING:
    from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto

PACKAGE = "evidence"
_GOOGLE = ".google.protobuf."
_SCALARS: tuple[tuple[type, str, str], ...] = (
    (bool, "TYPE_BOOL", "BoolValue"),
    (int, "TYPE_INT64", "Int64Value"),
    (float, "TYPE_DOUBLE", "DoubleValue"),
    (str, "TYPE_STRING", "StringValue"),
    (Enum, "TYPE_STRING", "StringValue"),
    (PurePath, "TYPE_STRING", "StringValue"),
)
_MESSAGES: tuple[tuple[type, str], ...] = (
    (datetime, "Timestamp"),
    (date, "Timestamp"),
    (timedelta, "Duration"),
)


@cache
def fields_of(model: type[BaseModel]) -> Mapping[str, object]:
    """Return the fields of a model and its properties, with their types."""
    found: dict[str, object] = {name: field.annotation for name, field in model.model_fields.items()}
    for kind in model.__mro__:
        for name, value in vars(kind).items():
            if (
                isinstance(value, property)
                and not name.startswith(("_", "model_"))
                and value.fget is not None
            ):
                told = typing.get_type_hints(value.fget).get("return")
                if told is not None and kind is not BaseModel:
                    found.setdefault(name, told)
    return found


def message_name(model: type[BaseModel]) -> str:
    """Return the name of a model's type."""
    return model.__name__


def described(annotation: object) -> str:
    """Return a type in words, for the documentation."""
    optional, kind = _without_none(annotation)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in {tuple, list}:
        words = f"list of {described(arguments[0])}"
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        words = kind.__name__
    elif origin in {dict, Mapping}:
        words = "mapping"
    else:
        words = _word(kind)
    return f"{words}, may be missing" if optional else words


def models(roots: Iterable[type[BaseModel]]) -> tuple[type[BaseModel], ...]:
    """Return these models and all that lie in them, each once."""
    found: dict[type[BaseModel], None] = {}
    pending = list(roots)
    while pending:
        model = pending.pop(0)
        if model not in found:
            found[model] = None
            pending += [each for one in fields_of(model).values() for each in _inside(one)]
    return tuple(found)


def descriptors(roots: Iterable[type[BaseModel]]) -> "FileDescriptorProto":
    """Return the types of all models as one protobuf file."""
    from google.protobuf.descriptor_pb2 import FileDescriptorProto

    needed = ("wrappers", "timestamp", "duration", "struct")
    file = FileDescriptorProto(
        name="evidence.proto",
        package=PACKAGE,
        syntax="proto3",
        dependency=[f"google/protobuf/{name}.proto" for name in needed],
    )
    for model in models(roots):
        message = file.message_type.add(name=message_name(model))
        for number, (name, annotation) in enumerate(fields_of(model).items(), start=1):
            _add(message, name, number, annotation)
    return file


def _add(message: "DescriptorProto", name: str, number: int, annotation: object) -> None:
    from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field

    optional, kind = _without_none(annotation)
    many = typing.get_origin(kind) in {tuple, list}
    field = message.field.add(name=name, number=number)
    field.label = Field.LABEL_REPEATED if many else Field.LABEL_OPTIONAL
    inner = _without_none(typing.get_args(kind)[0])[1] if many else kind
    scalar, named = _type(inner, wrapped=optional and not many)
    if named:
        field.type, field.type_name = Field.TYPE_MESSAGE, named
    else:
        field.type = Field.Type.Value(scalar)


def _type(kind: object, *, wrapped: bool) -> tuple[str, str]:
    """Return protobuf's scalar type, or the name of a message's."""
    kind = _plain(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return "", f".{PACKAGE}.{message_name(kind)}"
    if isinstance(kind, type):
        for known, message in _MESSAGES:
            if issubclass(kind, known):
                return "", _GOOGLE + message
        for known, scalar, wrapper in _SCALARS:
            if issubclass(kind, known):
                return ("", _GOOGLE + wrapper) if wrapped else (scalar, "")
    return "", _GOOGLE + ("Struct" if typing.get_origin(kind) in {dict, Mapping} else "Value")


def _plain(kind: object) -> object:
    origin = typing.get_origin(kind)
    if origin is typing.Annotated:
        return _plain(typing.get_args(kind)[0])
    return type(typing.get_args(kind)[0]) if origin is typing.Literal else kind


def _word(kind: object) -> str:
    kind = _plain(kind)
    words = {bool: "true or false", int: "whole number", float: "number"}
    if kind in words:
        return words[kind]
    if isinstance(kind, type) and issubclass(kind, date):
        return "timestamp"
    return "duration" if kind is timedelta else "text"


def _without_none(annotation: object) -> tuple[bool, object]:
    if typing.get_origin(annotation) is typing.Annotated:
        return _without_none(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in {typing.Union, types.UnionType}:
        rest = [each for each in typing.get_args(annotation) if each is not type(None)]
        return True, rest[0] if len(rest) == 1 else object
    return False, annotation


def _inside(annotation: object) -> Iterator[type[BaseModel]]:
    kind = _without_none(annotation)[1]
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    for argument in typing.get_args(kind):
        yield from _inside(argument)
