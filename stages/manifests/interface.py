"""What a form of manifest must answer: which documents it knows, and which images they name where."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from pipeline.reference import Digest, Reference, Repository, Tag
from stages.manifests.cursor import Cursor
from stages.manifests.yaml_editing import Edit

ANY_IMAGE = "*"
"""The name of a place that holds parts without a name, which the target itself points to."""
NOTHING_YET = ":none-yet"
"""What stands for a tag where nothing was ever deployed."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Which part of the requests goes to the image that was delivered last; the rest goes to the one before.

    deliver: the image changes, and gets this part; shift: it stands there already, and gets this part;
    rollback: another image comes back, and what was under way gets nothing more.
    """

    percent: int
    step: Literal["deliver", "shift", "rollback"] = "deliver"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A file or folder whose image is to be changed; `image` names the one that the pushed image replaces.

    Without `image` it is the pushed repository's own, in whichever spelling. With it, that one is found too:
    the second delivery finds what the first one has replaced.
    """

    path: str
    image: str | None = None
    form: str | None = None
    """Only this form of manifest, by its name."""
    kind: str | None = None
    """Only documents of this kind."""
    name: str | None = None
    """Only documents with this `metadata.name`."""
    namespace: str | None = None
    """Only documents in this namespace, or, where none states it, those that state none."""
    container: str | None = None
    """Only the container of this name."""
    field: str | None = None
    """Path of the scalar, or of the mapping of repository, tag and digest: `a.b[0]["key.with.dots"]`."""
    marker: str | None = None
    """Only scalars that carry Flux's marker of this policy, `namespace:policy`."""
    tag_parameter: str | None = None
    """Name of the Helm parameter of an Argo CD Application that holds the tag."""
    digest_parameter: str | None = None
    """Name of the Helm parameter of an Argo CD Application that holds the digest."""
    traffic: Traffic | None = None
    """None: the image changes, and who gets it is none of our business."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewImage:
    """The image that a manifest shall name: what was pushed, wherever the manifest had it from before."""

    repository: Repository
    tag: Tag
    digest: Digest | None = None
    """None: only a tag is known, which no place accepts that is pinned by a digest."""


def hints(target: Target) -> frozenset[str]:
    """Return which hints a target gives that not every form follows."""
    given = {"container": target.container, "field": target.field, "marker": target.marker}
    given["parameters"] = target.tag_parameter or target.digest_parameter
    return frozenset(name for name, value in given.items() if value is not None)


class Place(Protocol):
    """One place of a document that names an image."""

    @property
    def at(self) -> Cursor:
        """The value in the document, for its path and its line."""
        ...

    @property
    def name(self) -> str:
        """The image's name as it is deployed and as it is spelled, without tag and digest."""
        ...

    @property
    def current(self) -> str:
        """The whole reference that the place says now."""
        ...

    def edits(self, image: NewImage) -> tuple[Edit, ...]:
        """Return the scalars to set and to add, so that the place names this repository, tag and digest.

        A name that is another spelling of the repository stays as it is.
        """
        ...


@runtime_checkable
class InContainer(Protocol):
    """A place that belongs to a container or a volume with a name."""

    @property
    def container(self) -> str:
        """The name; empty where it has none."""
        ...


@runtime_checkable
class Addressed(Protocol):
    """A place that the target points to, of which only the new image tells what it names now."""

    def standing(self, image: NewImage) -> str:
        """Return the whole reference that stands there for this image; a made-up tag where none does."""
        ...


class Form(Protocol):
    """A kind of manifest."""

    @property
    def name(self) -> str:
        """What users write as `form:` and read in lists: one short word, such as kustomize or helm."""
        ...

    @property
    def understands(self) -> frozenset[str]:
        """Which of the target's hints `container`, `field`, `marker`, `parameters` the form follows.

        A target that gives another one of these is not for this form; the engine sees to it.
        """
        ...

    def recognises(self, document: Cursor, target: Target) -> bool:
        """Tell by its content, or because the target says so, whether a document has this form.

        `document` may also be an item of a `kind: List`: ask `document.kind()`. The first form that
        recognises a document has it to itself. The engine has looked at the target's form, kind, name and
        namespace before it asks.
        """
        ...

    def places(self, document: Cursor, target: Target) -> Iterable[Place]:
        """Return every place at which the document names an image, without those that the target excludes.

        `container` need not be looked at: the engine keeps the places that say they are `InContainer`.
        """
        ...


def completed(place: Place, image: NewImage) -> str:
    """Return the reference of a place; where it holds parts alone, the new image has the name."""
    if place.name != ANY_IMAGE:
        return place.current
    return f"{image.repository}{place.current or NOTHING_YET}"


def same_image(place: Place, wanted: Repository) -> bool:
    """Tell whether a place names exactly this image, in whichever spelling."""
    if place.name == ANY_IMAGE:
        return True
    try:
        reference = Reference.parse(place.name)
    except ValueError:
        return False
    return reference.tag is None and reference.digest is None and reference.repository == wanted
