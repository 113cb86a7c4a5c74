"""Which files of a model share a layer.

A big file has a layer of its own; small files are grouped. Begin with one group of all big files and one of
all small ones, in the order of their names, and split the group with the most bytes, again and again, until
none wants to be split or there are as many layers as an image can bear. With hundreds of big files,
neighbours therefore stay together, in groups of about the same size.

The list of names and sizes alone decides, and a small change of it changes little: a group is split before
the file whose *name* has the smallest hash, among those in its middle half. Another file that comes, goes or
grows moves the middle a little, but hardly ever the smallest hash in it; so other groups stay as they are.
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
MOST_LAYERS = 64
"""Docker's overlay driver stops at about 125 layers; the other half is the application's."""


@dataclass(frozen=True, slots=True)
class _Group:
    files: tuple[SourceFile, ...]
    most_bytes: int

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)

    @property
    def wants_split(self) -> bool:
        return len(self.files) > 1 and self.size_bytes > self.most_bytes


def group(
    files: Sequence[SourceFile], *, most_layers: int = MOST_LAYERS
) -> tuple[tuple[SourceFile, ...], ...]:
    """Return the files of each layer, given all files in the order of their names; the big ones come first.

    A layer below another one that changed need not be unpacked again, and small files change more often.
    """
    big = _Group(tuple(file for file in files if file.size_bytes >= BIG_BYTES), most_bytes=0)
    small = _Group(tuple(file for file in files if file.size_bytes < BIG_BYTES), most_bytes=GROUP_BYTES)
    groups = [one for one in (big, small) if one.files]
    while len(groups) < most_layers and (wanting := [one for one in groups if one.wants_split]):
        largest = groups.index(max(wanting, key=lambda one: one.size_bytes))
        groups[largest : largest + 1] = _split(groups[largest])
    return tuple(one.files for one in groups)


def _split(one: _Group) -> tuple[_Group, _Group]:
    """Split before the smallest hash in the middle half, or else as near to the middle as can be."""
    total = one.size_bytes
    before = dict(enumerate(accumulate(file.size_bytes for file in one.files[:-1]), start=1))
    middle = [place for place, size_bytes in before.items() if total <= 4 * size_bytes <= 3 * total]
    if middle:
        place = min(middle, key=lambda number: _rank(one.files[number]))
    else:
        place = min(before, key=lambda number: abs(2 * before[number] - total))
    first, second = one.files[:place], one.files[place:]
    return _Group(first, one.most_bytes), _Group(second, one.most_bytes)


def _rank(file: SourceFile) -> bytes:
    return hashlib.sha256(file.path.encode()).digest()
