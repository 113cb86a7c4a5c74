"""Environment variables as pipeline.yaml writes them."""

from typing import Annotated

from pydantic import AfterValidator


def _variable(name: str) -> str:
    if not name or "=" in name or "\0" in name:
        raise ValueError("the name of a variable is not empty and holds no '='")
    return name


def _without_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("the value of a variable cannot hold the character NUL")
    return value


Variable = Annotated[str, AfterValidator(_variable)]
Variables = dict[Variable, Annotated[str, AfterValidator(_without_nul)]]
