"""Argo CD: Applications and ApplicationSets, and the files that override an Application's parameters."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from pipeline.errors import ManifestRefused
from pipeline.reference import Reference
from stages.manifests.cursor import Cursor
from stages.manifests.embedded import embedded
from stages.manifests.helm_values import images_in_values
from stages.manifests.interface import ANY_IMAGE, NOTHING_YET, NewImage, Place, Target, hints, same_image
from stages.manifests.kustomize import inline_patches
from stages.manifests.parameters import parameter_places
from stages.manifests.refusal import refusal
from stages.manifests.whole_reference import WholeReference
from stages.manifests.yaml_editing import AddItem, AddList, Edit, SetScalar
from stages.manifests.yaml_tree import MappingNode, SequenceNode, text_of

_SPEC_AT = {"Application": ("spec",), "ApplicationSet": ("spec", "template", "spec")}
_OVERRIDE = re.compile(r"\.argocd-source(-.+)?\.ya?ml")
_TEXT = "sets an image inside of a text"
_TEXT_ADVICE = "Move what stands in `values:` into `valuesObject:` beside it: the same as YAML, not text."


@dataclass(frozen=True, slots=True)
class ArgoCD:
    """An Application, an ApplicationSet, or a file `.argocd-source-<app>.yaml` beside the manifests."""

    name: ClassVar[str] = "argocd"
    understands: ClassVar[frozenset[str]] = frozenset({"parameters"})

    def recognises(self, document: Cursor, target: Target) -> bool:
        """Tell whether the document is one of these."""
        group, kind = document.kind()
        return (group == "argoproj.io" and kind in _SPEC_AT) or _is_override(document)

    def places(self, document: Cursor, target: Target) -> Iterator[Place]:
        """Return the images of every source: of Helm's parameters and values, and of Kustomize's images."""
        if _is_override(document):
            yield from _override(document, target)
            return
        spec = document.at(*_SPEC_AT[document.kind()[1]])
        if spec is None:
            return
        source = spec.get("source")
        sources = (*((source,) if source is not None else ()), *spec.list_at("sources"))
        if hints(target) and not any(_has_parameter(one, target) for one in sources):
            raise _no_parameter(spec, sources, target)
        for one in sources:
            yield from _source(one, target)


@dataclass(frozen=True, slots=True)
class KustomizeImage:
    """An entry of `kustomize.images`: `name=new-name:tag@digest`, or without what stands before `=`.

    Kustomize 5.3 and later take a tag and a digest together (`kustomize edit set image`, which Argo CD runs).
    """

    at: Cursor

    @property
    def replaced(self) -> str:
        """The name that the entry replaces, which stays."""
        before, equals, _ = self._text.partition("=")
        return before if equals else self.name

    @property
    def name(self) -> str:
        """The name that is deployed."""
        return WholeReference(self.at, self._before).name

    @property
    def current(self) -> str:
        """The reference that is deployed."""
        return self._text.removeprefix(self._before)

    def edits(self, image: NewImage) -> tuple[Edit, ...]:
        """Return the edit of what stands behind `=`, or behind the name where that is deployed itself."""
        same = same_image(self, image.repository)
        before = self._before if same or self._before else f"{self.name}="
        return (SetScalar(self.at, f"{before}{_reference(self.name if same else image.repository, image)}"),)

    @property
    def _text(self) -> str:
        return text_of(self.at.node) or ""

    @property
    def _before(self) -> str:
        before, equals, _ = self._text.partition("=")
        return f"{before}{equals}" if equals else ""


@dataclass(frozen=True, slots=True)
class OverriddenImages:
    """The images of an override file, whichever it names: without ours the list gets one at its end.

    `at` is the list; where there is none, the mapping that gets one below `new_keys`.
    """

    at: Cursor
    replaces: str | None
    """The image's name in the manifests, as the target has it."""
    new_keys: tuple[str, ...] = ()

    name: ClassVar[str] = ANY_IMAGE

    @property
    def current(self) -> str:
        """All entries."""
        return ", ".join(text_of(item.node) or "" for item in self.at.items())

    def standing(self, image: NewImage) -> str:
        """Return what our entry deploys."""
        ours = self._ours(image)
        return ours[0].current if ours else f"{image.repository}{NOTHING_YET}"

    def edits(self, image: NewImage) -> tuple[Edit, ...]:
        """Return the edit of the entry that is ours, or the new entry."""
        ours = self._ours(image)
        if ours:
            return tuple(edit for entry in ours for edit in entry.edits(image))
        before = f"{self.replaces}=" if self.replaces and not _same(self.replaces, image.repository) else ""
        entry = f"{before}{_reference(image.repository, image)}"
        return (AddList(self.at, self.new_keys, entry) if self.new_keys else AddItem(self.at, entry),)

    def _ours(self, image: NewImage) -> tuple[KustomizeImage, ...]:
        entries = map(KustomizeImage, self.at.items())
        return tuple(entry for entry in entries if self._is_ours(entry, image))

    def _is_ours(self, entry: KustomizeImage, image: NewImage) -> bool:
        wanted = self.replaces or image.repository
        return _same(entry.replaced, wanted) or same_image(entry, image.repository)


