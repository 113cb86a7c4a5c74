"""The reports that GitLab shows beside a merge request: findings of the scan, code quality, metrics, tests.

Sources: GitLab, "Security scanner integration" with the security report schemas 15.0.7 and 15.2.1, "Code
quality report format", "Metrics reports" (OpenMetrics 1.0) and "Unit test report" (JUnit XML).
"""

import hashlib
import json
import re
import uuid
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from pipeline.model import Artifact, BuiltImage, ScanReport, Vulnerability
from pipeline.record import Record, write_text
from pipeline.redaction import Redactor
from pipeline.report.annotations import Annotation
from pipeline.report.openmetrics import metrics

JUNIT = "junit.xml"
CONTAINER_SCANNING = "gl-container-scanning-report.json"
CODE_QUALITY = "gl-code-quality-report.json"
METRICS = "metrics.txt"
SCHEMA = "15.0.7"

_SYSTEM = re.compile(r"\((?P<system>[^()]+)\)$")  # how Trivy names what packages of the system belong to
Made = TypeVar("Made", bound=Artifact)
_NAMESPACE = uuid.UUID("6f0a3a3e-4d0c-5a55-9c0a-6d1f5a4f3c11")  # ours; any constant serves
_SEVERITIES = {"error": "critical", "warning": "minor", "notice": "info"}
_LONGEST = {"name": 255, "description": 1_048_576, "solution": 7000}


def write_reports(  # noqa: PLR0913 - each comes from somebody else
    record: Record, run: Path, found: Sequence[Annotation], *, into: Path, top: Path, redact: Redactor
) -> tuple[Path, ...]:
    """Write every report that the run has something for, and return their paths.

    `run` is the run's folder, `top` the repository's: GitLab looks paths up from there. Reports of earlier
    runs are removed, so that none is taken for this one's.

    Raises:
        DiskFull: the file system has no room.
    """
    texts = {
        JUNIT: junit(_suites(record, run), redact),
        CONTAINER_SCANNING: container_scanning(record),
        CODE_QUALITY: code_quality(found, _root(record, run), top),
        METRICS: metrics(record),
    }
    for name, text in texts.items():
        if text is None:
            (into / name).unlink(missing_ok=True)
        else:
            write_text(into / name, text if name == JUNIT else redact(text))
    return tuple(into / name for name, text in texts.items() if text is not None)


def _root(record: Record, run: Path) -> Path:
    return record.source.root if record.source is not None else run.parents[2]


# --- container scanning ------------------------------------------------------------------------------


def container_scanning(record: Record) -> str | None:
    """Return GitLab's security report of the scan; None where nothing was scanned."""
    scan = _made(record, ScanReport)
    image = _made(record, BuiltImage)
    if scan is None or image is None:
        return None
    location = {"image": f"{image.name}:{image.tag}", "operating_system": _system(scan)}
    found = {entry["id"]: entry for each in scan.vulnerabilities for entry in (_finding(each, location),)}
    report = {"version": SCHEMA, "scan": _scan(scan, record), "vulnerabilities": list(found.values())}
    return _json(report)


def _scan(scan: ScanReport, record: Record) -> dict[str, Any]:
    """Return what scanned when; what it could not look up is a warning of the scan's own."""
    ours = "Model Image Pipeline"
    stage = record.stage("scan")
    began = stage.started_at if stage is not None else None
    unknown = [{"level": "warn", "value": f"{each.subject}: {each.reason}"} for each in scan.unjudged]
    return {
        "type": "container_scanning",
        "status": "success",
        "start_time": _time(min(began or scan.scanned_at, scan.scanned_at)),
        "end_time": _time(scan.scanned_at),
        **({"messages": unknown} if unknown else {}),
        "analyzer": {
            "id": "model-image-pipeline",
            "name": ours,
            "version": record.pipeline_version,
            "vendor": {"name": ours},
        },
        "scanner": {
            "id": scan.scanner.name,
            "name": scan.scanner.name.capitalize(),
            "version": scan.scanner.version,
            "vendor": {"name": "Aqua Security" if scan.scanner.name == "trivy" else scan.scanner.name},
        },
    }


def _finding(found: Vulnerability, location: dict[str, str]) -> dict[str, Any]:
    where = "" if _SYSTEM.search(found.target) else found.target  # the system's says where the scan ran
    key = f"{found.id}\n{found.package}\n{found.installed_version}\n{where}"
    entry: dict[str, Any] = {
        "id": str(uuid.uuid5(_NAMESPACE, key)),
        "name": _cut(found.title or found.id, "name"),  # the same wherever the vulnerability is found
        "description": _cut(_description(found), "description"),
        "severity": found.severity.value.capitalize(),
        "solution": _cut(_solution(found), "solution"),
        "identifiers": [_identifier(found)],
        "links": [{"url": found.url}] if _is_link(found.url) else [],
        "location": {
            **location,
            "dependency": {"package": {"name": found.package}, "version": found.installed_version},
        },
    }
    if where:
        entry["details"] = {"file": {"name": "Installed by", "type": "text", "value": where}}
    return entry


