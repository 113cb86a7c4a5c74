"""The arguments of protocol 0, which are lines of text."""

import codecs

from stages.scanners.model_files.look import Stop
from stages.scanners.model_files.pickle_machine import LONGEST_TEXT, Machine, decoded
from stages.scanners.model_files.pickle_values import ANYTHING

MOST_DIGITS = 4_000  # Python refuses longer ones


def text_number(machine: Machine) -> None:
    """Take a number, or a truth value, in digits."""
    text = machine.line().strip().rstrip(b"L")
    if text in {b"00", b"01"}:
        machine.push(text == b"01")
        return
    try:
        machine.push(int(text, 0) if len(text) < MOST_DIGITS else ANYTHING)
    except ValueError:  # unpicklers differ in what they take for a number, and go on
        machine.place.malformed("pickle-number", "has a number that is none")
        machine.push(ANYTHING)


def text_float(machine: Machine) -> None:
    """Take a fraction in digits."""
    try:
        float(machine.line())
    except ValueError as error:
        raise Stop("malformed", "pickle-number", "has a number that is none") from error
    machine.push(ANYTHING)


def quoted(machine: Machine) -> None:
    """Take a text in quotes, as Python 2 wrote it."""
    line = machine.line().strip()
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in {b"'", b'"'}:
        raise Stop("malformed", "pickle-text", "has a text without quotes")
    unescape = codecs.escape_decode  # what pickle uses
    text = decoded(lambda: str(unescape(line[1:-1])[0], "latin-1"))
    _push(machine, text)


def escaped(machine: Machine) -> None:
    """Take a text with escapes."""
    line = machine.line()
    text = decoded(lambda: line.decode("raw-unicode-escape"))
    _push(machine, text)


def _push(machine: Machine, text: str) -> None:
    if len(text) <= LONGEST_TEXT:
        machine.push_text(text)
    else:
        machine.push(ANYTHING)


def index(line: bytes) -> int:
    """Return the number under which a value is remembered."""
    try:
        number = int(line) if len(line) <= MOST_DIGITS else -1
    except ValueError:
        number = -1
    if not 0 <= number < 2**63:
        raise Stop("malformed", "pickle-memo", "numbers what it remembers by something else")
    return number
