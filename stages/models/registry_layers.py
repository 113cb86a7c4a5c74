"""Weights in a registry: where a model's layer is there already, its files are read out of it.

The registry that the image goes to usually stands nearer to this machine than the weights' source, and asks
nothing for what leaves it; so whoever needs the files here asks it first.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from pipeline.desk import Desk
from pipeline.errors import Interrupted, PipelineError
from pipeline.model import ModelFile, ModelLayer
from pipeline.reference import Repository
from stages.models.interface import SourceFile
from stages.models.resuming import read_resuming
from stages.oci.blob_stream import Blob, BlobStream
from stages.oci.distribution import RepositoryClient
from stages.oci.model_tar import length, pieces
from stages.oci.retries import Retries
from stages.oci.transport import Transport
from stages.oci.uploads import Monolithic
from stages.registries.connections import Registries, connect
from stages.registries.interface import Registry
from stages.registries.options import RegistryOptions

NEAR_BYTES = 1024 * 1024
"""What lies between two wanted files is rather read than asked around."""
IMPATIENT = Retries(attempts=2)  # the source has the weights too


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryLayers:
    """The repositories that may hold a model's layers, the likeliest first."""

    repositories: tuple[Repository, ...]
    insecure: tuple[str, ...] = ()
    """Hosts that may be spoken to without TLS; loopback always may."""
    options: Mapping[Repository, RegistryOptions] = field(default_factory=dict)
    """What the configuration says of a repository, such as who we are to it."""

    def open(self, desk: Desk) -> "OpenLayers":
        """Return the repositories with their connections, which are closed when the stage ends."""
        registries = Registries(repositories=self.repositories, insecure=self.insecure, options=self.options)
        logins = {registries.login_of(each): each for each in self.repositories}
        transports = {login: self._transport(registries.of(each), desk) for login, each in logins.items()}
        clients = [
            RepositoryClient(
                repository=repository,
                transport=transports[registries.login_of(repository)],
                uploads=Monolithic(),  # of no use here: nothing is written
                retries=IMPATIENT,
                actions="pull",
            )
            for repository in self.repositories
        ]
        return OpenLayers(clients, desk)

    def _transport(self, registry: Registry, desk: Desk) -> Transport:
        transport = connect(registry, desk)
        desk.on_exit(transport.close)
        return transport


@dataclass(slots=True)
class OpenLayers:
    """Repositories that can be asked; one that fails is not asked again."""

    clients: list[RepositoryClient]
    desk: Desk

    def find(self, layer: ModelLayer) -> "LayerFiles | None":
        """Return the files of a layer, in the first repository that holds it; None where none does."""
        for client in tuple(self.clients):
            try:
                if client.has_blob(layer.descriptor.digest):
                    return LayerFiles(layer, client)
            except Interrupted:
                raise
            except PipelineError as error:
                note(self.desk, f"no weights are looked for in {client.repository}: {error.message}")
                self.clients.remove(client)
        return None


@dataclass(slots=True)
class LayerFiles:
    """The files of one layer, cut out of its tar as it comes; nothing of the tar is kept.

    The caller compares each file with its digest. What stands between the files (names, modes, owners) is
    passed over unread, so the layer's own digest would tell nothing more.
    """

    layer: ModelLayer
    client: RepositoryClient
    _tar: BlobStream = field(init=False)
    _begins: dict[str, int] = field(init=False)
    _position: int = 0

    def __post_init__(self) -> None:
        self._tar = BlobStream(Blob(descriptor=self.layer.descriptor, read=self._from))
        self._begins = dict(_begins(self.layer))

    @property
    def name(self) -> str:
        """The repository."""
        return str(self.client.repository)

    def read(self, file: SourceFile, offset: int = 0) -> Iterator[bytes]:
        """Yield a file of the layer from `offset` on; files are best asked for in their order.

        Raises:
            RemoteError: the registry refuses, or cannot be reached.
        """
        begin = self._begins[file.path] + offset
        end = self._begins[file.path] + file.size_bytes
        if 0 < begin - self._position <= NEAR_BYTES:
            for _ in self._taken(self._position, begin):
                pass
        yield from self._taken(begin, end)

    def _taken(self, begin: int, end: int) -> Iterator[bytes]:
        for piece in self._tar.read(begin, end):
            begin += len(piece)
            self._position = begin
            yield piece

    def _from(self, offset: int) -> Iterator[bytes]:
        described = self.layer.descriptor
        whole = SourceFile(
            path=described.digest.short, size_bytes=described.size_bytes, identity=described.digest
        )
        return read_resuming(
            lambda position: self.client.stream_blob(described.digest, position), whole, self.name, offset
        )


def note(desk: Desk, line: str) -> None:
    """Show a line, and keep it in the log of the weights."""
    desk.say(line)
    with desk.log("weights") as stream:
        stream.write(f"{desk.redact(line)}\n")


def _begins(layer: ModelLayer) -> Iterator[tuple[str, int]]:
    """Yield where the content of each file begins in the tar."""
    files: Sequence[ModelFile] = layer.files
    position = 0
    for piece in pieces(PurePosixPath(layer.path), files):
        if not isinstance(piece, bytes):
            yield piece.path, position
        position += length(piece)
