"""The arrays that joblib writes between a pickle's opcodes, right behind what describes them.

Source: joblib 1.6, numpy_pickle.py (NumpyArrayWrapper).
"""

import math
from collections.abc import Callable

from stages.scanners.model_files.content import Content
from stages.scanners.model_files.look import Look, Place, Stop
from stages.scanners.model_files.pickle_machine import Hooks, Machine
from stages.scanners.model_files.pickle_steps import walk
from stages.scanners.model_files.pickle_types import element_bytes, unknown_array
from stages.scanners.model_files.pickle_values import Items, Made

_MOST_PADDING = 0x28
"""No opcode is below: where so small a number stands, an unpickler that knows no arrays gives up."""


class ArrayReader:
    """Goes past the data of joblib's arrays, and follows the pickles of those that hold objects."""

    def __init__(self, nested: "Callable[[Content, Place], None]") -> None:
        self._nested = nested
        self.seen = False

    def __call__(self, machine: Machine, made: Made) -> None:
        """Go past the array's data, which follow an object that got its state."""
        self.seen = True
        state = made.state
        if machine.opaque or made.builds > 1 or not isinstance(state, Items) or not state.certain:
            raise unknown_array()
        if machine.bytes.position < machine.frame_end:  # joblib reads the data from behind the frame
            raise Stop("malformed", "joblib-array", "has an array in the middle of a frame")
        count, size = _count(state), _element_bytes(state)
        if size is None:
            self._objects(machine)
            return
        if not _skip_padding(machine, state):
            _follow_plainly(machine)
        machine.bytes.skip(count * size, "an array")

    def _objects(self, machine: Machine) -> None:
        """Follow the pickle that stands in for the data."""
        place = machine.place.inside("objects of an array")
        inner = Machine(
            machine.bytes.content, place, machine.bytes.position, Hooks(built=self, nested=self._nested)
        )
        walk(inner)
        machine.opaque = machine.opaque or inner.opaque
        _follow_plainly(machine, frozenset(name.name for name in inner.names))
        machine.bytes.skip(inner.bytes.position - machine.bytes.position)


def _count(state: Items) -> int:
    shape = state.values.get("shape")
    if not isinstance(shape, tuple):
        raise unknown_array()
    lengths = [length for length in shape if isinstance(length, int) and length >= 0]
    if len(lengths) != len(shape):
        raise unknown_array()
    return math.prod(lengths)


def _element_bytes(state: Items) -> int | None:
    kind = state.values.get("dtype")
    if not isinstance(kind, Made):
        raise unknown_array()
    return element_bytes(kind)


def _skip_padding(machine: Machine, state: Items) -> bool:
    """Go past what puts the data at a round address; False where there is none."""
    alignment = state.values.get("numpy_array_alignment_bytes")
    if alignment is None:
        return False
    padding = machine.bytes.number(1, "an array")
    if not isinstance(alignment, int) or padding >= _MOST_PADDING:
        raise unknown_array()
    machine.bytes.skip(padding, "an array")
    return True


def _follow_plainly(machine: Machine, own: frozenset[str] | None = None) -> None:
    """Report what `pickle.load`, which knows no arrays, would take the data for: more of the pickle.

    Numbers are no pickle, but for one that was put there. A pickle of objects is one, and what it refers to
    by number is something else then: only a name that is none of its `own` and is known to run code tells.
    """
    look = Look(size_bytes=machine.place.look.size_bytes, deadline=machine.place.look.deadline)
    plain = machine.forked(Place(look=look))
    try:
        walk(plain)
    except Stop as stop:
        machine.place.look.check_time()
        if own is None and stop.kind == "unread" and stop.code in {"too-large", "pickle-stack"}:
            raise
    codes = {"pickle-import"} if own is not None else {"pickle-import", "pickle-unlisted-import"}
    for one in look.found:
        if one.code in codes and _is_plausible(one.subject, own or frozenset()):
            machine.place.unsafe(
                "embedded-pickle",
                f"has an array that imports {one.subject} where it is loaded without joblib",
                subject=one.subject,
            )


def _is_plausible(subject: str, own: frozenset[str]) -> bool:
    return subject.rpartition(".")[2] not in own and all(part.isidentifier() for part in subject.split("."))
