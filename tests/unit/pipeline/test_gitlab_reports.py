"""What GitLab reads of a run, against the fields that its documentation names."""

import json
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pipeline.model import Artifact, CaseFailure, Severity, Source, Unjudged
from pipeline.record import Record, Setting, StageRecord, Status
from pipeline.redaction import Redactor
from pipeline.report.annotations import Annotation
from pipeline.report.gitlab import code_quality, container_scanning, junit, write_reports
from pipeline.report.openmetrics import metrics
from tests.unit.policies.evidence import SCANNED_AT, benchmark, image, scan, suite, vulnerability

DATA = Path(__file__).parents[2] / "data" / "gitlab"
WHEN = datetime(2026, 11, 22, tzinfo=UTC)
SYSTEM = "/builds/acme/tiny/.pipeline/runs/1/scan/linux-amd64 (debian 12.15)"


def record(*made: Artifact, root: Path = Path("/builds/acme/tiny"), junit: str | None = None) -> Record:
    stages = tuple(
        StageRecord(
            name={"SuiteReport": "test"}.get(type(one).__name__, type(one).__name__),
            gives=type(one).__name__,
            status=Status.PASSED,
            artifact=one.model_dump(mode="json"),
        )
        for one in made
    )
    source = Source(root=root, commit="a" * 40, committed_at=WHEN)
    settings = (Setting(key="test.junit", value=junit, origin="default"),)
    return Record(run="1", started_at=WHEN, stages=stages, source=source, configuration=settings)


def valid(text: str | None, schema: str) -> object:
    assert text is not None
    document = json.loads(text)
    jsonschema.validate(document, json.loads((DATA / f"{schema}.schema.json").read_text()))
    return document


def test_findings_say_what_where_and_what_mends_it() -> None:
    system = vulnerability("CVE-2023-45853", Severity.CRITICAL, package="zlib1g", fixed=None, target=SYSTEM)
    package = vulnerability("GHSA-1", Severity.UNKNOWN, target="opt/venv/PyYAML.dist-info/METADATA")
    linked = package.model_copy(update={"url": "https://avd.example.com/1", "title": "x" * 300})
    document = valid(container_scanning(record(image(), scan(system, linked, linked))), "container-scanning")
    assert isinstance(document, dict)
    first, second = document["vulnerabilities"]
    assert (first["name"], second["name"]) == ("CVE-2023-45853", f"{'x' * 254}…")
    assert first["severity"] == "Critical"
    assert first["solution"] == "No fixed version of zlib1g is known yet."
    assert first["identifiers"] == [{"type": "cve", "name": "CVE-2023-45853", "value": "CVE-2023-45853"}]
    assert first["location"]["operating_system"] == second["location"]["operating_system"] == "debian 12.15"
    assert first["location"]["image"] == "digits:1"
    assert "details" not in first
    assert second["details"]["file"]["value"] == "opt/venv/PyYAML.dist-info/METADATA"
    assert second["solution"] == "Upgrade PyYAML from 5.3 to 5.4."
    assert second["identifiers"][0]["url"] == second["links"][0]["url"] == "https://avd.example.com/1"
    assert "/builds" not in json.dumps(document)


def test_what_was_not_looked_up_is_a_warning_of_the_scan() -> None:
    unknown = scan(unjudged=(Unjudged(subject="debian 99.0", reason="is not in the database"),))
    told = record(image(), unknown)
    (built, entry) = told.stages
    begun = entry.model_copy(update={"name": "scan", "started_at": SCANNED_AT - timedelta(minutes=2)})
    document = valid(
        container_scanning(told.model_copy(update={"stages": (built, begun)})), "container-scanning"
    )
    assert isinstance(document, dict)
    assert document["scan"]["messages"] == [{"level": "warn", "value": "debian 99.0: is not in the database"}]
    assert document["scan"]["start_time"] == "2026-11-20T11:58:00"
    assert document["scan"]["end_time"] == "2026-11-20T12:00:00"
    taken_again = entry.model_copy(update={"name": "scan", "started_at": WHEN})  # of an earlier run
    again = container_scanning(told.model_copy(update={"stages": (built, taken_again)}))
    assert json.loads(again or "")["scan"]["start_time"] == "2026-11-20T12:00:00"


def test_a_finding_keeps_its_id_wherever_the_scan_ran() -> None:
    ids = set()
    for place in (SYSTEM, SYSTEM.replace("/runs/1/", "/runs/2/")):
        found = vulnerability("CVE-1", Severity.LOW, target=place)
        ids.add(
            json.loads(container_scanning(record(image(), scan(found))) or "")["vulnerabilities"][0]["id"]
        )
    assert len(ids) == 1


def test_a_clean_scan_is_a_report_and_none_is_none() -> None:
    document = valid(container_scanning(record(image(), scan())), "container-scanning")
    assert isinstance(document, dict)
    assert document["vulnerabilities"] == []
    assert container_scanning(record(image())) is None


