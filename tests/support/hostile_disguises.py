"""Hostile files in disguise: readers take them for something else than they look like."""

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Iterator

from tests.support.hostile_archives import tar, torch_archive, zipped
from tests.support.hostile_pickles import HARMLESS, SYSTEM, Sample, short, stack_global
from tests.support.protobuf_bytes import message, number, text

_TABLE_END = bytes.fromhex("57fb808b247547db")


def pickles() -> Iterator[Sample]:
    """What a pickle remembers is read under numbers: two ways to count them are two meanings."""
    swapped = b"".join(
        short(shown) + b"q\x010" + short(meant) + b"\x940h\x01"
        for shown, meant in (("collections", "posix"), ("OrderedDict", "system"))
    )
    call = b"\x93" + short("true") + b"\x85R."
    yield Sample("gap_in_memo.pkl", "pickle-memo", b"\x80\x04" + swapped + call)
    client = b"csklearn.callback._transport\nClient\nX\x09\x00\x00\x00127.0.0.1"
    yield Sample("borrowed_name.pkl", "pickle-unlisted-import", b"\x80\x04" + client + b"\x85R.")
    names = b"".join(b"cchurn.features\nF%d\n0" % number for number in range(150))
    yield Sample("many_names.pkl", "too-many-findings", b"\x80\x02" + names + SYSTEM)
    place = b"X\x13\x00\x00\x00__array_interface__"
    yield Sample("address.pkl", "pickle-address", b"\x80\x02ctypes\nSimpleNamespace\n)R}" + place + b"}sb.")


def marks() -> Iterator[Sample]:
    """Files with the mark of a format, which a program that unpickles them does not look for."""
    yield Sample("variables.index", "pickle-import", SYSTEM + bytes(48) + _TABLE_END)
    yield Sample("emptied.index", "pickle-stack",
                 b"N" * 200_000 + b"0" * 199_000 + SYSTEM + bytes(48) + _TABLE_END)  # fmt: skip
    yield Sample("deep.index", "pickle-stack", b"N" * 100_001 + SYSTEM + bytes(48) + _TABLE_END)
    yield Sample("picture.gif", "pickle-import", b"GIF87a\0\0\0" + b"0" + SYSTEM)
    yield Sample("model.cbm", "pickle-import", b"CBM1" + bytes(64) + b"0" + SYSTEM)
    yield Sample("model.tflite", "pickle-import", b"C\x06\0\0TFL3" + b"0" + SYSTEM)
    yield Sample("named.tar", "embedded-pickle", tar(("Vmodel.pkl", b"\n0" + SYSTEM)))
    yield Sample("deep.tar", "embedded-pickle", tar(("Vmodel.pkl", b"\n0" + b"N" * 100_001 + SYSTEM)))
    yield Sample("both.safetensors", "embedded-pickle", _pickled_safetensors())
    yield Sample("old_numbers.pt", "pickle-import", torch_archive(HARMLESS, ("archive/data/1", SYSTEM)))


def _pickled_safetensors() -> bytes:
    """Return a right header, whose only tensor's name is the rest of a pickle that begins with its length."""
    module, name = "o" * 48, "s" * 48
    names = b"0U0" + module.encode() + b"U0" + name.encode() + b"q\xc2\x93(U0" + b"t" * 48 + b"tR."
    entry = b'":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'
    length = 0x58 + 256 * 5
    header = b'{"' + names + entry
    return length.to_bytes(8, "little") + header.ljust(length)


def joblib_array(
    kind: bytes, state: bytes = b"", *, count: int = 24, more: bytes = b"", made: bytes = b")\x81"
) -> bytes:
    """Return a joblib file up to where its array's data is; `kind` is the text of its type."""
    spelled = b"cnumpy\ndtype\nX" + struct.pack("<I", len(kind)) + kind + b"\x89\x88\x87R" + state
    return (
        b"\x80\x04cjoblib.numpy_pickle\nNumpyArrayWrapper\n" + made + b"}(X\x05\x00\x00\x00shapeK"
        + bytes([count]) + b"\x85X\x05\x00\x00\x00dtype" + spelled + more + b"ub"
    )  # fmt: skip


def _state(size: int = -1, flags: int = 0) -> bytes:
    return (
        b"(K\x03X\x01\x00\x00\x00<NNNJ"
        + struct.pack("<i", size)
        + b"J\xff\xff\xff\xffK"
        + bytes([flags])
        + b"tb"
    )


