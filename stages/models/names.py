"""Which names may stand in a model layer: the same on every file system that the image will lie on."""

import unicodedata
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from pipeline.errors import ConfigurationError
from stages.models.interface import SourceFile

WHITEOUT = ".wh."


def in_order(files: Iterable[SourceFile]) -> tuple[SourceFile, ...]:
    """Return the files sorted by the bytes of their paths.

    Raises:
        ConfigurationError: a path is absolute, climbs with `..`, is no plain name, or clashes with another.
    """
    ordered = tuple(sorted(files, key=lambda file: file.path.encode(errors="surrogatepass")))
    for file in ordered:
        if reason := _unfit(file.path):
            raise ConfigurationError(f"the model's file {file.path!r} {reason}", advice="Rename it.")
    _refuse_clashes(file.path for file in ordered)
    return ordered


def fits(path: str, patterns: tuple[str, ...]) -> bool:
    """Tell whether a path fits one of the patterns: `*` goes across folders, a final `/` means all below."""
    return any(fnmatchcase(path, f"{pattern}*" if pattern.endswith("/") else pattern) for pattern in patterns)


def image_path(path: str) -> PurePosixPath:
    """Return the folder in the image as a normal absolute path.

    Raises:
        ConfigurationError: it is not absolute, is the root, or climbs with `..`.
    """
    place = PurePosixPath(path)
    if not path.startswith("/") or path.startswith("//") or ".." in place.parts or len(place.parts) < 2:
        raise ConfigurationError(
            f"the model's path in the image is {path!r}, which is not an absolute path below /",
            advice="Set `model.path` to something like /models/digits.",
        )
    return place


def _unfit(path: str) -> str:
    names = path.split("/")
    if path.startswith("/"):
        return "has an absolute path"
    if ".." in names:
        return "climbs out of the model folder"
    if "" in names or "." in names or "\0" in path:
        return "has no plain relative path"
    if any("\ud800" <= letter <= "\udfff" for letter in path):
        return "is not UTF-8"
    if any(name.startswith(WHITEOUT) for name in names):
        return f"would delete a file of the image: a name in a layer must not begin with {WHITEOUT!r}"
    return ""


def _refuse_clashes(paths: Iterable[str]) -> None:
    seen: dict[str, tuple[str, bool]] = {}
    for path in paths:
        for place, is_folder in _places(path):
            found = seen.get(_folded(place))
            if found is None:
                seen[_folded(place)] = (place, is_folder)
            elif not is_folder or found != (place, True):  # only the very same folder may come again
                raise _clash(found[0], place)


def _places(path: str) -> Iterator[tuple[str, bool]]:
    """Yield the folders that lead to a path, and the path."""
    parts = path.split("/")
    for count in range(1, len(parts)):
        yield "/".join(parts[:count]), True
    yield path, False


def _folded(path: str) -> str:
    """Return what a file system that ignores case and Unicode forms (macOS, Windows) takes the path for."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def _clash(one: str, other: str) -> ConfigurationError:
    if one == other:
        return ConfigurationError(
            f"the model has {one!r} twice, or as a file and as a folder",
            advice="Rename one of them, or leave it out.",
        )
    same_form = unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", other)
    what = "the Unicode form (NFC, NFD) of their names" if same_form else "upper and lower case"
    return ConfigurationError(
        f"{one!r} and {other!r} in the model differ only in {what}",
        advice="One would hide the other on macOS and Windows. Rename one of them.",
    )
