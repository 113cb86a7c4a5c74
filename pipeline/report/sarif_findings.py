"""What each tool found, in the words and places that SARIF wants."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

import pipeline
from pipeline.markup import plain, visible
from pipeline.model import (
    Accepted,
    BuiltImage,
    LintFinding,
    Misconfiguration,
    ModelFileFinding,
    ScanReport,
    Secret,
    Severity,
    Vulnerability,
)
from pipeline.record import Record
from pipeline.report.sarif_places import Place, Places

Agreed = dict[tuple[str, str, str], Accepted]
Level = Literal["error", "warning", "note"]
_LEVELS: dict[Severity, Level] = {
    Severity.CRITICAL: "error",
    Severity.HIGH: "error",
    Severity.MEDIUM: "warning",
    Severity.LOW: "note",
    Severity.UNKNOWN: "warning",
}
_BANDS = {
    Severity.CRITICAL: (9.0, 9.5, 10.0),
    Severity.HIGH: (7.0, 8.0, 8.9),
    Severity.MEDIUM: (4.0, 5.5, 6.9),
    Severity.LOW: (0.1, 2.0, 3.9),
}
"""What GitHub takes for each word: least, usual and greatest score."""
_RANKS = {severity: number for number, severity in enumerate(Severity)}
_LINT: dict[str, tuple[Level, int]] = {
    "error": ("error", 0),
    "warning": ("warning", 1),
    "info": ("note", 2),
    "style": ("note", 3),
}
_TOOLS = {
    "trivy": ("Trivy", "https://trivy.dev"),
    "hadolint": ("hadolint", "https://github.com/hadolint/hadolint"),
}
_REMEDIES = {
    "unsafe": "Save the weights in a format that runs no code, such as safetensors.",
    "malformed": "Write the file again with its own library; it may be damaged, or made to mislead.",
    "unread": "Nothing is known of it: save it in a format that can be looked into whole.",
}
_OURS = f"https://github.com/{pipeline.PROJECT}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One finding, ready to be written."""

    rule: str
    title: str
    message: str
    remedy: str
    level: Level
    place: Place
    description: str = ""
    url: str = ""
    score: float | None = None
    rank: int = 0
    """The worst first."""
    tags: tuple[str, ...] = ("security",)
    inside: str = ""
    """Where in the image it is."""
    kind: str = "package"
    column: int | None = None
    state: str = ""
    accepted: str = ""

    @property
    def uri(self) -> str:
        """The file, from the repository's top, as a relative URI."""
        return quote(self.place.path)

    @property
    def line(self) -> int:
        """The line, from one on."""
        return self.place.line

    @property
    def fingerprint(self) -> str:
        """What stays when lines move and texts change."""
        return hashlib.sha256(f"{self.rule}\n{self.place.path}\n{self.inside}".encode()).hexdigest()

    @property
    def markdown(self) -> str:
        """What mends it, with where to read on."""
        more = f"\n\n[{plain(self.rule.partition('/')[0])}]({self.url})" if self.url else ""
        return f"{plain(self.remedy)}{more}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRun:
    """All that one tool found."""

    name: str
    title: str
    version: str
    url: str
    findings: tuple[Finding, ...]


def tool_runs(record: Record) -> tuple[ToolRun, ...]:
    """Return what each tool found that looked: an empty run closes what an earlier one had found."""
    report = next((made for made in record.made() if isinstance(made, ScanReport)), None)
    places = Places.of(record)
    runs: list[ToolRun] = []
    if report is not None:
        runs.append(
            _tool(report.scanner.name, report.scanner.version, tuple(_packages(report, record, places)))
        )
        if (lint := report.dockerfile) is not None:
            found = tuple(_lint(one, places.file(lint.path, one.line)) for one in lint.findings)
            runs.append(_tool(lint.linter.name, lint.linter.version, found))
        if (files := report.model_files) is not None:
            found = tuple(_model_file(one, places, _agreed(record)) for one in files.findings)
            runs.append(_own("model-files", "Model Image Pipeline: model files", found))
    if any(stage.verdicts for stage in record.stages):
        runs.append(_own("policies", "Model Image Pipeline: policies", tuple(_verdicts(record, places))))
    return tuple(runs)


def _tool(name: str, version: str, findings: tuple[Finding, ...]) -> ToolRun:
    title, url = _TOOLS.get(name, (name, _OURS))
    return ToolRun(name=name, title=title, version=version, url=url, findings=findings)


def _own(name: str, title: str, findings: tuple[Finding, ...]) -> ToolRun:
    return ToolRun(name=name, title=title, version=pipeline.__version__, url=_OURS, findings=findings)


# --- the image ---------------------------------------------------------------------------------------


def _packages(report: ScanReport, record: Record, places: Places) -> Iterator[Finding]:
    accepted = _agreed(record)
    name = next((made.name for made in record.made() if isinstance(made, BuiltImage)), "the image")
    new = report.new_vulnerabilities
    fresh = {found.flaw for found in new} if new is not None else None
    for found in {one.flaw: one for one in reversed(report.vulnerabilities)}.values():
        state = "" if fresh is None else "new" if found.flaw in fresh else "unchanged"
        why = accepted.get((found.id.upper(), found.package.lower(), ""))
        yield _vulnerability(found, name, places.image, state, _accepted(why) if why else "")
    yield from (_secret(one, name, places.image) for one in report.secrets or ())
    yield from (_misconfiguration(one, name, places.image) for one in report.misconfigurations or ())