def _is_override(document: Cursor) -> bool:
    return _OVERRIDE.fullmatch(document.document.path.rpartition("/")[2]) is not None


def _override(document: Cursor, target: Target) -> Iterator[Place]:
    if target.tag_parameter is not None or target.digest_parameter is not None:
        parameters = _list(document, ("helm", "parameters"), "- {name: …, value: …}")
        yield from parameter_places(parameters, target, complete=True)
    elif document.at("kustomize", "images") is None and document.at("helm", "parameters") is not None:
        yield from parameter_places(_list(document, ("helm", "parameters"), "…"), target)
    else:
        yield _overridden_images(document, target)


def _overridden_images(document: Cursor, target: Target) -> OverriddenImages:
    kustomize = document.get("kustomize")
    # Argo CD takes no source that has both Helm's and Kustomize's settings
    if kustomize is None and document.get("helm") is None and isinstance(document.node, MappingNode):
        return OverriddenImages(document, target.image, ("kustomize", "images"))
    if kustomize is not None and isinstance(kustomize.node, MappingNode) and kustomize.get("images") is None:
        return OverriddenImages(kustomize, target.image, ("images",))
    return OverriddenImages(_list(document, ("kustomize", "images"), "- name=new-name:tag"), target.image)


def _list(document: Cursor, keys: tuple[str, str], item: str) -> Cursor:
    found = document.at(*keys)
    if found is None or not isinstance(found.node, SequenceNode):
        raise refusal(
            document.document.path,
            (found or document).node.line,
            f"has no list {'.'.join(keys)}",
            advice=f"Add it once, with any entry:\n{keys[0]}:\n  {keys[1]}:\n  {item}",
        )
    return found


def _parameter_names(source: Cursor) -> tuple[str, ...]:
    parameters = source.at("helm", "parameters")
    return tuple(item.text("name") or "" for item in parameters.items()) if parameters is not None else ()


def _has_parameter(source: Cursor, target: Target) -> bool:
    return bool({target.tag_parameter, target.digest_parameter} & {*_parameter_names(source)})


def _no_parameter(spec: Cursor, sources: tuple[Cursor, ...], target: Target) -> ManifestRefused:
    wanted = " or ".join(name for name in (target.tag_parameter, target.digest_parameter) if name)
    there = ", ".join(name for source in sources for name in _parameter_names(source))
    return refusal(
        spec.document.path,
        spec.node.line,
        f"has no Helm parameter {wanted}; it has: {there or 'none'}",
        advice="Correct `parameters:` of the target, or add the parameter once.",
    )


def _source(source: Cursor, target: Target) -> Iterator[Place]:
    parameters, values = source.at("helm", "parameters"), source.at("helm", "valuesObject")
    if parameters is not None:
        yield from parameter_places(parameters, target)
    if target.tag_parameter is not None or target.digest_parameter is not None:
        return
    if values is not None:
        yield from images_in_values(values)
    text = source.at("helm", "values")
    yield from embedded(text, images_in_values, problem=_TEXT, advice=_TEXT_ADVICE)
    kustomize = source.get("kustomize")
    if kustomize is not None and isinstance(kustomize.node, MappingNode):
        for item in kustomize.list_at("images"):
            if text_of(item.node):
                yield KustomizeImage(item)
        yield from inline_patches(kustomize)


def _reference(name: str, image: NewImage) -> str:
    return f"{name}:{image.tag}{f'@{image.digest}' if image.digest is not None else ''}"


def _same(one: str, other: str) -> bool:
    try:
        return Reference.parse(one).repository == Reference.parse(other).repository
    except ValueError:
        return one == other
