"""Helm parameters of an Argo CD Application: items of `name` and `value` that make a reference together."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from stages.manifests.cursor import Cursor
from stages.manifests.helm_values import is_image_key
from stages.manifests.interface import ANY_IMAGE, NewImage, Place, Target, completed, same_image
from stages.manifests.refusal import refusal
from stages.manifests.split_reference import SplitReference
from stages.manifests.whole_reference import image_at
from stages.manifests.yaml_editing import AddItem, AddKey, Edit, SetScalar

# what `helm --set` takes for something else than a string; numbers with a point or an exponent it does not
_NOT_A_STRING = re.compile(r"0|[1-9][0-9]*|true|false|null", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Parameters(SplitReference):
    """The parameters whose names begin with a prefix; tag and digest may have names of their own.

    One of these that is missing is added to the list's end.
    """

    tag_name: str = ""
    digest_name: str = ""

    @property
    def name(self) -> str:
        """Registry and repository together; any image where no parameter names a repository."""
        registry, repository = self._text("registry"), self._text("repository")
        if repository is None:
            return ANY_IMAGE
        return f"{registry.rstrip('/')}/{repository}" if registry else repository

    @property
    def current(self) -> str:
        """The reference that the parameters make together."""
        name, tag, digest = self.name, self._text("tag"), self._text("digest")
        named = "" if name == ANY_IMAGE else name
        return f"{named}{f':{tag}' if tag else ''}{f'@{digest}' if digest else ''}"

    def standing(self, image: NewImage) -> str:
        """Return the reference, with the image's own name where no parameter has it."""
        return completed(self, image)

    def edits(self, image: NewImage) -> tuple[Edit, ...]:
        """Return the edits of the values; without a parameter for the digest the tag becomes `TAG@DIGEST`.

        Raises:
            ConfigurationError: Helm would take a value for a number.
        """
        name = () if same_image(self, image.repository) else self._renamed(image.repository)
        apart = bool(self.digest_name) or self._part("digest") is not None
        alone = apart and not self.tag_name and self._part("tag") is None
        whole = image.tag if apart or image.digest is None else f"{image.tag}@{image.digest}"
        tag = () if alone else (self._put("tag", whole),)
        digest = (self._put("digest", image.digest),) if apart and image.digest is not None else ()
        return (*name, *tag, *digest)

    def _put(self, key: str, value: str) -> Edit:
        item, name = self._item(key), self._name_of(key)
        if item is None:
            return AddItem(self.at, (("name", name), ("value", value), ("forceString", True)))
        if _NOT_A_STRING.fullmatch(value) and item.text("forceString") != "true":
            raise refusal(
                item.document.path,
                item.node.line,
                f"{item.path} would be {value}, which Helm takes for something else than a string",
                advice=f"Write `forceString: true` into the parameter {name} once.",
            )
        found = item.get("value")
        return SetScalar(found, value) if found is not None else AddKey(item, "value", value)

    def _part(self, key: str) -> Cursor | None:
        item = self._item(key)
        return item.get("value") if item is not None else None

    def _item(self, key: str) -> Cursor | None:
        return next((item for item in self.at.items() if item.text("name") == self._name_of(key)), None)

    def _name_of(self, key: str) -> str:
        return {"tag": self.tag_name, "digest": self.digest_name}.get(key) or f"{self.prefix}{key}"


def parameter_places(parameters: Cursor, target: Target, *, complete: bool = False) -> Iterator[Place]:
    """Return the images that parameters make; with the target's names only the one they stand for.

    `complete` says that parameters which the target names are added where they are missing.
    """
    names = tuple(item.text("name") or "" for item in parameters.items())
    if target.tag_parameter is not None or target.digest_parameter is not None:
        tag, digest = target.tag_parameter or "", target.digest_parameter or ""
        if complete or {tag, digest} & {*names}:
            yield Parameters(parameters, _prefix(tag or digest), tag, digest)
        return
    for name in names:
        if name.rpartition(".")[2] == "repository":
            yield Parameters(parameters, name.removesuffix("repository"))
    for item in parameters.items():
        if is_image_key(item.text("name") or ""):
            yield from image_at(item.get("value"))


def _prefix(name: str) -> str:
    return name[: name.rfind(".") + 1]
