"""Says why no place was chosen: what there is instead, and which hint would choose."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from pipeline.errors import ManifestRefused
from pipeline.reference import Reference, Repository
from stages.manifests.cursor import Cursor
from stages.manifests.field_path import joined, parse_field_path
from stages.manifests.finding import Found, Resource, places, resources
from stages.manifests.forms import FORMS
from stages.manifests.interface import NewImage, Target, hints
from stages.manifests.kustomize import Kustomize
from stages.manifests.marker import marker_of
from stages.manifests.refusal import refusal
from stages.manifests.rollouts import workload_of
from stages.manifests.walk import descend
from stages.manifests.yaml_editing import YamlFile
from stages.manifests.yaml_tree import MappingNode, text_of

_LISTED = 12
_HINTS: tuple[tuple[str, Callable[[Found], str]], ...] = (
    ("kind", lambda found: found.resource.kind),
    ("name", lambda found: found.resource.name),
    ("namespace", lambda found: found.resource.namespace),
    ("container", lambda found: found.container),
    ("path", lambda found: found.resource.file.path),
)


def several_found(target: Target, wanted: Sequence[Repository], found: Sequence[Found]) -> ManifestRefused:
    """Return the error for places that name the image by different references."""
    return refusal(
        target.path,
        None,
        f"names {' or '.join(wanted)} with different references: {_listed(_sorted(found))}",
        advice=f"Make them the same once, or say which one is meant: {_telling_hints(found)}.",
    )


def _telling_hints(found: Sequence[Found]) -> str:
    """Return the hints whose values are not the same everywhere, with these values."""
    telling = []
    for hint, value in _HINTS:
        values = tuple(dict.fromkeys(value(one) for one in found if value(one)))
        if len(values) > 1:
            telling.append(f"`{hint}:` ({' or '.join(values[:_LISTED])})")
    return f"by {', or by '.join(telling)}" if telling else "by `field:`, the path in brackets"


def nothing_found(
    files: Sequence[YamlFile],
    target: Target,
    image: NewImage,
    wanted: Sequence[Repository],
    chosen: Sequence[Resource],
) -> ManifestRefused:
    """Return the error for files in which nothing names the image."""
    where = files[0].path if len(files) == 1 else target.path
    found = tuple(places(chosen, target))
    if found:
        return _other_images(where, target, image, wanted, found)
    return (
        _no_such_resource(where, files, target, chosen)
        or _no_such_field(where, target, chosen)
        or _no_such_container(where, target, chosen)
        or _no_such_marker(where, target, chosen)
        or _image_elsewhere(where, chosen)
        or _no_images_entry(where, target, image, chosen)
        or _no_image(where, target, chosen)
    )


def _other_images(
    where: str, target: Target, image: NewImage, wanted: Sequence[Repository], found: Sequence[Found]
) -> ManifestRefused:
    names = f"no image {wanted[0]}" if len(wanted) == 1 else f"neither {' nor '.join(wanted)}"
    own = image.repository
    if target.image is not None and tuple(wanted) == (own,):  # that is said already
        way = f"Write {own} into the manifest once, where it is used, or correct `path:` of the target"
    else:
        way = f"Say by `image:` of the target which of them {own} shall replace, or correct the manifest"
    return refusal(
        where,
        None,
        f"names {names}; it names: {_listed(_sorted(found))}",
        advice=f"{way}. Names are compared whole, with registry and port.",
    )


def _no_such_resource(
    where: str, files: Sequence[YamlFile], target: Target, chosen: Sequence[Resource]
) -> ManifestRefused | None:
    if chosen:
        return None
    given = (("kind", target.kind), ("name", target.name), ("namespace", target.namespace))
    asked = [(key, value) for key, value in given if value is not None]
    if not asked:
        return None
    there = [_described(resource) for resource in resources(files)]
    return refusal(
        where,
        None,
        f"holds nothing of {', '.join(f'{key} {value}' for key, value in asked)}; it holds: {_listed(there)}",
        advice=f"Correct {' or '.join(f'`{key}:`' for key, _ in asked)} of the target.",
    )


def _described(resource: Resource) -> str:
    namespace = f" in namespace {resource.namespace}" if resource.namespace else ""
    return f"{resource.file.path}:{resource.root.node.line} {resource}{namespace}"


def _no_such_field(where: str, target: Target, chosen: Sequence[Resource]) -> ManifestRefused | None:
    if target.field is None:
        return None
    nearest = [_nearest(resource.root, target.field) for resource in chosen]
    best = max(nearest, key=lambda one: len(one[0]), default=("", None))
    path, cursor = best
    known = _keys(cursor)
    return refusal(
        where if cursor is None else cursor.document.path,
        cursor.node.line if cursor is not None else None,
        f"has no image at {target.field}",
        advice=f"{path or 'The document'} holds: {known}." if known else "Correct `field:` of the target.",
    )


def _nearest(root: Cursor, field: str) -> tuple[str, Cursor]:
    """Return the part of a path that there is, and what stands there."""
    path, cursor = "", root
    for step in parse_field_path(field):
        following = cursor.follow((step,))
        if following is None:
            break
        path, cursor = joined(path, step), following
    return path, cursor


def _keys(cursor: Cursor | None) -> str:
    if cursor is None:
        return ""
    if isinstance(cursor.node, MappingNode):
        names = [text_of(key) or "" for key, _ in cursor.node.entries]
        return ", ".join(names[:_LISTED])
    count = len(cursor.items())
    return f"{count} items, counted from 0" if count else ""


def _no_such_container(where: str, target: Target, chosen: Sequence[Resource]) -> ManifestRefused | None:
    if target.container is None:
        return None
    found = tuple(places(chosen, replace(target, container=None)))
    if not found:
        return None
    return refusal(
        where,
        None,
        f"has no container {target.container}; it names: {_listed(_sorted(found))}",
        advice="Correct `container:` of the target, or leave it out.",
    )


def _no_such_marker(where: str, target: Target, chosen: Sequence[Resource]) -> ManifestRefused | None:
    if target.marker is None:
        return None
    values = (value for resource in chosen for value in descend(resource.root))
    markers = (marker_of(value.document, value.node) for value in values)
    there = sorted({marker.policy for marker in markers if marker is not None})
    return refusal(
        where,
        None,
        f"has no marker of the image policy {target.marker}; it has: {', '.join(there) or 'none'}",
        advice="Correct `marker:` of the target, or write the comment behind the value once: "
        f'# {{"$imagepolicy": "{target.marker}"}}',
    )


def _image_elsewhere(where: str, chosen: Sequence[Resource]) -> ManifestRefused | None:
    """Return the error for a Rollout whose pods are described by another resource that is not here."""
    for rollout in chosen:
        workload = workload_of(rollout.root)
        if workload is not None:
            kind, name = workload
            return refusal(
                rollout.file.path,
                rollout.root.node.line,
                f"{rollout} takes its image from {kind}/{name} (`workloadRef`), which is not in {where}",
                advice=f"Name the file of {kind}/{name} as the target, or a folder that holds both.",
            )
    return None


def _no_images_entry(
    where: str, target: Target, image: NewImage, chosen: Sequence[Resource]
) -> ManifestRefused | None:
    if not any(Kustomize().recognises(resource.root, target) for resource in chosen):
        return None
    name = Reference.parse(target.image or image.repository).name
    entry = f"  - name: {name}\n    newName: {image.repository}\n    newTag: none-yet"
    return refusal(
        where,
        None,
        "has no `images:` entry",
        advice="Add this to it once; `name` is the image as the kustomization's resources spell it:\n"
        f"images:\n{entry}",
    )


def _no_image(where: str, target: Target, chosen: Sequence[Resource]) -> ManifestRefused:
    kinds = sorted({resource.kind for resource in chosen} - {""})
    held = f" (it holds: {', '.join(kinds)})" if kinds else ""
    given = [f"`{hint}:`" for hint in ("form", *sorted(hints(target))) if hint != "form" or target.form]
    by = f" by {' and '.join(given)}" if given else ""
    return refusal(
        where,
        None,
        f"names no image that could be changed{by}{held}",
        advice=f"What can be edited: {', '.join(form.name for form in FORMS)}. "
        "Any other resource: say by `field:` where it names the image.",
    )


def _sorted(found: Sequence[Found]) -> tuple[Found, ...]:
    """Return the places as they come in the files."""
    return tuple(sorted(found, key=lambda one: (one.resource.file.path, one.place.at.node.span.start)))


def _listed(found: Sequence[object]) -> str:
    shown = "; ".join(str(one) for one in found[:_LISTED])
    return shown if len(found) <= _LISTED else f"{shown}; and {len(found) - _LISTED} more"
