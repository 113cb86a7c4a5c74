"""Checks resources that Kubernetes itself defines against its schemas, where the library is installed."""

from collections.abc import Iterable
from importlib.util import find_spec

from stages.manifests.comparison import describe, dotted

NOT_INSTALLED = "not validated: kubernetes-validate is not installed (extra `proof`)"


def can_validate() -> bool:
    """Tell whether the library is installed."""
    return find_spec("kubernetes_validate") is not None


def newly_invalid(changed: Iterable[tuple[object, object]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what is wrong with documents since they were edited, and what was wrong with others before."""
    broken: list[str] = []
    known: list[str] = []
    for before, after in changed:
        wrong = problem(after)
        if wrong is None:
            continue
        text = f"{describe(after)}: {wrong}"
        (broken if problem(before) is None else known).append(text)
    return tuple(broken), tuple(known)


def problem(document: object) -> str | None:
    """Return what is wrong with a resource; None where nothing is, or where it is of no built-in kind."""
    import kubernetes_validate

    if not isinstance(document, dict):
        return None
    if not all(isinstance(document.get(key), str) for key in ("apiVersion", "kind")):
        return None
    try:
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
    except kubernetes_validate.SchemaNotFoundError:
        return None
    except kubernetes_validate.ValidationError as error:
        return f"{dotted(tuple(error.path))}: {error.message}"
    return None
