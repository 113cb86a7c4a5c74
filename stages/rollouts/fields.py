"""Reading JSON of other people's resources: what is not there, or not of the kind, is empty."""

from collections.abc import Sequence

from stages.rollouts.interface import Json


def part(value: object, *keys: str) -> Json:
    """Return the object at a path of keys."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def items(value: Json, *keys: str) -> tuple[Json, ...]:
    """Return the objects of the list at a path of keys."""
    found = part(value, *keys[:-1]).get(keys[-1])
    return tuple(one for one in found if isinstance(one, dict)) if isinstance(found, list) else ()


def text(value: Json, *keys: str) -> str:
    """Return the string at a path of keys."""
    found = part(value, *keys[:-1]).get(keys[-1])
    return found if isinstance(found, str) else ""


def number(value: Json, *keys: str, default: int = 0) -> int:
    """Return the number at a path of keys."""
    found = part(value, *keys[:-1]).get(keys[-1])
    return found if isinstance(found, int) else default


def condition(resource: Json, kind: str) -> Json:
    """Return the condition of a type that a resource's status has."""
    found = (one for one in items(resource, "status", "conditions") if text(one, "type") == kind)
    return next(found, {})


def lagging(resource: Json) -> bool:
    """Tell whether the controller has not yet seen what the resource says now."""
    generation = number(resource, "metadata", "generation")
    observed = part(resource, "status").get("observedGeneration", generation)
    # Argo Rollouts once wrote it as a string
    return int(observed) < generation if isinstance(observed, int | str) and str(observed).isdigit() else True


def first_line(words: str, longest: int = 500) -> str:
    """Return a message on one line, and not for ever."""
    line = " ".join(words.split())
    return line if len(line) <= longest else f"{line[:longest]}…"


def joined(names: Sequence[str]) -> str:
    """Return names for people, three at most."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"