def arrays() -> Iterator[Sample]:
    """Arrays of joblib that end elsewhere than they seem to, or that another reader takes for opcodes."""
    data = b"0" + SYSTEM
    shown = data.ljust(24, b"\0")
    yield Sample("plainly_loaded.joblib", "embedded-pickle", joblib_array(b"u1", count=24) + shown + b".")
    padded = joblib_array(b"u1", more=b"X\x1b\x00\x00\x00numpy_array_alignment_bytesK\x10")
    yield Sample("opcode_as_padding.joblib", "joblib-array", padded + b"(" * 65 + b".")
    yield Sample("longer_text.joblib", "pickle-type", joblib_array(b"S1", _state(1000)) + shown + b".")
    yield Sample("flags.joblib", "pickle-type", joblib_array(b"f8", _state(flags=63), count=3) + shown + b".")
    yield Sample("no_flags.joblib", "pickle-type", joblib_array(b"O8", _state()) + shown + b".")
    yield Sample("no_size.joblib", "joblib-array", joblib_array(b"f") + shown + b".")
    again = (
        b"}(X\x05\x00\x00\x00shapeK\x18\x85X\x05\x00\x00\x00dtypecnumpy\ndtype\nX\x02\x00\x00\x00u1\x85Rub"
    )
    kept = joblib_array(b"u1", made=b")\x81q\x00", count=0)
    yield Sample("built_again.joblib", "joblib-array", kept + b"h\x00" + again + shown + b".")
    wrapper = b"cjoblib.numpy_pickle\nNumpyArrayWrapper\n"
    for name, maker in (
        ("new_object", b"csklearn.neighbors._kd_tree\nnewObj\n" + wrapper + b"\x85R"),
        ("new_index", b"cpandas.core.indexes.base\n_new_Index\n" + wrapper + b"}\x86R"),
        ("given_back", b"ctorch.jit._pickle\nrestore_type_tag\n" + wrapper + b")\x81N\x86R"),
    ):
        yield Sample(f"{name}.joblib", "joblib-array", b"\x80\x04" + maker + again + shown + b".")
    text = b"cbuiltins\nstr\nX\x05\x00\x00\x00shape\x85RK\x63\x85"
    yield Sample("computed_key.joblib", "joblib-array", joblib_array(b"u1", more=text) + shown + b".")
    framed = joblib_array(b"u1")
    inside = b"\x95" + (len(framed) - 2 + 24).to_bytes(8, "little") + framed[2:] + shown
    yield Sample("in_a_frame.joblib", "joblib-array", b"\x80\x04" + inside + bytes(24) + b".")


def archives() -> Iterator[Sample]:
    yield Sample("two_tables.zip", "zip-mismatch", _two_tables(moved=0))
    yield Sample("moved_table.zip", "zip-offset", _two_tables(moved=1))
    yield Sample("folder.zip", "zip-hidden-data", zipped(("a.pkl/", SYSTEM)))
    yield Sample("unicode_name.zip", "zip-mismatch", _renamed())
    yield Sample("long_name.zip", "archive-name", zipped(("a" * 60_000, b"x")))
    yield Sample("long_name.tar", "archive-name", tar(("a" * 60_000, b"x")))
    function = '{"class_name": "x", "class_name": "function", "module": "os", "config": "system"}'
    yield Sample("twice.keras", "json-duplicate", zipped(
        ("config.json", function.encode()), ("model.weights.npz", zipped(("a.npy", b"")))))  # fmt: skip


def _two_tables(moved: int) -> bytes:
    """Return an archive with a second table of contents in the comment of its only entry."""
    shown, meant = zipped(("a.txt", b"hello")), zipped(("b.pkl", SYSTEM))
    table, end = shown.index(b"PK\x01\x02"), shown.index(b"PK\x05\x06")
    entry, begin = bytearray(shown[table:end]), end
    inner_table, inner_end = meant.index(b"PK\x01\x02"), meant.index(b"PK\x05\x06")
    inner_entry = bytearray(meant[inner_table:inner_end])
    inner_entry[42:46] = begin.to_bytes(4, "little")
    at = begin + inner_table + len(inner_entry)
    large = struct.pack(
        "<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, len(inner_entry), begin + inner_table
    )
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, at - moved, 1)
    comment = meant[:inner_table] + bytes(inner_entry) + large + locator
    entry[32:34] = len(comment).to_bytes(2, "little")
    tail = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 1, 1, len(entry) + len(comment), table, 0)
    return shown[:table] + bytes(entry) + comment + tail


