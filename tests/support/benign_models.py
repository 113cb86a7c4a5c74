"""Model files as their libraries write them; where those are too large to install, as the formats say."""

import io
import json
import pickle
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.support.hostile_archives import tar, torch_archive, zipped
from tests.support.hostile_disguises import joblib_array
from tests.support.hostile_models import gguf, gguf_text, keras_archive, keras_config, safetensors, tensor
from tests.support.protobuf_bytes import message, number, text, varint

CHAT = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] | trim }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def write(folder: Path) -> dict[str, str]:
    """Write one file of each kind and return the format of each, by its name."""
    formats: dict[str, str] = {}
    for maker in (_learned, _arrays, _neural, _by_hand, _torch, _texts):
        for name, kind, content in maker(folder):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                content(path)
            formats[name] = kind
    return formats


_Made = tuple[str, str, bytes | Callable[[Path], object]]


def _models() -> Iterator[tuple[str, object]]:
    import numpy as np
    from sklearn.datasets import load_iris
    from sklearn.ensemble import (
        GradientBoostingClassifier,
        HistGradientBoostingClassifier,
        RandomForestClassifier,
    )
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.model_selection import GridSearchCV
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
    from sklearn.svm import SVC

    x, y = load_iris(return_X_y=True)
    models = {
        "forest": RandomForestClassifier(3),
        "boosted": GradientBoostingClassifier(n_estimators=2),
        "histogram": HistGradientBoostingClassifier(max_iter=2),
        "pipeline": make_pipeline(
            FunctionTransformer(np.log1p), StandardScaler(), LogisticRegression(max_iter=500)
        ),
        "onehot": make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression(max_iter=500)),
        "neighbours": KNeighborsClassifier(algorithm="kd_tree"),
        "balls": KNeighborsClassifier(algorithm="ball_tree"),
        "vectors": SVC(),
        "grid": GridSearchCV(Ridge(), {"alpha": [1, 2]}),
    }
    for name, model in models.items():
        yield name, model.fit(x, y)
    texts = make_pipeline(TfidfVectorizer(token_pattern=r"\w+", stop_words="english"), LogisticRegression())
    yield "texts", texts.fit(["a big dog", "small cats"], [0, 1])


def _learned(_: Path) -> Iterator[_Made]:
    import joblib

    def dumped(value: object, **options: object) -> Callable[[Path], object]:
        return lambda path: joblib.dump(value, path, **options)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        models = dict(_models())
    for name, model in models.items():
        yield f"{name}.pkl", "pickle", pickle.dumps(model)
        yield f"{name}.joblib", "joblib", dumped(model)
    for protocol in range(6):
        yield f"protocol{protocol}.pkl", "pickle", pickle.dumps(models["forest"], protocol)
        yield f"protocol{protocol}.joblib", "joblib", dumped(models["forest"], protocol=protocol)
    for name in ("gz", "bz2", "xz", "lzma", "z"):
        yield f"compressed.joblib.{name}", "joblib", dumped(models["texts"])


def _arrays(_: Path) -> Iterator[_Made]:
    import joblib
    import numpy as np
    import pandas as pd

    numbers = np.arange(12.0).reshape(3, 4)
    objects = np.array([1, "a", None, {}], dtype=object)
    records = np.zeros(3, dtype=[("a", "<f8"), ("b", "<i4", (2,))])
    yield "numbers.npy", "npy", lambda path: np.save(path, numbers)
    yield "none.npy", "npy", lambda path: np.save(path, np.zeros((0, 3)))
    yield "objects.npy", "npy", lambda path: np.save(path, objects)
    yield "records.npy", "npy", lambda path: np.save(path, records)
    yield "plain.npz", "npz", lambda path: np.savez(path, a=numbers, b=objects)
    yield "packed.npz", "npz", lambda path: np.savez_compressed(path, a=numbers)
    mixed = {"objects": objects, "records": records, "masked": np.ma.masked_array([1, 2]), "more": numbers}
    before = joblib_array(b"f8", count=12) + numbers.tobytes() + b"."
    yield "before_alignment.joblib", "joblib", before
    yield "mixed.joblib", "joblib", lambda path: joblib.dump(mixed, path)
    table = pd.DataFrame({"a": [1, 2], "b": ["x", "y"], "c": pd.to_datetime(["2020-01-01"] * 2)})
    yield "table.pkl", "pickle", table.to_pickle
    yield "table.pkl.gz", "pickle", table.to_pickle
    yield "table.pkl.zip", "zip", table.to_pickle


