"""What a content is, and a look into it by the rules of that format."""

import re
from collections.abc import Callable
from pathlib import PurePosixPath

from stages.scanners.model_files import arrays, gguf, graphs, keras, safetensors, texts, zip_directory
from stages.scanners.model_files.archives import scan_blob, scan_tar, scan_zip
from stages.scanners.model_files.content import Content
from stages.scanners.model_files.look import Place, Stop
from stages.scanners.model_files.pickles import calls_something, looks_pickled, runs_something, scan_pickles
from stages.scanners.model_files.unpacked import CODECS, Unpacked

VERSION = "4"
"""Changes with every change of what is found: results of another version are not taken again."""
UNKNOWN = "unknown"
_COMPRESSED = (
    ("gzip", re.compile(rb"\x1f\x8b\x08")),
    ("bzip2", re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)")),  # the second one: an empty stream comes first
    ("xz", re.compile(rb"\xfd7zXZ\x00")),
    ("xz", re.compile(rb"\x5d\x00")),  # LZMA alone, as joblib writes it, and how it recognises it
    ("zlib", re.compile(rb"\x78[\x01\x5e\x9c\xda]")),
)
_IMAGES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"RIFF")
_BINARY = (
    (0, b"binf", "xgboost-binary"),
    (0, b"CBM1", "catboost"),
    (4, b"TFL3", "tflite"),
    (0, b"ptrt", "tensorrt"),
    (0, b"ftrt", "tensorrt"),
)
_XGBOOST_UBJ = re.compile(rb"\{(L.{8}|[lI].{1,3}|[iU].)(learner|version|Config)", re.DOTALL)
_TABLE_END = bytes.fromhex("57fb808b247547db")
"""The last bytes of the index of TensorFlow's checkpoints, a table of LevelDB."""
_ARCHIVES = frozenset({"zip", "npz", "torch", "torchscript", "keras", "skops", "torch-mar"})
_MARKED_KINDS = frozenset({"safetensors", "tar", "npy", "gguf", "hdf5", "keras-hdf5"})
"""What is known by a mark before anybody asks whether it is a pickle."""
_EMBEDDED = re.compile(
    rb"c(?:os|posix|nt|subprocess|builtins|__builtin__|sys|runpy|importlib|pty|socket|shutil)\n\w+\n"
    rb"|\x80[\x02-\x05](?=[\x95c\x8cX(}\]])",
)
SEARCHED_BYTES = 32 * 1024 * 1024
_SEARCHED_AT_ONCE_BYTES = 4 * 1024 * 1024
_USER_BLOCKS = tuple(512 << shift for shift in range(40))


def scan(content: Content, place: Place) -> str:
    """Look into a content, report what is wrong, and return its format.

    Raises:
        Stop: it could not be looked into whole.
    """
    try:
        kind = _scan(content, place)
    except Stop:
        if not isinstance(content, Unpacked):
            _report_second_format(content, place)
        raise
    if kind not in _ARCHIVES:
        _report_second_format(content, place.as_format(kind))
    if kind in _MARKED_KINDS and runs_something(content):
        place.as_format(kind).unsafe(
            "embedded-pickle", "is a pickle too, which calls something when it is loaded"
        )
    return kind


def _scan(content: Content, place: Place) -> str:
    head = content.read_at(0, 512)
    if not head:
        return "empty"
    for begin, look in _MARKED:
        if head.startswith(begin):
            return look(content, place)
    if safetensors.looks_like(content):
        return safetensors.scan_safetensors(content, place)
    if head[257:262] == b"ustar":
        return scan_tar(content, place, scan)
    for codec, pattern in _COMPRESSED:
        if pattern.match(head) and _unpacks(content, codec):
            return scan(Unpacked(content, codec, place.look), place.inside(codec))
    return _scan_unmarked(content, place, head)


def _scan_unmarked(content: Content, place: Place, head: bytes) -> str:
    """Look into what has no mark that shuts a pickle out: old pickles, texts, protocol buffers."""
    if looks_pickled(content):
        return scan_pickled(content, place)
    if (known := _binary(content, head)) is not None:
        if known == "tflite":
            graphs.search_flex(content, place.as_format(known))
        return known
    if texts.is_text(content):
        return texts.scan_text(content, place)
    if (kind := graphs.recognise(content)) is not None:
        return graphs.scan_graph(content, place, kind)
    if _is_old_tar(content):
        return scan_tar(content, place, scan)
    _search_pickles(content, place)
    return UNKNOWN


