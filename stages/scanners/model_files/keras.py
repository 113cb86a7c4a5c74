"""Keras: layers that carry code, in the configuration of a .keras archive or of an HDF5 file.

An HDF5 file is not followed structure by structure: its bytes are searched for the configuration, which Keras
writes as plain JSON in one piece. What could hide it from the search (escaped letters, compressed attributes)
is refused.

Sources: Keras 3, saving/serialization_lib.py and legacy/saving; HDF5 file format 3.0, III.G (fractal heap).
"""

import re

from stages.scanners.model_files.content import Content
from stages.scanners.model_files.look import Place

MAGIC = b"\x89HDF\r\n\x1a\n"
_PIECE_BYTES = 4 * 1024 * 1024
_OVERLAP_BYTES = 4096
_KERAS_MODULES = ("keras", "tf_keras", "tensorflow", "tf", "builtins")
_CODE = ("Lambda", "__lambda__", "function", "TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer")
_NAMES = rb"Lambda|__lambda__|TorchModuleWrapper|TFSMLayer|JaxLayer|FlaxLayer"
_IN_BYTES = re.compile(rb'"class_name"\s*:\s*"(?P<name>' + _NAMES + rb')"')
_IN_TEXT = re.compile(rb'"class_name"\s*:\s*"(?P<name>function|' + _NAMES + rb')"')
"""HDF5 of today has functions too, by their names alone."""
_READS_FILE = re.compile(rb'"vocabulary"\s*:\s*"')
"""A vocabulary that is a text is the path of a file, which is read when the model is loaded."""
_PARTED = re.compile(rb'"class_name"(\s{256}|\s{0,255}:\s{256})')
"""A key and its value so far apart that no piece may have both; nothing writes so many blanks."""
_ESCAPED = re.compile(rb"\\u00[2-7][0-9a-fA-F]")
_TEXT = re.compile(rb"[ -~]{16}")
_COMPRESSED_HEAP = re.compile(rb"FRHP\x00..(?!\x00\x00)", re.DOTALL)
_CONFIGURATION = (b"model_config", b"training_config", b"keras_version")


def report_lambda_layers(document: object, place: Place) -> None:
    """Report every object of a Keras configuration that carries code or comes from elsewhere."""
    stack = [document]
    while stack:
        value = stack.pop()
        if isinstance(value, list):
            stack.extend(value)
        elif isinstance(value, dict):
            stack.extend(value.values())
            _report_object(value, place)


def _report_object(value: dict[str, object], place: Place) -> None:
    name = value.get("class_name")
    if not isinstance(name, str) or "config" not in value:
        return
    module, config = value.get("module"), value["config"]
    if isinstance(config, dict) and isinstance(source := config.get("vocabulary"), str):
        place.unsafe(
            "keras-file-access", f"has a {name} that reads {source!r} when it is loaded", subject=name
        )
    foreign = isinstance(module, str) and module.partition(".")[0] not in _KERAS_MODULES
    if name in _CODE:
        place.unsafe("keras-code", f"has a {name} object, which carries code of its own", subject=name)
    elif foreign or (
        value.get("registered_name") not in {None, name} and ">" in str(value["registered_name"])
    ):
        whole = f"{module}.{name}" if module else str(value["registered_name"])
        place.unsafe("keras-custom-object", f"needs {whole}, which is no part of Keras", subject=whole)


def search_configuration(content: Content, place: Place) -> None:
    """Search JSON that is not parsed for layers that carry code, also where its letters are escaped."""
    position = 0
    while piece := content.read_at(position, _PIECE_BYTES):
        plain = _ESCAPED.sub(lambda match: bytes.fromhex(match[0][4:].decode()), piece)
        for name in sorted({match["name"].decode() for match in _IN_TEXT.finditer(plain)}):
            place.unsafe("keras-code", f"has a {name} object, which carries code of its own", subject=name)
        _report_vocabulary(plain, place)
        if _PARTED.search(plain):
            place.malformed("keras-parted", "has hundreds of blanks behind a class_name; Keras never does")
        if len(piece) < _PIECE_BYTES:
            return
        position += len(piece) - _OVERLAP_BYTES


def _report_vocabulary(piece: bytes, place: Place) -> None:
    if _READS_FILE.search(piece):
        place.unsafe(
            "keras-file-access", "has a layer that reads its vocabulary from a file when it is loaded"
        )


def scan_hdf5(content: Content, place: Place) -> str:
    """Search an HDF5 file for what carries code, and return the format."""
    place = place.as_format("hdf5")
    names: set[str] = set()
    configured = False
    position = 0
    while piece := content.read_at(position, _PIECE_BYTES):
        names.update(match["name"].decode() for match in _IN_BYTES.finditer(piece))
        configured = configured or any(name in piece for name in _CONFIGURATION)
        _report_vocabulary(piece, place)
        if _has_escaped_letters(piece):
            place.malformed(
                "keras-escaped", "has letters in its JSON that are written as \\u00…; Keras never does"
            )
        if _PARTED.search(piece):
            place.malformed("keras-parted", "has hundreds of blanks behind a class_name; Keras never does")
        if _COMPRESSED_HEAP.search(piece):
            place.malformed("hdf5-compressed-attributes", "has compressed attributes, which nothing writes")
        if len(piece) < _PIECE_BYTES:
            break
        position += len(piece) - _OVERLAP_BYTES
    place = place.as_format("keras-hdf5" if configured else "hdf5")
    for name in sorted(names):
        place.unsafe("keras-code", f"has a {name} object, which carries code of its own", subject=name)
    return place.format


def _has_escaped_letters(piece: bytes) -> bool:
    """Tell whether a letter is written as \\u00… in a text, and not by chance among numbers."""
    return any(
        _TEXT.fullmatch(piece[match.start() - 16 : match.start()]) for match in _ESCAPED.finditer(piece)
    )
