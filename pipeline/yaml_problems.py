"""What is wrong with data that a pydantic model refused, in words for the person who wrote it."""

import difflib
import re
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

Key = str | int
Place = tuple[Key, ...]

_QUOTE = "'"
_USER_INFO = re.compile(r"(://)[^/@\s'\"]*@")  # what stands before the host of a URL may be a password
_EXPECTED = {
    "string_type": "expected text; put it in quotes",
    "int_type": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_from_float": "expected a whole number",
    "float_type": "expected a number",
    "float_parsing": "expected a number",
    "bool_type": "expected true or false",
    "bool_parsing": "expected true or false",
    "tuple_type": "expected a list",
    "list_type": "expected a list",
    "dict_type": "expected a mapping (key: value)",
    "model_type": "expected a mapping (key: value)",
    "model_attributes_type": "expected a mapping (key: value)",
    "date_type": "expected a date such as 2027-01-31",
    "date_parsing": "expected a date such as 2027-01-31",
    "date_from_datetime_parsing": "expected a date such as 2027-01-31",
    "time_delta_type": "expected a duration",
    "time_delta_parsing": "expected a duration",
    "string_too_short": "expected some text",
    "path_type": "expected a path",
    "byte_size": "expected a size such as 500MiB or 2GB",
    "byte_size_unit": "expected a size such as 500MiB or 2GB",
}


@dataclass(frozen=True, slots=True)
class ProblemText:
    """One thing that is wrong: the place whose line is to be named, and what to say of it."""

    origin: Place
    text: str


def describe(error: ValidationError, model: type[BaseModel], value: object) -> list[ProblemText]:
    """Return every problem of a validation of `value` against `model`."""
    return [_describe(details, model, value) for details in error.errors()]


def _describe(details: ErrorDetails, model: type[BaseModel], value: object) -> ProblemText:
    place = _place(details["loc"], value, ends_in_key=details["type"] == "missing")
    return ProblemText(place, f"{dotted(place)}: {_words(details, model, place)}".removeprefix(": "))


def _words(details: ErrorDetails, model: type[BaseModel], place: Place) -> str:
    kind, shown = details["type"], _shown(details["input"])
    if kind == "extra_forbidden":
        return f"{shown} - unknown key; {_suggestion(str(place[-1]), _keys(model, details['loc'][:-1]))}"
    if kind == "missing":
        return "this key is required and not there"
    if kind == "value_error":
        return f"{shown} - {details['ctx']['error']}"
    return f"{shown} - {_expectation(details)}"


def _expectation(details: ErrorDetails) -> str:
    kind, context = details["type"], details.get("ctx", {})
    if kind == "union_tag_not_found":
        return f"the key {str(context['discriminator']).strip(_QUOTE)!r} is required and not there"
    if kind == "union_tag_invalid":
        tags = [tag.strip(" '") for tag in str(context["expected_tags"]).split(",")]
        return f"unknown {str(context['discriminator']).strip(_QUOTE)}; {_suggestion(context['tag'], tags)}"
    if kind in {"literal_error", "enum"}:
        return f"expected {context['expected']}"
    if kind == "string_type" and details["input"] is None:
        return "expected text"
    return _EXPECTED.get(kind) or details["msg"].replace("Input should be", "expected").replace(
        "Value should", "it should"
    )


def _suggestion(word: str, known: Iterable[str]) -> str:
    names = [name for name in known if name]
    inside = [name for name in names if len(word) > 2 and (word.lower() in name or name in word.lower())]
    near = inside or difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(names))}"


def _place(location: Place, value: object, *, ends_in_key: bool) -> Place:
    """Return the location without what pydantic adds to it: tags of unions, names of validators."""
    place: list[Key] = []
    for number, key in enumerate(location):
        last = number == len(location) - 1
        if isinstance(value, Mapping) and (key in value or (last and ends_in_key)):
            value = value.get(key)
        elif isinstance(value, list) and isinstance(key, int) and key < len(value):
            value = value[key]
        else:
            continue
        place.append(key)
    return tuple(place)


def _keys(model: type[BaseModel], location: Place) -> list[str]:
    """Return the keys that are right at a location of the model."""
    inside: list[object] = [model]
    for key in location:
        inside = list(_step(inside, key))
    models = [kind for kind in inside if isinstance(kind, type) and issubclass(kind, BaseModel)]
    return sorted({field.alias or name for kind in models for name, field in kind.model_fields.items()})


def _step(inside: Iterable[object], key: Key) -> Iterator[object]:
    inside = list(inside)
    tagged = [kind for kind in inside if _goes_by(kind, key)]
    if tagged and len(inside) > 1:  # the location names a member of a union
        yield from tagged
        return
    for kind in inside:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            for name, field in kind.model_fields.items():
                if key in {name, field.alias}:
                    yield from _members(field.annotation)
        else:
            arguments = typing.get_args(kind)
            chosen = arguments[1:2] if typing.get_origin(kind) in {dict, Mapping} else arguments[:1]
            for argument in chosen:
                yield from _members(argument)


def _members(annotation: object) -> Iterator[object]:
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        yield from _members(typing.get_args(annotation)[0])
    elif origin in {typing.Union, types.UnionType}:
        for member in typing.get_args(annotation):
            yield from _members(member)
    elif annotation is not type(None):
        yield annotation


def _goes_by(kind: object, tag: Key) -> bool:
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return False
    literals = (typing.get_args(field.annotation) for field in kind.model_fields.values())
    return kind.__name__ == tag or any(tag in values for values in literals)


def dotted(place: Place) -> str:
    """Return a place as people write it: `update.targets[0].path`."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in place)
    return text.removeprefix(".")


def _shown(value: object) -> str:
    value = value.value if isinstance(value, Enum) else value
    if value is None:
        return "nothing stands there"
    text = _USER_INFO.sub(r"\1", repr(value))
    return text if len(text) <= 60 else f"{text[:57]}…"
