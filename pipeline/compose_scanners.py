"""The scanner of packages: Trivy, or one of another distribution.

Another distribution names, in its entry points, what makes a scanner (`stages/scanners/interface.py`) of the
options that the configuration has for any of them:

    [project.entry-points."model_image_pipeline.scanners"]
    grype = "grype_scanner:Grype"
"""

from importlib.metadata import EntryPoint, entry_points

from pipeline.errors import ConfigurationError
from stages.scanners.interface import Scanner, ScannerOptions

GROUP = "model_image_pipeline.scanners"
OURS = "trivy"
_MEMBERS = ("name", "check", "disk_needs", "identity", "scan")


def scanner_of(name: str, options: ScannerOptions) -> Scanner:
    """Return the scanner of this name that another distribution brings.

    Raises:
        ConfigurationError: there is none, there are two, or it cannot be loaded.
    """
    found = sorted(set(entry_points(group=GROUP)), key=lambda entry: (entry.name, entry.value))
    chosen = [entry for entry in found if entry.name == name]
    if not chosen:
        known = ", ".join(dict.fromkeys((OURS, *(entry.name for entry in found))))
        raise ConfigurationError(
            f"scan.scanner: there is no scanner {name!r}; there are {known}",
            advice="Install the distribution that brings it into the environment of the pipeline.",
        )
    if len(chosen) > 1:
        raise ConfigurationError(
            f"scan.scanner: {name!r} is a scanner of {_owner(chosen[0])} and of {_owner(chosen[1])}",
            advice="Remove one of them.",
        )
    return _made(chosen[0], options)


def _made(entry: EntryPoint, options: ScannerOptions) -> Scanner:
    advice = f"Reinstall, update or remove {_owner(entry)}; its authors may know more."
    try:
        scanner: Scanner = entry.load()(options)
    except Exception as error:  # it is not our code: anything may happen
        raise ConfigurationError(
            f"the scanner {entry.name!r} of {_owner(entry)} cannot be made: "
            f"{entry.value}: {type(error).__name__}: {error}",
            advice=advice,
        ) from error
    if lacking := [member for member in _MEMBERS if not hasattr(scanner, member)]:
        raise ConfigurationError(
            f"{entry.value} of {_owner(entry)} is no scanner: it has no `{lacking[0]}`", advice=advice
        )
    return scanner


def _owner(entry: EntryPoint) -> str:
    return "an unknown distribution" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"
