"""Which files a choice of policies reads: a pack of one's own, those that it extends, and VEX documents."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.errors import ConfigurationError
from pipeline.yaml_source import Tree, at, load

_ENDINGS = (".yaml", ".yml")


def pack_files(
    top: Path, folder: Path, choice: object, before: frozenset[Path] = frozenset()
) -> Iterator[Path]:
    """Yield the files that `policies:` reads, relative to the top; names of packs are none."""
    if not isinstance(choice, str):
        yield from _inside(top, folder, choice, before)
        return
    path = relative(top, top / folder / choice) if "/" in choice or choice.endswith(_ENDINGS) else None
    if path is not None and path not in before:
        yield path
        yield from _inside(top, path.parent, tree_of(top / path).value, before | {path})


def _inside(top: Path, folder: Path, pack: object, before: frozenset[Path]) -> Iterator[Path]:
    """Yield what a pack, or a list of rules, names: paths are relative to the file that says so."""
    for name in _vex(pack):
        path = relative(top, top / folder / name)
        if path is not None:
            yield path
    yield from pack_files(top, folder, at(pack, ("extends",)), before) if isinstance(pack, dict) else ()


def _vex(value: object) -> Iterator[str]:
    """Yield every VEX document, wherever a rule stands."""
    if isinstance(value, dict):
        yield from (one for one in entries(value.get("vex")) if isinstance(one, str) and one)
        value = list(value.values())
    for one in entries(value):
        yield from _vex(one)


def tree_of(path: Path) -> Tree:
    """Return what the file says; of a broken one nothing: its own run will say what is wrong."""
    try:
        return load(path, path.name)
    except (ConfigurationError, RecursionError):
        return Tree(path.name, {}, {})


def relative(top: Path, path: Path) -> Path | None:
    """Return a path relative to the top, `..` resolved as text; None where it is outside."""
    try:
        plain = Path(os.path.normpath(path))
    except ValueError:  # NUL
        return None
    return plain.relative_to(top) if plain.is_relative_to(top) else None


def entries(value: object) -> Sequence[object]:
    """Return a list as it is; of anything else nothing."""
    return value if isinstance(value, list) else ()
