"""What each opcode of a pickle does to the machine.

Source: CPython 3.11, Lib/pickletools.py, whose table has the arguments of every opcode.
"""

from collections.abc import Callable

from stages.scanners.model_files.look import Stop
from stages.scanners.model_files.pickle_hidden import refuse_handed_on
from stages.scanners.model_files.pickle_lines import escaped, index, quoted, text_float, text_number
from stages.scanners.model_files.pickle_machine import LONGEST_NAME, LONGEST_TEXT, Machine
from stages.scanners.model_files.pickle_values import ANYTHING, Items, Value

HIGHEST_PROTOCOL = 5
_STOP = 0x2E


def walk(machine: Machine) -> Value:
    """Go to the pickle's end and return what it would give; `machine.bytes.position` is behind it.

    Raises:
        Stop: it breaks the rules of its own language, or goes beyond what can be followed.
    """
    steps = 0
    while True:
        code = machine.bytes.take(1, "the pickle")[0]
        if code == _STOP:
            return machine.pop()
        step = STEPS.get(code)
        if step is None:
            raise Stop("malformed", "pickle-opcode", f"has no opcode 0x{code:02x}")
        step(machine)
        steps += 1
        if steps % 4096 == 0:
            machine.place.look.check_time()


def _constant(value: Value) -> Callable[[Machine], None]:
    return lambda machine: machine.push(value)


def _integer(count: int, *, signed: bool = False) -> Callable[[Machine], None]:
    def step(machine: Machine) -> None:
        machine.push(int.from_bytes(machine.bytes.take(count), "little", signed=signed))

    return step


def _long(count: int) -> Callable[[Machine], None]:
    def step(machine: Machine) -> None:
        size = machine.bytes.number(count)
        if size <= 64:
            machine.push(int.from_bytes(machine.bytes.take(size), "little", signed=True))
        else:
            machine.bytes.skip(size)
            machine.push(ANYTHING)

    return step


def _text(count: int) -> Callable[[Machine], None]:
    return lambda machine: machine.text(machine.bytes.number(count))


def _blob(count: int) -> Callable[[Machine], None]:
    return lambda machine: machine.blob(machine.bytes.number(count))


def _byte_string(count: int) -> Callable[[Machine], None]:
    """Python 2's strings are texts or bytes: names as well as data."""

    def step(machine: Machine) -> None:
        size = machine.bytes.number(count)
        if size <= LONGEST_TEXT:
            machine.push_text(machine.bytes.take(size, "a text").decode("latin-1"))
        else:
            machine.blob(size)

    return step


def _get(count: int) -> Callable[[Machine], None]:
    return lambda machine: machine.recall(machine.bytes.number(count))


def _put(count: int) -> Callable[[Machine], None]:
    return lambda machine: machine.remember(machine.bytes.number(count))


def _extension(count: int) -> Callable[[Machine], None]:
    return lambda machine: machine.extension(machine.bytes.number(count))


def _tuple(count: int) -> Callable[[Machine], None]:
    def step(machine: Machine) -> None:
        values = [machine.pop() for _ in range(count)]
        machine.push(machine.gathered(values[::-1]))

    return step


def _marked_tuple(machine: Machine) -> None:
    machine.push(machine.gathered(machine.to_mark()))


def _drop_marked(machine: Machine) -> None:
    machine.to_mark()


def _gather(machine: Machine) -> None:
    """Make a container of what is on the stack since the mark."""
    refuse_handed_on(machine.to_mark())
    machine.push(ANYTHING)


def _add_all(machine: Machine) -> None:
    refuse_handed_on(machine.to_mark())
    machine.top()


def _add_one(machine: Machine) -> None:
    refuse_handed_on([machine.pop()])
    machine.top()


def _dict(machine: Machine) -> None:
    items = Items()
    machine.store(items, machine.to_mark())
    machine.push(items)


def _set_item(machine: Machine) -> None:
    value, key = machine.pop(), machine.pop()
    machine.store(machine.top(), [key, value])


def _set_items(machine: Machine) -> None:
    values = machine.to_mark()
    machine.store(machine.top(), values)


def _global(machine: Machine) -> None:
    module = machine.name_line()
    machine.push(machine.import_name(module, machine.name_line()))


