"""What the push needs to know of a registry: where it answers, who lets us in, and what it allows."""

from typing import Protocol

from stages.oci.authentication import Credentials
from stages.oci.endpoint import Endpoint
from stages.oci.uploads import UploadStrategy


class Registry(Protocol):
    """One registry, whoever runs it."""

    @property
    def endpoint(self) -> Endpoint:
        """Where it answers, and whether it may be spoken to without TLS."""
        ...

    @property
    def uploads(self) -> UploadStrategy:
        """How it takes the bytes of a blob."""
        ...

    @property
    def mounts(self) -> bool:
        """Tell whether it is worth asking to mount a blob from another repository."""
        ...

    def credentials(self) -> Credentials | None:
        """Return who we are to it, or None for nobody; asked again when the registry refuses or they expire.

        Raises:
            PipelineError: they are there and cannot be read.
        """
        ...
