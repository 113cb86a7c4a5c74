"""Archives, and what libraries make of them (torch, Keras, NumPy, skops): each member is looked into."""

import io
import re
import tarfile
import zlib
from collections.abc import Callable

from stages.scanners.model_files import zip_directory
from stages.scanners.model_files.content import PIECE_BYTES, Content, Part, read_exactly
from stages.scanners.model_files.keras import report_lambda_layers
from stages.scanners.model_files.look import LONGEST_NAME_BYTES, MOST_READ_BYTES, Place, Stop
from stages.scanners.model_files.pickle_globals import judge
from stages.scanners.model_files.pickles import is_pickled, runs_something, scan_torch_pickle
from stages.scanners.model_files.texts import parse_json
from stages.scanners.model_files.unpacked import Unpacked
from stages.scanners.model_files.zip_directory import Member

Scan = Callable[[Content, Place], str]
_KERAS_WEIGHTS = re.compile(r"model\w*\.weights\.")
_TENSOR = re.compile(r"[^/]+/(data|constants|tensors|extra/data)/[^/]+")
_SKOPS_CALLS = ("MethodNode", "OperatorFuncNode")
"""Loaders that take any attribute of an object, or any operator: CVE-2025-54412, CVE-2025-54413."""
_FILE_ACCESS = re.compile(rb"\b(from_file|torch\.save|torch\.load|aten::save|_load_pickle)\b|prim::PythonOp")


def scan_zip(content: Content, place: Place, scan: Scan) -> str:
    """Look into every member and return the format of the whole."""
    found = zip_directory.members(content, place.as_format("zip"))
    kind = kind_of(found)
    place = place.as_format(kind)
    files = [member for member in found if not member.directory]
    for member in files:
        inner = place.inside(member.name)
        inner.guard(lambda member=member, inner=inner: _scan_member(content, member, kind, inner, scan))  # type: ignore[misc]  # a default argument
    return kind


def kind_of(found: tuple[Member, ...]) -> str:
    """Return what libraries take an archive for, by the names in it."""
    names = {member.name for member in found}
    roots = {name.partition("/")[0] for name in names}
    for root in roots:
        if f"{root}/data.pkl" in names:
            return "torchscript" if f"{root}/constants.pkl" in names else "torch"
    if "config.json" in names and ("metadata.json" in names or any(map(_KERAS_WEIGHTS.match, names))):
        return "keras"
    if "schema.json" in names:
        return "skops"
    if names and all(name.endswith(".npy") for name in names):
        return "npz"
    return "torch-mar" if "MAR-INF/MANIFEST.json" in names else "zip"


def _scan_member(content: Content, member: Member, kind: str, place: Place, scan: Scan) -> None:
    packed = Part(content, member.data, member.packed_size)
    if member.data + member.packed_size > content.size:
        raise Stop("unread", "truncated", "goes beyond the end of the archive")
    if member.method == zip_directory.STORED:
        if member.size != member.packed_size:
            raise Stop("malformed", "archive-size", "is stored in another size than it says")
        unpacked: Content = packed
    else:
        unpacked = Unpacked(packed, "deflate", place.look, member.size)
    torch = kind in {"torch", "torchscript"}
    if torch and member.method == zip_directory.STORED and _TENSOR.fullmatch(member.name):
        _scan_disguised(unpacked, place, scan)
        return  # numbers, which nothing interprets: their checksum is not read
    _check_sum(unpacked, member)
    if torch and member.name.endswith(".pkl"):
        script = kind == "torchscript"
        scan_torch_pickle(
            unpacked, place, lambda inner, where: scan_blob(inner, where, scan), allow_script=script
        )
    elif kind == "torchscript" and "/code/" in member.name and member.name.endswith(".py"):
        _scan_script(unpacked, place)
    elif kind == "keras" and member.name == "config.json":
        report_lambda_layers(parse_json(unpacked, place), place)
    elif kind == "skops" and member.name == "schema.json":
        _scan_skops(unpacked, place)
    else:
        scan(unpacked, place)


def _scan_disguised(content: Content, place: Place, scan: Scan) -> None:
    """Look into numbers that are a pickle or an archive in truth."""
    if content.read_at(0, 4) == zip_directory.MAGIC or runs_something(content, numbers=True):
        scan(content, place)


