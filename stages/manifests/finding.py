"""Finds the places of files that name an image, as far as a target's hints let them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.errors import ConfigurationError
from stages.manifests.cursor import Cursor
from stages.manifests.forms import FORMS
from stages.manifests.interface import Form, InContainer, Place, Target, hints
from stages.manifests.rollouts import workload_of
from stages.manifests.yaml_editing import YamlFile

_BY_FIELD = tuple(form for form in FORMS if "field" in form.understands)


@dataclass(frozen=True, slots=True)
class Resource:
    """One document of a file, or one item of a document that is a list."""

    file: YamlFile
    root: Cursor

    @property
    def kind(self) -> str:
        """Its `kind`, empty where it does not say."""
        return self.root.kind()[1]

    @property
    def name(self) -> str:
        """Its `metadata.name`, empty where it has none."""
        return self._metadata("name")

    @property
    def namespace(self) -> str:
        """Its `metadata.namespace`, empty where it has none."""
        return self._metadata("namespace")

    def _metadata(self, key: str) -> str:
        metadata = self.root.get("metadata")
        return (metadata.text(key) if metadata is not None else None) or ""

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}" if self.name else self.kind


@dataclass(frozen=True, slots=True)
class Found:
    """A place, and the resource that it stands in."""

    resource: Resource
    place: Place

    @property
    def container(self) -> str:
        """The container's name; empty where the place is in none."""
        return self.place.container if isinstance(self.place, InContainer) else ""

    def __str__(self) -> str:
        container = f"container {self.container}" if self.container else ""
        owner = str(self.resource) if self.resource.name else ""
        where = ", ".join(part for part in (owner, container, self.place.at.path) if part)
        return f"{self.resource.file.path}:{self.place.at.node.line} {self.place.current} ({where})"


def resources(files: Sequence[YamlFile]) -> Iterator[Resource]:
    """Return the documents of files, and the items of those that are lists."""
    for file in files:
        for document in file.documents:
            root = Cursor.at_root(document)
            yield Resource(file, root)
            if root.kind()[1].endswith("List"):
                yield from (Resource(file, item) for item in root.list_at("items"))


def meant(files: Sequence[YamlFile], target: Target) -> tuple[Resource, ...]:
    """Return the resources of the target's kind, name and namespace, and those that a Rollout refers to."""
    known = tuple(resources(files))
    named = tuple(resource for resource in known if _is_meant(resource, target))
    stated = tuple(resource for resource in named if resource.namespace) if target.namespace else ()
    chosen = stated or named
    referred = {found for resource in chosen if (found := workload_of(resource.root)) is not None}
    return tuple(one for one in known if one in chosen or (one.kind, one.name) in referred)


def _is_meant(resource: Resource, target: Target) -> bool:
    wanted = (target.kind, target.name, target.namespace)
    # a resource that states no namespace gets it from what applies it
    said = (resource.kind, resource.name, resource.namespace or target.namespace)
    return all(want is None or want == is_said for want, is_said in zip(wanted, said, strict=True))


def forms_for(target: Target) -> tuple[Form, ...]:
    """Return the forms that follow all of the target's hints; a `field:` is followed whatever the form.

    Raises:
        ConfigurationError: there is no such form, or it knows nothing of a hint.
    """
    named = tuple(form for form in FORMS if target.form in {None, form.name})
    if not named:
        known = ", ".join(form.name for form in FORMS)
        raise ConfigurationError(
            f"target {target.path}: there is no form {target.form!r}", advice=f"The forms are {known}."
        )
    able = tuple(form for form in (*named, *_BY_FIELD) if hints(target) <= form.understands)
    if not able:
        given = " and ".join(f"`{hint}:`" for hint in sorted(hints(target)))
        where = f"the form {target.form} does" if target.form is not None else "one form alone does"
        raise ConfigurationError(
            f"target {target.path}: {where} not know what to do with {given}",
            advice="Leave out the hint that does not fit.",
        )
    return able


def places(meant_resources: Sequence[Resource], target: Target) -> Iterator[Found]:
    """Return the places of these resources, without those in another container than the target's."""
    forms = forms_for(target)
    for resource in meant_resources:
        form = next((form for form in forms if form.recognises(resource.root, target)), None)
        for place in form.places(resource.root, target) if form is not None else ():
            found = Found(resource, place)
            if target.container in {None, found.container}:
                yield found