def _description(found: Vulnerability) -> str:
    what = f"{found.id}: {found.package} {found.installed_version}"
    return f"{what}. {found.title}." if found.title else f"{what}."


def _solution(found: Vulnerability) -> str:
    if found.fixed_version is None:
        return f"No fixed version of {found.package} is known yet."
    return f"Upgrade {found.package} from {found.installed_version} to {found.fixed_version}."


def _identifier(found: Vulnerability) -> dict[str, str]:
    kind = found.id.partition("-")[0].lower() or "unknown"
    identifier = {"type": kind, "name": found.id, "value": found.id}
    return {**identifier, "url": found.url} if found.url and _is_link(found.url) else identifier


def _is_link(url: str | None) -> bool:
    return url is not None and url.startswith(("https://", "http://"))


def _system(scan: ScanReport) -> str:
    """Return the image's distribution; a scan tells it with each finding in its packages."""
    for found in scan.vulnerabilities:
        if (match := _SYSTEM.search(found.target)) is not None:
            return match["system"]
    return "Unknown"


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}"


def _cut(text: str, field: str) -> str:
    longest = _LONGEST[field]
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


# --- code quality ------------------------------------------------------------------------------------


def code_quality(found: Sequence[Annotation], root: Path, top: Path) -> str:
    """Return GitLab's code quality report of what is to be said beside lines; an empty list if nothing is.

    `root` is the folder of pipeline.yaml, which stands for what concerns no file of the repository.
    """
    told = {(*_place(each, root, top.resolve()), f"{each.title}: {each.message}"): each for each in found}
    counts: Counter[tuple[str, str]] = Counter()
    entries: list[dict[str, Any]] = []
    for (path, line, message), each in told.items():
        entries.append(_issue(each, path, line, message, counts[path, message]))
        counts[path, message] += 1
    return _json(entries)


def _issue(found: Annotation, path: str, line: int, message: str, before: int) -> dict[str, Any]:
    """Return an issue; its fingerprint stays when lines move: it tells how many of the same stand above."""
    same = f"\n{before}" if before else ""
    return {
        "description": message,
        "check_name": f"pipeline/{found.level}",
        "fingerprint": hashlib.sha256(f"{path}\n{message}{same}".encode()).hexdigest(),
        "severity": _SEVERITIES[found.level],
        "location": {"path": path, "lines": {"begin": line}},
    }


def _place(found: Annotation, root: Path, top: Path) -> tuple[str, int]:
    """Return path and line as GitLab wants them: from the repository's top, without `./`."""
    if found.file is not None and (path := root / found.file).is_relative_to(top):
        return path.relative_to(top).as_posix(), max(found.line or 1, 1)
    own = root / "pipeline.yaml"
    return (own.relative_to(top) if own.is_relative_to(top) else Path(own.name)).as_posix(), 1


# --- tests -------------------------------------------------------------------------------------------


def junit(files: Sequence[Path], redact: Redactor) -> str | None:
    """Return JUnit files as one, with secrets masked; None where no file can be read."""
    whole = ET.Element("testsuites")
    for file in files:
        try:
            root = ET.parse(file).getroot()  # noqa: S314 - the user's own test command wrote it
        except (ET.ParseError, OSError):
            continue  # tests that were stopped leave half a file; the stage has said so
        whole.extend(root if root.tag == "testsuites" else [root])
    if not len(whole):
        return None
    for element in whole.iter():
        element.text = redact(element.text) if element.text else element.text
        element.tail = redact(element.tail) if element.tail else element.tail
        element.attrib.update({name: redact(value) for name, value in element.attrib.items()})
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(whole, encoding="unicode")}\n'


def _suites(record: Record, run: Path) -> list[Path]:
    """Return the JUnit files of the tests, also where an earlier run's result was taken again."""
    stage = record.stage("test")
    if stage is None or stage.artifact is None:
        return []
    pattern = next((setting.value for setting in record.configuration if setting.key == "test.junit"), None)
    if pattern:
        return sorted(path for path in _root(record, run).glob(str(pattern)) if path.is_file())
    made_by = run if stage.reused_from is None else run.parent / stage.reused_from
    return [made_by / "test" / "junit.xml"]


# --- all ---------------------------------------------------------------------------------------------


def _made(record: Record, kind: type[Made]) -> Made | None:
    return next((made for made in record.made() if isinstance(made, kind)), None)


def _json(document: object) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