def _stack_global(machine: Machine) -> None:
    name, module = machine.pop(), machine.pop()
    machine.push(machine.import_name(module, name))


def _instance(machine: Machine) -> None:
    module = machine.name_line()
    callee = machine.import_name(module, machine.name_line())
    machine.call(callee, machine.gathered(machine.to_mark()))


def _object(machine: Machine) -> None:
    values = machine.to_mark()
    if not values:
        raise Stop("malformed", "pickle-stack", "calls nothing")
    machine.call(values[0], machine.gathered(values[1:]))


def _reduce(machine: Machine) -> None:
    arguments, callee = machine.pop(), machine.pop()
    machine.call(callee, arguments)


def _new_with_names(machine: Machine) -> None:
    machine.pop()
    _reduce(machine)


def _protocol(machine: Machine) -> None:
    protocol = machine.bytes.number(1)
    if protocol > HIGHEST_PROTOCOL:
        raise Stop(
            "unread", "pickle-protocol", f"is of protocol {protocol}; {HIGHEST_PROTOCOL} is the last known"
        )


def _frame(machine: Machine) -> None:
    size = machine.bytes.number(8)
    machine.frame_end = machine.bytes.position + size
    if size > machine.bytes.left:  # one of Python's two unpicklers goes on all the same
        machine.place.stopped(Stop("unread", "truncated", "has a frame that goes beyond the end of the file"))


def _float(machine: Machine) -> None:
    machine.bytes.take(8)
    machine.push(ANYTHING)


def _buffer(machine: Machine) -> None:
    raise Stop("unread", "pickle-buffers", "needs buffers that are not in it")


STEPS: dict[int, Callable[[Machine], None]] = {
    ord("("): Machine.mark,
    ord("0"): Machine.drop,
    ord("1"): _drop_marked,
    ord("2"): lambda machine: machine.push(machine.top()),
    ord("F"): text_float,
    ord("I"): text_number,
    ord("J"): _integer(4, signed=True),
    ord("K"): _integer(1),
    ord("L"): text_number,
    ord("M"): _integer(2),
    ord("N"): _constant(None),
    ord("P"): lambda machine: machine.persistent(machine.line(LONGEST_NAME).decode("latin-1")),
    ord("Q"): lambda machine: machine.persistent(machine.pop()),
    ord("R"): _reduce,
    ord("S"): quoted,
    ord("T"): _byte_string(4),
    ord("U"): _byte_string(1),
    ord("V"): escaped,
    ord("X"): _text(4),
    ord("a"): _add_one,
    ord("b"): Machine.build,
    ord("c"): _global,
    ord("d"): _dict,
    ord("}"): lambda machine: machine.push(Items()),
    ord("e"): _add_all,
    ord("g"): lambda machine: machine.recall(index(machine.line())),
    ord("h"): _get(1),
    ord("i"): _instance,
    ord("j"): _get(4),
    ord("l"): _gather,
    ord("]"): _constant(ANYTHING),
    ord("o"): _object,
    ord("p"): lambda machine: machine.remember(index(machine.line())),
    ord("q"): _put(1),
    ord("r"): _put(4),
    ord("s"): _set_item,
    ord("t"): _marked_tuple,
    ord(")"): _constant(()),
    ord("u"): _set_items,
    ord("G"): _float,
    ord("B"): _blob(4),
    ord("C"): _blob(1),
    0x80: _protocol,
    0x81: _reduce,  # NEWOBJ calls __new__ of a class
    0x82: _extension(1),
    0x83: _extension(2),
    0x84: _extension(4),
    0x85: _tuple(1),
    0x86: _tuple(2),
    0x87: _tuple(3),
    0x88: _constant(True),
    0x89: _constant(False),
    0x8A: _long(1),
    0x8B: _long(4),
    0x8C: _text(1),
    0x8D: _text(8),
    0x8E: _blob(8),
    0x8F: _constant(ANYTHING),
    0x90: _add_all,
    0x91: _gather,
    0x92: _new_with_names,
    0x93: _stack_global,
    0x94: lambda machine: machine.remember(None),
    0x95: _frame,
    0x96: _blob(8),
    0x97: _buffer,
    0x98: _buffer,
}
