"""Flux: the values of a HelmRelease, and scalars that carry the comment of an image policy."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from stages.manifests.cursor import Cursor
from stages.manifests.helm_values import images_in_values
from stages.manifests.interface import ANY_IMAGE, NewImage, Place, Target, completed, same_image
from stages.manifests.kustomize import image_entries, inline_patches
from stages.manifests.marker import marker_of
from stages.manifests.refusal import refusal
from stages.manifests.walk import descend, entries
from stages.manifests.whole_reference import WholeReference
from stages.manifests.yaml_editing import Edit, SetScalar
from stages.manifests.yaml_tree import text_of


@dataclass(frozen=True, slots=True)
class Flux:
    """A HelmRelease; or any document at all, where the target names an image policy that marks scalars."""

    name: ClassVar[str] = "flux"
    understands: ClassVar[frozenset[str]] = frozenset({"marker"})

    def recognises(self, document: Cursor, target: Target) -> bool:
        """Tell whether the document is a HelmRelease, or has a marker of the policy that the target names."""
        if target.marker is None:
            return document.kind() == ("helm.toolkit.fluxcd.io", "HelmRelease")
        # the items of a list are asked one by one
        return not document.kind()[1].endswith("List") and bool(_marked(document, target.marker))

    def places(self, document: Cursor, target: Target) -> Iterator[Place]:
        """Return the marked scalars as one place, for only together they are a reference; or a release's."""
        if target.marker is None:
            yield from _release(document)
            return
        parts = _marked(document, target.marker)
        _refuse_stale_digest(document, target.marker)
        yield MarkedScalars(parts[0][1], parts)


@dataclass(frozen=True, slots=True)
class MarkedScalars:
    """What one policy marks in one document; each scalar with its part, empty for the whole reference."""

    at: Cursor
    parts: tuple[tuple[str, Cursor], ...]

    @property
    def name(self) -> str:
        """The name in the first scalar that has one."""
        whole = next((WholeReference(at).name for part, at in self.parts if not part), None)
        return whole or self._first("name") or ANY_IMAGE

    @property
    def current(self) -> str:
        """The whole reference, or as much of it as is marked."""
        whole, tag, digest = (self._first(part) for part in ("", "tag", "digest"))
        name = self.name if self.name != ANY_IMAGE else ""
        return whole or f"{name}{f':{tag}' if tag else ''}{f'@{digest}' if digest else ''}"

    def standing(self, image: NewImage) -> str:
        """Return the reference, with the image's own name where none is marked."""
        return completed(self, image)

    def edits(self, image: NewImage) -> tuple[Edit, ...]:
        """Return the edit of each scalar to its part; another spelling of the repository is kept.

        A tag that carried a digest with it carries one again.
        """
        return tuple(edit for part, at in self.parts for edit in _edit(part, at, image))

    def _first(self, part: str) -> str | None:
        return next((text_of(at.node) for wanted, at in self.parts if wanted == part), None)


def _edit(part: str, at: Cursor, image: NewImage) -> tuple[Edit, ...]:
    old = text_of(at.node) or ""
    if part == "digest":
        return (SetScalar(at, image.digest),) if image.digest is not None else ()
    if part == "tag":
        if "/" in old or ":" in old.partition("@")[0]:
            raise refusal(
                at.document.path,
                at.node.line,
                f"{at.path} is marked as a tag, and is more than that: {old}",
                advice="Leave `:tag` out of the marker, so that it stands for the whole reference.",
            )
        digest = f"@{image.digest}" if "@" in old and image.digest is not None else ""
        return (SetScalar(at, f"{image.tag}{digest}"),)
    place = WholeReference(at)
    if part == "name":
        return () if same_image(place, image.repository) else (SetScalar(at, image.repository),)
    return place.edits(image)


def _marked(document: Cursor, policy: str) -> tuple[tuple[str, Cursor], ...]:
    found = ((marker_of(at.document, at.node), at) for at in descend(document))
    return tuple((marker.part, at) for marker, at in found if marker is not None and marker.policy == policy)


def _refuse_stale_digest(document: Cursor, policy: str) -> None:
    """Refuse a marked tag beside a digest without marker, which would go on to name the old image."""
    for mapping in descend(document):
        values = dict(entries(mapping))
        digest = values.get("digest")
        if digest is None or not text_of(digest.node) or marker_of(digest.document, digest.node):
            continue
        for tag in (values.get("tag"), values.get("newTag")):
            marker = marker_of(tag.document, tag.node) if tag is not None else None
            if marker is not None and marker.policy == policy:
                raise refusal(
                    digest.document.path,
                    digest.node.line,
                    f"{digest.path} pins the image, but only the tag beside it is marked",
                    advice=f'Write # {{"$imagepolicy": "{policy}:digest"}} behind the digest, or remove it.',
                )


def _release(document: Cursor) -> Iterator[Place]:
    """Return the images of the values, and of what Kustomize changes after Helm; the chart stays as it is."""
    values, spec = document.at("spec", "values"), document.get("spec")
    if values is not None:
        yield from images_in_values(values)
    for renderer in spec.list_at("postRenderers") if spec is not None else ():
        kustomize = renderer.get("kustomize")
        if kustomize is not None:
            yield from image_entries(kustomize)
            yield from inline_patches(kustomize)
