"""When two names of a package are the same."""

from fnmatch import fnmatchcase


def same_package(name: str, pattern: str) -> bool:
    """Tell whether a package goes by this name; case, `-` and `_` make no difference (PEP 503)."""
    return fnmatchcase(_normalised(name), _normalised(pattern))


def _normalised(name: str) -> str:
    return name.lower().replace("_", "-")
