"""What is measured: an image in the engine, with the model's files where it expects them."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.model import BuiltImage, Descriptor
from pipeline.reference import Digest
from stages.models.fetch import fetch
from stages.models.interface import Files
from stages.models.registry_layers import RegistryLayers
from stages.servers.archive import for_engine, load_application
from stages.servers.engine import EngineFacts
from stages.servers.leftovers import owned_tag
from stages.servers.mounts import Mount
from stages.servers.site import Site
from stages.servers.volume import VolumeMount
from stages.servers.weights import place_weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """An image that the engine has, under a name that it can be run by."""

    image: str
    """Its name in the engine."""
    name: str
    """What it is called elsewhere, without registry and path: a server may call its model the same."""
    digest: Digest
    mounts: Sequence[Mount | VolumeMount] = ()
    """The weights, where the image in the engine is without them."""
    with_weights: bool = False
    """It has weights, mounted or in its own layers."""
    application_layers: Sequence[Descriptor] = ()
    """As a registry has them, compressed; nothing where only the engine knows the image."""
    weights_layers: Sequence[Descriptor] = ()


def place(
    image: BuiltImage, facts: EngineFacts, site: Site, files: Files | None, registries: RegistryLayers | None
) -> Subject:
    """Put what was built into the engine until the stage ends, its weights beside it.

    Raises:
        StageFailed: the image is for other platforms, or the engine refuses it, or a file is gone.
        DiskFull: there is no room for it.
    """
    layers = fetch(image.weights, files, site.desk, registries)
    application = load_application(image, facts, site.engine, site.desk, owned_tag(site.name, site.owner))
    return Subject(
        image=application,
        name=image.name.rpartition("/")[2],
        digest=image.digest,
        mounts=place_weights(image.as_mounted(layers), application, site),
        with_weights=bool(image.weights),
        application_layers=for_engine(image, facts).application_layers,
        weights_layers=tuple(layer.descriptor for layer in image.weights),
    )