def _neural(_: Path) -> Iterator[_Made]:
    import h5py
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from safetensors.numpy import save

    def hdf5(configuration: object) -> Callable[[Path], object]:
        def make(path: Path) -> None:
            with h5py.File(path, "w") as file:
                if configuration:
                    file.attrs["model_config"] = json.dumps(configuration)
                file["dense/kernel"] = np.ones((4, 3))

        return make

    yield "plain.h5", "hdf5", hdf5(None)
    yield "keras.h5", "keras-hdf5", hdf5(keras_config("Dense", comment="Grüße", vocabulary=["a", "b"]))
    yield "model.safetensors", "safetensors", save({"a": np.ones(3), "e": np.zeros((0, 2))}, {"format": "pt"})
    weights = numpy_helper.from_array(np.ones((4, 3), dtype="f4"), "w")
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("x", "y")]
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "g", ends[:1], ends[1:], [weights])
    model = helper.make_model(graph, producer_name="test")
    yield "model.onnx", "onnx", model.SerializeToString()

    def outside(path: Path) -> None:
        onnx.save(model, path, save_as_external_data=True, location="outside.onnx.data", size_threshold=0)

    yield "outside.onnx", "onnx", outside


def _by_hand(_: Path) -> Iterator[_Made]:
    plain = keras_config("Dense", module="keras.layers", registered_name=None)
    yield "model.keras", "keras", keras_archive(plain)
    node = message(text(1, "n"), text(2, "MatMul"))
    graph = message(text(1, node), text(1, message(text(1, "save"), text(2, "SaveV2"))))
    stream = message(text(1, "output_stream"), text(2, message(text(2, "stderr"))))
    graph += text(1, message(text(1, "print"), text(2, "PrintV2"), text(5, stream)))
    saved = message(number(1, 1), text(2, message(text(2, graph))))
    yield "saved/saved_model.pb", "tensorflow-saved-model", saved
    numbers = struct.pack("<64f", *range(64))
    yield "zeros_of_4_bits.data", "unknown", b"\x88" * 200_000 + numbers
    yield "saved/variables/variables.data-00000-of-00001", "tensorflow-variables", numbers
    table = bytes(64) + bytes.fromhex("57fb808b247547db")
    yield "saved/variables/variables.index", "tensorflow-checkpoint-index", table
    yield "frozen.pb", "tensorflow-graph", graph
    template = ("tokenizer.chat_template", gguf_text(CHAT))
    one = struct.pack("<Q", 1) + b"w" + struct.pack("<IQIQ", 1, 4, 0, 0)
    head = gguf(template, ("general.name", gguf_text("test")), tensors=1) + one
    yield "model.gguf", "gguf", head + bytes(-len(head) % 32 + 16)
    yield "model.tflite", "tflite", b"\x1c\0\0\0TFL3" + bytes(64)
    booster = b"\x80\x04\x8c\x0cxgboost.core\x8c\x07Booster\x93)\x81}b."
    yield "booster.pkl", "pickle", booster
    old = b"ccopy_reg\n_reconstructor\n(clightgbm.basic\nBooster\nc__builtin__\nobject\nNtR(db."
    yield "old_booster.pkl", "pickle", old
    yield "model.cbm", "catboost", b"CBM1" + bytes(64)
    yield "model.ubj", "xgboost-ubj", b"{L\0\0\0\0\0\0\0\x07learner{}}"
    boosted = {"learner": {"gradient_booster": {"name": "gbtree"}}, "version": [2, 1]}
    yield "model.xgb.json", "xgboost-json", json.dumps(boosted).encode()
    yield "model.lgb.txt", "lightgbm", b"tree\nversion=v4\nnum_class=1\n"
    yield "model.xml", "openvino", b'<?xml version="1.0"?>\n<net name="m" version="11"><layers/></net>'
    piece = message(text(1, "<unk>"), varint(2 << 3 | 5) + struct.pack("<f", 0.0), number(3, 2))
    yield "tokenizer.model", "sentencepiece", message(text(1, piece), text(2, number(1, 4) + b""))
    schema = {"__class__": "LogisticRegression", "__module__": "sklearn.linear_model._logistic"}
    yield "model.skops", "skops", zipped(("schema.json", json.dumps(schema).encode()))
    yield "picture.png", "image", b"\x89PNG\r\n\x1a\n" + bytes(32)
    yield "empty", "empty", b""


