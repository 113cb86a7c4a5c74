"""The protocols of model servers: those that stand here, and those of other distributions.

Another distribution names an object, or a class without arguments, in its entry points:

    [project.entry-points."model_image_pipeline.server_protocols"]
    acme = "acme_protocol:Acme"
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from pipeline.errors import ConfigurationError
from stages.servers import PROTOCOLS
from stages.servers.interface import ServerProtocol

GROUP = "model_image_pipeline.server_protocols"


@dataclass(frozen=True, slots=True)
class Protocols(Mapping[str, ServerProtocol]):
    """Every protocol by its name; what is not used is not imported."""

    others: Mapping[str, EntryPoint]

    def __getitem__(self, name: str) -> ServerProtocol:
        return PROTOCOLS[name] if name in PROTOCOLS else _load(self.others[name])

    def __contains__(self, name: object) -> bool:
        return name in PROTOCOLS or name in self.others

    def __iter__(self) -> Iterator[str]:
        yield from PROTOCOLS
        yield from self.others

    def __len__(self) -> int:
        return len(PROTOCOLS) + len(self.others)


def protocols(used: str) -> Protocols:
    """Return all protocols; the one that is used is imported at once.

    Raises:
        ConfigurationError: it cannot be imported, or two have the same name.
    """
    found: dict[str, EntryPoint] = {}
    for entry in sorted(set(entry_points(group=GROUP)), key=lambda entry: (entry.name, entry.value)):
        if entry.name in PROTOCOLS or entry.name in found:
            other = "this pipeline itself" if entry.name in PROTOCOLS else _owner(found[entry.name])
            raise ConfigurationError(
                f"the server protocol {entry.name!r} of {_owner(entry)} is also one of {other}",
                advice=f"Remove {_owner(entry)} or the other one, or ask its authors for another name.",
            )
        found[entry.name] = entry
    if used in found:
        _load(found[used])
    return Protocols(found)


@cache
def _load(entry: EntryPoint) -> ServerProtocol:
    advice = f"Reinstall, update or remove {_owner(entry)}; its authors may know more."
    try:
        loaded = entry.load()
        protocol: ServerProtocol = loaded() if isinstance(loaded, type) else loaded
    except Exception as error:  # it is not our code: anything may happen
        raise ConfigurationError(
            f"the server protocol {entry.name!r} of {_owner(entry)} cannot be loaded: "
            f"{entry.value}: {type(error).__name__}: {error}",
            advice=advice,
        ) from error
    if not callable(getattr(protocol, "connect", None)) or not hasattr(protocol, "options"):
        raise ConfigurationError(
            f"{entry.value} of {_owner(entry)} is no server protocol: it has no `connect` or no `options`",
            advice=advice,
        )
    return protocol


def _owner(entry: EntryPoint) -> str:
    return "an unknown distribution" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"
