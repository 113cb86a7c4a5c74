"""Paths into a document, as people write them: `a.b[0]["key.with.dots"]`."""

import json
import re
from collections.abc import Iterator
from json import JSONDecodeError

from pipeline.errors import ConfigurationError

Step = str | int

_BARE = re.compile(r"[^\s.\[\]\"'{}]+")
_INDEX = re.compile(r"\[([0-9]+)\]")
_EXAMPLE = (
    'Write it like spec.template.containers[0].image, or a["key.with.dots"].b: keys by name, items from 0.'
)


def parse_field_path(text: str) -> tuple[Step, ...]:
    """Return the keys and the indices of a path.

    Raises:
        ConfigurationError: the text is no path; names the position, counted from 1.
    """
    return tuple(_steps(text))


def joined(path: str, step: Step) -> str:
    """Return the path one step further, as `parse_field_path` reads it."""
    if isinstance(step, int):
        return f"{path}[{step}]"
    if not _BARE.fullmatch(step):
        return f"{path}[{json.dumps(step, ensure_ascii=False)}]"
    return f"{path}.{step}" if path else step


def _steps(text: str) -> Iterator[Step]:
    at = 0
    step: Step
    while at < len(text) or at == 0:
        if text.startswith('["', at):
            step, at = _quoted(text, at)
        elif found := _INDEX.match(text, at):
            step, at = int(found[1]), found.end()
        else:
            step, at = _bare(text, at)
        yield step


def _bare(text: str, at: int) -> tuple[str, int]:
    if text.startswith("[", at):
        raise _error(text, at + 1, 'expected a number and "]", or a key in double quotes')
    if at > 0 and text[at] != ".":
        raise _error(text, at, 'expected "." or "["')
    start = at + 1 if at > 0 else 0
    found = _BARE.match(text, start)
    if found is None:
        raise _error(text, start, "expected a key")
    return found[0], found.end()


def _quoted(text: str, at: int) -> tuple[str, int]:
    try:
        key, end = json.JSONDecoder().raw_decode(text, at + 1)
    except JSONDecodeError as error:
        raise _error(text, at + 1, "a key in double quotes that does not end") from error
    if not text.startswith("]", end):
        raise _error(text, end, 'expected "]"')
    return str(key), end + 1


def _error(text: str, at: int, problem: str) -> ConfigurationError:
    found = repr(text[at]) if at < len(text) else "the end"
    return ConfigurationError(
        f"field path {text!r}: {problem}, found {found} at position {at + 1}", advice=_EXAMPLE
    )
