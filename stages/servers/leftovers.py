"""What runs that were killed left in the engine: removed at the next start, unless its owner still lives."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pipeline.desk import Say
from stages.servers.engine import Engine
from stages.servers.owner import Owner

OWNER_LABEL = "model-image-pipeline.owner"
IMAGE = "model-image-pipeline/benchmark"
_LISTS: dict[str, tuple[str, ...]] = {
    "container": ("ps", "--all", "--format", f'{{{{.ID}}}} {{{{.Label "{OWNER_LABEL}"}}}}'),
    "network": ("network", "ls", "--format", f'{{{{.ID}}}} {{{{.Label "{OWNER_LABEL}"}}}}'),
    "volume": ("volume", "ls", "--format", f'{{{{.Name}}}} {{{{.Label "{OWNER_LABEL}"}}}}'),
}
_REMOVE: dict[str, tuple[str, ...]] = {
    "container": ("rm", "--force", "--volumes"),
    "network": ("network", "rm"),
    "volume": ("volume", "rm"),
    "image": ("image", "rm"),
}


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something in the engine, and who made it."""

    kind: str
    name: str
    owner: Owner


def remove_leftovers(engine: Engine, ourselves: Owner, say: Say) -> int:
    """Remove what dead owners left behind, and return how much it was; what cannot be told is left alone."""
    found = tuple(_found(engine))
    if not found:
        return 0
    running = engine.attempt("ps", "--quiet", "--no-trunc")
    if not running.succeeded:  # no list is not an empty one
        return 0
    alive = running.stdout.split()
    dead = [each for each in found if each.owner.is_dead(ourselves, alive)]
    removed = sum(engine.attempt(*_REMOVE[each.kind], each.name).succeeded for each in dead)
    if removed:
        what = "containers, images, networks, volumes"
        say(f"removed {removed} of the engine that a killed run had left behind ({what})")
    return removed


def owned_tag(name: str, owner: Owner) -> str:
    """Return the tag of an image in the engine: an image can have no label after its build."""
    tail = f"_{owner}"
    return f"{name[: 128 - len(tail)].lstrip('.-')}{tail}"


def _found(engine: Engine) -> Iterator[Leftover]:
    """Yield the containers first, which hold all the others."""
    for kind, command in _LISTS.items():
        filtered = engine.attempt(*command, "--filter", f"label={OWNER_LABEL}").stdout
        yield from _parsed(kind, filtered, lambda line: line.partition(" ")[::2])
    images = engine.attempt("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", IMAGE).stdout
    yield from _parsed("image", images, lambda line: (line, line.rpartition("_")[2]))


def _parsed(kind: str, lines: str, split: Callable[[str], tuple[str, str]]) -> Iterator[Leftover]:
    for line in lines.splitlines():
        name, told = split(line)
        owner = Owner.parse(told)
        if name and owner is not None:
            yield Leftover(kind, name, owner)
