"""Whether an answer says what is expected: the same documents, but for fractions within a tolerance."""

import math
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """How far fractions may lie apart: float32 models differ between batches, threads and machines."""

    relative: float = 1e-4
    absolute: float = 1e-6

    @classmethod
    def of(cls, share: float) -> Self:
        """Return the tolerance for a share of the value; a hundredth of it is nothing beside zero."""
        return cls(relative=share, absolute=share / 100)


USUAL = Tolerance()


def difference(expected: object, answer: object, tolerance: Tolerance = USUAL, at: str = "$") -> str:
    """Return where and how an answer differs from the expected one; nothing when it does not.

    What the answer has beside the expected keys (ids, versions, parameters) makes no difference.
    """
    if isinstance(expected, dict):
        return _of_objects(expected, answer, tolerance, at)
    if isinstance(expected, list):
        return _of_lists(expected, answer, tolerance, at)
    if _same(expected, answer, tolerance):
        return ""
    return f"{at} is {_shown(answer)}, not {expected!r}"


def _of_objects(expected: dict[str, object], answer: object, tolerance: Tolerance, at: str) -> str:
    if not isinstance(answer, dict):
        return f"{at} is {_shown(answer)}, not an object"
    for key, value in expected.items():
        if key not in answer:
            return f"{at}.{key} is missing"
        if found := difference(value, answer[key], tolerance, f"{at}.{key}"):
            return found
    return ""


def _of_lists(expected: list[object], answer: object, tolerance: Tolerance, at: str) -> str:
    if not isinstance(answer, list):
        return f"{at} is {_shown(answer)}, not a list"
    if len(answer) != len(expected):
        return f"{at} has {len(answer)} entries, not {len(expected)}"
    for index, (one, other) in enumerate(zip(expected, answer, strict=True)):
        if found := difference(one, other, tolerance, f"{at}[{index}]"):
            return found
    return ""


def _same(expected: object, answer: object, tolerance: Tolerance) -> bool:
    if isinstance(expected, bool) or isinstance(answer, bool):
        return expected is answer
    if isinstance(expected, int) and isinstance(
        answer, int
    ):  # classes, tokens, counts: the next one is another
        return expected == answer
    if isinstance(expected, int | float) and isinstance(answer, int | float):
        return _close(expected, answer, tolerance)
    return expected == answer


def _close(expected: float, answer: float, tolerance: Tolerance) -> bool:
    try:
        one, other = float(expected), float(answer)
    except OverflowError:  # a whole number beyond all floats
        return False
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    return math.isclose(one, other, rel_tol=tolerance.relative, abs_tol=tolerance.absolute)


def _shown(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
