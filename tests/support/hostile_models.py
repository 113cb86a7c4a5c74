"""A corpus of model files that somebody made to do harm; nothing here is ever loaded.

Each is written with the code of the finding that must refuse it. The payloads only name what they would call.
"""

import json
import pickle
import struct
from collections.abc import Iterator

from tests.support.hostile_archives import archives, zipped
from tests.support.hostile_disguises import disguises
from tests.support.hostile_pickles import HARMLESS, MEBIBYTE, MODERN, SYSTEM, Sample, compressed, pickles
from tests.support.hostile_readers import readers
from tests.support.protobuf_bytes import message, number, text


def safetensors(header: object | bytes, data: bytes = b"", length: int | None = None) -> bytes:
    written = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(written) if length is None else length).to_bytes(8, "little") + written + data


def tensor(begin: int, end: int, shape: list[int] | None = None) -> dict[str, object]:
    return {"dtype": "U8", "shape": [end - begin] if shape is None else shape, "data_offsets": [begin, end]}


def headers() -> Iterator[Sample]:
    good = safetensors({"a": tensor(0, 4)}, b"1234")
    yield Sample("long.safetensors", "safetensors-header", safetensors({"a": tensor(0, 4)}, b"1234", 2**40))
    yield Sample("large.safetensors", "safetensors-header",
                 safetensors(b'{"a":' + b" " * 9 * MEBIBYTE + b"{}}"))  # fmt: skip
    yield Sample("overlap.safetensors", "safetensors-overlap",
                 safetensors({"a": tensor(0, 4), "b": tensor(2, 4)}, b"1234"))  # fmt: skip
    yield Sample("hole.safetensors", "safetensors-hole",
                 safetensors({"a": tensor(0, 2), "b": tensor(3, 4)}, b"1234"))  # fmt: skip
    yield Sample("duplicate.safetensors", "json-duplicate", safetensors(
        b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
        b"1"))  # fmt: skip
    yield Sample(
        "shape.safetensors", "safetensors-tensor", safetensors({"a": tensor(0, 4, [2**20, 2**20])}, b"1234")
    )
    yield Sample("type.safetensors", "safetensors-tensor",
                 safetensors({"a": {"dtype": "PY", "shape": [1], "data_offsets": [0, 1]}}, b"1"))  # fmt: skip
    yield Sample("negative.safetensors", "safetensors-tensor", safetensors({"a": tensor(-4, 0)}, b""))
    yield Sample("deep.safetensors", "json-deep", safetensors(b'{"a":' + b"[" * 500_000))
    yield Sample("utf8.safetensors", "json", safetensors(b'{"a\xff":{}}'))
    yield Sample("cut.safetensors", "truncated", good[:-2])
    yield Sample("tail.safetensors", "trailing-data", good + MODERN)
    yield Sample("zip_tail.safetensors", "polyglot", good + zipped(("data.pkl", MODERN)))
    yield Sample("metadata.safetensors", "safetensors-header", safetensors({"__metadata__": {"a": [1]}}, b""))
    yield Sample("objects.npy", "pickle-import", array("|O", (1,)) + MODERN)
    yield Sample("field_objects.npy", "pickle-import", array([("a", "<f8"), ("b", "|O")], (1,)) + MODERN)
    yield Sample("objects.npz", "pickle-import", zipped(("a.npy", array("|O", (1,)) + MODERN)))
    yield Sample("tail.npy", "trailing-data", array("|u1", (2,)) + b"12" + MODERN)
    yield Sample("cut.npy", "truncated", array("<f8", (2**40,)) + b"12")
    yield Sample(
        "code.npy", "npy-header", b"\x93NUMPY\x01\x00" + struct.pack("<H", 40) + b"__import__('os')".ljust(40)
    )
    yield Sample("header.npy", "npy-header", b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31) + b"{}")
    yield Sample("deep.npy", "npy-header", b"\x93NUMPY\x01\x00" + struct.pack("<H", 60_000) + b"(" * 60_000)
    yield Sample("behind.h5", "polyglot", b"\0\x01" * 256 + b"\x89HDF\r\n\x1a\n" + bytes(100))


def array(kind: object, shape: tuple[int, ...]) -> bytes:
    header = f"{{'descr': {kind!r}, 'fortran_order': False, 'shape': {shape!r}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header


def onnx_tensor(location: str) -> bytes:
    entry = message(text(1, "location"), text(2, location))
    return message(number(2, 1), text(8, "w"), text(13, entry), number(14, 1))


def onnx_model(graph: bytes) -> bytes:
    return message(number(1, 8), text(2, "test"), text(7, graph), text(8, message(number(2, 17))))


def graphs() -> Iterator[Sample]:
    for name, location in {
        "absolute": "/etc/passwd", "parent": "../../secret.bin", "windows": "C:\\secret", "url": "file:///etc/x",
        "backslash": "..\\x",
    }.items():  # fmt: skip
        graph = message(text(2, "g"), text(5, onnx_tensor(location)))
        yield Sample(f"{name}.onnx", "onnx-external-data", onnx_model(graph))
    attribute = message(text(1, "value"), text(5, onnx_tensor("/etc/passwd")))
    node = message(text(4, "Constant"), text(5, attribute))
    yield Sample("constant.onnx", "onnx-external-data", onnx_model(message(text(1, node))))
    body = message(text(1, "body"), text(6, message(text(1, node))))
    loop = message(text(4, "Loop"), text(5, body))
    yield Sample("loop.onnx", "onnx-external-data", onnx_model(message(text(1, loop))))
    yield Sample("python.onnx", "onnx-python", onnx_model(message(text(1, message(text(4, "PyOp"))))))
    yield Sample("cut.onnx", "truncated", onnx_model(message(text(5, bytes(5000))))[:-2000])
    deep = message(text(4, "Loop"))
    for _ in range(30):
        deep = message(text(4, "Loop"), text(5, message(text(6, message(text(1, deep))))))
    yield Sample("deep.onnx", "nested-too-deep", onnx_model(message(text(1, deep))))
    for operator in ("ReadFile", "WriteFile", "PyFunc"):
        node = message(text(1, "n"), text(2, operator))
        saved = message(number(1, 1), text(2, message(text(2, message(text(1, node))))))
        yield Sample(f"{operator.lower()}/saved_model.pb", "tensorflow-operator", saved)
    function = message(
        text(2, message(text(1, message(text(3, message(text(1, "n"), text(2, "WriteFile")))))))
    )
    yield Sample(
        "function/saved_model.pb",
        "tensorflow-operator",
        message(number(1, 1), text(2, message(text(2, function)))),
    )


