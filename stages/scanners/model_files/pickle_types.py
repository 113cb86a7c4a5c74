"""NumPy's types in pickles: how many bytes an element has, which decides where a joblib array ends.

A type is made from a short text (`f8`) and then given a state, which may say something else. Source: NumPy
2.4, descriptor.c (arraydescr_reduce, arraydescr_setstate).
"""

import re

from stages.scanners.model_files.look import Stop
from stages.scanners.model_files.pickle_values import ANYTHING, Items, Made, Value

TYPE = "numpy.dtype"
_SPELLED = re.compile(r"[<>|=]?(?:([biufcSUVmM])(\d{1,18})|(O)\d*)")
_HAS_OBJECT = 0x01
"""NPY_ITEM_REFCOUNT in the flags of a type: it holds references to objects, which are pickled."""
_SUBARRAY, _FIELDS, _SIZE, _FLAGS = 2, 4, 5, 7
"""Places in a type's state."""


def require_plain_state(kind: Made) -> None:
    """See to it that the state of a type says nothing else than the text that it was made from.

    Raises:
        Stop: it does, or it cannot be followed.
    """
    state = kind.state
    if not isinstance(state, tuple) or len(state) <= _FIELDS:
        raise Stop("unread", "pickle-type", "gives a NumPy type a state that cannot be followed")
    size = state[_SIZE] if len(state) > _SIZE else None
    flags = state[_FLAGS] if len(state) > _FLAGS else 0
    if not isinstance(flags, int):
        raise Stop("unread", "pickle-type", "gives a NumPy type flags that cannot be followed")
    letter, element = _spelled(kind) or ("", None)
    objects = bool(flags & _HAS_OBJECT)
    wrong = objects and letter not in {"O", "V"}
    wrong = wrong or (letter == "O" and len(state) > _FLAGS and not objects)
    wrong = wrong or (letter in {"S", "U", "V"} and size is not None and size != element)
    wrong = wrong or (letter not in {"V", ""} and state[_SUBARRAY] is not None)
    if wrong:
        raise Stop("malformed", "pickle-type", "gives a NumPy type a state that is another type's")


def element_bytes(kind: Made) -> int | None:
    """Return the size of an element of a NumPy type; None where it is an object.

    Raises:
        Stop: that is not known.
    """
    spelled = _spelled(kind)
    if str(kind.callee) != TYPE or spelled is None or (kind.builds and kind.state is ANYTHING):
        raise unknown_array()
    letter, size = spelled
    if letter == "V":
        _refuse_objects(kind.state)
    return size


def _spelled(kind: Made) -> tuple[str, int | None] | None:
    """Return the letter of a type and the size that goes with it; None where that is not in plain sight."""
    text = kind.arguments[0] if isinstance(kind.arguments, tuple) and kind.arguments else None
    match = _SPELLED.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    if match[3]:
        return "O", None
    return match[1], int(match[2]) * (4 if match[1] == "U" else 1)


def _refuse_objects(state: Value) -> None:
    """Refuse a record type with objects in it, or one that does not tell."""
    flags = state[_FLAGS] if isinstance(state, tuple) and len(state) > _FLAGS else None
    fields = state[_FIELDS] if isinstance(state, tuple) and len(state) > _FLAGS else None
    objects = Stop("unread", "joblib-array", "has an array of records with objects in them")
    if not isinstance(flags, int) or flags & _HAS_OBJECT or not isinstance(fields, Items | None):
        raise objects
    if fields is not None and not fields.certain:
        raise objects
    for value in fields.values.values() if fields is not None else ():
        inner = value[0] if isinstance(value, tuple) and value else None
        if not isinstance(inner, Made) or element_bytes(inner) is None:
            raise objects


def unknown_array() -> Stop:
    """Return the end of a look into an array that cannot be followed."""
    return Stop("unread", "joblib-array", "describes an array of joblib in a way that cannot be followed")
