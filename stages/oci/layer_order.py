"""Where the model layers go: above the base image, below the layers of the Dockerfile's own instructions.

The identity of a layer in an engine (its chain id) rests on every layer below it. Above layers that change
with the code, the same weights would be unpacked again with every change, and by the classic image store even
pulled again.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Place:
    """A place between the layers of an image."""

    layers: int
    """How many layers are below it."""
    steps: int
    """How many entries of the history are below it."""
    known: bool = True
    """Whether what is below it is the base image."""


def top(history: Sequence[Mapping[str, Any]], layers: int, *, known: bool = True) -> Place:
    """Return the place above all layers; `known`: they are all the base image's."""
    return Place(layers, len(history), known)


def above_base(
    history: Sequence[Mapping[str, Any]], layers: int, instructions: Sequence[str]
) -> Place | None:
    """Return the place below the layers of these instructions, or None where the history does not show them.

    BuildKit writes one entry for each instruction, so they are the last ones. A place that is too high or too
    low makes no wrong image, since overlaps are judged by it; weights only move more often than they need.
    """
    base = len(history) - len(instructions)
    if base < 0 or sum(map(_has_layer, history)) != layers:
        return None
    if [_keyword(step) for step in history[base:]] != list(instructions):
        return None
    return Place(sum(map(_has_layer, history[:base])), base)


def layer_names(history: Sequence[Mapping[str, Any]], layers: int) -> tuple[str, ...]:
    """Return the instruction that made each layer, as the Dockerfile has it; empty where it is unknown."""
    names = tuple(_instruction(step) for step in history if _has_layer(step))
    return names if len(names) == layers else ("",) * layers


def _has_layer(step: Mapping[str, Any]) -> bool:
    return not step.get("empty_layer")


def _keyword(step: Mapping[str, Any]) -> str:
    return str(step.get("created_by") or "").partition(" ")[0].upper()


def _instruction(step: Mapping[str, Any]) -> str:
    """Undo what BuildKit adds: `RUN |1 KEY=value /bin/sh -c make # buildkit` was `RUN make`."""
    text = str(step.get("created_by") or "").removesuffix(" # buildkit")
    (line, *_) = re.sub(r"^RUN (?:\|\d.*? )?/bin/\w+ -c ", "RUN ", text).strip().splitlines() or [""]
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"
