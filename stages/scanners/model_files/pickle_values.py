"""The values of a pickle, as far as they tell what it would do."""

from dataclasses import dataclass, field


class Anything:
    """A value that nothing depends on."""


ANYTHING = Anything()


@dataclass(frozen=True, slots=True)
class Name:
    """What was imported."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes in the pickle."""

    offset: int
    size: int


@dataclass(slots=True)
class Items:
    """A dictionary, of which only what describes arrays is kept."""

    values: dict[str, "Value"] = field(default_factory=dict)
    certain: bool = True
    """Whether every key is known: an unknown one may be any of those that are kept."""


@dataclass(slots=True)
class Made:
    """What came out of a call that describes an array, or a NumPy type."""

    callee: Name
    arguments: "Value"
    state: "Value" = ANYTHING
    builds: int = 0
    """How often it was given a state."""


Value = Anything | Name | Blob | Items | Made | str | int | bool | tuple["Value", ...] | None
