"""An image in parts: a mapping of `repository`, `tag` and `digest`, and of `registry` where it is apart."""

from dataclasses import dataclass

from pipeline.reference import Repository
from stages.manifests.cursor import Cursor
from stages.manifests.interface import NewImage, same_image
from stages.manifests.yaml_editing import AddKey, Edit, SetScalar
from stages.manifests.yaml_tree import text_of


@dataclass(frozen=True, slots=True)
class SplitReference:
    """A mapping that holds the parts of a reference, as Helm's values have it.

    `tag` and `digest` are set where they are. Without a digest the tag becomes `TAG@DIGEST`; without
    either, the tag is added below the repository. A digest alone stays alone. `prefix` is what the keys
    begin with, where they are dotted themselves: `server.image.` for `server.image.tag`.
    """

    at: Cursor
    prefix: str = ""

    @property
    def name(self) -> str:
        """Registry and repository together."""
        registry, repository = self._text("registry"), self._text("repository") or ""
        return f"{registry.rstrip('/')}/{repository}" if registry else repository

    @property
    def current(self) -> str:
        """The reference that the parts make together."""
        tag, digest = self._text("tag"), self._text("digest")
        return f"{self.name}{f':{tag}' if tag else ''}{f'@{digest}' if digest else ''}"

    def edits(self, image: NewImage) -> tuple[Edit, ...]:
        """Return the edits of the parts; another spelling of the repository is kept."""
        name = () if same_image(self, image.repository) else self._renamed(image.repository)
        tag, digest = self._part("tag"), self._part("digest")
        whole_tag = f"{image.tag}@{image.digest}" if image.digest is not None else image.tag
        if tag is None and digest is None:
            return (*name, self._added_tag(whole_tag))
        if digest is None:
            return (*name, *_set(tag, whole_tag))
        return (*name, *_set(tag, image.tag), *_set(digest, image.digest))

    def _part(self, key: str) -> Cursor | None:
        return self.at.get(f"{self.prefix}{key}")

    def _added_tag(self, tag: str) -> Edit:
        return AddKey(self.at, f"{self.prefix}tag", tag, f"{self.prefix}repository")

    def _text(self, key: str) -> str | None:
        part = self._part(key)
        return text_of(part.node) if part is not None else None

    def _renamed(self, repository: Repository) -> tuple[Edit, ...]:
        registry, path = self._part("registry"), self._part("repository")
        if self._text("registry"):
            return (*_set(registry, repository.host), *_set(path, repository.path))
        return _set(path, repository)


def is_split(cursor: Cursor) -> bool:
    """Tell whether a value is a mapping that names a repository."""
    return bool(cursor.text("repository"))


def _set(found: Cursor | None, value: str | None) -> tuple[Edit, ...]:
    return (SetScalar(found, value),) if found is not None and value is not None else ()
