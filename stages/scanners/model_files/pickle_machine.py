"""A pickle's program followed step by step without running it: which names it imports, calls and hides.

The values are the least that tells this: names, short texts, numbers, small tuples. Everything else is one
and the same `ANYTHING`. What an unpickler would refuse ends the walk, with what was found up to there: an
unpickler has done that much by then.

Source: CPython 3.11, Lib/pickle.py and Lib/pickletools.py.
"""

from collections.abc import Callable
from dataclasses import dataclass

from stages.scanners.model_files.content import Content, Part
from stages.scanners.model_files.forward import Forward
from stages.scanners.model_files.look import Place, Stop
from stages.scanners.model_files.pickle_globals import judge
from stages.scanners.model_files.pickle_hidden import (
    LOADER,
    REBUILD,
    WRAPPER,
    handed_on,
    holds_wrapper,
    is_wrapper,
    refuse_handed_on,
    refuse_hidden,
)
from stages.scanners.model_files.pickle_lists import FILE_READERS
from stages.scanners.model_files.pickle_memo import Memo, settled
from stages.scanners.model_files.pickle_types import TYPE, require_plain_state
from stages.scanners.model_files.pickle_values import ANYTHING, Blob, Items, Made, Name, Value

LONGEST_TEXT = 200
ADDRESSES = frozenset({"__array_interface__", "__array_struct__"})
"""Attributes that NumPy looks for in everything it is given; what they say of addresses, it believes."""
LONGEST_LINE = 4 * 1024 * 1024
LONGEST_NAME = 64 * 1024
MOST_NAMES = 1_000
MOST_STACK = 100_000
MOST_DIMENSIONS = 64
MOST_FIELDS = 100_000
"""Of all record types together."""
WRAPPER_KEYS = frozenset({"shape", "dtype", "numpy_array_alignment_bytes"})
Hook = Callable[["Machine", Made], None]
"""Told of every array's description that is complete; it may read on where joblib would."""
PersistentHook = Callable[["Machine", Value], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """What a kind of file adds to the language of pickles."""

    built: Hook | None = None
    persistent: PersistentHook | None = None
    nested: Callable[[Content, Place], None] | None = None
    """Told of all bytes in the pickle."""
    own_modules: tuple[str, ...] = ()
    """Roots of modules that the file brings itself."""


class Machine:
    """Walks through one pickle."""

    def __init__(self, content: Content, place: Place, position: int = 0, hooks: Hooks | None = None) -> None:
        self.bytes = Forward(content, position)
        self.place = place
        self.imports = 0
        self.calls = 0
        self._hooks = hooks or Hooks()
        self._stack: list[Value] = []
        self._marks: list[int] = []
        self._memo = Memo()
        self._fields = 0
        self.names: set[Name] = set()
        """What was imported, as far as that is not very much."""
        self.opaque = False
        """Something was called that gives back what it was given: it may have changed a NumPy type."""
        self.frame_end = 0
        """Where the last frame ends: joblib reads what follows from there."""

    def forked(self, place: Place) -> "Machine":
        """Return one that goes on from here for itself, as `pickle.load` would."""
        other = Machine(self.bytes.content, place, self.bytes.position)
        other._stack = [settled(value) for value in self._stack]
        other._marks = self._marks.copy()
        other._memo = Memo(self._memo)
        return other

    # --- stack

    def push(self, value: Value) -> None:
        """Put a value on the stack."""
        if len(self._stack) >= MOST_STACK:
            raise Stop("unread", "pickle-stack", f"needs more than {MOST_STACK} values on its stack")
        self._stack.append(value)

    def pop(self) -> Value:
        """Take the last value off the stack."""
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise Stop("malformed", "pickle-stack", "takes more from its stack than is there")
        return self._stack.pop()

    def top(self) -> Value:
        """Return the last value."""
        value = self.pop()
        self._stack.append(value)
        return value

    def mark(self) -> None:
        """Remember where we are."""
        if len(self._marks) >= MOST_STACK:
            raise Stop("unread", "pickle-stack", f"needs more than {MOST_STACK} marks")
        self._marks.append(len(self._stack))

    def to_mark(self) -> list[Value]:
        """Take everything since the last mark off the stack."""
        if not self._marks:
            raise Stop("malformed", "pickle-stack", "looks for a mark that is not there")
        begin = self._marks.pop()
        values = self._stack[begin:]
        del self._stack[begin:]
        return values

    def drop(self) -> None:
        """Take the last value off, or the mark that is in its place."""
        if self._marks and self._marks[-1] == len(self._stack):
            self._marks.pop()
        else:
            self.pop()

    def gathered(self, values: list[Value]) -> Value:
        """Return a tuple with what of it describes something, in memory that a hostile one cannot fill."""
        refuse_hidden(values)
        if len(values) > MOST_DIMENSIONS or (
            len(values) > 9 and not all(isinstance(one, int) for one in values)
        ):
            if WRAPPER in values:
                raise handed_on(WRAPPER)
            return ANYTHING
        return tuple(value if _is_kept(value) else ANYTHING for value in values)

    def store(self, target: Value, values: list[Value]) -> None:
        """Put keys and values into a dictionary."""
        refuse_handed_on(values)
        if len(values) % 2:
            raise Stop("malformed", "pickle-stack", "has a key without a value")
        if not isinstance(target, Items):
            return
        for key, value in zip(values[::2], values[1::2], strict=True):
            target.certain &= key is not ANYTHING
            is_field = isinstance(value, tuple) and bool(value) and isinstance(value[0], Made)
            if isinstance(key, str) and (key in WRAPPER_KEYS or is_field):
                self._fields += is_field
                if self._fields > MOST_FIELDS:
                    raise Stop(
                        "unread", "pickle-stack", f"describes more than {MOST_FIELDS} fields of arrays"
                    )
                target.values[key] = value

    # --- memo

    def remember(self, index: int | None) -> None:
        """Keep the last value under a number; None: under the next one."""
        self._memo.keep(index, self.top())

    def recall(self, index: int) -> None:
        """Put a remembered value on the stack."""
        self.push(self._memo.find(index))

    # --- imports and calls

    def import_name(self, module: Value, name: Value) -> Name:
        """Judge a name that is imported."""
        if not isinstance(module, str) or not isinstance(name, str):
            raise Stop("unread", "pickle-computed-name", "imports a name that it makes up while it is loaded")
        found = Name(module, name)
        self.imports += 1
        if len(self.names) < MOST_NAMES:
            self.names.add(found)
        own = module.partition(".")[0] in self._hooks.own_modules
        judgement = "listed" if own else judge(module, name)
        if judgement == "dangerous":
            self.place.unsafe(
                "pickle-import",
                f"loading it imports {found}, which can run commands or reach files",
                subject=str(found),
            )
        elif judgement == "unlisted":
            self.place.unsafe(
                "pickle-unlisted-import",
                f"loading it imports {found}, which is not on the list of harmless names",
                subject=str(found),
            )
        return found

    def call(self, callee: Value, arguments: Value) -> None:
        """Judge a call, and put what it gives on the stack."""
        self.calls += 1
        if not isinstance(callee, Name):
            self.place.unsafe("pickle-call", "loading it calls something that it made while it was loaded")
            self.push(ANYTHING)
            return
        if callee == LOADER and not _is_blob(arguments):
            raise Stop("unread", "pickle-computed-bytes", f"gives {callee} bytes that it makes up")
        if holds_wrapper(arguments) and not is_wrapper(callee, arguments):
            raise handed_on(WRAPPER)
        if arguments != () and str(callee) in FILE_READERS:
            self.place.unsafe("pickle-import", f"gives {callee} what may name a file to read", str(callee))
        self.opaque = self.opaque or callee.module == "torch.jit._pickle" or callee == REBUILD
        if str(callee) == TYPE:
            self.push(Made(callee, arguments))
        elif callee == WRAPPER or is_wrapper(callee, arguments):
            self.push(Made(WRAPPER, ANYTHING))
        else:
            self.push(ANYTHING)

    def build(self) -> None:
        """Give an object its state."""
        state, target = self.pop(), self.top()
        refuse_handed_on([state])
        if isinstance(target, Name):
            self.place.unsafe("pickle-build", f"changes {target} itself while it is loaded", str(target))
        if isinstance(target, Made):
            target.state = state
            target.builds += 1
            if target.callee != WRAPPER:
                require_plain_state(target)
            elif self._hooks.built is not None:
                self._hooks.built(self, target)
                self._stack[-1] = ANYTHING  # joblib puts the array there

    def extension(self, number: int) -> None:
        """Judge a name by a number that only the loading process knows."""
        raise Stop("unread", "pickle-extension", f"imports what some registry calls {number}")

    def persistent(self, identity: Value) -> None:
        """Judge a value that the loading program looks up itself."""
        if self._hooks.persistent is None:
            raise Stop("unread", "pickle-persistent-id", "refers to values outside of the pickle")
        self._hooks.persistent(self, identity)
        self.push(ANYTHING)

    def blob(self, size: int) -> None:
        """Look into bytes, in which another pickle may hide, and go past them."""
        offset = self.bytes.position
        if self._hooks.nested is not None and size >= 4:
            self._hooks.nested(Part(self.bytes.content, offset, size), self.place)
        self.bytes.skip(size, "bytes in the pickle")
        self.push(Blob(offset, size))

    def text(self, size: int) -> None:
        """Take a text; a long one is no name."""
        if size > LONGEST_TEXT:
            self.bytes.skip(size, "a text in the pickle")
            self.push(ANYTHING)
            return
        self.push_text(decoded(lambda: self.bytes.take(size, "a text").decode("utf-8", "surrogatepass")))

    def push_text(self, text: str) -> None:
        """Put a short text on the stack; one that no honest pickle has is reported."""
        if text in ADDRESSES:
            self.place.unsafe(
                "pickle-address", f"gives an object {text}, by which NumPy reaches any memory", text
            )
        self.push(text)

    def line(self, longest: int = LONGEST_LINE) -> bytes:
        """Take a line."""
        return self.bytes.line(longest)

    def name_line(self) -> str:
        """Take a line that is a module or a name."""
        return decoded(self.line(LONGEST_NAME).decode)


def _is_kept(value: Value) -> bool:
    """Tell whether a member of a tuple is worth keeping; what it holds in turn is small."""
    if isinstance(value, str):
        return len(value) <= 32
    if isinstance(value, tuple):
        return all(isinstance(one, int) for one in value) or isinstance(value[0], Made)
    return True


def _is_blob(arguments: Value) -> bool:
    return isinstance(arguments, tuple) and len(arguments) == 1 and isinstance(arguments[0], Blob)


def decoded(decode: Callable[[], str]) -> str:
    """Return a text.

    Raises:
        Stop: it cannot be decoded.
    """
    try:
        return decode()
    except (UnicodeDecodeError, ValueError) as error:
        raise Stop("malformed", "pickle-text", f"has a text that cannot be decoded: {error}") from error
