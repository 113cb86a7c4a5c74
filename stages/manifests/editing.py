"""Finds the places of a target that name an image, and makes them name the new one."""

import difflib
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.errors import ConfigurationError
from pipeline.model import FieldChange, FileChange
from pipeline.reference import Reference, Repository
from stages.manifests import tree as trees
from stages.manifests import yaml_editing
from stages.manifests.cursor import Cursor
from stages.manifests.interface import Form, NewImage, Place, Target, same_image
from stages.manifests.kserve import InferenceService
from stages.manifests.kubernetes import Workload
from stages.manifests.kustomize import FILE_NAMES, Kustomize
from stages.manifests.refusal import refusal
from stages.manifests.tree import Changed, Kind, Tree
from stages.manifests.yaml_editing import YamlFile

FORMS: tuple[Form, ...] = (Kustomize(), Workload(), InferenceService())
_LISTED = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class EditedFile:
    """A file before and after."""

    path: str
    before: bytes
    after: bytes
    fields: tuple[FieldChange, ...]

    def change(self) -> FileChange:
        """Return what changed, with a unified diff."""
        return FileChange(path=self.path, fields=self.fields, diff=_diff(self))


@dataclass(frozen=True, slots=True)
class Standing:
    """An image that a manifest names now, where a target looks for it."""

    path: str
    line: int
    reference: str
    """As the place says it: with tag, digest, both or neither."""


@dataclass(frozen=True, slots=True)
class _Found:
    file: YamlFile
    place: Place

    def __str__(self) -> str:
        return f"{self.file.path}:{self.place.at.node.line} {self.place.current} ({self.place.at.path})"


def edit(tree: Tree, wishes: Sequence[tuple[Target, NewImage]]) -> tuple[EditedFile, ...]:
    """Return the files that change when every target names its new image; none where they do already.

    Raises:
        ConfigurationError: a target names no such image, or different ones, or cannot be edited safely.
    """
    edited: dict[str, EditedFile] = {}
    for target, image in wishes:
        now = Changed(tree, {path: file.after for path, file in edited.items()})
        for file in _edit_target(now, target, image):
            first = edited.get(file.path, file)
            fields = file.fields if first is file else first.fields + file.fields
            edited[file.path] = EditedFile(
                path=file.path, before=first.before, after=file.after, fields=fields
            )
    return tuple(edited[path] for path in sorted(edited))


def standing(tree: Tree, target: Target, image: NewImage) -> tuple[Standing, ...]:
    """Return what stands now at every place that the target would change.

    Raises:
        ConfigurationError: as `edit` does.
    """
    files = tuple(_read(tree, path) for path in _paths(tree, target.path))
    return tuple(
        Standing(found.file.path, found.place.at.node.line, found.place.current)
        for found in _choose(files, target, image)
    )


def _edit_target(tree: Tree, target: Target, image: NewImage) -> Iterator[EditedFile]:
    files = tuple(_read(tree, path) for path in _paths(tree, target.path))
    chosen = _choose(files, target, image)
    for file in files:
        edits = [e for f in chosen if f.file is file for e in f.place.edits(image)]
        after, fields = yaml_editing.apply(file, edits)
        if fields:
            yield EditedFile(path=file.path, before=file.content, after=after, fields=fields)


def _read(tree: Tree, path: str) -> YamlFile:
    return YamlFile.parse(path, tree.read(path))


def _paths(tree: Tree, path: str) -> tuple[str, ...]:
    """Return the file itself; of a folder its kustomization, or else the manifests directly in it."""
    found = trees.resolve(tree, path)
    if found and tree.kind(found) is Kind.FILE:
        return (found,)
    names = tree.names(found)
    chosen = [name for name in FILE_NAMES if name in names][:1]
    chosen = chosen or [name for name in names if name.endswith((".yaml", ".yml"))]
    paths = tuple(dict.fromkeys(trees.resolve(tree, posixpath.join(found, name)) for name in chosen))
    files = tuple(path for path in paths if tree.kind(path) is Kind.FILE)
    if not files:
        raise refusal(
            path,
            None,
            "is a folder without a manifest",
            advice=f"It holds: {', '.join(names[:_LISTED]) or 'nothing'}. Name the file to edit.",
        )
    tree.prefetch(files)
    return files