def test_code_quality_stands_beside_the_lines_from_the_repositorys_top() -> None:
    top, root = Path("/builds/acme/models"), Path("/builds/acme/models/tiny")
    failed = Annotation(level="error", title="test failed", message="x\nis 1", file="tests/a.py", line=7)
    warned = Annotation(
        level="warning", title="scan warned", message="one", file=str(root / "p.yaml"), line=0
    )
    outside = Annotation(level="error", title="x", message="y", file="/usr/lib/site.py", line=3)
    document = valid(code_quality((failed, failed, warned, outside), root, top), "code-quality")
    assert isinstance(document, list)
    places = [(one["location"]["path"], one["location"]["lines"]["begin"]) for one in document]
    assert places == [("tiny/tests/a.py", 7), ("tiny/p.yaml", 1), ("tiny/pipeline.yaml", 1)]
    assert [one["severity"] for one in document] == ["critical", "minor", "critical"]
    assert document[0]["description"] == "test failed: x\nis 1"


def test_the_same_advice_for_two_lines_is_two_issues_that_keep_their_fingerprints() -> None:
    top = Path("/builds/acme/models")

    def issues(*lines: int) -> list[dict[str, Any]]:
        found = [
            Annotation(level="notice", title="DL3009", message="m", file="Dockerfile", line=line)
            for line in lines
        ]
        document = valid(code_quality(found, top, top), "code-quality")
        assert isinstance(document, list)
        return document

    first, moved = issues(2, 9, 9), issues(3, 10)
    assert [one["location"]["lines"]["begin"] for one in first] == [2, 9]
    assert {one["severity"] for one in first} == {"info"}
    assert len({one["fingerprint"] for one in first}) == 2
    assert [one["fingerprint"] for one in moved] == [one["fingerprint"] for one in first]


def test_nothing_to_say_is_an_empty_list_that_clears_what_was_said() -> None:
    assert valid(code_quality((), Path("/a"), Path("/a")), "code-quality") == []


def test_metrics_are_open_metrics() -> None:
    found = (vulnerability("CVE-1", Severity.HIGH), vulnerability("CVE-2", Severity.HIGH))
    text = metrics(record(suite(passed=3, skipped=1), image(), scan(*found), benchmark()))
    assert text is not None
    lines = text.splitlines()
    assert lines[-1] == "# EOF"
    samples = dict(line.split(" ") for line in lines if not line.startswith("#"))
    assert samples['pipeline_tests{outcome="passed"}'] == "3"
    assert samples['pipeline_vulnerabilities{severity="high"}'] == "2"
    assert samples['pipeline_image_size_bytes{part="model"}'] == str(100 * 1024 * 1024)
    assert samples['pipeline_server_latency_seconds{quantile="0.99"}'] == "0.04"
    assert samples["pipeline_server_throughput_per_second"] == "19.9"
    families = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(families) == len(set(families)) == 8
    assert {sample.partition("{")[0] for sample in samples} == set(families)


def test_nothing_measured_is_no_metrics() -> None:
    assert metrics(record()) is None


def test_junit_files_are_joined_and_masked(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(
        '<testsuites><testsuite name="a"><testcase classname="c" name="n&amp;">'
        '<failure message="hunter&amp;22">hunter&amp;22 &lt;&#10;</failure></testcase>'
        "</testsuite></testsuites>"
    )
    (tmp_path / "b.xml").write_text('<testsuite name="b"><testcase name="hunter&amp;22"/></testsuite>')
    (tmp_path / "half.xml").write_text("<testsuites><testsuite")
    redact = Redactor()
    redact.add("hunter&22")
    text = junit([tmp_path / name for name in ("a.xml", "b.xml", "half.xml", "none.xml")], redact)
    assert text is not None
    assert "hunter" not in text
    whole = ET.fromstring(text)  # noqa: S314 - our own
    assert [one.get("name") for one in whole] == ["a", "b"]
    failure = whole.find(".//failure")
    assert failure is not None
    assert (failure.get("message"), failure.text) == ("***", "*** <\n")


@pytest.mark.parametrize("theirs", [False, True])
def test_all_reports_are_written_and_old_ones_are_removed(tmp_path: Path, theirs: bool) -> None:
    run, into = tmp_path / ".pipeline/runs/1", tmp_path / ".pipeline/ci"
    place = tmp_path / "reports/j.xml" if theirs else run / "test/junit.xml"
    place.parent.mkdir(parents=True)
    place.write_text("<testsuite/>")
    redact = Redactor()
    redact.add("hunter22")
    case = CaseFailure(name="n", message="hunter22", file="a.py", line=1)
    failed = suite().model_copy(update={"failures": (case,)})
    told = record(failed, image(), scan(), root=tmp_path, junit="reports/*.xml" if theirs else None)
    found = (Annotation(level="error", title="t", message="hunter22", file="a.py", line=1),)
    written = write_reports(told, run, found, into=into, top=tmp_path, redact=redact)
    assert {path.name for path in written} == {path.name for path in into.iterdir()}
    assert len(written) == 4
    assert "hunter22" not in "".join(path.read_text() for path in written)

    write_reports(record(root=tmp_path), run, (), into=into, top=tmp_path, redact=redact)
    assert [path.name for path in into.iterdir()] == ["gl-code-quality-report.json"]
