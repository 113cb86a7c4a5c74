"""What GitHub's runner takes for commands in what a step prints.

Written after its own parser: it reads lines as .NET does, finds `::` after white space at their start, and
the older `##[` anywhere in it.
"""

import re
from dataclasses import dataclass, field

_LINE_END = re.compile(r"\r\n|\r|\n")
_COMMAND = re.compile(r"::(?P<name>[^ :]+)(?: (?P<properties>.*?))?::(?P<value>.*)")


@dataclass(frozen=True, slots=True)
class Told:
    """One command."""

    name: str
    value: str
    properties: dict[str, str] = field(default_factory=dict)


def commands(text: str) -> list[Told]:
    """Return every command in what was printed."""
    found: list[Told] = []
    for line in _LINE_END.split(text):
        match = _COMMAND.match(line.lstrip())
        if match is not None:
            pairs = (one.split("=", 1) for one in (match["properties"] or "").split(",") if "=" in one)
            properties = {key.strip(): _read(_unescaped(value, ":,")) for key, value in pairs}
            found.append(Told(match["name"].lower(), _read(match["value"]), properties))
        elif "##[" in line:
            found.append(Told("##[", line))
    return found


def outputs(text: str) -> dict[str, str]:
    """Return what a file of outputs says, as the runner reads it."""
    found: dict[str, str] = {}
    lines = iter(text.split("\n"))
    for line in lines:
        if not line:
            continue
        name, delimiter = line.split("<<", 1)
        value: list[str] = []
        for inside in lines:
            if inside == delimiter:
                break
            value.append(inside)
        else:
            raise ValueError(f"{name} does not end")
        found[name] = "\n".join(value)
    return found


def _read(text: str) -> str:
    return text.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")


def _unescaped(text: str, letters: str) -> str:
    for letter in letters:
        text = text.replace(f"%{ord(letter):02X}", letter)
    return text
