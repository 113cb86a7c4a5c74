"""Reads as much of a Dockerfile as it takes to name the image that its last stage starts from.

Source: the Dockerfile reference of BuildKit (parser directives, FROM, ARG before FROM, here-documents).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

SCRATCH = "scratch"
_HERE_DOCUMENT = re.compile(r"<<-?\s*([\"']?)([A-Za-z_]\w*)\1")
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::([-+])([^}]*))?\}|(\w+))")
_AUTOMATIC = re.compile(r"(?:BUILD|TARGET)(?:PLATFORM|OS|OSVERSION|ARCH|VARIANT)|TARGETSTAGE")
_ESCAPE = re.compile(r"^#\s*escape\s*=\s*(\S)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class BuildStage:
    """A FROM instruction, with its variables replaced."""

    image: str
    name: str | None = None
    platform: str | None = None
    """What `--platform` says; with its `$` where only BuildKit knows the value."""


def base_name(
    text: str, *, target: str | None = None, arguments: Mapping[str, str] | None = None
) -> str | None:
    """Return the image that a stage starts from, through the stages it builds on; the last stage by default.

    It may be SCRATCH. None where it is not known: there is no such stage, or its name rests on a variable
    that only BuildKit can replace.
    """
    first = _first_stage(text, target, arguments)
    return None if first is None or not first.image or "$" in first.image else first.image


def base_platform(
    text: str, *, target: str | None = None, arguments: Mapping[str, str] | None = None
) -> str | None:
    """Return the `--platform` of the image that a stage starts from, as `base_name` finds it."""
    first = _first_stage(text, target, arguments)
    return first.platform if first is not None else None


def _first_stage(text: str, target: str | None, arguments: Mapping[str, str] | None) -> BuildStage | None:
    """Return the stage at which a chain of stages, each from an earlier one, begins."""
    stages = build_stages(text, arguments or {})
    number = _find(stages, target) if target is not None else len(stages) - 1
    while number is not None and number >= 0:
        earlier = _find(stages[:number], stages[number].image)
        if earlier is None:
            return stages[number]
        number = earlier
    return None


def declares(text: str, argument: str) -> bool:
    """Tell whether an ARG instruction asks for this argument, anywhere in the Dockerfile."""
    words = (word for keyword, rest in _instructions(text) if keyword == "ARG" for word in rest.split())
    return any(word.partition("=")[0] == argument for word in words)


def build_stages(text: str, arguments: Mapping[str, str]) -> tuple[BuildStage, ...]:
    """Return the build stages in their order."""
    values: dict[str, str] = {}
    stages: list[BuildStage] = []
    for keyword, rest in _instructions(text):
        if keyword == "ARG" and not stages:
            for word in rest.split():
                argument, _, default = word.partition("=")
                values[argument] = arguments.get(argument, _replace(default.strip("\"'"), values))
        elif keyword == "FROM":
            words = [word for word in rest.split() if not word.startswith("--")]
            flags = dict(word.partition("=")[::2] for word in rest.split() if word.startswith("--"))
            platform = _replace(flags.get("--platform", ""), values) or None
            name = words[2].lower() if len(words) > 2 and words[1].upper() == "AS" else None
            stages.append(BuildStage(_replace(words[0] if words else "", values), name, platform))
    return tuple(stages)


def _find(stages: tuple[BuildStage, ...], name: str) -> int | None:
    named = [number for number, stage in enumerate(stages) if stage.name == name.lower()]
    if named:
        return named[-1]
    return int(name) if name.isdigit() and int(name) < len(stages) else None


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    lines = iter(text.splitlines())
    escape = _escape(text)
    for line in lines:
        logical = line.strip()
        while logical.endswith(escape) and not logical.startswith("#"):
            logical = f"{logical[:-1]} {_next_line(lines)}"
        if not logical or logical.startswith("#"):
            continue
        keyword, rest = (*logical.split(maxsplit=1), "")[:2]
        if keyword.upper() in {"RUN", "COPY", "ADD"}:
            _skip_here_documents(rest, lines)
        yield keyword.upper(), rest.strip()


def _next_line(lines: Iterator[str]) -> str:
    """Return the next line of a continued instruction: comments and empty lines inside it do not count."""
    return next((line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")), "")


def _skip_here_documents(rest: str, lines: Iterator[str]) -> None:
    for match in _HERE_DOCUMENT.finditer(rest):
        for line in lines:
            if line.strip("\t") == match[2]:
                break


def _escape(text: str) -> str:
    for line in text.splitlines():
        if found := _ESCAPE.match(line):
            return found[1]
        if not re.match(r"^#\s*\w+\s*=", line):
            break
    return "\\"


def _replace(text: str, values: Mapping[str, str]) -> str:
    """Replace what we can: what BuildKit alone knows, and its other operators, stay with their `$`."""

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[4]
        if name not in values and _AUTOMATIC.fullmatch(name):
            return match[0]
        found = values.get(name, "")
        if match[2] == "-":
            return found or match[3]
        return (match[3] if found else "") if match[2] == "+" else found

    return _VARIABLE.sub(value, text)
