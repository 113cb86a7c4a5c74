"""Hostile files that their readers understand, though they keep to no writer's habits."""

import bz2
import json
import lzma
import struct
import zlib
from collections.abc import Iterator

from tests.support.hostile_pickles import MODERN, SYSTEM, Sample
from tests.support.protobuf_bytes import message, number, text

_LAMBDA = {"class_name": "Lambda", "config": {"function": "x"}}
_TEMPLATE = "{{ cycler.__init__.__globals__.os }}"


def pickles() -> Iterator[Sample]:
    yield Sample("no_protocol.pkl", "pickle-import", MODERN[2:])
    yield Sample("begins_with_true.pkl", "pickle-import", b"\x880" + MODERN[2:])
    yield Sample("begins_with_bytes.pkl", "pickle-import", b"C\x01a0" + MODERN[2:])
    yield Sample("octal.pkl", "pickle-import", b"I010\n0" + SYSTEM)
    yield Sample("signed_put.pkl", "pickle-import", b"I10\np+1\n0" + SYSTEM)
    yield Sample("signed_get.pkl", "pickle-import", b"I10\np1\ng+1\n00" + SYSTEM)
    yield Sample("underscored_put.pkl", "pickle-import", b"I10\np1_0\n0" + SYSTEM)
    yield Sample("deep_stack.pkl", "pickle-stack", b"N" * 100_001 + SYSTEM)
    yield Sample("long_line.pkl", "too-large", b"S'" + b"a" * 5_000_000 + b"'\n0" + SYSTEM)
    for name, inner in (
        ("constant", b"N0" + SYSTEM),
        ("no_protocol", MODERN[2:]),
        ("octal", b"\x80\x02I010\n0" + SYSTEM),
    ):
        given = b"B" + struct.pack("<I", len(inner)) + inner
        loads = b"\x80\x02ctorch.storage\n_load_from_bytes\n" + given + b"\x85R."
        yield Sample(f"bytes_{name}.pkl", "pickle-import", loads)
    made = b"c_codecs\nencode\nX" + struct.pack("<I", len(SYSTEM)) + SYSTEM + b"X\x06\x00\x00\x00latin1\x86R"
    loader = b"ctorch.storage\n_load_from_bytes\n"
    yield Sample("handed_on.pkl", "pickle-computed-bytes",
                 b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n("
                 + loader + b"ctorch\nTensor\n" + made + b"\x85}tR.")  # fmt: skip
    yield Sample("constructor.pkl", "pickle-computed-bytes",
                 b"\x80\x02cnumpy.random._pickle\n__randomstate_ctor\n("
                 + made + loader + b"tR.")  # fmt: skip
    yield Sample("in_a_list.pkl", "pickle-computed-bytes", b"\x80\x02](" + loader + b"e.")
    kept = b"".join(b"K\x01r" + struct.pack("<I", index) + b"0" for index in range(100_000))
    last = struct.pack("<I", 100_000)
    yield Sample("full_memo.pkl", "pickle-build",
                 b"\x80\x02" + kept + b"csklearn.base\nBaseEstimator\nr" + last
                 + b"0j" + last + b"}X\x01\x00\x00\x00aNsb.")  # fmt: skip


def compressed() -> Iterator[Sample]:
    empty = b"\x00\x00\x00\xff\xff" * 1000
    yield Sample("empty_blocks.z", "pickle-import", b"\x78\x9c" + empty + zlib.compress(MODERN)[2:])
    small = lzma.compress(
        MODERN, format=lzma.FORMAT_ALONE, filters=[{"id": lzma.FILTER_LZMA1, "dict_size": 4096}]
    )
    yield Sample("small_dictionary.lzma", "pickle-import", small)
    yield Sample("large_dictionary.lzma", "damaged", small[:1] + struct.pack("<I", 1 << 30) + small[5:])
    yield Sample("empty_first.bz2", "pickle-import", bz2.compress(b"") + bz2.compress(MODERN))


def texts() -> Iterator[Sample]:
    plain = json.dumps(_LAMBDA).encode()
    yield Sample("twice.json", "keras-code", b'{"class_name": "Dense", ' + plain[1:])
    yield Sample("large.json", "keras-code", b"{" + b" " * 9_000_000 + plain[1:])
    yield Sample("mark.json", "keras-code", b"\xef\xbb\xbf" + plain)
    yield Sample("twice_escaped.json", "keras-code",
                 b'{"class_name": "Dense", ' + plain[1:].replace(b"Lambda", b"\\u004cambda"))  # fmt: skip
    lookup = {"class_name": "StringLookup", "module": "keras.layers", "config": {"vocabulary": "/etc/passwd"}}
    yield Sample("lookup.json", "keras-file-access", json.dumps(lookup).encode())
    user_block = bytes(2 << 20) + b"\x89HDF\r\n\x1a\n"
    yield Sample("far_user_block.h5", "polyglot", user_block + plain)
    yield Sample("expression.jinja", "template-escape", _TEMPLATE.encode())
    yield Sample("far.jinja", "template-escape", b"{# " + b"x" * 70_000 + b" #}{% set a = x.__class__ %}")
    named = {"chat_template": {"default": _TEMPLATE}}
    yield Sample("named_template.json", "template-escape", json.dumps(named).encode())
    twice = '{"chat_template": "a", "chat_template": "' + _TEMPLATE + '"}'
    yield Sample("template_twice.json", "template-escape", twice.encode())
    call = b"object/apply:os.system ['true']\n"
    yield Sample("escaped.yaml", "yaml-python", b"a: !!pyth%6fn/" + call)
    yield Sample("handle.yaml", "yaml-python", b"%TAG ! tag:yaml.org,2002:\n---\n!python/" + call)
    yield Sample("part.yaml", "yaml-python", b"%TAG !x! tag:yaml.org,2002:py\n---\n!x!thon/" + call)


def graphs() -> Iterator[Sample]:
    """Unknown fields, groups and a missing version: readers of protocol buffers pass over all of them."""
    node = text(1, message(text(1, "n"), text(2, "PyFunc")))
    python = text(1, message(text(4, "PyOp")))
    models = (
        ("saved_model.pb", "tensorflow-operator", text(2, message(text(2, node))), number(1, 1)),
        ("model.onnx", "onnx-python", text(7, python), number(1, 8)),
    )
    unknown, group = number(99, 1), bytes.fromhex("9b069c06")
    for name, code, model, version in models:
        for what, content in (
            ("unknown", version + model + unknown),
            ("group", version + model + group),
            ("twice", version + model + text(1, "x")),
            ("unversioned", model + unknown),
        ):
            yield Sample(f"{what}_{name}", code, content)
    yield Sample("empty_node.pb", "tensorflow-operator", text(1, b"") + node)
    yield Sample("unknown_field.pb", "tensorflow-operator", node + unknown)
    training = number(1, 8) + text(7, b"") + text(20, message(text(2, python)))
    yield Sample("training.onnx", "onnx-python", training)


def readers() -> Iterator[Sample]:
    for maker in (pickles, compressed, texts, graphs):
        yield from maker()
