"""Sizes of weights in words: 256M, 1G."""

from __future__ import annotations

import re

UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def parse_size(text: str) -> int:
    """Return the bytes of `256M` or `1G` (powers of 1024).

    Raises:
        ValueError: it is no size.
    """
    match = re.fullmatch(r"(\d+)([KMG])", text.strip().upper())
    if match is None or int(match[1]) == 0:
        raise ValueError(f"{text!r} is no size; expected such as 256M or 1G")
    return int(match[1]) * UNITS[match[2]]


def size_name(size_bytes: int) -> str:
    """Return a size as it is asked for: the largest unit that divides it."""
    name, unit = next(
        ((name, unit) for name, unit in reversed(UNITS.items()) if size_bytes % unit == 0), ("", 1)
    )
    return f"{size_bytes // unit}{name}"


def megabytes(value: float) -> str:
    """Return bytes as decimal megabytes, with as many digits as say something."""
    amount = value / 1e6
    return f"{amount:.0f}" if amount >= 10 else f"{amount:.1f}" if amount >= 0.1 else f"{amount:.3f}"
