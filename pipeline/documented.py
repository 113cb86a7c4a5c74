"""Models whose JSON schema tells what stands below each field.

pydantic reads it too (`use_attribute_docstrings`), but whenever a class is made: a sixth of what every start
of the command cost. Here the source is read when somebody asks for the schema.
"""

import ast
import inspect
import textwrap
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from typing import Any

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema


class Documented(BaseModel):
    """A part of a file that people write: frozen, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler, /
    ) -> JsonSchemaValue:
        """Add the text of each field as its description."""
        schema = handler(core_schema)
        properties: dict[str, Any] = handler.resolve_ref_schema(schema).get("properties", {})
        for name, text in field_texts(cls).items():
            key = cls.model_fields[name].alias or name
            if key in properties:
                properties[key].setdefault("description", text)
        return schema


@cache
def field_texts(model: type[BaseModel]) -> Mapping[str, str]:
    """Return the string below each field of a model, its bases' fields included."""
    texts: dict[str, str] = {}
    for each in reversed(model.__mro__):
        if issubclass(each, Documented):
            texts |= _below(each)
    return {name: text for name, text in texts.items() if name in model.model_fields}


def _below(model: type[Documented]) -> dict[str, str]:
    try:
        source = textwrap.dedent(inspect.getsource(model))
    except OSError:  # made where there is no file
        return {}
    definition = ast.parse(source).body[0]
    statements = definition.body if isinstance(definition, ast.ClassDef) else []
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in pairwise(statements)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }
