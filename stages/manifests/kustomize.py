"""The `images:` list of a kustomization or component (Kustomize 5: `newTag` and `digest` together)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from stages.manifests.cursor import Cursor
from stages.manifests.embedded import Embedded, embedded
from stages.manifests.interface import NewImage, Place, Target, same_image
from stages.manifests.json_patch import JsonPatch
from stages.manifests.walk import descend
from stages.manifests.whole_reference import image_at
from stages.manifests.yaml_editing import AddKey, Edit, SetScalar
from stages.manifests.yaml_tree import MappingNode

_GROUP = "kustomize.config.k8s.io/"
FILE_NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_INLINE = "sets an image inside of a text"
_INLINE_ADVICE = (
    "Move this patch into a file of its own, name the file by `path:` under `patches:`, "
    "and make that file the target."
)


@dataclass(frozen=True, slots=True)
class ImageEntry:
    """One entry of `images:`; what is deployed is `newName` if there is one, else `name`."""

    at: Cursor

    @property
    def name(self) -> str:
        """The name that the rendered manifests will carry."""
        return self.at.text("newName") or self.at.text("name") or ""

    @property
    def current(self) -> str:
        """The reference that the rendered manifests will carry, as far as the entry says."""
        tag, digest = self.at.text("newTag"), self.at.text("digest")
        return f"{self.name}{f':{tag}' if tag else ''}{f'@{digest}' if digest else ''}"

    def edits(self, image: NewImage) -> tuple[Edit, ...]:
        """Return the edits of `newTag` and `digest`; an entry with a digest alone keeps it alone.

        An entry that deploys another repository gets `newName` too: below `name`, which says what the
        entry is for and stays.
        """
        only_digest = self.at.get("newTag") is None and self.at.get("digest") is not None
        tag = () if only_digest else (self._edit("newTag", image.tag),)
        name = (
            () if same_image(self, image.repository) else (self._edit("newName", image.repository, "name"),)
        )
        digest = () if image.digest is None else (self._edit("digest", image.digest),)
        return (*name, *tag, *digest)

    def _edit(self, key: str, value: str, below: str | None = None) -> Edit:
        found = self.at.get(key)
        return SetScalar(found, value) if found is not None else AddKey(self.at, key, value, below)


@dataclass(frozen=True, slots=True)
class Kustomize:
    """A kustomization or a component of Kustomize; Flux's resource of the same kind is another thing."""

    name: ClassVar[str] = "kustomize"
    understands: ClassVar[frozenset[str]] = frozenset()

    def recognises(self, document: Cursor, target: Target) -> bool:
        """Tell whether Kustomize would read the document as its own: version and kind may be missing."""
        version, kind = document.document.kind()
        if document.document.path.rpartition("/")[2] in FILE_NAMES:
            version, kind = version or _GROUP, kind or "Kustomization"
        return version.startswith(_GROUP) and kind in {"Kustomization", "Component"}

    def places(self, document: Cursor, target: Target) -> Iterator[Place]:
        """Return the entries of `images:`, and the images in patches that stand in the file as text."""
        yield from image_entries(document)
        yield from inline_patches(document)


def image_entries(kustomization: Cursor) -> Iterator[ImageEntry]:
    """Return the entries of `images:`."""
    for entry in kustomization.list_at("images"):
        if isinstance(entry.node, MappingNode) and entry.text("name"):
            yield ImageEntry(entry)


def inline_patches(kustomization: Cursor) -> Iterator[Embedded]:
    """Return the images in patches that stand as text in the kustomization itself."""
    keys = ("patches", "patchesJson6902")
    texts = [patch.get("patch") for key in keys for patch in kustomization.list_at(key)]
    for text in (*texts, *kustomization.list_at("patchesStrategicMerge")):
        yield from embedded(text, _images_in_patch, problem=_INLINE, advice=_INLINE_ADVICE)


def _images_in_patch(patch: Cursor) -> Iterator[Place]:
    yield from JsonPatch().places(patch, Target(path=""))
    for mapping in descend(patch):
        yield from image_at(mapping.get("image"))
