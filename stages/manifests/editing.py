"""Finds the places of a target that name an image, and makes them name the new one."""

import difflib
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.model import FieldChange, FileChange
from pipeline.reference import Reference, Repository
from stages.manifests import tree as trees
from stages.manifests import yaml_editing
from stages.manifests.explaining import nothing_found, several_found
from stages.manifests.finding import Found, meant, places
from stages.manifests.helm_values import CHART, VALUES
from stages.manifests.interface import Addressed, NewImage, Place, Target, same_image
from stages.manifests.kustomize import FILE_NAMES
from stages.manifests.refusal import refusal
from stages.manifests.traffic import shares
from stages.manifests.tree import Changed, Kind, Tree
from stages.manifests.yaml_editing import YamlFile

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


def edit(tree: Tree, wishes: Sequence[tuple[Target, NewImage]]) -> tuple[EditedFile, ...]:
    """Return the files that change when every target names its new image; none where they do already.

    Raises:
        ManifestRefused: a target names no such image, or different ones, or cannot be edited safely.
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
        Standing(found.resource.file.path, found.place.at.node.line, _current(found.place, image))
        for found in _choose(files, target, image)
    )


def _edit_target(tree: Tree, target: Target, image: NewImage) -> Iterator[EditedFile]:
    files = tuple(_read(tree, path) for path in _paths(tree, target.path))
    chosen = _choose(files, target, image)
    for file in files:
        here = [found for found in chosen if found.resource.file is file]
        after, fields = _edited(file, here, target, image)
        if fields:
            yield EditedFile(path=file.path, before=file.content, after=after, fields=fields)


def _edited(
    file: YamlFile, chosen: Sequence[Found], target: Target, image: NewImage
) -> tuple[bytes, tuple[FieldChange, ...]]:
    marked, traffic = target.marker is not None, target.traffic
    edits = [each for found in chosen for each in found.place.edits(image)]
    if traffic is None:
        return yaml_editing.apply(file, edits, marked=marked)
    shift = shares(chosen, target, image)
    if traffic.step == "shift":
        return yaml_editing.apply(file, shift, marked=marked)
    after, fields = yaml_editing.apply(file, edits, marked=marked)
    # the image stands there already: how far its canary has come is not undone
    return yaml_editing.apply(file, [*edits, *shift], marked=marked) if fields else (after, fields)


def _read(tree: Tree, path: str) -> YamlFile:
    return YamlFile.parse(path, tree.read(path))


def _paths(tree: Tree, path: str) -> tuple[str, ...]:
    """Return the file itself; of a folder its kustomization, or its chart's values, or else its manifests."""
    found = trees.resolve(tree, path)
    if found and tree.kind(found) is Kind.FILE:
        return (found,)
    names = tree.names(found)
    chosen = [name for name in FILE_NAMES if name in names][:1]
    chosen = chosen or [VALUES] * (CHART in names and VALUES in names)
    chosen = chosen or [name for name in names if name.endswith((".yaml", ".yml"))]
    chosen = chosen or [name for name in names if name.endswith(".json")]
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


def _choose(files: Sequence[YamlFile], target: Target, image: NewImage) -> tuple[Found, ...]:
    wanted, resources = _wanted(target, image), meant(files, target)
    chosen = tuple(
        found for found in places(resources, target) if any(same_image(found.place, name) for name in wanted)
    )
    if not chosen:
        raise nothing_found(files, target, image, wanted, resources)
    if target.marker is None and len({_normal(found.place.current) for found in chosen}) > 1:
        raise several_found(target, wanted, chosen)
    if image.digest is None:
        _refuse_digest(chosen, image)
    return chosen


def _current(place: Place, image: NewImage) -> str:
    return place.standing(image) if isinstance(place, Addressed) else place.current


def _refuse_digest(chosen: Sequence[Found], image: NewImage) -> None:
    pinned = next((found for found in chosen if "@" in _current(found.place, image)), None)
    if pinned is not None:
        current = _current(pinned.place, image)
        raise refusal(
            pinned.resource.file.path,
            pinned.place.at.node.line,
            f"{pinned.place.at.path} is pinned by a digest, and only a tag is given: {current}",
            advice="Give the digest of the new image too: a tag alone would not deploy it.",
        )


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


def _normal(current: str) -> str:
    """Return what a reference stands for: two spellings of it are the same, and a digest says it all."""
    try:
        reference = Reference.parse(current)
    except ValueError:
        return current
    tag = reference.tag if reference.digest is None else None
    return str(Reference(reference.repository, tag, reference.digest))


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
