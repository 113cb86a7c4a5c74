"""Which files of a model share a layer.

A big file has a layer of its own, as long as there are not hundreds; small files are grouped. Begin with one
group of all big files (of all small ones), in the order of their names, and split the group with the most
bytes, again and again, until none wants to be split or there are as many layers as an image can bear. What
shares a layer are therefore neighbours, in groups of about the same size.

The list of names and sizes alone decides, and a small change of it changes little: a group is split before
the file whose *name* has the smallest hash, among those in its middle half. Another file that comes, goes or
grows moves the middle a little, but hardly ever the smallest hash in it; so other groups stay as they are.
Small files never decide how big ones are grouped.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from stages.models.interface import SourceFile

BIG_BYTES = 8 * 1024 * 1024
"""From this size on a file is sent alone; a layer costs some requests, so for less it is no gain."""
GROUP_BYTES = 8 * 1024 * 1024
"""Small files are split until no group has more than this, which travels when one of them changes."""
MOST_BIG_LAYERS = 64
"""Layers of big files; Docker's overlay driver stops at about 125, and the application needs its own."""
MOST_LAYERS = 72
"""Layers of the whole model: some are left to the small files, which change more often."""


@dataclass(frozen=True, slots=True)
class _Group:
    files: tuple[SourceFile, ...]
    size_bytes: int


def group(files: Sequence[SourceFile]) -> tuple[tuple[SourceFile, ...], ...]:
    """Return the files of each layer, given all files in the order of their names; the big ones come first.

    A layer below another one that changed need not be unpacked again, and small files change more often.
    """
    big = tuple(file for file in files if file.size_bytes >= BIG_BYTES)
    small = tuple(file for file in files if file.size_bytes < BIG_BYTES)
    layers = _divide(big, most_bytes=0, most_groups=MOST_BIG_LAYERS)
    return (*layers, *_divide(small, most_bytes=GROUP_BYTES, most_groups=MOST_LAYERS - len(layers)))


def _divide(
    files: tuple[SourceFile, ...], *, most_bytes: int, most_groups: int
) -> tuple[tuple[SourceFile, ...], ...]:
    """Split the largest group while it is larger than wanted; a file alone is never too large."""
    groups = [_group(files)] if files else []
    while len(groups) < most_groups:
        divisible = [one for one in groups if len(one.files) > 1 and one.size_bytes > most_bytes]
        if not divisible:
            break
        largest = groups.index(max(divisible, key=lambda one: one.size_bytes))
        groups[largest : largest + 1] = _split(groups[largest])
    return tuple(one.files for one in groups)


def _group(files: tuple[SourceFile, ...]) -> _Group:
    return _Group(files, sum(file.size_bytes for file in files))


def _split(one: _Group) -> tuple[_Group, _Group]:
    """Split before the smallest hash in the middle half, or else as near to the middle as can be."""
    total = one.size_bytes
    before = dict(enumerate(accumulate(file.size_bytes for file in one.files[:-1]), start=1))
    middle = [place for place, size_bytes in before.items() if total <= 4 * size_bytes <= 3 * total]
    if middle:
        place = min(middle, key=lambda number: _rank(one.files[number]))
    else:
        place = min(before, key=lambda number: abs(2 * before[number] - total))
    return _group(one.files[:place]), _group(one.files[place:])


def _rank(file: SourceFile) -> bytes:
    return hashlib.sha256(file.path.encode()).digest()
