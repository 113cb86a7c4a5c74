"""Which files of a layer are looked into: by name, by their first bytes, and by what those unpack to.

An image has thousands of files. Those that are a model's by their name or their mark are reported whatever
they hold; of those that may be one, such as a pickle of an old protocol, only what turns out to be one.
"""

import lzma
import os
import re
import zlib
from pathlib import Path
from typing import Literal

from stages.scanners.model_files import zip_directory
from stages.scanners.model_files.archives import kind_of
from stages.scanners.model_files.content import FileContent
from stages.scanners.model_files.look import Look, Place, Stop
from stages.scanners.model_files.result import Result

HEAD_BYTES = 4096
Likelihood = Literal["sure", "maybe", "no"]
_NAME = re.compile(
    r"\.(pkl|pickle|joblib|dill|cloudpickle|pt|pth|ckpt|npy|npz|h5|hdf5|keras|onnx|gguf|ggml|safetensors|tflite"
    r"|skops|cbm|mar|torchscript|llamafile)(\.(gz|bz2|xz|zst|lz4|zip))?$",
    re.IGNORECASE,
)
_CONTENT = re.compile(
    rb"\x80[\x02-\x05][\x95c\x8cX(}\]\x8a]"  # pickle
    rb"|\x93NUMPY|GGUF|\x89HDF\r\n\x1a\n|CBM1|....TFL3"
    rb"|.{8}\{\s*\"(__metadata__|[^\"]{1,200}\"\s*:\s*\{\s*\"(dtype|shape|data_offsets))"  # safetensors
    rb"|PK\x03\x04.{26}([^/\x00-\x1f]{1,64}/data\.pkl|metadata\.json|config\.json|[^\x00-\x1f]{1,64}\.npy)",
    re.DOTALL,
)
_MAYBE_NAME = re.compile(r"\.(pb|ubj)$", re.IGNORECASE)
_MAYBE = re.compile(rb"\x80[\x02-\x05]|PK\x03\x04|BZh[1-9]|\xfd7zXZ\x00")
_OLD_PICKLE = re.compile(rb"[(cNIJKLMSVTU\]})0-9FG]")
"""What a pickle without a mark begins with."""
_IMPORT = re.compile(rb"(?:^|[^A-Za-z_.])[ci][A-Za-z_][\w.]{0,100}\n[A-Za-z_][\w.]{0,100}\n")
_MODELS = frozenset({"pickle", "joblib", "torch", "torchscript", "torch-legacy", "torch-mar", "keras",
                     "keras-hdf5", "hdf5", "skops", "npz", "npy", "safetensors", "gguf", "onnx",
                     "tensorflow-saved-model", "tensorflow-graph", "xgboost-ubj"})  # fmt: skip


def likelihood(name: str, head: bytes) -> Likelihood:
    """Return how likely a file is a model's, by its name and its first bytes."""
    if _NAME.search(name) or _CONTENT.match(head):
        return "sure"
    unpacked = _unpacked(head)
    if _MAYBE_NAME.search(name) or _MAYBE.match(head) or _is_old_pickle(head):
        return "maybe"
    return "maybe" if _CONTENT.match(unpacked) or _MAYBE.match(unpacked) or _is_old_pickle(unpacked) else "no"


def worth_a_look(path: Path) -> bool:
    """Tell whether a file can be a model's: an archive of anything else need not be read whole."""
    with path.open("rb") as file:
        size_bytes = os.fstat(file.fileno()).st_size
        look = Look(size_bytes=size_bytes, deadline=float("inf"))
        content = FileContent(file.fileno(), size_bytes, look)
        if content.read_at(0, 4) != zip_directory.MAGIC:
            return True
        try:
            return kind_of(zip_directory.members(content, Place(look=look))) != "zip"
        except Stop:
            return True


def is_model(result: Result) -> bool:
    """Tell whether what may have been a model's file is one, now that it was looked into.

    By chance a file begins as a pickle does and breaks its rules soon; what is called before that is found.
    """
    broken = all(fact.kind == "malformed" or fact.code == "truncated" for fact in result.facts)
    if result.format in _MODELS:
        return not result.facts or not broken
    return result.format == "zip" and any(fact.kind == "malformed" for fact in result.facts)


def _is_old_pickle(head: bytes) -> bool:
    return _OLD_PICKLE.match(head) is not None and _IMPORT.search(head) is not None


def _unpacked(head: bytes) -> bytes:
    """Return what the first bytes of something compressed begin with; nothing of what is not."""
    try:
        if head.startswith((b"\x1f\x8b", b"\x78")):
            return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(head, HEAD_BYTES)
        if head.startswith(b"\x5d\x00"):
            return lzma.LZMADecompressor(lzma.FORMAT_ALONE).decompress(head, HEAD_BYTES)
    except (zlib.error, lzma.LZMAError, EOFError, MemoryError):
        pass
    return b""
