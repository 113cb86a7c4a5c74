"""An image in parts: a mapping of `repository`, `tag` and `digest`, and of `registry` where it is apart."""

from dataclasses import dataclass

from pipeline.reference import Repository
from stages.manifests.cursor import Cursor
from stages.manifests.interface import NewImage, same_image
from stages.manifests.yaml_editing import AddKey, Edit, SetScalar


@dataclass(frozen=True, slots=True)
class SplitReference:
    """A mapping that holds the parts of a reference, as Helm's values have it.

    `tag` and `digest` are set where they are. Without a digest the tag becomes `TAG@DIGEST`; without
    either, the tag is added below the repository. A digest alone stays alone.
    """

    at: Cursor

    @property
    def name(self) -> str:
        """Registry and repository together."""
        registry, repository = self.at.text("registry"), self.at.text("repository") or ""
        return f"{registry.rstrip('/')}/{repository}" if registry else repository

    @property
    def current(self) -> str:
        """The reference that the parts make together."""
        tag, digest = self.at.text("tag"), self.at.text("digest")
        return f"{self.name}{f':{tag}' if tag else ''}{f'@{digest}' if digest else ''}"

    def edits(self, image: NewImage) -> tuple[Edit, ...]:
        """Return the edits of the parts; another spelling of the repository is kept."""
        name = () if same_image(self, image.repository) else self._renamed(image.repository)
        tag, digest = self.at.get("tag"), self.at.get("digest")
        whole_tag = f"{image.tag}@{image.digest}" if image.digest is not None else image.tag
        if tag is None and digest is None:
            return (*name, AddKey(self.at, "tag", whole_tag, "repository"))
        if digest is None:
            return (*name, *_set(tag, whole_tag))
        return (*name, *_set(tag, image.tag), *_set(digest, image.digest))

    def _renamed(self, repository: Repository) -> tuple[Edit, ...]:
        registry, path = self.at.get("registry"), self.at.get("repository")
        if self.at.text("registry"):
            return (*_set(registry, repository.host), *_set(path, repository.path))
        return _set(path, repository)


def is_split(cursor: Cursor) -> bool:
    """Tell whether a value is a mapping that names a repository."""
    return bool(cursor.text("repository"))


def _set(found: Cursor | None, value: str | None) -> tuple[Edit, ...]:
    return (SetScalar(found, value),) if found is not None and value is not None else ()
