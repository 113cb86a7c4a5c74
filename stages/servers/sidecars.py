"""Containers that run beside the model server, in the same network namespace as in a pod."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """A container of the pod that is not the model server."""

    image: str
    """As the engine knows it, or can pull it."""
    environment: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    """Arguments in place of the image's own; nothing: the image's own."""
