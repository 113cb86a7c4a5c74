"""The text below a field is its description in the schema."""

from typing import Annotated

from pydantic import Field

from pipeline.documented import Documented, field_texts


class Inner(Documented):
    """A part of a part."""

    size: int = 0
    """Bytes of it,
    all in all."""


class Base(Documented):
    """What another extends."""

    name: str
    """What people call it."""
    plain: int = 0


class Model(Base):
    """A part."""

    name: str = "model"
    """What its team calls it."""
    said: Annotated[int, Field(description="Said by itself.")] = 0
    """Not this."""
    written: Annotated[int, Field(alias="in-yaml")] = 0
    """Under another key."""
    inner: Inner = Inner()
    """What it is made of."""

    def method(self) -> None:
        """Do nothing."""
        text: str = ""
        """Of no field either."""
        del text


def descriptions(schema: dict[str, dict[str, dict[str, str]]]) -> dict[str, str | None]:
    return {key: said.get("description") for key, said in schema["properties"].items()}


def test_each_field_is_described_by_the_text_below_it() -> None:
    schema = Model.model_json_schema()
    assert descriptions(schema) == {
        "name": "What its team calls it.",
        "plain": None,
        "said": "Said by itself.",
        "in-yaml": "Under another key.",
        "inner": "What it is made of.",
    }
    assert descriptions(schema["$defs"]["Inner"]) == {"size": "Bytes of it,\nall in all."}
    assert descriptions(Base.model_json_schema())["name"] == "What people call it."


def test_a_model_that_no_file_holds_has_no_texts() -> None:
    made = type("Made", (Base,), {"__annotations__": {"more": int}, "more": 1})
    assert field_texts(made) == {"name": "What people call it."}
