"""What all sections of pipeline.yaml have in common, and the kinds of value that several of them use."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from pipeline.documented import Documented


def words(value: object) -> object:
    """Let one string stand for a list: `a, b` is what an environment variable or a flag can say."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _no_truth(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("expected a number")  # true would be 1
    return value


Words = Annotated[tuple[str, ...], BeforeValidator(words)]
Number = BeforeValidator(_no_truth)
Seconds = Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False), Number]


class Section(Documented):
    """A part of pipeline.yaml."""
