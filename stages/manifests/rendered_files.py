"""Which files of a tree a kustomization or a chart is rendered from; the rest of the tree is not fetched."""

import hashlib
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import yaml

from pipeline.errors import ManifestRefused
from stages.manifests import tree as trees
from stages.manifests.kustomize import FILE_NAMES
from stages.manifests.tree import Kind, Tree

_MOST_FILES = 500
_MOST_BYTES = 16 * 1024 * 1024
_LISTS = (
    "resources",
    "bases",
    "components",
    "crds",
    "configurations",
    "generators",
    "transformers",
    "validators",
    "patchesStrategicMerge",
)
_PATHS = ("patches", "patchesJson6902", "replacements")
_GENERATORS = ("configMapGenerator", "secretGenerator")
_HELM = ("helmCharts", "helmChartInflationGenerator")
_ADDRESS = re.compile(r"://|^git@|^[\w-]+\.[\w.-]+/|\?ref=")
_INLINE = re.compile(r"\n|^\s*[{\[]|:\s")  # a patch or a transformer that stands there as text
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class NotHere(Exception):
    """What is rendered is not all in the tree; says what is missing."""


@dataclass(slots=True)
class Files:
    """What something is rendered from: paths, and the files in the tree to which they lead."""

    paths: dict[str, str] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    folders: dict[str, str] = field(default_factory=dict)
    """Folders that are reached through a symbolic link, and where they are."""
    size_bytes: int = 0

    def write(self, root: Path, edited: Mapping[str, bytes]) -> None:
        """Put the files into a folder; those that were edited as they are now."""
        for path, real in self.paths.items():
            file = root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(edited.get(real, self.contents[real]))
        for path, real in self.folders.items():
            link = root / path
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.exists():
                link.symlink_to(posixpath.relpath(real, posixpath.dirname(path) or "."))

    def add(self, tree: Tree, path: str, real: str) -> bytes:
        """Read a file; it stands at its own place, and where a link leads to it.

        Raises:
            NotHere: there are too many files, or they are too large.
        """
        if real not in self.contents:
            self.contents[real] = tree.read(real)
            self.size_bytes += len(self.contents[real])
        self.paths[path] = self.paths[real] = real
        _refuse_many(len(self.paths))
        if self.size_bytes > _MOST_BYTES:
            raise NotHere(f"it is made of more than {_MOST_BYTES // 2**20} MiB")
        return self.contents[real]

    def fingerprint(self, edited: Mapping[str, bytes]) -> str:
        """Return what is the same where the same would be rendered."""
        whole = hashlib.sha256()
        for path, real in sorted((*self.paths.items(), *self.folders.items())):
            content = edited.get(real, self.contents.get(real, b""))
            whole.update(f"{path}\0{real}\0{hashlib.sha256(content).hexdigest()}\n".encode())
        return whole.hexdigest()


@dataclass(slots=True)
class Reader:
    """Reads what is rendered; what was fetched in one go once is not asked for again."""

    fetched: set[str] = field(default_factory=set)

    def kustomization(self, tree: Tree, folder: str) -> Files:
        """Return the files of a kustomization and of all that it refers to.

        Raises:
            NotHere: something of it is elsewhere.
        """
        files = Files()
        self._kustomization(tree, folder, files, set())
        return files

    def chart(self, tree: Tree, folder: str) -> Files:
        """Return the files of a chart's folder.

        Raises:
            NotHere: there are too many, or its dependencies are not with it.
        """
        files = Files()
        found = tuple(islice(_below(tree, folder, folder, depth=8), _MOST_FILES + 1))
        _refuse_many(len(found))
        self._fetch(tree, [real for _, real in found])
        for path, real in found:
            files.add(tree, path, real)
        for name in _missing_dependencies(files, folder):
            raise NotHere(f"its dependency {name} is not in {posixpath.join(folder, 'charts')}")
        return files

    def _kustomization(self, tree: Tree, folder: str, files: Files, seen: set[str]) -> None:
        if folder in seen:
            return
        seen.add(folder)
        path = kustomization_in(tree, folder)
        if path is None:
            raise NotHere(f"{folder or 'the root'} holds no kustomization")
        said = loaded(files.add(tree, path, trees.resolve(tree, path)))
        below = [_resolved(tree, folder, text, path) for text in _references(said, path)]
        _refuse_many(len(below))
        self._fetch(tree, [real for _, real in below if tree.kind(real) is Kind.FILE])
        for named, real in below:
            if tree.kind(real) is Kind.FILE:
                files.add(tree, named, real)
                continue
            if named != real:
                files.folders[named] = real
            self._kustomization(tree, real, files, seen)

    def _fetch(self, tree: Tree, paths: list[str]) -> None:
        missing = tuple(path for path in dict.fromkeys(paths) if path not in self.fetched)
        self.fetched.update(missing)
        if missing:
            tree.prefetch(missing)


