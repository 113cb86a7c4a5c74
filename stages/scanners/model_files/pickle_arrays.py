"""The arrays that joblib writes between a pickle's opcodes, right behind what describes them.

Source: joblib 1.6, numpy_pickle.py (NumpyArrayWrapper).
"""

import math
import re
from collections.abc import Callable

from stages.scanners.model_files.content import Content
from stages.scanners.model_files.look import Place, Stop
from stages.scanners.model_files.pickle_machine import Hooks, Machine
from stages.scanners.model_files.pickle_values import Items, Made, Value

_TYPE = re.compile(r"[<>|=]?([biufcSUVMm?O])(\d*)")
_HAS_OBJECT = 0x01
"""NPY_ITEM_REFCOUNT in the flags of a type: it holds references to objects, which are pickled."""


class ArrayReader:
    """Goes past the data of joblib's arrays, and follows the pickles of those that hold objects."""

    def __init__(self, nested: "Callable[[Content, Place], None]") -> None:
        self._nested = nested
        self.seen = False

    def __call__(self, machine: Machine, made: Made) -> None:
        """Look whether an array's data follows an object that got its state."""
        self.seen = True
        self._pass(machine, made.state)

    def _pass(self, machine: Machine, state: Value) -> None:
        if not isinstance(state, Items):
            raise _unknown()
        shape, kind = state.values.get("shape"), state.values.get("dtype")
        if not isinstance(shape, tuple) or not isinstance(kind, Made):
            raise _unknown()
        lengths = [length for length in shape if isinstance(length, int) and length >= 0]
        if len(lengths) != len(shape):
            raise _unknown()
        size = _element_bytes(kind)
        if size is None:
            self._objects(machine)
            return
        if state.values.get("numpy_array_alignment_bytes") is not None:
            machine.bytes.skip(machine.bytes.number(1, "an array"), "an array")
        machine.bytes.skip(math.prod(lengths) * size, "an array")

    def _objects(self, machine: Machine) -> None:
        """Follow the pickle that stands in for the data."""
        from stages.scanners.model_files.pickle_steps import walk

        place = machine.place.inside("objects of an array")
        inner = Machine(
            machine.bytes.content, place, machine.bytes.position, Hooks(built=self, nested=self._nested)
        )
        walk(inner)
        machine.bytes.skip(inner.bytes.position - machine.bytes.position)


def _element_bytes(kind: Made) -> int | None:
    """Return the size of an element of a NumPy type; None where it is an object."""
    spelled = kind.arguments[0] if isinstance(kind.arguments, tuple) and kind.arguments else None
    if str(kind.callee) != "numpy.dtype" or not isinstance(spelled, str):
        raise _unknown()
    match = _TYPE.fullmatch(spelled)
    if match is None:
        raise _unknown()
    if match[1] == "O":
        return None
    if match[1] == "V":
        _refuse_objects(kind.state)
    return int(match[2] or 1) * (4 if match[1] == "U" else 1)


def _refuse_objects(state: Value) -> None:
    """Refuse a record type with objects in it, or one that does not tell."""
    flags = state[7] if isinstance(state, tuple) and len(state) >= 8 else None
    fields = state[4] if isinstance(state, tuple) and len(state) >= 8 else None
    if not isinstance(flags, int) or flags & _HAS_OBJECT or not isinstance(fields, Items | None):
        raise Stop("unread", "joblib-array", "has an array of records with objects in them")
    for value in fields.values.values() if fields is not None else ():
        inner = value[0] if isinstance(value, tuple) and value else None
        if not isinstance(inner, Made) or _element_bytes(inner) is None:
            raise Stop("unread", "joblib-array", "has an array of records with objects in them")


def _unknown() -> Stop:
    return Stop("unread", "joblib-array", "describes an array of joblib in a way that cannot be followed")