def _renamed() -> bytes:
    """Return an archive whose member has another name in the field for names in Unicode."""
    member = zipfile.ZipInfo("a.txt")
    other = b"b.pkl"
    field = b"\x01" + zlib.crc32(b"a.txt").to_bytes(4, "little") + other
    member.extra = struct.pack("<HH", 0x7075, len(field)) + field
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(member, b"hello")
    return stream.getvalue()


def calls() -> Iterator[Sample]:
    schema = {"__class__": "method", "__module__": "builtins", "__loader__": "MethodNode"}
    yield Sample("method.skops", "skops-call", zipped(("schema.json", json.dumps(schema).encode())))
    flex = b"\x1c\0\0\0TFL3" + bytes(64) + b"FlexWriteFile\0"
    yield Sample("flex.tflite", "tensorflow-operator", flex)
    shards = (("config.json", json.dumps(_FUNCTION).encode()), ("model_00000.weights.h5", b"x"))
    yield Sample("shards.keras", "keras-code", zipped(*shards))


def reaching() -> Iterator[Sample]:
    """What reads or writes a file that its author chose, though nothing in it is known to run code."""
    for operator in ("ImmutableConst", "SnapshotDatasetV2", "DebugNumericSummary"):
        yield Sample(f"{operator}/saved_model.pb", "tensorflow-operator", _graph(text(2, operator)))
    stream = message(text(1, "output_stream"), text(2, message(text(2, "file:///tmp/x"))))
    yield Sample("print/saved_model.pb", "tensorflow-operator", _graph(text(2, "PrintV2"), text(5, stream)))
    lookup = json.dumps({"class_name": "StringLookup", "config": {"vocabulary": "/etc/passwd"}}).encode()
    hdf5 = b"\x89HDF\r\n\x1a\n" + bytes(200) + b"model_config" + lookup
    yield Sample("vocabulary.h5", "keras-file-access", hdf5)
    yield Sample("vocabulary.json", "keras-file-access", lookup + b" " * 9_000_000)
    named = b"(NNS'/etc/passwd'\ntR."
    yield Sample("booster.pkl", "pickle-import", b"cxgboost.core\nBooster\n" + named)
    matrix = b"(S'/etc/passwd#/tmp/x'\ntR."
    yield Sample("matrix.pkl", "pickle-unlisted-import", b"cxgboost.sklearn\nDMatrix\n" + matrix)


def _graph(*node: bytes) -> bytes:
    """Return a SavedModel with one node."""
    return message(number(1, 1), text(2, message(text(2, message(text(1, message(text(1, "n"), *node)))))))


def names() -> Iterator[Sample]:
    """Names that are no text: what is found must be told all the same."""
    half = "\ud800"
    module = half.encode("utf-8", "surrogatepass")
    yield Sample("half.pkl", "pickle-unlisted-import", stack_global(b"\x8c\x03" + module, short("f")))
    config = json.dumps({"class_name": half, "module": "mine", "config": {}}).encode()
    yield Sample(
        "half.keras", "keras-custom-object", zipped(("config.json", config), ("metadata.json", b"{}"))
    )
    latin = tar(("mod\xe9le.pkl", SYSTEM)).replace("mod\xe9le".encode(), b"mod\xe9le\0")
    yield Sample("latin.tar", "pickle-import", _with_sum(latin))


def _with_sum(block: bytes) -> bytes:
    """Return a tar whose first header has the sum of what it says now."""
    plain = block[:148] + b" " * 8 + block[156:512]
    return plain[:148] + b"%06o\0 " % sum(plain) + plain[156:] + block[512:]


_FUNCTION = {"class_name": "function", "module": "os", "config": "system"}


def texts() -> Iterator[Sample]:
    far = "{{ cycler.__init__.__globals__.os }}"
    yield Sample("far_expression.txt", "template-escape", b" " * 9_000_000 + far.encode())
    yield Sample("saved_model.pbtxt", "tensorflow-text", b"saved_model_schema_version: 1\nmeta_graphs {\n}\n")
    function = b'{"class_name": "x", "class_name": "function", "module": "os", "config": "system"}'
    yield Sample("twice_function.json", "keras-code", function)
    plain = json.dumps({"class_name": "Lambda", "config": {}}).encode()
    parted = plain.replace(b'"class_name": ', b'"class_name":' + b" " * 5_000_000)
    yield Sample("parted.h5", "keras-parted", b"\x89HDF\r\n\x1a\n" + bytes(200) + b"model_config" + parted)


def disguises() -> Iterator[Sample]:
    for maker in (pickles, marks, arrays, archives, calls, reaching, names, texts):
        yield from maker()
