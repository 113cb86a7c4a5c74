"""The image that was built just now, as one that can be measured."""

from dataclasses import dataclass

from pipeline.desk import Desk
from pipeline.model import BuiltImage
from pipeline.reference import Digest
from stages.models.fetch import fetch
from stages.models.interface import Files
from stages.models.registry_layers import RegistryLayers
from stages.oci.layout import Layout
from stages.servers.engine import EngineFacts
from stages.servers.found import Near
from stages.servers.site import Site
from stages.servers.subject import Subject, place


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltHere:
    """An image in this run's layout, and where its weights come from."""

    image: BuiltImage
    files: Files | None
    registries: RegistryLayers | None

    @property
    def name(self) -> str:
        """Its name and its digest."""
        return f"{self.image.name}@{self.image.digest}"

    @property
    def digests(self) -> tuple[Digest, ...]:
        """The application's, and that of the weights' own image where there is one."""
        own = self.image.model_image
        return (self.image.digest, *([own.digest] if own is not None else []))

    def place(self, near: Near, facts: EngineFacts, site: Site) -> Subject:
        """Put it into the engine until the stage ends, its weights beside it."""
        del near
        return place(self.image, facts, site, self.files, self.registries)

    def near(self, desk: Desk) -> Near:
        """Return what another image may share with it."""
        own = self.image.model_image
        return Near(
            layout=Layout.open(self.image.layout),
            weights=fetch(self.image.weights, self.files, desk, self.registries),
            mounted_at=own.mounted_at if own is not None else None,
        )
