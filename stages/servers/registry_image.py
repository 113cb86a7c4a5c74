"""An image in a registry, brought into the engine: what is on this machine already is not pulled again."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pipeline.desk import Desk
from pipeline.errors import RemoteError
from pipeline.model import Descriptor, ModelLayer
from pipeline.reference import Digest, Reference, Tag
from stages.full_disk import full_disk_named
from stages.oci.distribution import RepositoryClient
from stages.oci.image_platforms import ImagePlatform, platforms_of
from stages.oci.layout import Layout
from stages.registries.connections import Registries, client, connect
from stages.registries.readiness import explained
from stages.servers.engine import EngineFacts
from stages.servers.found import Near, for_engine, load, short_name
from stages.servers.site import Site
from stages.servers.subject import Subject
from stages.servers.unpacking import unpack
from stages.servers.weights import place_weights


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryImage:
    """An image that a registry holds under a digest, and the weights' own beside it where there is one."""

    application: Reference
    registries: Registries
    model: Reference | None = None

    @property
    def name(self) -> str:
        """The reference."""
        return str(self.application)

    @property
    def digests(self) -> tuple[Digest, ...]:
        """The application's, and that of the weights' own image where there is one."""
        both = (self.application, self.model)
        return tuple(each.digest for each in both if each is not None and each.digest is not None)

    def place(self, near: Near, facts: EngineFacts, site: Site) -> Subject:
        """Pull what is not here, load the application, and put the weights beside it."""
        layout = Layout.create(site.desk.folder / "image")
        store = _Store(near, layout, site.desk)
        with full_disk_named("there is no room left for the deployed image", f"Free some of {layout.path}."):
            with opened(self.application, self.registries, site.desk) as reader:
                one = for_engine(self.name, _read(reader, self.application), facts)
                store.pull(one.application_layers, reader)
                weights = store.weights(one, reader)
            if self.model is not None and near.mounted_at is not None:
                with opened(self.model, self.registries, site.desk) as reader:
                    apart = store.weights(_read(reader, self.model)[0], reader)
                weights += tuple(each.model_copy(update={"path": near.mounted_at}) for each in apart)
        loaded = load(self.application.name, one, one.application_layers, layout, facts, site)
        return Subject(
            image=loaded,
            name=short_name(self.application.name),
            digest=self.digests[0],
            mounts=place_weights(weights, loaded, site),
            with_weights=bool(weights),
            application_layers=one.application_layers,
            weights_layers=tuple(each.descriptor for each in weights),
        )


@dataclass(frozen=True, slots=True)
class _Store:
    """What is pulled, and what is near: each blob comes once."""

    near: Near
    layout: Layout
    desk: Desk

    def pull(self, layers: Sequence[Descriptor], reader: RepositoryClient) -> None:
        """Put layers into the layout."""
        near = self.near.layout
        here = [each for each in layers if near is not None and near.has(each.digest)]
        missing = [each for each in layers if each not in here and not self.layout.has(each.digest)]
        for layer in here:
            assert near is not None  # noqa: S101 - it has the layer
            self.layout.take(near, layer.digest)
        if missing:
            self._say(missing, "the deployed image's application")
        for layer in missing:
            self._fetch(layer, reader)

    def _fetch(self, layer: Descriptor, reader: RepositoryClient) -> None:
        written = reader.retries.run(
            lambda: self.layout.write(reader.stream_blob(layer.digest), layer.media_type),
            reader.transport.stopped,
            self.desk.say,
        )
        if written.digest != layer.digest:
            raise RemoteError(f"{reader.repository} sent other bytes for {layer.digest}")

    def weights(self, one: ImagePlatform, reader: RepositoryClient) -> tuple[ModelLayer, ...]:
        """Return the layers of weights with their files on this machine; those that are near are shared."""
        near = {each.descriptor.digest: each for each in self.near.weights}
        found = one.weights_layers
        if missing := [each for each in found if each.digest not in near]:
            self._say(missing, "the deployed weights")
        return tuple(
            near[each.digest].model_copy(update={"path": one.model_layers[each.digest]})
            if each.digest in near
            else self._unpacked(each, one.model_layers[each.digest], reader)
            for each in found
        )

    def _unpacked(self, layer: Descriptor, path: str, reader: RepositoryClient) -> ModelLayer:
        folder = self.desk.folder / "weights" / layer.digest.encoded
        return reader.retries.run(
            lambda: unpack(reader.stream_blob(layer.digest), layer, path, folder),
            reader.transport.stopped,
            self.desk.say,
        )

    def _say(self, layers: Sequence[Descriptor], what: str) -> None:
        self.desk.say(f"pulling {sum(each.size_bytes for each in layers) / 1e6:.1f} MB of {what}")


@contextlib.contextmanager
def opened(reference: Reference, registries: Registries, desk: Desk) -> Iterator[RepositoryClient]:
    """Lend a client that reads where an image is."""
    repository = reference.repository
    registry = registries.of(repository)
    with contextlib.closing(connect(registry, desk)) as transport, explained(registry, repository):
        yield replace(client(repository, registry, transport, desk), actions="pull")


def _read(reader: RepositoryClient, reference: Reference) -> tuple[ImagePlatform, ...]:
    found = reader.read_manifest(reference.digest or reference.tag or Tag("latest"))
    if found is None:
        raise RemoteError(f"{reference}: its registry does not have it any more")

    def read(one: Descriptor) -> bytes:
        if "manifest" not in one.media_type and "index" not in one.media_type:
            return reader.read_blob(one.digest)
        inner = reader.read_manifest(one.digest)
        if inner is None:
            raise RemoteError(f"{reader.repository} lacks {one.digest}, a platform of {reference}")
        return inner[1]

    return platforms_of(str(reference), *found, read)
