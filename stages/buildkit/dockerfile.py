"""Reads as much of a Dockerfile as it takes to name the base of its last stage, and what is done to it.

Source: the Dockerfile reference of BuildKit (parser directives, FROM, ARG, here-documents, ONBUILD).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

SCRATCH = "scratch"
# a word of its own: neither `<<<word`, which the shell reads itself, nor `$((1<<N))`
_HERE_DOCUMENT = re.compile(r"(?<!\S)\d*<<(-?)([\"']?)([^\s<\"']+)\2(?!\S)")
_WITH_HERE_DOCUMENTS = {"RUN", "COPY", "ADD"}
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::([-+])([^}]*))?\}|(\w+))")
_AUTOMATIC = re.compile(r"(?:BUILD|TARGET)(?:PLATFORM|OS|OSVERSION|ARCH|VARIANT)|TARGETSTAGE")
_ESCAPE = re.compile(r"^#\s*escape\s*=\s*(\S)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class BuildStage:
    """A FROM instruction, with its variables replaced, and what follows it."""

    image: str
    name: str | None = None
    platform: str | None = None
    """What `--platform` says; with its `$` where only BuildKit knows the value."""
    instructions: tuple[str, ...] = ()
    """The keywords of its instructions, without ONBUILD and what it announces."""
    triggers: tuple[str, ...] = ()
    """The keywords that ONBUILD announces for the stage that starts from this one."""


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


def own_instructions(
    text: str, platform: str, *, target: str | None = None, arguments: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """Return the keywords of all instructions that follow the base image, through the stages on the way.

    BuildKit writes one entry of the image's history for each, in this order. Triggers of a base image outside
    of the Dockerfile are not known here.
    """
    chain = _chain(build_stages(text, arguments or {}, _automatic(platform)), target)
    triggers: tuple[str, ...] = ()
    keywords: list[str] = []
    for stage in chain:
        keywords += (*triggers, *stage.instructions)
        triggers = stage.triggers
    return tuple(keywords)


def _automatic(platform: str) -> dict[str, str]:
    """Return the values that BuildKit gives to the variables of the platform it builds for."""
    system, architecture, variant = (*platform.split("/"), "")[:3]
    if (architecture, variant) in {("arm64", "v8"), ("amd64", "v1")}:  # what is usual is left out
        variant = ""
    whole = "/".join(part for part in (system, architecture, variant) if part)
    parts = {"PLATFORM": whole, "OS": system, "ARCH": architecture, "VARIANT": variant}
    return {f"TARGET{name}": value for name, value in parts.items()}


def _first_stage(text: str, target: str | None, arguments: Mapping[str, str] | None) -> BuildStage | None:
    chain = _chain(build_stages(text, arguments or {}), target)
    return chain[0] if chain else None


def _chain(stages: tuple[BuildStage, ...], target: str | None) -> tuple[BuildStage, ...]:
    """Return the stages that lead to the target, each started from the one before it."""
    chain: list[BuildStage] = []
    number = _find(stages, target) if target is not None else len(stages) - 1
    while number is not None and number >= 0:
        chain.append(stages[number])
        number = _find(stages[:number], stages[number].image)
    return tuple(reversed(chain))


def declares(text: str, argument: str) -> bool:
    """Tell whether an ARG instruction asks for this argument, anywhere in the Dockerfile."""
    words = (word for keyword, rest in instructions(text) if keyword == "ARG" for word in rest.split())
    return any(word.partition("=")[0] == argument for word in words)


def build_stages(
    text: str, arguments: Mapping[str, str], automatic: Mapping[str, str] | None = None
) -> tuple[BuildStage, ...]:
    """Return the build stages in their order; `automatic` are variables that BuildKit sets by itself."""
    values = dict(automatic or {})
    stages: list[BuildStage] = []
    for keyword, rest in instructions(text):
        if keyword == "FROM":
            stages.append(_stage(rest, values))
        elif stages:
            stages[-1] = _with_instruction(stages[-1], keyword, rest)
        elif keyword == "ARG":
            _declare(rest, arguments, values)
    return tuple(stages)


def _declare(rest: str, arguments: Mapping[str, str], values: dict[str, str]) -> None:
    for word in rest.split():
        argument, equals, default = word.partition("=")
        if argument in arguments:
            values[argument] = arguments[argument]
        elif equals or not _AUTOMATIC.fullmatch(argument):
            values[argument] = _replace(default.strip("\"'"), values)


def _stage(rest: str, values: Mapping[str, str]) -> BuildStage:
    words = [word for word in rest.split() if not word.startswith("--")]
    flags = dict(word.partition("=")[::2] for word in rest.split() if word.startswith("--"))
    platform = _replace(flags.get("--platform", ""), values) or None
    name = words[2].lower() if len(words) > 2 and words[1].upper() == "AS" else None
    return BuildStage(_replace(words[0] if words else "", values), name, platform)


def _with_instruction(stage: BuildStage, keyword: str, rest: str) -> BuildStage:
    if keyword == "ONBUILD":
        return replace(stage, triggers=(*stage.triggers, rest.partition(" ")[0].upper()))
    return replace(stage, instructions=(*stage.instructions, keyword))


def _find(stages: tuple[BuildStage, ...], name: str) -> int | None:
    named = [number for number, stage in enumerate(stages) if stage.name == name.lower()]
    if named:
        return named[-1]
    return int(name) if name.isdigit() and int(name) < len(stages) else None


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Yield keyword and rest of every instruction, continued lines joined, without here-documents."""
    lines = iter(_lines(text))
    escape = _escape(text)
    for line in lines:
        logical = line.strip()
        while _continues(logical, escape):
            logical = f"{logical[:-1]} {_next_line(lines)}"
        if not logical or logical.startswith("#"):
            continue
        keyword, rest = (*logical.split(maxsplit=1), "")[:2]
        does = rest.partition(" ")[0] if keyword.upper() == "ONBUILD" else keyword
        if does.upper() in _WITH_HERE_DOCUMENTS:
            _skip_here_documents(rest, lines)
        yield keyword.upper(), rest.strip()


def _continues(line: str, escape: str) -> bool:
    return line.endswith(escape) and not line.endswith(2 * escape) and not line.startswith("#")


def _next_line(lines: Iterator[str]) -> str:
    """Return the next line of a continued instruction: comments and empty lines inside it do not count."""
    return next((line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")), "")


def _skip_here_documents(rest: str, lines: Iterator[str]) -> None:
    for match in _HERE_DOCUMENT.finditer(rest):
        for line in lines:
            if (line.lstrip("\t") if match[1] else line) == match[3]:
                break


def _lines(text: str) -> list[str]:
    """Split as BuildKit does: at line feeds alone, without the byte order mark of some editors."""
    return [line.removesuffix("\r") for line in text.removeprefix("\ufeff").split("\n")]


def _escape(text: str) -> str:
    for line in _lines(text):
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
