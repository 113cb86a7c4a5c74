"""Limits of a container as a manifest states them, for a benchmark under the same ones."""

import re
from dataclasses import dataclass
from typing import Protocol

from pipeline.desk import Desk

_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE]([+-]?[0-9]+)|([A-Za-z]{0,2}))")
_SUFFIXES = {
    "": 1.0,
    "m": 1e-3,
    **{name: 1000.0**power for power, name in enumerate(("k", "M", "G", "T", "P", "E"), start=1)},
    **{f"{name}i": 1024.0**power for power, name in enumerate(("K", "M", "G", "T", "P", "E"), start=1)},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Memory, processors and GPUs; None where nothing is stated."""

    memory_bytes: int | None = None
    cpus: float | None = None
    gpus: str | None = None
    """As the engine's option says it, where this machine has NVIDIA's tools."""
    found: str = ""
    """Where, and what stands there."""


class ReadLimits(Protocol):
    """Reads the limits that the container will have."""

    @property
    def known(self) -> Limits | None:
        """What was read, once it was."""
        ...

    def __call__(self, desk: Desk) -> Limits:
        """Return them.

        Raises:
            ConfigurationError: the manifests cannot be read, or state none.
            RemoteError: their repository cannot be reached.
        """
        ...


def parse_quantity(text: str) -> float:
    """Return a quantity of Kubernetes, such as 512Mi, 1.5G, 500m or 2e9, as a number.

    Source: k8s.io/apimachinery, resource.Quantity.

    Raises:
        ValueError: it is none.
    """
    match = _QUANTITY.fullmatch(text.strip())
    if match is None or (match[3] or "") not in _SUFFIXES:
        raise ValueError(f"{text!r} is no quantity")
    if match[2] is not None:
        return float(f"{match[1]}e{match[2]}")
    return float(match[1]) * _SUFFIXES[match[3] or ""]