def scan_pickled(content: Content, place: Place) -> str:
    """Follow the pickles of a content."""
    return scan_pickles(content, place, lambda inner, where: scan_blob(inner, where, scan))


def _unpacks(content: Content, codec: str) -> bool:
    """Tell whether the first bytes can be unpacked: two bytes alone are no proof of a compressor."""
    head = content.read_at(0, 4096)
    if codec != "zlib" and not head.startswith(b"\x5d"):
        return True
    try:
        CODECS[codec]().feed(head)
    except Exception as error:  # whatever the compressor says
        return "limit" in str(error)  # it wants more memory than it gets
    return True


def _binary(content: Content, head: bytes) -> str | None:
    if head.startswith(_IMAGES):
        return "image"
    for offset, magic, name in _BINARY:
        if head[offset : offset + len(magic)] == magic:
            return name
    if _XGBOOST_UBJ.match(head):
        return "xgboost-ubj"
    if content.size >= 48 and content.read_at(content.size - 8, 8) == _TABLE_END:
        return "tensorflow-checkpoint-index"
    return None


def _is_old_tar(content: Content) -> bool:
    """Tell whether the first block is a header of the tar of Unix V7, which has a checksum and no mark."""
    block = content.read_at(0, 512)
    digits = block[148:156].strip(b" \0")
    if len(block) < 512 or not re.fullmatch(rb"[0-7]{1,7}", digits):
        return False
    return sum(block[:148]) + 8 * 32 + sum(block[156:]) == int(digits, 8)


def _search_pickles(content: Content, place: Place) -> None:
    """Search the beginning and the end of what nobody knows for pickles that call something.

    A pickle elsewhere in it would be loaded by a program that knows the place, and that is none we know.
    """
    last = max(SEARCHED_BYTES, content.size - SEARCHED_BYTES)
    for begin, end in ((0, min(SEARCHED_BYTES, content.size)), (last, content.size)):
        for position in range(begin, end, _SEARCHED_AT_ONCE_BYTES):
            piece = content.read_at(position, _SEARCHED_AT_ONCE_BYTES + 64)
            for match in _EMBEDDED.finditer(piece):
                if calls_something(content, position + match.start()):
                    offset = position + match.start()
                    place.unsafe("embedded-pickle", f"has a pickle that calls something at byte {offset}")
                    return


def _report_second_format(content: Content, place: Place) -> None:
    """Report what another reader would take for something else: archives are read from their end."""
    if content.read_at(0, 4) != zip_directory.MAGIC and zip_directory.holds_archive(content):
        place.malformed("polyglot", "is an archive of zip too for those who read it from its end")
    for offset in _USER_BLOCKS if content.read_at(0, 8) != keras.MAGIC else ():
        if content.read_at(offset, 8) == keras.MAGIC:
            place.malformed("polyglot", "is a file of HDF5 too for those who skip its beginning")


def refine(kind: str, path: str) -> str:
    """Return a format that only the name can tell: numbers without any mark, and programs."""
    name = PurePosixPath(path).name
    if kind == UNKNOWN and re.search(r"\.data-\d{5}-of-\d{5}$", name):
        return "tensorflow-variables"
    if kind == "text" and name.endswith((".py", ".sh")):
        return "python" if name.endswith(".py") else "shell"
    return kind


def _unread_compression(name: str) -> Callable[[Content, Place], str]:
    def refuse(content: Content, place: Place) -> str:
        del content, place
        raise Stop("unread", "compression", f"is compressed with {name}, which is not read")

    return refuse


def _scan_zip(content: Content, place: Place) -> str:
    return scan_zip(content, place, scan)


_MARKED: tuple[tuple[bytes, Callable[[Content, Place], str]], ...] = (
    (arrays.MAGIC, lambda content, place: arrays.scan_array(content, place, scan_pickled)),
    (gguf.MAGIC, gguf.scan_gguf),
    (keras.MAGIC, keras.scan_hdf5),
    (zip_directory.MAGIC, _scan_zip),
    (zip_directory.END, _scan_zip),
    (b"\x04\x22\x4d\x18", _unread_compression("lz4")),
    (b"\x28\xb5\x2f\xfd", _unread_compression("zstd")),
    (b"7z\xbc\xaf\x27\x1c", _unread_compression("7z")),
    (b"Rar!\x1a\x07", _unread_compression("rar")),
    (b"ZF0x", _unread_compression("joblib's own format of before 0.10")),
)
