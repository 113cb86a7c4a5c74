"""What Google's Artifact Analysis found in an image of Artifact Registry.

Source: Container Analysis API, REST resource projects.occurrences (kinds DISCOVERY and VULNERABILITY).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from pipeline.errors import RemoteError
from pipeline.model import RegistryScan, Severity, Tool, Vulnerability
from pipeline.reference import Digest, Repository
from stages.registries.artifact_registry_address import ArtifactRegistryAddress
from stages.registries.artifact_registry_api import ArtifactRegistryApi
from stages.registries.container_analysis import occurrences
from stages.registries.interface import NoScan

SCANNER = "Google Artifact Analysis"
ANALYSIS = "PACKAGE_VULNERABILITY"
FINISHED = frozenset({"FINISHED_SUCCESS", "COMPLETE"})
UNFINISHED = frozenset({"PENDING", "SCANNING"})
SEVERITIES = {"CRITICAL": Severity.CRITICAL, "HIGH": Severity.HIGH, "MEDIUM": Severity.MEDIUM}
SEVERITIES |= {"LOW": Severity.LOW, "MINIMAL": Severity.LOW}


class _Part(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)


class _Error(_Part):
    message: str = ""


class _Discovery(_Part):
    analysis_status: str = ""
    analysis_status_error: _Error = _Error()
    continuous_analysis: str = ""
    last_scan_time: datetime | None = None


class _Version(_Part):
    kind: str = ""
    full_name: str = ""
    name: str = ""

    def __str__(self) -> str:
        return self.full_name or self.name


class _Location(_Part):
    file_path: str = ""


class _Issue(_Part):
    affected_package: str = ""
    affected_version: _Version = _Version()
    fixed_version: _Version = _Version()
    effective_severity: str = ""
    package_type: str = ""
    file_location: tuple[_Location, ...] = ()

    @property
    def fix(self) -> str | None:
        """The version that mends it; of the kinds MINIMUM and MAXIMUM is what stands for none."""
        return str(self.fixed_version) or None if self.fixed_version.kind == "NORMAL" else None


class _Score(_Part):
    base_score: float | None = Field(default=None, ge=0, le=10)


class _Link(_Part):
    url: str | None = None


class _Details(_Part):
    severity: str = ""
    effective_severity: str = ""
    cvss_score: float | None = Field(default=None, ge=0, le=10)
    cvssv3: _Score = _Score()
    short_description: str = ""
    package_issue: tuple[_Issue, ...] = ()
    related_urls: tuple[_Link, ...] = ()


class _Occurrence(_Part):
    note_name: str = ""
    update_time: datetime | None = None
    discovery: _Discovery | None = None
    vulnerability: _Details | None = None

    @property
    def id(self) -> str:
        """What is noted: the name of a vulnerability, or of an analysis."""
        return self.note_name.rpartition("/")[2]

    @property
    def state(self) -> str:
        """How far an analysis is; empty where this is none, or it does not say."""
        state = self.discovery.analysis_status if self.discovery is not None else ""
        return "" if state == "ANALYSIS_STATUS_UNSPECIFIED" else state


def find_scan(api: ArtifactRegistryApi, repository: Repository, digest: Digest) -> RegistryScan | NoScan:
    """Return the findings in a manifest, or why there are none to read.

    Raises:
        PipelineError: Google does not let us ask, does not answer, or says what nobody can read.
    """
    address = ArtifactRegistryAddress.parse(repository)
    image = f'resourceUrl="https://{repository}@{digest}"'

    def ask(kind: str) -> tuple[Mapping[str, Any], ...]:
        return occurrences(api.session, address.project, f'kind="{kind}" AND {image}')

    try:
        answer = read_discovery(ask("DISCOVERY"))
        if isinstance(answer, _Occurrence):
            return read_scan(answer, ask("VULNERABILITY"), digest)
    except ValidationError as error:
        raise RemoteError(
            f"{repository}: what Container Analysis says of {digest} cannot be read: {error}",
            advice="Is there a newer version of this pipeline? "
            "Until then leave `scan.registry_findings` out.",
        ) from error
    if answer is not None:
        return answer
    if api.find_image(address, digest) is None:
        return NoScan(status="no image")
    return NoScan(status="no scan", note="is scanning switched on for this repository?")


def read_discovery(found: Sequence[Mapping[str, Any]]) -> _Occurrence | NoScan | None:
    """Return what tells of a finished analysis, or how far it is; None where there was none.

    An image may be analysed for other things than vulnerabilities; where Google does not say for what, all
    that was begun has to be finished.
    """
    noted = [each for each in map(_Occurrence.model_validate, found) if each.state]
    named = [each for each in noted if each.id == ANALYSIS]
    analyses = named or noted
    for each in analyses:
        if each.state in UNFINISHED:
            return NoScan(status="unfinished", note=each.state)
    for each in analyses:
        if each.discovery is not None and each.state not in FINISHED:
            said = each.discovery.analysis_status_error.message
            return NoScan(status="no scan", note=f"{each.state}: {said}" if said else each.state)
    return analyses[-1] if analyses else None


def read_scan(analysis: _Occurrence, found: Iterable[Mapping[str, Any]], digest: Digest) -> RegistryScan:
    """Return the findings of a finished analysis."""
    discovery = analysis.discovery or _Discovery()
    completed_at = discovery.last_scan_time or analysis.update_time
    aged = f"the image is no longer looked at anew; its findings are of {completed_at or 'an unknown day'}"
    return RegistryScan(
        digest=digest,
        scanner=Tool(name=SCANNER, version=""),
        completed_at=completed_at,
        vulnerabilities=tuple(one for each in found for one in _read(_Occurrence.model_validate(each))),
        notes=(aged,) if discovery.continuous_analysis == "INACTIVE" else (),
    )


def _read(occurrence: _Occurrence) -> Iterator[Vulnerability]:
    details = occurrence.vulnerability or _Details()
    score = details.cvssv3.base_score
    for issue in details.package_issue:
        severities = (issue.effective_severity, details.effective_severity, details.severity)
        yield Vulnerability(
            id=occurrence.id,
            package=issue.affected_package,
            installed_version=str(issue.affected_version),
            fixed_version=issue.fix,
            severity=next((SEVERITIES[one] for one in severities if one in SEVERITIES), Severity.UNKNOWN),
            severity_source=SCANNER,
            target=next((place.file_path for place in issue.file_location), ""),
            package_type=issue.package_type.lower(),
            title=details.short_description if details.short_description != occurrence.id else "",
            url=next((link.url for link in details.related_urls), None),
            cvss_score=score if score is not None else details.cvss_score,
        )