def _refuse_many(count: int) -> None:
    if count > _MOST_FILES:
        raise NotHere(f"it is made of more than {_MOST_FILES} files")


def kustomization_in(tree: Tree, folder: str) -> str | None:
    """Return the path of a folder's kustomization, if it has one."""
    names = tree.names(folder)
    found = next((name for name in FILE_NAMES if name in names), None)
    return posixpath.join(folder, found) if found is not None else None


def loaded(content: bytes) -> object:
    """Return what a small YAML file says.

    Raises:
        NotHere: it is no YAML.
    """
    try:
        return yaml.load(content.decode("utf-8-sig"), _LOADER)  # noqa: S506 - it is the safe one
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise NotHere(f"it is not readable: {str(error).splitlines()[0]}") from error


def _resolved(tree: Tree, folder: str, text: str, by: str) -> tuple[str, str]:
    path = posixpath.normpath(posixpath.join(folder, text))
    try:
        return path, trees.resolve(tree, path)
    except ManifestRefused as error:
        how = "is not in this repository" if _ADDRESS.search(text) else "does not exist"
        raise NotHere(f"{by} names {text}, which {how}") from error


def _references(said: object, path: str) -> Iterator[str]:
    """Return every path that a kustomization names.

    Raises:
        NotHere: it has Helm charts rendered, which Kustomize downloads.
    """
    if not isinstance(said, dict):
        return
    if helm := next((key for key in _HELM if said.get(key)), None):
        raise NotHere(f"{path} has `{helm}:`, for which Kustomize would start Helm")
    for key in _LISTS:
        yield from (item for item in _listed(said, key) if isinstance(item, str) and not _INLINE.search(item))
    openapi = said.get("openapi")
    for item in (*(one for key in _PATHS for one in _listed(said, key)), openapi):
        if isinstance(item, dict) and isinstance(item.get("path"), str):
            yield item["path"]
    for item in (one for key in _GENERATORS for one in _listed(said, key)):
        if isinstance(item, dict):
            yield from (str(file).rpartition("=")[2] for file in _listed(item, "files"))
            yield from (str(file) for file in (*_listed(item, "envs"), item.get("env")) if file)


def _listed(said: Mapping[str, object], key: str) -> list[object]:
    value = said.get(key)
    return value if isinstance(value, list) else []


def _below(tree: Tree, folder: str, real: str, depth: int) -> Iterator[tuple[str, str]]:
    for name in tree.names(real):
        path, inside = posixpath.join(folder, name), posixpath.join(real, name)
        kind = tree.kind(inside)
        if kind is Kind.LINK:
            try:
                inside = trees.resolve(tree, inside)
            except ManifestRefused:
                continue  # Helm would not find it either
            kind = tree.kind(inside)
        if kind is Kind.FILE:
            yield path, inside
        elif kind is Kind.FOLDER and depth:
            yield from _below(tree, path, inside, depth - 1)


def _missing_dependencies(files: Files, folder: str) -> Iterator[str]:
    said = loaded(files.contents[files.paths[posixpath.join(folder, "Chart.yaml")]])
    wanted = _listed(said, "dependencies") if isinstance(said, dict) else []
    for one in wanted:
        name = str(one.get("name")) if isinstance(one, dict) else ""
        charts = posixpath.join(folder, "charts", name)
        if name and not any(path.startswith((f"{charts}/", f"{charts}-")) for path in files.paths):
            yield name
