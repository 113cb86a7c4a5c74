"""When two names of a package are the same."""

from fnmatch import fnmatchcase


def same_package(name: str, pattern: str) -> bool:
    """Tell whether a package goes by this name; case, `-` and `_` make no difference (PEP 503)."""
    return fnmatchcase(_normalised(name), _normalised(pattern))


def is_package(name: str, other: str) -> bool:
    """Tell whether two names are one package's; nothing in them is a pattern."""
    return _normalised(name) == _normalised(other)


def _normalised(name: str) -> str:
    return name.lower().replace("_", "-")
