"""Images that were not built here just now: in the engine's own store, or in an OCI image layout."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipeline.errors import StageFailed
from pipeline.model import Descriptor, Image, ModelLayer, PlatformImage
from pipeline.reference import Digest, Reference, Tag
from stages.oci.image_platforms import ImagePlatform, platforms_of
from stages.oci.layout import Layout, to_descriptor
from stages.servers.archive import load_application
from stages.servers.checks import runs_on
from stages.servers.engine import Engine, EngineFacts
from stages.servers.leftovers import owned_tag
from stages.servers.site import Site
from stages.servers.subject import Subject

_TAG = Tag("found")  # nothing is pushed under it


@dataclass(frozen=True, slots=True, kw_only=True)
class Near:
    """What is on this machine already, and need not be pulled."""

    layout: Layout | None = None
    weights: tuple[ModelLayer, ...] = ()
    """Layers whose files are in a folder here."""
    mounted_at: str | None = None
    """Where the application finds weights that are an image of their own."""


class FoundImage(Protocol):
    """An image that can be put into the engine."""

    @property
    def name(self) -> str:
        """How people call it: with its digest where it has one."""
        ...

    @property
    def digests(self) -> tuple[Digest, ...]:
        """The application's, and that of the weights' own image where there is one."""
        ...

    def place(self, near: Near, facts: EngineFacts, site: Site) -> Subject:
        """Put it into the engine until the stage ends.

        Raises:
            PipelineError: it is not there any more, is for other platforms, or there is no room for it.
        """
        ...


@dataclass(frozen=True, slots=True)
class EngineImage:
    """An image that the engine has under this name."""

    name: str
    digest: Digest

    @classmethod
    def find(cls, name: str, engine: Engine) -> "EngineImage | None":
        """Return the engine's image of this name; None where it has none."""
        outcome = engine.attempt("image", "inspect", "--format", "{{.Id}}", name)
        return cls(name, Digest(outcome.stdout.strip())) if outcome.succeeded else None

    @property
    def digests(self) -> tuple[Digest, ...]:
        """The one that the engine knows it by."""
        return (self.digest,)

    def place(self, near: Near, facts: EngineFacts, site: Site) -> Subject:
        """Return it as it is."""
        del near, facts, site
        return Subject(image=self.name, name=short_name(self.name), digest=self.digest)


@dataclass(frozen=True, slots=True)
class LayoutImage:
    """The only image of an OCI image layout, its weights in it."""

    path: Path
    root: Descriptor

    @classmethod
    def find(cls, path: Path) -> "LayoutImage | None":
        """Return the image of a layout; None where the path is none.

        Raises:
            StageFailed: it holds no image, or several.
        """
        if not (path / "oci-layout").is_file():
            return None
        found = {root.descriptor.digest: root.descriptor for root in Layout.open(path).roots()}
        if len(found) != 1:
            raise StageFailed(
                f"{path} holds {len(found)} images", advice="Name a layout that holds one image alone."
            )
        return cls(path, next(iter(found.values())))

    @property
    def name(self) -> str:
        """The folder and the digest."""
        return f"{self.path}@{self.root.digest}"

    @property
    def digests(self) -> tuple[Digest, ...]:
        """That of its manifest or index."""
        return (self.root.digest,)

    def place(self, near: Near, facts: EngineFacts, site: Site) -> Subject:
        """Load it into the engine, weights and all."""
        del near
        layout = Layout.open(self.path)
        every = platforms_of(
            self.name, self.root, layout.read(self.root.digest), lambda one: layout.read(one.digest)
        )
        one = for_engine(self.name, every, facts)
        loaded = load(self.path.name, one, one.layers, layout, facts, site)
        return Subject(
            image=loaded,
            name=self.path.name,
            digest=self.root.digest,
            with_weights=True,
            application_layers=one.application_layers,
            weights_layers=one.weights_layers,
        )


def for_engine(name: str, platforms: Sequence[ImagePlatform], facts: EngineFacts) -> ImagePlatform:
    """Return the platform that the engine runs.

    Raises:
        StageFailed: there is none.
    """
    for one in platforms:
        if runs_on(one.platform, facts):
            return one
    told = ", ".join(each.platform for each in platforms) or "no platform"
    raise StageFailed(f"{name} is for {told}, and the engine runs {facts.platform}")


def load(  # noqa: PLR0913, PLR0917 - what an image in an engine is made of
    name: str,
    one: ImagePlatform,
    layers: Sequence[Descriptor],
    layout: Layout,
    facts: EngineFacts,
    site: Site,
) -> str:
    """Put layers of a layout into the engine until the stage ends; return the name they have there."""
    config = to_descriptor(json.loads(one.content)["config"])
    for described, content in ((one.manifest, one.content), (config, one.config)):
        if not layout.has(described.digest):
            layout.write(content, described.media_type)
    platform = PlatformImage(
        platform=one.platform, manifest=one.manifest, config=config, application_layers=tuple(layers)
    )
    image = Image(
        name=name,
        tag=_TAG,
        digest=one.manifest.digest,
        media_type=one.manifest.media_type,
        layout=layout.path,
        platforms=(platform,),
    )
    return load_application(image, facts, site.engine, site.desk, owned_tag(site.name, site.owner))


def short_name(name: str) -> str:
    """Return an image's name without registry, path and tag."""
    return Reference.parse(name).name.rpartition("/")[2]