def keras_config(name: str, **more: object) -> dict[str, object]:
    layer = {"class_name": name, "config": {"function": "x"}, **more}
    return {"class_name": "Sequential", "module": "keras", "config": {"layers": [layer]}}


def keras_archive(config: object) -> bytes:
    return zipped(
        ("metadata.json", b"{}"),
        ("config.json", json.dumps(config).encode()),
        ("model.weights.h5", b"\x89HDF\r\n\x1a\n"),
    )


def keras() -> Iterator[Sample]:
    yield Sample("lambda.keras", "keras-code", keras_archive(keras_config("Lambda", module="keras.layers")))
    yield Sample("function.keras", "keras-code", keras_archive(keras_config("__lambda__")))
    yield Sample("module.keras", "keras-custom-object", keras_archive(keras_config("system", module="os")))
    yield Sample("registered.keras", "keras-custom-object",
                 keras_archive(keras_config("Net", registered_name="mine>Net")))  # fmt: skip
    yield Sample("weights.keras", "pickle-import", zipped(
        ("metadata.json", b"{}"), ("config.json", json.dumps(keras_config("Dense")).encode()),
        ("assets/vocabulary", MODERN)))  # fmt: skip
    start = b"\x89HDF\r\n\x1a\n" + bytes(200) + b"model_config"
    plain = json.dumps(keras_config("Lambda")).encode()
    yield Sample("lambda.h5", "keras-code", start + plain)
    yield Sample("far.h5", "keras-code", start + bytes(4 * MEBIBYTE - 230) + plain)
    yield Sample("escaped.h5", "keras-escaped", start + plain.replace(b"Lambda", b"\\u004cambda"))
    yield Sample("heap.h5", "hdf5-compressed-attributes", start + b"FRHP\x00\x08\x00\x01\x00" + plain[:30])
    yield Sample("config.json", "keras-code", plain)


def gguf(*pairs: tuple[str, bytes], tensors: int = 0, count: int | None = None) -> bytes:
    written = b"".join(struct.pack("<Q", len(key)) + key.encode() + value for key, value in pairs)
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, len(pairs) if count is None else count) + written


def gguf_text(value: str) -> bytes:
    return struct.pack("<IQ", 8, len(value)) + value.encode()


ESCAPE = "{% for x in ().__class__.__base__.__subclasses__() %}{{ x }}{% endfor %}"


def others() -> Iterator[Sample]:
    yield Sample("template.gguf", "template-escape", gguf(("tokenizer.chat_template", gguf_text(ESCAPE))))
    yield Sample(
        "named.gguf",
        "template-escape",
        gguf(("tokenizer.chat_template.tool", gguf_text("{{ lipsum.__globals__ }}"))),
    )
    yield Sample("count.gguf", "gguf-bounds", gguf(count=2**60))
    yield Sample("text.gguf", "truncated", gguf(("a", struct.pack("<IQ", 8, 2**60))))
    yield Sample("list.gguf", "truncated", gguf(("a", struct.pack("<IIQ", 9, 4, 2**60))))
    yield Sample("lists.gguf", "gguf-bounds", gguf(("a", struct.pack("<IIQ", 9, 9, 2**60))))
    yield Sample("type.gguf", "gguf-bounds", gguf(("a", struct.pack("<I", 99))))
    yield Sample("tensors.gguf", "truncated", gguf(tensors=3))
    yield Sample("version.gguf", "gguf-version", b"GGUF" + struct.pack("<IQQ", 99, 0, 0))
    yield Sample("tokenizer_config.json", "template-escape", json.dumps({"chat_template": ESCAPE}).encode())
    yield Sample("chat_template.jinja", "template-escape", ESCAPE.encode())
    yield Sample("model.yaml", "yaml-python", b"a: !!python/object/apply:os.system ['true']\n")
    schema = {"__class__": "system", "__module__": "os", "__loader__": "FunctionNode"}
    yield Sample("model.skops", "pickle-import", zipped(("schema.json", json.dumps(schema).encode())))
    yield Sample("embedded.dat", "embedded-pickle", bytes(range(256)) * 40 + SYSTEM)
    yield Sample("embedded_modern.dat", "embedded-pickle", b"\xff\xfe\x00" * 900 + MODERN)
    yield Sample("legacy.pt", "pickle-import", torch_legacy(MODERN))
    yield Sample("legacy_tail.pt", "trailing-data", torch_legacy(HARMLESS) + b"more")


def torch_legacy(pickled: bytes) -> bytes:
    first = (pickle.dumps(0x1950A86A20F9469CFC6C, 2), pickle.dumps(1001, 2), pickle.dumps({}, 2))
    return b"".join((*first, pickled, pickle.dumps([], 2)))


def corpus() -> tuple[Sample, ...]:
    """Return every hostile file."""
    makers = (pickles, compressed, archives, headers, graphs, keras, others, readers, disguises)
    return tuple(sample for maker in makers for sample in maker())