def _torch(_: Path) -> Iterator[_Made]:
    storage = (
        b"((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQK\x00(K\x04t"
        b"(K\x01t\x89ccollections\nOrderedDict\n)Rt"
    )
    pickled = b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n" + storage + b"Rs."
    yield "torch.pt", "torch", torch_archive(pickled)
    yield "pytorch_model.bin", "torch", _streamed(pickled)
    # zeros of 4-bit weights, which would be 200,000 values on a pickle's stack
    yield "packed.pt", "torch", torch_archive(pickled, ("archive/data/1", b"\x88" * 200_000))
    yield "vocabulary.tar", "tar", tar(("Vocabulary.txt", b"(\nt\nR.\n"))
    script = b"\x80\x02c__torch__\nNet\n)\x81}b."
    source = ("archive/code/__torch__.py", b"def forward(self, x): ...")
    code = (("archive/constants.pkl", b"\x80\x02)."), source)
    yield "script.pt", "torchscript", torch_archive(script, *code)
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, 2)
    legacy = (magic, pickle.dumps(1001, 2), pickle.dumps({"x": 1}, 2), pickled)
    numbers = struct.pack("<q4f", 4, 1, 2, 3, 4)
    yield "legacy.pt", "torch-legacy", b"".join((*legacy, pickle.dumps(["0"], 2), numbers))
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        header = tarfile.TarInfo("./model.pkl")
        header.size = len(pickle.dumps({}))
        archive.addfile(header, io.BytesIO(pickle.dumps({})))
    yield "model.tar.gz", "tar", stream.getvalue()


def _streamed(pickled: bytes) -> bytes:
    """Return an archive written as torch does: sizes and checksums stand behind the members."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise io.UnsupportedOperation

        def seek(self, offset: int, whence: int = 0) -> int:
            raise io.UnsupportedOperation

    stream = Pipe()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in (("data.pkl", pickled), ("data/0", bytes(16)), ("version", b"3")):
            archive.writestr(f"archive/{name}", content)
    return stream.getvalue()


def _texts(_: Path) -> Iterator[_Made]:
    yield "config.json", "json", b'{"architectures": ["BertModel"], "hidden_size": 768}'
    yield "tokenizer_config.json", "json", json.dumps({"chat_template": CHAT}).encode()
    yield "chat_template.jinja", "text", CHAT.encode()
    yield "vocab.txt", "text", b"cat\ndog\n(\nt\nR.\n[CLS]\n" * 2000
    yield "MLmodel", "text", b"flavors:\n  sklearn:\n    pickled_model: model.pkl\n"
    yield "README.md", "text", "# Grüße\n".encode()
    yield "lines.jsonl", "json", b'{"a": 1}\n{"a": 2}\n'
    yield "predict.py", "python", b"import os\n"
    yield "shards.safetensors", "safetensors", safetensors({"a": tensor(0, 2), "b": tensor(2, 4)}, b"1234")