def _agreed(record: Record) -> Agreed:
    """Return what the policies of a run accept, by finding, package or file, and subject."""
    found = (one for stage in record.stages for verdict in stage.verdicts for one in verdict.accepted)
    return {(one.id.upper(), one.package.lower(), one.subject): one for one in found}


def _accepted(said: Accepted) -> str:
    who = f" ({said.owner})" if said.owner else ""
    until = f", until {said.expires}" if said.expires is not None else ""
    return f"{said.reason}{who}{until}"


def _vulnerability(found: Vulnerability, image: str, place: Place, state: str, accepted: str) -> Finding:
    package = f"{found.package} {found.installed_version}"
    mend = (
        f"Upgrade {found.package} to {found.fixed_version} and build again."
        if found.fixed_version
        else f"No fixed version of {found.package} is known: leave it out, or use another base image."
    )
    known = " It is known to be exploited." if found.known_exploited is not None else ""
    return Finding(
        rule=f"{found.id}/{found.package}",
        title=visible(f"{found.id} in {found.package}: {found.title or 'known vulnerability'}"),
        message=visible(f"{found.severity} {found.id} in {package} of {image}. {mend}{known}"),
        description=visible(found.title),
        remedy=visible(f"{mend}{known}"),
        level=_LEVELS[found.severity],
        score=_score(found),
        rank=_RANKS[found.severity],
        url=_link(found.url),
        tags=("security", "vulnerability", found.severity.lower(), *filter(None, (found.package_type,))),
        place=place,
        inside=visible(f"{image}/{found.package}"),
        state=state,
        accepted=visible(accepted),
    )


def _score(found: Vulnerability) -> float | None:
    """Return a score that GitHub shows by the very word that the severity is; None where it is unknown."""
    if found.severity not in _BANDS:
        return None
    least, usual, greatest = _BANDS[found.severity]
    return usual if found.cvss_score is None else min(max(found.cvss_score, least), greatest)


def _secret(found: Secret, image: str, place: Place) -> Finding:
    where = found.path or "its configuration"
    return Finding(
        rule=f"{found.rule}/{found.path}" if found.path else found.rule,
        title=visible(f"Secret in the image: {found.title}"),
        message=visible(f"{found.severity} {found.title} in {where} of {image}."),
        remedy="Revoke the secret, and give it to the build as a mounted one (`build.secrets`).",
        level=_LEVELS[found.severity],
        score=_BANDS[found.severity][1] if found.severity in _BANDS else None,
        rank=_RANKS[found.severity],
        tags=("security", "secret"),
        place=place,
        inside=visible(f"{image}/{found.path}"),
        kind="resource",
    )


def _misconfiguration(found: Misconfiguration, image: str, place: Place) -> Finding:
    return Finding(
        rule=f"{found.id}/{found.path}" if found.path else found.id,
        title=visible(found.title),
        message=visible(f"{found.severity} {found.message} ({image})"),
        remedy=visible(found.resolution or found.title),
        level=_LEVELS[found.severity],
        score=_BANDS[found.severity][1] if found.severity in _BANDS else None,
        rank=_RANKS[found.severity],
        url=_link(found.url),
        tags=("security", "misconfiguration"),
        place=place,
        inside=visible(f"{image}/{found.path}") if found.path else "",
        kind="resource",
    )


# --- the rest ----------------------------------------------------------------------------------------


def _lint(found: LintFinding, place: Place) -> Finding:
    level, rank = _LINT[found.level]
    return Finding(
        rule=found.code,
        title=visible(f"{found.code} in a Dockerfile"),
        message=visible(found.message),
        remedy=visible(found.message),
        level=level,
        rank=rank,
        url=_link(found.url),
        tags=("maintainability", "dockerfile"),
        place=place,
        column=max(found.column, 1),
    )


def _model_file(found: ModelFileFinding, places: Places, accepted: Agreed) -> Finding:
    why = accepted.get((found.code.upper(), found.path.lower(), found.subject))
    place = places.model_file(found.path)
    known = place.path.endswith(found.path)
    inside = f"{found.path}!{found.member}" if found.member else found.path
    return Finding(
        rule=found.code if known else f"{found.code}/{found.path}",
        title=visible(f"{found.kind.capitalize()} model file: {found.code}"),
        message=visible(f"{inside} ({found.format}): {found.message}"),
        remedy=_REMEDIES[found.kind],
        level="error",
        score=9.5 if found.kind == "unsafe" else 8.0,
        tags=("security", "model", found.format),
        place=place,
        inside=visible(inside),
        kind="resource",
        accepted=visible(_accepted(why)) if why is not None else "",
    )


def _verdicts(record: Record, places: Places) -> Iterator[Finding]:
    for stage in record.stages:
        for verdict in stage.verdicts:
            if verdict.passed:
                continue
            advice = "\n".join(dict.fromkeys(reason.advice for reason in verdict.reasons if reason.advice))
            yield Finding(
                rule=f"{stage.name}/{verdict.policy}",
                title=visible(f"{stage.name}: the policy {verdict.policy} is not met"),
                message=visible("; ".join(reason.message for reason in verdict.reasons)),
                remedy=visible(advice) or "Mend what was measured, or change the rule.",
                level="error" if verdict.refuses else "warning",
                rank=0 if verdict.refuses else 1,
                tags=("policy",),
                place=places.origin(verdict.origin),
            )


def _link(url: str | None) -> str:
    return url if url is not None and url.startswith(("https://", "http://")) else ""
