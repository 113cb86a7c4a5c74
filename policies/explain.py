"""What each rule is, in Markdown: for `pipeline policy explain`, and for docs/policies.md."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from policies.cel import VARIABLES
from policies.cel_types import described, fields_of, models
from policies.rule import Entry
from policies.rules import RULES

COMMON = ("rule", *Entry.model_fields)


def explain(name: str) -> str:
    """Return what a rule is: what, why, options, example, remedy."""
    return "\n".join(_rule(name, RULES[name]))


def overview() -> str:
    """Return every rule with what it is."""
    return "\n".join(f"- `{name}`: {_what(rule)}" for name, rule in RULES.items())


def fields() -> str:
    """Return what an expression may name, type by type."""
    return "\n".join(_fields())


def _what(rule: type[Entry]) -> str:
    return " ".join(inspect.cleandoc(rule.__doc__ or "").split("\n\n")[0].split())


def _rule(name: str, rule: type[Entry]) -> Iterator[str]:
    yield f"## `{name}`\n"
    yield f"{_what(rule)}\n"
    yield f"**Why.** {rule.why}\n"
    schema = rule.model_json_schema()
    properties = schema.get("properties") or schema["$defs"][rule.__name__]["properties"]
    own = {key: value for key, value in properties.items() if key not in COMMON}
    if own:
        yield "| option | type | default | meaning |"
        yield "|---|---|---|---|"
        yield from _options(rule, own, schema)
        yield ""
    yield "```yaml"
    yield rule.example.rstrip()
    yield "```\n"
    yield f"**Remedy.** {rule.remedy}\n"
    yield f"**Exception.** `{rule.exception}`\n"


def _options(rule: type[BaseModel], own: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    definitions = schema.get("$defs", {})
    for name, said in own.items():
        yield f"| `{name}` | {_type(said, definitions)} | {_default(rule, name)} | {_meaning(said)} |"
        for part, inner in _parts(said, definitions).items():
            yield f"| `{name}[].{part}` | {_type(inner, definitions)} | | {_meaning(inner)} |"


def _meaning(said: Mapping[str, Any]) -> str:
    return " ".join(str(said.get("description", "")).split()).replace("|", "\\|")


def _parts(said: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the keys of the mappings in a list; those of rules have sections of their own."""
    inner = definitions.get(str(said.get("items", {}).get("$ref", "")).rpartition("/")[2], {})
    found: Mapping[str, Any] = inner.get("properties", {})
    return {} if "rule" in found else found


def _default(rule: type[BaseModel], name: str) -> str:
    value = rule.model_fields[name].get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, Mapping):
        return f"`{{{', '.join(f'{key}: {one}' for key, one in value.items())}}}`"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`" if value else "none"
    return "none" if value is None else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _type(said: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """Return a JSON schema's type in words."""
    if "$ref" in said:
        return _type(definitions[str(said["$ref"]).rpartition("/")[2]], definitions)
    if "anyOf" in said:
        told = [_type(one, definitions) for one in said["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(told))
    if "enum" in said:
        return " or ".join(f"`{one}`" for one in said["enum"])
    if "oneOf" in said or "rule" in said.get("properties", {}):
        return "rule"
    if said.get("type") == "array":
        return f"list of {_type(said.get('items', {}), definitions)}"
    words = {"string": "text", "integer": "whole number", "boolean": "true or false", "object": "mapping"}
    return "date" if said.get("format") == "date" else words.get(str(said.get("type")), str(said.get("type")))


def _fields() -> Iterator[str]:
    yield "| variable | type | |"
    yield "|---|---|---|"
    for name, kind in VARIABLES.items():
        yield f"| `{name}` | {kind.__name__} | {_what_of(kind)} |"
    yield "| `now` | timestamp | The time at which it is judged. |\n"
    for model in models(VARIABLES.values()):
        yield f"### {model.__name__}\n"
        yield f"{_what_of(model)}\n"
        yield "| field | type | |"
        yield "|---|---|---|"
        for name, annotation in fields_of(model).items():
            yield f"| `{name}` | {described(annotation)} | {_about(model, name)} |"
        yield ""


def _what_of(model: type[BaseModel]) -> str:
    return " ".join(inspect.cleandoc(model.__doc__ or "").split("\n\n")[0].split())


def _about(model: type[BaseModel], name: str) -> str:
    field = model.model_fields.get(name)
    text = field.description if field is not None else inspect.getdoc(getattr(model, name))
    return " ".join((text or "").split()).replace("|", "\\|")
