"""Hostile pickles, plain and compressed."""

import bz2
import gzip
import lzma
import os
import pickle
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Sample:
    """A file, and the code of a finding that it must have."""

    name: str
    code: str
    content: bytes | Callable[[Path], None]

    def write(self, folder: Path) -> Path:
        path = folder / self.name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(self.content, bytes):
            path.write_bytes(self.content)
        else:
            self.content(path)
        return path


class Calls:
    """Pickled as a call of something else."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


SYSTEM = b"cos\nsystem\n(S'true'\ntR."
MODERN = pickle.dumps(Calls(os.system, "true"), 4)
HARMLESS = pickle.dumps({"weights": [1, 2, 3]}, 4)


def short(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


def stack_global(module: bytes, name: bytes) -> bytes:
    return b"\x80\x04" + module + name + b"\x93" + short("true") + b"\x85R."


def pickles() -> Iterator[Sample]:
    for protocol in range(6):
        yield Sample(
            f"protocol{protocol}.pkl", "pickle-import", pickle.dumps(Calls(os.system, "x"), protocol)
        )
    yield Sample("eval.pkl", "pickle-import", pickle.dumps(Calls(eval, "1"), 2))
    yield Sample("instance.pkl", "pickle-import", b"(S'true'\nios\nsystem\n.")
    yield Sample("object.pkl", "pickle-import", b"(cos\nsystem\nS'true'\no.")
    yield Sample("new_object.pkl", "pickle-import", b"\x80\x02csubprocess\nPopen\n(S'true'\nt\x81.")
    yield Sample("new_with_names.pkl", "pickle-import", b"\x80\x04csubprocess\nPopen\n)}\x92.")
    yield Sample("python2.pkl", "pickle-import", b"ccommands\ngetoutput\n(S'true'\ntR.")
    yield Sample("builtin2.pkl", "pickle-import", b"c__builtin__\nexec\n(S'1'\ntR.")
    yield Sample("no_stop.pkl", "pickle-import", SYSTEM[:-1])
    yield Sample("no_stop_modern.pkl", "pickle-import", MODERN[:-1])
    yield Sample("broken_later.pkl", "pickle-import", MODERN[:-1] + b"\xff\xff\xff")
    kept = short("os") + b"\x94" + short("system") + b"\x9400"
    yield Sample("memo_name.pkl", "pickle-import", b"\x80\x04" + kept + stack_global(b"h\x00", b"h\x01")[2:])
    yield Sample("swapped_memo.pkl", "pickle-import",
                 b"\x80\x04" + short("math") + b"q\x000" + short("os") + b"q\x000h\x00" + short("system")
                 + b"\x93" + short("true") + b"\x85R.")  # fmt: skip
    computed = stack_global(b"](" + short("os") + b"e", short("system"))
    yield Sample("computed_name.pkl", "pickle-computed-name", computed)
    yield Sample("escaped_name.pkl", "pickle-import", b"S'o\\x73'\nS'sys\\x74em'\n\x93(S'true'\ntR.")
    yield Sample("extension.pkl", "pickle-extension", b"\x80\x02\x82\x01)R.")
    yield Sample("persistent.pkl", "pickle-persistent-id", b"\x80\x02X\x01\x00\x00\x00aQ.")
    yield Sample("buffers.pkl", "pickle-buffers", b"\x80\x05\x97.")
    yield Sample("unknown_protocol.pkl", "pickle-protocol", b"\x80\x06N.")
    yield Sample("frame_beyond.pkl", "truncated", b"\x80\x04\x95" + (2**40).to_bytes(8, "little") + b"N.")
    yield Sample("text_beyond.pkl", "truncated", b"\x80\x04X\xff\xff\xff\x7fabc")
    yield Sample("huge_bytes.pkl", "truncated", b"\x80\x04\x8e" + (2**62).to_bytes(8, "little") + b"abc")
    yield Sample("missing_memo.pkl", "pickle-memo", b"\x80\x02h\x05.")
    yield Sample("underflow.pkl", "pickle-stack", b"\x80\x02R.")
    yield Sample("marks.pkl", "pickle-stack", b"\x80\x02" + b"(" * 200_000 + b".")
    yield Sample("stack.pkl", "pickle-stack", b"\x80\x02" + b"N" * 400_000 + b".")
    yield Sample("second.pkl", "pickle-import", HARMLESS + MODERN)
    yield Sample("second_old.pkl", "pickle-import", HARMLESS + SYSTEM)
    yield Sample("rest.pkl", "trailing-data", HARMLESS + b"\0\x01\x02 something else \xfe")
    yield Sample("nested.pkl", "pickle-import", pickle.dumps({"state": MODERN}, 4))
    yield Sample("nested_old.pkl", "pickle-import", pickle.dumps({"state": SYSTEM}, 4))
    yield Sample("nested_twice.pkl", "pickle-import", pickle.dumps([pickle.dumps([MODERN], 3)], 4))
    yield Sample("builds_class.pkl", "pickle-build", b"\x80\x02ccollections\nOrderedDict\n}b.")
    yield Sample("calls_made.pkl", "pickle-call", b"\x80\x02cfunctools\npartial\ncbuiltins\nset\n\x85R)R.")
    yield Sample("dotted.pkl", "pickle-unlisted-import", stack_global(short("collections"), short("abc.sys")))
    yield Sample("dunder.pkl", "pickle-unlisted-import", stack_global(
        short("sklearn.base"), short("BaseEstimator.__init__")))  # fmt: skip
    yield Sample("own_class.pkl", "pickle-unlisted-import", stack_global(short("churn.net"), short("Net")))
    yield Sample("numpy_exec.pkl", "pickle-import", stack_global(
        short("numpy.testing._private.utils"), short("runstring")))  # fmt: skip
    yield Sample("torch_load.pkl", "pickle-import", stack_global(short("torch"), short("load")))
    yield Sample("sklearn_tests.pkl", "pickle-unlisted-import", stack_global(
        short("sklearn.utils._testing"), short("TempMemmap")))  # fmt: skip
    yield Sample("load_bytes.pkl", "pickle-computed-bytes", stack_global(
        short("torch.storage"), short("_load_from_bytes")))  # fmt: skip
    yield Sample("pickle.bin", "pickle-import", MODERN)
    yield Sample("weights.safetensors", "pickle-import", MODERN)
    yield Sample("readme.md", "pickle-import", SYSTEM)
    unknown = b"\x80\x03cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81}X\x05\x00\x00\x00shapeK\x03sb."
    yield Sample("joblib_array.joblib", "joblib-array", unknown)
    yield Sample("joblib_short.joblib", "truncated", _joblib(2**40) + b"abc")
    yield Sample("joblib_behind.joblib", "pickle-import", _joblib(2) + b"\0" * 16 + SYSTEM)


def _joblib(count: int) -> bytes:
    """Return a joblib file up to where its array's data is."""
    kind = b"cnumpy\ndtype\nX\x02\x00\x00\x00f8\x89\x88\x87R"
    shape = b"\x8a\x08" + count.to_bytes(8, "little") + b"\x85"
    return (
        b"\x80\x03cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81}(X\x05\x00\x00\x00shape" + shape
        + b"X\x05\x00\x00\x00dtype" + kind + b"ub"
    )  # fmt: skip