def scan_blob(content: Content, place: Place, scan: Scan) -> None:
    """Look into bytes of a pickle: another pickle, or an archive, may be in them."""
    if content.read_at(0, 4) == zip_directory.MAGIC or is_pickled(content):
        inner = place.inside("bytes in the pickle")
        inner.guard(lambda: scan(content, inner))


def _check_sum(content: Content, member: Member) -> None:
    """Read a member whole.

    Raises:
        Stop: it has another size or checksum than the archive says.
    """
    if isinstance(content, Unpacked):
        content.require_size(member.size)
    crc = position = 0
    while piece := content.read_at(position, PIECE_BYTES):
        crc = zlib.crc32(piece, crc)
        position += len(piece)
    if crc != member.crc:
        raise Stop("malformed", "archive-checksum", "has another checksum than the archive says")


def _scan_script(content: Content, place: Place) -> None:
    text = read_exactly(content, 0, content.size, "the code of TorchScript")
    if match := _FILE_ACCESS.search(text):
        place.unsafe("torchscript-file-access", f"its code calls {match[0].decode()}, which reaches files")


def _scan_skops(content: Content, place: Place) -> None:
    """Judge the names in a skops schema as those of a pickle: loading imports the ones that are trusted."""
    stack = [parse_json(content, place)]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            if (loader := value.get("__loader__")) in _SKOPS_CALLS:
                place.unsafe(
                    "skops-call", f"has a {loader}, by which some versions call anything", subject=str(loader)
                )
            module, name = value.get("__module__"), value.get("__class__")
            if isinstance(module, str) and isinstance(name, str):
                _report_skops_name(module, name, place)
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)


def _report_skops_name(module: str, name: str, place: Place) -> None:
    judgement = judge(module, name)
    if judgement == "listed" or (module, name) == ("builtins", "NoneType"):
        return
    code = "pickle-import" if judgement == "dangerous" else "pickle-unlisted-import"
    place.unsafe(code, f"loading it imports {module}.{name}", subject=f"{module}.{name}")


class _Reading(io.RawIOBase):
    """A content as the file that `tarfile` wants; a header of gigabytes is refused."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._content.size}[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0 or size > MOST_READ_BYTES:
            raise Stop("unread", "too-large", "has a header that is too large to read")
        piece = self._content.read_at(self._position, size)
        self._position += len(piece)
        return piece


def scan_tar(content: Content, place: Place, scan: Scan) -> str:
    """Look into every member of a tar."""
    place = place.as_format("tar")
    names: set[str] = set()
    try:
        with tarfile.TarFile(fileobj=_Reading(content)) as tar:
            for member in tar:
                tar.members = []  # type: ignore[attr-defined]  # it would remember every header
                place.look.count_member()
                if len(member.name) > LONGEST_NAME_BYTES:
                    raise Stop("malformed", "archive-name", f"has a name of {len(member.name)} characters")
                if member.name in names:
                    place.malformed("archive-duplicate", f"has {member.name} more than once")
                names.add(member.name)
                _scan_tar_member(content, member, place, scan)
            end = tar.offset
    except (tarfile.TarError, ValueError, EOFError) as error:
        raise Stop("unread", "damaged", f"cannot be read as a tar: {error}") from error
    _require_zeros(content, end, place)
    return "tar"


def _scan_tar_member(content: Content, member: tarfile.TarInfo, place: Place, scan: Scan) -> None:
    zip_directory.report_name(member.name, place)
    if member.isdir():
        return
    if not member.isreg():
        place.unsafe("archive-link", f"{member.name} is a link or a device, not a file ({member.linkname})")
        return
    if member.issparse():
        raise Stop("unread", "archive-sparse", f"{member.name} is a sparse file, which is not read")
    if member.offset_data + member.size > content.size:
        raise Stop("unread", "truncated", f"{member.name} goes beyond the end of the archive")
    inner = place.inside(member.name)
    inner.guard(lambda: scan(Part(content, member.offset_data, member.size), inner))


def _require_zeros(content: Content, position: int, place: Place) -> None:
    """Nothing but zeros may follow a tar's last member."""
    while piece := content.read_at(position, PIECE_BYTES):
        if piece.strip(b"\0"):
            place.malformed("trailing-data", "has other bytes behind the archive")
            return
        position += len(piece)
