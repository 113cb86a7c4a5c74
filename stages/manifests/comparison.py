"""Compares rendered documents before and after an edit: the image may differ, and what is made of it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pipeline.reference import Reference, Repository
from stages.manifests.interface import NewImage
from stages.manifests.rewriting import Token, hashed_alike, is_rewritten, tokens

Way = tuple[str | int, ...]
_IMAGE_KEYS = frozenset({"image", "reference", "storageUri", "modelUri", "uri"})
_LABELS = frozenset({"labels", "matchLabels", "selector"})
_LABEL_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_GENERATED_NAME = re.compile(r"-[2456789bcdfghkmt]{10}$")
_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*://")
_SHOWN = 200


class _Absent:
    """What stands at a way that only one side has."""

    def __repr__(self) -> str:
        return "(nothing)"


ABSENT = _Absent()


@dataclass(frozen=True, slots=True)
class Intent:
    """An image that the edit replaces, by whichever of its names, and the new one."""

    repositories: frozenset[Repository]
    image: NewImage


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that is not what it was."""

    document: str
    way: Way
    old: object
    new: object

    @property
    def is_image(self) -> bool:
        """Tell whether the value's key says that it is an image."""
        key = next((str(part) for part in reversed(self.way) if isinstance(part, str)), "")
        return key in _IMAGE_KEYS or key.endswith("Image")

    @property
    def is_label(self) -> bool:
        """Tell whether the value is that of a label, which Kubernetes has rules for."""
        return len(self.way) > 1 and self.way[-2] in _LABELS

    def is_same_change(self, other: "Difference") -> bool:
        """Tell whether another difference is the same change of the same key, maybe at another place."""
        if not self.way or not other.way:
            return False
        return (self.way[-1], self.old, self.new) == (other.way[-1], other.old, other.new)

    @property
    def place(self) -> str:
        """Document and way."""
        return f"{self.document} {dotted(self.way)}"

    @property
    def was(self) -> str:
        """The value before, for people."""
        return self._shown(self.old)

    @property
    def now(self) -> str:
        """The value after, for people."""
        return self._shown(self.new)

    def _shown(self, value: object) -> str:
        """Return a value for people, unless it is nobody's business."""
        return "(secret)" if self.document.startswith("Secret") and value is not ABSENT else _shown(value)

    def __str__(self) -> str:
        return f"{self.place}: {self.was} -> {self.now}"


@dataclass(slots=True)
class Comparison:
    """What differs, sorted by whether the edit was to do that."""

    documents: int = 0
    changed: list[tuple[object, object]] = field(default_factory=list)
    """Documents that differ, before and after."""
    images: list[Difference] = field(default_factory=list)
    """The image itself."""
    derived: list[Difference] = field(default_factory=list)
    """Values that are made of the image's tag or digest, and follow it."""
    edited: list[Difference] = field(default_factory=list)
    """What the edit itself sets beside the image, such as the part of the requests that it gets."""
    foreign: list[Difference] = field(default_factory=list)
    """What has nothing to do with the image: the edit is wrong."""
    bad_labels: list[Difference] = field(default_factory=list)
    """Labels that Kubernetes took before and takes no more."""


def compare(  # noqa: PLR0913 - two sides, and what explains how they differ
    before: Sequence[object],
    after: Sequence[object],
    intents: Sequence[Intent],
    edited: Sequence[tuple[str, str]] = (),
    *,
    ignored: frozenset[tuple[str, Way]] = frozenset(),
    own: Sequence[Difference] = (),
) -> Comparison:
    """Return what differs between documents; `edited` are the scalars that the edit set, old and new.

    `ignored` are values that differ from one rendering to the next by themselves; `own` is what differs in
    the edited files themselves.
    """
    found = Comparison(documents=len(after))
    all_differences: list[Difference] = []
    for old, new in _paired(before, after):
        differences = [one for one in differing(old, new) if (one.document, one.way) not in ignored]
        if differences:
            found.changed.append((old, new))
        all_differences += differences
    rest: list[Difference] = []
    for one in all_differences:
        (found.images if _is_intended(one, intents) else rest).append(one)
    replaced = [(str(one.old), str(one.new)) for one in found.images]
    known = tokens((*edited, *replaced), [intent.image for intent in intents])
    for one in rest:
        if any(one.is_same_change(other) for other in own):
            found.edited.append(one)
        else:
            (found.derived if _is_derived(one, known) else found.foreign).append(one)
    found.bad_labels = [one for one in found.derived if _breaks_label(one)]
    return found