def compressed() -> Iterator[Sample]:
    makers: dict[str, Callable[[bytes], bytes]] = {
        "zlib": zlib.compress,
        "gzip": gzip.compress,
        "bz2": bz2.compress,
        "xz": lzma.compress,
        "lzma": lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE),
    }
    for name, compress in makers.items():
        yield Sample(f"payload.{name}", "pickle-import", compress(MODERN))
        yield Sample(f"old.{name}", "pickle-import", compress(SYSTEM))
    yield Sample("twice.pkl.gz", "pickle-import", gzip.compress(zlib.compress(MODERN)))
    yield Sample("second_stream.gz", "pickle-import", gzip.compress(HARMLESS) + gzip.compress(MODERN))
    yield Sample("junk_behind.gz", "damaged", gzip.compress(HARMLESS) + b"junk")
    yield Sample("cut.gz", "truncated", gzip.compress(os.urandom(5000))[:-3000])
    yield Sample("checksum.gz", "damaged", gzip.compress(HARMLESS * 50)[:-8] + b"\0" * 8)
    yield Sample("payload.lz4", "compression", b"\x04\x22\x4d\x18" + MODERN)
    yield Sample("payload.7z", "compression", b"7z\xbc\xaf\x27\x1c" + MODERN)
    yield Sample("bomb.gz", "archive-bomb", _gzip_bomb)
    deep = MODERN
    for _ in range(8):
        deep = gzip.compress(deep)
    yield Sample("deep.gz", "nested-too-deep", deep)
    yield Sample("dictionary.xz", "damaged", _xz_with_dictionary())


def _gzip_bomb(path: Path) -> None:
    with gzip.open(path, "wb", 9) as file:
        for _ in range(400):
            file.write(bytes(MEBIBYTE))


def _xz_with_dictionary() -> bytes:
    """Return LZMA whose header wants a dictionary of 1.5 GiB."""
    packed = bytearray(lzma.compress(MODERN, format=lzma.FORMAT_ALONE))
    packed[1:5] = (3 << 29).to_bytes(4, "little")
    return bytes(packed)
