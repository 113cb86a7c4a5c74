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
from stages.scanners.model_files.pickle_values import ANYTHING, Blob, Items, Made, Name, Value

LONGEST_TEXT = 200
LONGEST_LINE = 4 * 1024 * 1024
MOST_STACK = 100_000
MOST_MEMO = 100_000
"""Values that are remembered by what they are; of further ones only that they are there."""
MOST_DIMENSIONS = 64
MOST_FIELDS = 100_000
"""Of all record types together."""
WRAPPER = "joblib.numpy_pickle.NumpyArrayWrapper"
WRAPPER_KEYS = frozenset({"shape", "dtype", "numpy_array_alignment_bytes"})


LOADER = Name("torch.storage", "_load_from_bytes")
"""Loads the bytes that it is given as another pickle; harmless only where these are in plain sight."""

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
        self._memo: dict[int, Value] = {}
        self._memo_size = 0
        self._memo_gaps = False
        self._fields = 0

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
        self.refuse_loader(values)
        if len(values) > MOST_DIMENSIONS or (
            len(values) > 9 and not all(isinstance(one, int) for one in values)
        ):
            return ANYTHING
        return tuple(value if _is_kept(value) else ANYTHING for value in values)

    def store(self, target: Value, values: list[Value]) -> None:
        """Put keys and values into a dictionary."""
        self.refuse_loader(values)
        if len(values) % 2:
            raise Stop("malformed", "pickle-stack", "has a key without a value")
        if not isinstance(target, Items):
            return
        for key, value in zip(values[::2], values[1::2], strict=True):
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
        value = self.top()
        if index is None:
            if self._memo_gaps:
                raise Stop("unread", "pickle-memo", "mixes two ways to number what it remembers")
            index = self._memo_size
        if index > self._memo_size + 1:
            self._memo_gaps = True
        self._memo_size = max(self._memo_size, index + 1)
        known = index in self._memo
        is_name = isinstance(value, Name)  # what is done to it counts, however many others there are
        if not known and is_name and len(self._memo) >= 2 * MOST_MEMO:
            raise Stop("unread", "pickle-memo", f"remembers more than {2 * MOST_MEMO} values")
        if known or (value is not ANYTHING and (is_name or len(self._memo) < MOST_MEMO)):
            self._memo[index] = value

    def recall(self, index: int) -> None:
        """Put a remembered value on the stack."""
        if not 0 <= index < self._memo_size:
            raise Stop("malformed", "pickle-memo", f"recalls value {index}, which it never kept")
        self.push(self._memo.get(index, ANYTHING))

    # --- imports and calls

    def import_name(self, module: Value, name: Value) -> Name:
        """Judge a name that is imported."""
        if not isinstance(module, str) or not isinstance(name, str):
            raise Stop("unread", "pickle-computed-name", "imports a name that it makes up while it is loaded")
        found = Name(module, name)
        self.imports += 1
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
        if str(callee) == "numpy.dtype":
            self.push(Made(callee, arguments))
        elif str(callee) == WRAPPER or _is_wrapper(callee, arguments):
            self.push(Made(Name(*WRAPPER.rsplit(".", 1)), ANYTHING))
        else:
            self.push(ANYTHING)

    def build(self) -> None:
        """Give an object its state."""
        state, target = self.pop(), self.top()
        self.refuse_loader([state])
        if isinstance(target, Name):
            self.place.unsafe("pickle-build", f"changes {target} itself while it is loaded", str(target))
        if isinstance(target, Made):
            target.state = state
            if self._hooks.built is not None and str(target.callee) == WRAPPER:
                self._hooks.built(self, target)

    def refuse_loader(self, values: list[Value]) -> None:
        """Refuse to hand on what loads bytes: whoever gets it may call it with bytes that nobody sees.

        Raises:
            Stop: it is among the values.
        """
        if LOADER in values:
            raise Stop("unread", "pickle-computed-bytes", f"hands {LOADER} on to something else")

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
        self.push(decoded(lambda: self.bytes.take(size, "a text").decode("utf-8", "surrogatepass")))

    def line(self) -> bytes:
        """Take a line."""
        return self.bytes.line(LONGEST_LINE)

    def name_line(self) -> str:
        """Take a line that is a module or a name."""
        return decoded(self.line().decode)


def _is_kept(value: Value) -> bool:
    """Tell whether a member of a tuple is worth keeping; what it holds in turn is small."""
    if isinstance(value, str):
        return len(value) <= 32
    if isinstance(value, tuple):
        return all(isinstance(one, int) for one in value) or isinstance(value[0], Made)
    return True


def _is_blob(arguments: Value) -> bool:
    return isinstance(arguments, tuple) and len(arguments) == 1 and isinstance(arguments[0], Blob)


def _is_wrapper(callee: Name, arguments: Value) -> bool:
    """Tell whether this makes an array's description by `copyreg._reconstructor`, as old protocols do."""
    made = arguments[0] if isinstance(arguments, tuple) and arguments else None
    return callee.name == "_reconstructor" and str(made) == WRAPPER


def decoded(decode: Callable[[], str]) -> str:
    """Return a text.

    Raises:
        Stop: it cannot be decoded.
    """
    try:
        return decode()
    except (UnicodeDecodeError, ValueError) as error:
        raise Stop("malformed", "pickle-text", f"has a text that cannot be decoded: {error}") from error
