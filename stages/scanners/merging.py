"""One list of the findings of several scanners: what two of them found is one finding."""

from collections.abc import Iterable

from pipeline.model import FoundBy, RegistryAnswer, ScanReport, Severity, Vulnerability
from pipeline.reference import Repository

Answer = tuple[RegistryAnswer, tuple[Vulnerability, ...]]
"""What a registry said of a manifest, and what its scanner found there."""
RANK = {severity: number for number, severity in enumerate(Severity)}  # the worst first, UNKNOWN last
_Key = tuple[str, str]
_Scanner = tuple[str, Repository]


def worst_first(found: Vulnerability) -> tuple[int, str, str, str]:
    """Return what findings are sorted by."""
    return RANK[found.severity], found.package, found.id, found.target


def merged(report: ScanReport, answers: Iterable[Answer]) -> ScanReport:
    """Return a report with what registries found in the same image.

    The same vulnerability in the same package, or in what the package was built from, is one finding: its
    severity is the highest that anybody gives, it counts as fixable where anybody knows a fix, and `found_by`
    says who gives which severity. It keeps the package's name and version as our own scanner writes them.
    """
    listed = tuple(answers)
    found = list(report.vulnerabilities)
    for (scanner, repository), theirs in _by_scanner(listed).items():
        known = _places(found)
        for one in theirs:
            by = FoundBy(scanner=scanner, repository=repository, severity=one.severity)
            places = known.get(_key(one, one.package), ())
            for place in places:
                found[place] = _joined(found[place], one, by, report.scanner.name)
            if not places:
                found.append(one.model_copy(update={"found_by": (by,)}))
    return report.model_copy(
        update={
            "vulnerabilities": tuple(sorted(found, key=worst_first)),
            "registries": tuple(answer for answer, _ in listed),
        }
    )


def _by_scanner(answers: Iterable[Answer]) -> dict[_Scanner, dict[Vulnerability, None]]:
    """Return what each scanner found, each finding once: platforms have most of them in common."""
    found: dict[_Scanner, dict[Vulnerability, None]] = {}
    for answer, theirs in answers:
        found.setdefault((answer.scanner, answer.repository), {}).update(dict.fromkeys(theirs))
    return found


def _places(found: list[Vulnerability]) -> dict[_Key, list[int]]:
    """Return where in a list each vulnerability of a package is."""
    places: dict[_Key, list[int]] = {}
    for place, one in enumerate(found):
        for name in {one.package, one.source_package} - {""}:
            places.setdefault(_key(one, name), []).append(place)
    return places


def _key(found: Vulnerability, package: str) -> _Key:
    return found.id.upper(), package.lower().replace("_", "-")


def _joined(known: Vulnerability, other: Vulnerability, by: FoundBy, scanner: str) -> Vulnerability:
    before = known.found_by or (FoundBy(scanner=scanner, severity=known.severity),)
    worse = RANK[other.severity] < RANK[known.severity]
    return known.model_copy(
        update={
            "severity": other.severity if worse else known.severity,
            "severity_source": other.severity_source if worse else known.severity_source,
            "fixed_version": known.fixed_version or other.fixed_version,
            "cvss_score": known.cvss_score if known.cvss_score is not None else other.cvss_score,
            "found_by": _with(before, by),
        }
    )


def _with(before: tuple[FoundBy, ...], by: FoundBy) -> tuple[FoundBy, ...]:
    """Add who found it; of one scanner that found it in several places, the highest severity."""
    same = [each for each in before if (each.scanner, each.repository) == (by.scanner, by.repository)]
    others = tuple(each for each in before if each not in same)
    return (*others, min((*same, by), key=lambda each: RANK[each.severity]))
