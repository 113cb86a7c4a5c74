"""How a model server is run and spoken to: the same for every image that is measured in one benchmark."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from stages.servers.interface import Payload, ServerProtocol
from stages.servers.sidecars import Sidecar


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """Port, protocol and requests, limits and deadlines."""

    port: int
    protocol: ServerProtocol
    model: str | None = None
    """The model's name at the server; None asks the server."""
    payloads: tuple[Payload, ...] = ()
    """What is sent; nothing: the protocol makes a request from what the server says of its model."""
    options: Mapping[str, str] = field(default_factory=dict)
    """What the protocol alone understands."""
    environment: Mapping[str, str] = field(default_factory=dict)
    memory_bytes: int | None = None
    cpus: float | None = None
    gpus: str | None = None
    """As the engine's option says it: `all`, a number, `device=0`."""
    host_network: bool = False
    sidecars: tuple[Sidecar, ...] = ()
    """What runs beside the server in the same network, in the order of their start."""
    check_answers: bool = True
    """Whether answers under load are compared with those that were asked for alone."""
    tolerance: float = 1e-4
    """The share by which a fraction in an answer may differ from the expected one."""
    readiness_timeout_s: float = 120.0
    request_timeout_s: float = 10.0
    stop_timeout_s: float = 30.0
