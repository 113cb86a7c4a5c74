"""Files that are pickles, one or several after each other, with the data that some libraries put between."""

import re
from collections.abc import Callable

from stages.scanners.model_files.content import PIECE_BYTES, Content, Part
from stages.scanners.model_files.look import Look, Place, Stop
from stages.scanners.model_files.pickle_arrays import ArrayReader
from stages.scanners.model_files.pickle_machine import Hooks, Machine
from stages.scanners.model_files.pickle_steps import walk
from stages.scanners.model_files.pickle_values import ANYTHING, Name, Value

TORCH_MAGIC = 0x1950A86A20F9469CFC6C
MOST_PICKLES = 100_000
LONG_RUN = 50_000
_VALUES = b"N)]}\x88\x89\x8f"
"""Opcodes that put a value on the stack, and are all of a pickle's bytes for it."""
MODERN = re.compile(rb"\x80[\x00-\x0f]", re.DOTALL)
_NOT_FOLLOWED = frozenset({"too-large", "pickle-stack", "pickle-computed-name", "pickle-memo"})
"""Codes of what an unpickler goes on with where we give up: what comes behind is not known."""
_ELEMENT_BYTES = {
    "Half": 2, "BFloat16": 2, "Float": 4, "Double": 8, "Byte": 1, "Char": 1, "Short": 2, "Int": 4, "Long": 8,
    "Untyped": 1, "Bool": 1, "ComplexFloat": 8, "ComplexDouble": 16, "QInt8": 1, "QUInt8": 1, "QInt32": 4,
}  # fmt: skip
Nested = Callable[[Content, Place], None]


def looks_pickled(content: Content) -> bool:
    """Tell whether an unpickler would do something with this content.

    The older protocols have no mark of their own, and no unpickler asks for that of the others: a content is
    a pickle if it calls something that it imported, whatever comes behind that.
    """
    return MODERN.match(content.read_at(0, 2)) is not None or calls_something(content)


def calls_something(content: Content, position: int = 0) -> bool:
    """Tell whether a pickle begins here that calls an import, or that comes to its end with one."""
    look = Look(size_bytes=content.size, deadline=float("inf"))
    run = _run_of_values(content) if position == 0 else 0
    machine = Machine(content, Place(look=look), position + run, Hooks(persistent=lambda _, __: None))
    for _ in range(min(run, LONG_RUN)):
        machine.push(ANYTHING)
    try:
        walk(machine)
    except Stop as stop:
        took_all = run > 0 and stop.code == "pickle-stack"  # it may go on where we know no more of the run
        return machine.calls > 0 or took_all or _is_beyond_us(stop)
    return machine.imports > 0


def _run_of_values(content: Content) -> int:
    """Return how many values of one kind a content begins with, if very many: numbers of few bits may be so.

    They would fill the stack of a pickle, which an unpickler with more memory goes on with: what comes behind
    them tells.
    """
    first = content.read_at(0, 1)
    if not first or first not in _VALUES:
        return 0
    position = 0
    while piece := content.read_at(position, PIECE_BYTES):
        rest = piece.lstrip(first)
        position += len(piece) - len(rest)
        if rest:
            break
    return position if position >= LONG_RUN else 0


def runs_something(content: Content, *, numbers: bool = False) -> bool:
    """Tell whether an unpickler that is given this content, whatever else it is, would call something.

    For contents that are known to be something else: unlike `calls_something` without a program that looks
    things up. `numbers`: they may be the same byte a million times, which is no pickle too deep to follow.
    """
    machine = Machine(content, Place(look=Look(size_bytes=content.size, deadline=float("inf"))))
    try:
        walk(machine)
    except Stop as stop:
        deep = machine.imports > 0 or (stop.code == "pickle-stack" and not numbers)
        return machine.calls > 0 or (deep and _is_beyond_us(stop))
    return machine.imports > 0


def _is_beyond_us(stop: Stop) -> bool:
    """Tell whether an unpickler may go on where we stopped."""
    return stop.kind == "unread" and stop.code in _NOT_FOLLOWED