def _choose(files: Sequence[YamlFile], target: Target, image: NewImage) -> tuple[_Found, ...]:
    wanted = _wanted(target, image)
    places = tuple(place for file in files for place in _places(file, target))
    chosen = tuple(found for found in places if any(same_image(found.place, name) for name in wanted))
    if not chosen:
        raise _nothing_found(files, target, image, places)
    if len({_normal(found.place.current) for found in chosen}) > 1:
        raise refusal(
            target.path,
            None,
            f"names {' or '.join(wanted)} with different references: {_listed(chosen)}",
            advice="Make them the same once, or name each file as a target of its own.",
        )
    return chosen


def _wanted(target: Target, image: NewImage) -> tuple[Repository, ...]:
    """Return what the image is called before it is replaced, and what it is called from then on."""
    if target.image is None:
        return (image.repository,)
    try:
        reference = Reference.parse(target.image)
    except ValueError as error:
        raise refusal(
            target.path,
            None,
            f"is to be searched for {target.image!r}, which is no name of an image: {error}",
            advice="Write the image's name as the manifest has it, without tag and digest.",
        ) from error
    return tuple(dict.fromkeys((reference.repository, image.repository)))


def _places(file: YamlFile, target: Target) -> Iterator[_Found]:
    for document in file.documents:
        root = Cursor.at_root(document)
        for form in FORMS:
            if form.recognises(root, target):
                yield from (_Found(file, place) for place in form.places(root, target))


def _normal(current: str) -> str:
    """Return the reference in full where it is one, so that two spellings of it are the same."""
    try:
        reference = Reference.parse(current)
    except ValueError:
        return current
    return str(Reference(reference.repository, reference.tag, reference.digest))


def _way_to_name(target: Target, image: NewImage) -> str:
    name = image.repository
    if target.image is not None and _wanted(target, image) == (name,):  # that is said already
        return f"Write {name} into the manifest once, where it is used, or correct `path:` of the target"
    return f"Say by `image:` of the target which of them {name} shall replace, or correct the manifest"


def _nothing_found(
    files: Sequence[YamlFile], target: Target, image: NewImage, places: Sequence[_Found]
) -> ConfigurationError:
    where = files[0].path if len(files) == 1 else target.path
    if places:
        wanted = _wanted(target, image)
        names = f"no image {wanted[0]}" if len(wanted) == 1 else f"neither {' nor '.join(wanted)}"
        return refusal(
            where,
            None,
            f"names {names}; it names: {_listed(places)}",
            advice=f"{_way_to_name(target, image)}. Names are compared whole, with registry and port.",
        )
    if any(Kustomize().recognises(Cursor.at_root(doc), target) for file in files for doc in file.documents):
        return refusal(
            where,
            None,
            "has no `images:` entry",
            advice="Add this to it once; `name` is the image as the kustomization's resources spell it:\n"
            f"{_images_entry(target, image)}",
        )
    kinds = sorted({document.kind()[1] for file in files for document in file.documents} - {""})
    held = f" (it holds: {', '.join(kinds)})" if kinds else ""
    return refusal(
        where,
        None,
        f"names no image that could be changed{held}",
        advice=f"What can be edited: {'; '.join(form.name for form in FORMS)}.",
    )


def _images_entry(target: Target, image: NewImage) -> str:
    """Return what a kustomization needs so that its image can be changed."""
    name = Reference.parse(target.image or image.repository).name
    entry = f"  - name: {name}\n    newName: {image.repository}\n    newTag: none-yet"
    return f"images:\n{entry}"


def _listed(found: Sequence[_Found]) -> str:
    shown = "; ".join(str(one) for one in found[:_LISTED])
    return shown if len(found) <= _LISTED else f"{shown}; and {len(found) - _LISTED} more"


def _diff(file: EditedFile) -> str:
    before, after = (content.decode().split("\n") for content in (file.before, file.after))
    lines = difflib.unified_diff(
        _with_ends(before), _with_ends(after), f"a/{file.path}", f"b/{file.path}", lineterm="\n"
    )
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )


def _with_ends(lines: list[str]) -> list[str]:
    """Return lines as difflib compares them; only a newline ends one, as in git."""
    return [f"{line}\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