def differing(old: object, new: object) -> list[Difference]:
    """Return every value in which two documents differ."""
    name = describe(new if old is ABSENT else old)
    return [Difference(name, way, was, now) for way, was, now in _walk(old, new, ())]


def names_anywhere(documents: Sequence[object], repositories: frozenset[Repository]) -> bool:
    """Tell whether a value of the documents is a reference of one of these repositories."""
    todo: list[object] = list(documents)
    while todo:
        one = todo.pop()
        if isinstance(one, dict):
            todo += one.values()
        elif isinstance(one, list):
            todo += one
        elif (found := _reference(one)) is not None and found.repository in repositories:
            return True
    return False


def describe(document: object) -> str:
    """Return kind and name of a document, for people."""
    if not isinstance(document, dict):
        return "a document"
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return f"{document.get('kind') or 'a document'}{f'/{name}' if name else ''}"


def dotted(way: Way) -> str:
    """Return a way as people write it."""
    text = ""
    for part in way:
        if isinstance(part, int):
            text += f"[{part}]"
        elif re.fullmatch(r"[\w-]+", part):
            text += f".{part}" if text else part
        else:
            text += f'["{part}"]'
    return text or "(whole)"


def _walk(old: object, new: object, way: Way) -> Iterator[tuple[Way, object, object]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys((*old, *new)):
            yield from _walk(old.get(key, ABSENT), new.get(key, ABSENT), (*way, str(key)))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _walk(one, other, (*way, index))
    elif type(old) is not type(new) or old != new:
        yield way, old, new


def _paired(before: Sequence[object], after: Sequence[object]) -> Iterator[tuple[object, object]]:
    """Pair documents by kind, namespace and name; then, as a name may hold the tag, by kind in order."""
    left: list[object] = []
    todo = list(after)
    for one in before:
        match = next((other for other in todo if _identity(other) == _identity(one)), ABSENT)
        if match is ABSENT:
            left.append(one)
        else:
            todo.remove(match)
            yield one, match
    for one in left:
        match = next((other for other in todo if _identity(other)[:3] == _identity(one)[:3]), ABSENT)
        if match is not ABSENT:
            todo.remove(match)
        yield one, match
    for other in todo:
        yield ABSENT, other


def _identity(document: object) -> tuple[str, str, str, str]:
    if not isinstance(document, dict):
        return "", "", "", ""
    metadata = document.get("metadata")
    named = metadata if isinstance(metadata, dict) else {}
    name = _GENERATED_NAME.sub("", str(named.get("name", "")))
    kind = str(document.get("kind", ""))
    return str(document.get("apiVersion", "")), kind, str(named.get("namespace", "")), name


def _is_intended(one: Difference, intents: Sequence[Intent]) -> bool:
    """Tell whether a value was the image, by one of its names, and is the new image now."""
    old, new = _reference(one.old), _reference(one.new)
    if old is None or new is None:
        return False
    return any(old.repository in intent.repositories and names(new, intent.image) for intent in intents)


def names(reference: Reference, image: NewImage) -> bool:
    """Tell whether a reference is the image's, by its tag, its digest, or both."""
    tag, digest = reference.tag, reference.digest
    return (
        reference.repository == image.repository
        and (tag is not None or digest is not None)
        and tag in {None, image.tag}
        and digest in {None, image.digest}
    )


def _reference(value: object) -> Reference | None:
    if not isinstance(value, str):
        return None
    try:
        return Reference.parse(_SCHEME.sub("", value))
    except ValueError:
        return None


def _is_derived(one: Difference, known: Sequence[Token]) -> bool:
    if one.is_image and _reference(one.new) is not None:
        return False  # another image, or ours by a tag that was never pushed
    if one.new is ABSENT or isinstance(one.new, dict | list):
        return False
    if one.old is ABSENT:
        return any(str(one.new) == token.new for token in known)
    if isinstance(one.old, dict | list):
        return False
    return is_rewritten(str(one.old), str(one.new), known) or hashed_alike(
        dotted(one.way), str(one.old), str(one.new)
    )


def _breaks_label(one: Difference) -> bool:
    return one.is_label and not _is_label_value(one.new) and (one.old is ABSENT or _is_label_value(one.old))


def _is_label_value(value: object) -> bool:
    return isinstance(value, str) and _LABEL_VALUE.fullmatch(value) is not None


def _shown(value: object) -> str:
    text = repr(value) if isinstance(value, dict | list) else str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
