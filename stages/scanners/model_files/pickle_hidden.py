"""Names that a pickle must not hand on to others, since they would do with them what we cannot see."""

from stages.scanners.model_files.look import Stop
from stages.scanners.model_files.pickle_values import Made, Name, Value

LOADER = Name("torch.storage", "_load_from_bytes")
"""Loads the bytes that it is given as another pickle; harmless only where these are in plain sight."""
WRAPPER = Name("joblib.numpy_pickle", "NumpyArrayWrapper")
"""What joblib puts where an array was: the array's data follow it, and are no opcodes."""
REBUILD = Name("torch._tensor", "_rebuild_from_type_v2")
"""Calls what it is given, and gives the result a state."""


def refuse_hidden(values: list[Value]) -> None:
    """Refuse to hand on what loads bytes, or what arrays' data follow, out of our sight.

    Whoever gets the one may call it with bytes that nobody sees, and make the other without our knowing.

    Raises:
        Stop: it is among the values; the name of the other one may be in a tuple, for whoever makes it.
    """
    if LOADER in values:
        raise handed_on(LOADER)
    for value in values:
        if isinstance(value, tuple) and WRAPPER in value:
            raise handed_on(WRAPPER)
        if isinstance(value, Made) and value.callee == WRAPPER:
            raise handed_on(WRAPPER)


def refuse_handed_on(values: list[Value]) -> None:
    """Refuse both, wherever they are handed on but for a tuple; see `refuse_hidden`."""
    if WRAPPER in values:
        raise handed_on(WRAPPER)
    refuse_hidden(values)


def is_wrapper(callee: Name, arguments: Value) -> bool:
    """Tell whether this makes an array's description by `copyreg._reconstructor`, as old protocols do."""
    if callee.name != "_reconstructor" or not isinstance(arguments, tuple):
        return False
    return arguments[:1] == (WRAPPER,) and WRAPPER not in arguments[1:]


def holds_wrapper(value: Value) -> bool:
    """Tell whether a value is the name of what arrays' data follow, or a tuple with it."""
    return value == WRAPPER or (isinstance(value, tuple) and WRAPPER in value)


def handed_on(name: Name) -> Stop:
    """Return the end of a look into a pickle that hands such a name on."""
    code = "pickle-computed-bytes" if name == LOADER else "joblib-array"
    return Stop("unread", code, f"hands {name} on to something else")