def is_pickled(content: Content) -> bool:
    """Tell whether these bytes are a pickle, or would call something before they turn out to be none."""
    if not MODERN.match(content.read_at(0, 2)):
        return calls_something(content)
    look = Look(size_bytes=content.size, deadline=float("inf"))
    machine = Machine(content, Place(look=look), 0, Hooks(persistent=lambda _, __: None))
    try:
        walk(machine)
    except Stop as stop:
        return machine.calls > 0 or _is_beyond_us(stop)
    return True


class TorchStorages:
    """The tensors that a pickle of torch refers to, and how many bytes each has."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.sizes: dict[str, int] = {}

    def __call__(self, machine: Machine, identity: Value) -> None:
        """Take one in; anything else is not torch's."""
        if not isinstance(identity, tuple) or not identity or identity[0] not in {"storage", "module"}:
            raise Stop("unread", "pickle-persistent-id", "refers to something else than a tensor's storage")
        if identity[0] == "module":
            return
        kind, key, count = (*identity[1:3], *identity[4:5]) if len(identity) >= 5 else (None, None, None)
        if not isinstance(kind, Name) or not isinstance(key, str) or not isinstance(count, int):
            raise Stop("unread", "pickle-persistent-id", "describes a tensor's storage in its own way")
        element = (
            1 if kind.name == "UntypedStorage" else _ELEMENT_BYTES.get(kind.name.removesuffix("Storage"), 0)
        )
        self.sizes[key] = count * element


def scan_pickles(content: Content, place: Place, nested: Nested) -> str:
    """Follow all pickles in a content and return its format."""
    arrays = ArrayReader(nested)
    place = place.as_format("pickle")
    first = _one(content, 0, place, nested, arrays)
    value, position = first
    if value == TORCH_MAGIC:
        return _torch_legacy(content, place.as_format("torch-legacy"), position, nested)
    count = 1
    while position < content.size:
        _require_another(content, place, position)
        _, position = _one(content, position, place, nested, arrays)
        count += 1
        if count > MOST_PICKLES:
            raise Stop("unread", "too-many-members", f"has more than {MOST_PICKLES} pickles")
    return "joblib" if arrays.seen else "pickle"


def scan_torch_pickle(content: Content, place: Place, nested: Nested, *, allow_script: bool) -> TorchStorages:
    """Follow the pickle in a torch archive; in TorchScript, its classes are those of the archive."""
    storages = TorchStorages(place)
    own = ("__torch__",) if allow_script else ()
    machine = Machine(content, place, 0, Hooks(persistent=storages, nested=nested, own_modules=own))
    walk(machine)
    if machine.bytes.left:
        raise Stop("malformed", "trailing-data", f"has {machine.bytes.left} bytes behind its pickle")
    return storages


def _one(
    content: Content, position: int, place: Place, nested: Nested, arrays: ArrayReader
) -> tuple[Value, int]:
    machine = Machine(content, place, position, Hooks(built=arrays, nested=nested))
    value = walk(machine)
    return value, machine.bytes.position


def _require_another(content: Content, place: Place, position: int) -> None:
    rest = Part(content, position, content.size - position)
    head = rest.read_at(0, 2)
    if not MODERN.match(head) and not _walks(rest, place):
        raise Stop("malformed", "trailing-data", f"has {rest.size} bytes behind its pickle that are none")


def _walks(content: Content, place: Place) -> bool:
    """Tell whether an older pickle begins here: it comes to its end, or calls something before."""
    machine = Machine(content, Place(look=Look(size_bytes=content.size, deadline=place.look.deadline)))
    try:
        walk(machine)
    except Stop:
        return machine.calls > 0
    return True


def _torch_legacy(content: Content, place: Place, position: int, nested: Nested) -> str:
    """Follow torch.save's format of before 1.6: five pickles, then each storage behind its length."""
    storages = TorchStorages(place)
    for _ in range(4):
        machine = Machine(content, place, position, Hooks(persistent=storages, nested=nested))
        walk(machine)
        position = machine.bytes.position
    wanted = sum(8 + size for size in storages.sizes.values())
    left = content.size - position
    if left < wanted:
        raise Stop("unread", "truncated", f"has {left} bytes of tensors instead of {wanted}")
    if left > wanted:
        raise Stop("malformed", "trailing-data", f"has {left - wanted} bytes behind its tensors")
    return "torch-legacy"
