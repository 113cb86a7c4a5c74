"""What a pickle remembers under numbers, in memory that a hostile one cannot fill."""

from stages.scanners.model_files.look import Stop
from stages.scanners.model_files.pickle_values import ANYTHING, Items, Made, Name, Value

MOST_KEPT = 100_000
"""Values that are remembered by what they are; of further ones only that they are there."""


class Memo:
    """The values by their numbers; one laid over another reads from it, and changes nothing in it."""

    def __init__(self, below: "Memo | None" = None) -> None:
        self._below = below
        self._values: dict[int, Value] = {}
        self._size: int = below._size if below is not None else 0
        self._gaps: bool = below._gaps if below is not None else False

    def __len__(self) -> int:
        return len(self._values) + (len(self._below) if self._below is not None else 0)

    def __contains__(self, index: int) -> bool:
        return index in self._values or (self._below is not None and index in self._below)

    def keep(self, index: int | None, value: Value) -> None:
        """Keep a value under a number; None: under the next one, which is the count of those that are taken.

        Raises:
            Stop: nobody knows the next one, since some before it are free; or there are too many.
        """
        if index is None:
            if self._gaps:
                raise Stop("unread", "pickle-memo", "mixes two ways to number what it remembers")
            index = self._size
        self._gaps = self._gaps or index > self._size
        self._size = max(self._size, index + 1)
        known, tells = index in self, _tells(value)
        # what is done to a name, or to what describes an array, counts, however many other values there are
        if not known and tells and len(self) >= 2 * MOST_KEPT:
            raise Stop("unread", "pickle-memo", f"remembers more than {2 * MOST_KEPT} values")
        if known or (value is not ANYTHING and (tells or len(self) < MOST_KEPT)):
            self._values[index] = value

    def find(self, index: int) -> Value:
        """Return what is kept under a number.

        Raises:
            Stop: nothing ever was.
        """
        if not 0 <= index < self._size:
            raise Stop("malformed", "pickle-memo", f"recalls value {index}, which it never kept")
        if index in self._values or self._below is None:
            return self._values.get(index, ANYTHING)
        return settled(self._below.find(index))


def _tells(value: Value) -> bool:
    return isinstance(value, Name | Made) or (
        isinstance(value, tuple) and any(isinstance(one, Name) for one in value)
    )


def settled(value: Value) -> Value:
    """Return a value that two may have without one changing that of the other."""
    return ANYTHING if isinstance(value, Items | Made) else value
