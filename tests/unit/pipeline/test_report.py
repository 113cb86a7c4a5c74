import io
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pytest
from rich.console import Console

from pipeline.model import (
    BenchmarkReport,
    CaseCounts,
    FailedPush,
    FoundBy,
    Level,
    ManifestUpdate,
    Pushed,
    PushedBlob,
    PushedImage,
    PushedReference,
    Reason,
    RegistryAnswer,
    RegistryEvidence,
    Rollout,
    ScanReport,
    Severity,
    StandingImage,
    SuiteReport,
    Tool,
    Unjudged,
    Verdict,
    Vulnerability,
    VulnerabilityDatabase,
)
from pipeline.record import Failure, Record, StageRecord, Status
from pipeline.reference import Digest, Repository, Tag
from pipeline.report.phrases import describe, duration, plural, size, told_by
from pipeline.report.terminal import TerminalReporter, make_console, print_record
from tests.unit.pipeline.conftest import REPORT
from tests.unit.policies.evidence import benchmark


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (123_456, "123 kB"),
        (2_390_000, "2.4 MB"),
        (7e9, "7.0 GB"),
    ],
)
def test_sizes(count: float, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.04, "0.0 s"), (59.94, "59.9 s"), (61, "1 min 01 s")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_counts_agree_with_their_nouns() -> None:
    assert [plural(1, "test"), plural(2000, "test"), plural(0, "vulnerability")] == [
        "1 test",
        "2,000 tests",
        "0 vulnerabilities",
    ]


def test_a_suite_tells_what_failed() -> None:
    counts = CaseCounts(total=5, passed=2, failed=1, errors=1, skipped=1)
    report = SuiteReport(command=("pytest",), exit_code=1, duration_s=1, counts=counts)
    assert describe(report) == "2 of 5 tests passed, 2 failed, 1 skipped"


def test_a_scan_tells_what_it_could_not_look_up() -> None:
    unjudged = Unjudged(subject="debian 99.0", reason="is no release that the scanner knows")
    at = datetime(2026, 11, 20, tzinfo=UTC)
    report = ScanReport(
        digest=Digest.of(b"image"),
        scanner=Tool(name="trivy", version="1"),
        scanned_at=at,
        database=VulnerabilityDatabase(repository="here", schema_version=2, updated_at=at),
        packages=2,
        unjudged=(unjudged,),
    )
    assert describe(report) == (
        "no known vulnerability in 2 packages, fresh database;"
        " debian 99.0 is no release that the scanner knows"
    )


def test_a_scan_tells_what_each_registry_said() -> None:
    at, digest = datetime(2026, 11, 20, tzinfo=UTC), Digest.of(b"image")
    here, there = Repository("here.example.com/digits"), Repository("there.example.com/digits")
    seen = FoundBy(scanner="theirs", severity=Severity.HIGH, repository=here)
    ours = FoundBy(scanner="trivy", severity=Severity.HIGH)
    known = {"package": "a", "installed_version": "1", "severity": Severity.HIGH}
    report = ScanReport(
        digest=digest,
        scanner=Tool(name="trivy", version="1"),
        scanned_at=at,
        database=VulnerabilityDatabase(repository="here", schema_version=2, updated_at=at),
        packages=2,
        vulnerabilities=(
            Vulnerability.model_validate({"id": "CVE-1", "found_by": (ours, seen), **known}),
            Vulnerability.model_validate({"id": "CVE-2", "found_by": (seen,), **known}),
        ),
        registries=(
            RegistryAnswer(repository=here, digest=digest, status="read", scanner="theirs", findings=2),
            RegistryAnswer(repository=there, digest=digest, status="unfinished", notes=("SCANNING",)),
            RegistryAnswer(repository=there, digest=digest, status="unfinished", notes=("SCANNING",)),
        ),
    )
    assert describe(report) == (
        "2 high (none with a fix) in 2 packages, fresh database;"
        " theirs of here.example.com/digits: 2 findings, 1 of its own;"
        " there.example.com/digits has not finished its scan (SCANNING)"
    )


def test_a_benchmark_tells_the_way_of_the_load_where_it_is_not_the_usual_one() -> None:
    usual = benchmark().model_copy(update={"route": BenchmarkReport.LOOPBACK})
    assert describe(usual) == describe(benchmark())
    elsewhere = usual.model_copy(update={"route": "the engine's address 172.17.0.3"})
    assert describe(elsewhere) == f"{describe(usual)}, reached by the engine's address 172.17.0.3"


def test_an_update_that_wrote_nothing_says_so() -> None:
    assert describe(ManifestUpdate(status="unconfigured")) == "no target configured"


def shown(record: Record) -> str:
    stream = io.StringIO()
    print_record(Console(file=stream, width=160), record)
    return stream.getvalue()


def a_record(**changes: object) -> Record:
    digest = Digest.of(b"")
    image = PushedImage(name="digits", tag=Tag("1"), digest=digest, layout=Path("/tmp/image"))  # noqa: S108
    refusal = Verdict(
        policy="suite", reasons=(Reason(message="too few [tests]", advice="write some"),), origin="p:3"
    )
    stages = (
        StageRecord(
            name="test",
            gives="SuiteReport",
            status=Status.REUSED,
            duration_s=1.2,
            reused_from="before",
            artifact=REPORT.model_dump(mode="json"),
            verdicts=(refusal.model_copy(update={"level": Level.WARN}),),
        ),
        StageRecord(
            name="push", gives="PushedImage", status=Status.PASSED, artifact=image.model_dump(mode="json")
        ),
    )
    record = Record(run="r1", started_at=datetime(2026, 1, 2, tzinfo=UTC), stages=stages)
    return record.model_copy(update=changes)


def test_a_record_shows_stages_verdicts_and_where_the_image_is() -> None:
    text = shown(a_record())
    assert "reused, 1 warning" in text
    assert "warning suite: too few [tests] (p:3)" in text
    assert "oci:/tmp/image:1" in text


def test_a_failure_shows_message_advice_output_and_exit_code() -> None:
    failure = Failure(
        kind="StageFailed", message="1 failed", advice="mend it", tail="E assert [0]", exit_code=1
    )
    text = shown(a_record(failure=failure))
    for part in ("1 failed", "mend it", "E assert [0]", "exit code 1 (StageFailed)"):
        assert part in text


def test_a_log_gets_a_line_per_stage_and_no_control_codes() -> None:
    stream = io.StringIO()
    reporter = TerminalReporter(console=Console(file=stream, width=160))
    record = a_record()
    reporter.checked(record)
    for stage in record.stages:
        reporter.begins(stage)
        reporter.say("working")
        reporter.ended(stage)
    reporter.finished(record, Path("/tmp/run"))  # noqa: S108
    lines = stream.getvalue().splitlines()
    assert "\x1b" not in stream.getvalue()
    assert lines[0].split() == ["↻", "test", "1.2", "s", "exit", "code", "0", "(reused", "from", "before)"]
    assert lines[-1] == "record  /tmp/run/record.json"


def test_quiet_means_errors_alone() -> None:
    stream = io.StringIO()
    reporter = TerminalReporter(console=Console(file=stream, width=160), verbosity=-1)
    record = a_record()
    reporter.checked(record)
    reporter.begins(record.stages[0])
    reporter.ended(record.stages[0])
    reporter.finished(record, Path("/tmp/run"))  # noqa: S108
    assert stream.getvalue() == ""


def test_quiet_still_says_why_the_policies_refused() -> None:
    stream = io.StringIO()
    reporter = TerminalReporter(console=Console(file=stream, width=160), verbosity=-1)
    stage = a_record().stages[0]
    refusal = stage.verdicts[0].model_copy(update={"level": Level.ENFORCE})
    reporter.ended(stage.model_copy(update={"verdicts": (refusal, *stage.verdicts)}))
    assert [line.strip() for line in stream.getvalue().splitlines()] == [
        "refused suite: too few [tests] (p:3)",
        "write some",
    ]


@pytest.mark.parametrize(
    ("encoding", "printed"),
    [("ascii", "+ x = > ? ? fine"), ("utf-8", "✔ ✘ ↻ → é ? fine"), ("latin-1", "+ x = > é ? fine")],
)
def test_a_log_of_any_encoding_can_be_written(encoding: str, printed: str) -> None:
    """A name that is no text (here the byte 0xe9) cannot be said in any of them."""
    code = """
from pipeline.report.terminal import make_console
for stderr in (False, True):
    make_console(stderr=stderr).print("✔ ✘ ↻ → é \\udce9 fine")
"""
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run((sys.executable, "-c", code), env=environment, capture_output=True, check=True)
    assert done.stdout.decode(encoding) == f"{printed}\n"
    assert done.stderr == done.stdout


def test_words_between_colons_are_no_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    make_console().print("passwd:1: root:x:0, host:lock:1")
    assert capsys.readouterr().out == "passwd:1: root:x:0, host:lock:1\n"


def test_what_was_pushed_of_both_images_is_shown() -> None:
    def pushed(name: str, how: Literal["exists", "uploaded"], sent: int) -> Pushed:
        digest = Digest.of(name.encode())
        blob = PushedBlob(digest=digest, size_bytes=9_000_000, how=how, sent_bytes=sent)
        reference = PushedReference(
            repository=Repository(f"registry.example.com/{name}"),
            tag=Tag("1"),
            digest=digest,
            tag_existed=how == "exists",
            blobs=(blob,),
            duration_s=1,
        )
        return Pushed(name=name, tag=Tag("1"), digest=digest, references=(reference,))

    application, weights = pushed("digits", "uploaded", 9_000_000), pushed("digits-model", "exists", 0)
    image = PushedImage(**dict(application), model_image=weights)
    assert describe(image) == (
        "registry.example.com/digits: 9.0 MB sent, 0 B saved; "
        "model registry.example.com/digits-model: 0 B sent, 9.0 MB saved (9.0 MB already there)"
        " (tag was there)"
    )
    stage = StageRecord(
        name="push", gives="PushedImage", status=Status.PASSED, artifact=image.model_dump(mode="json")
    )
    text = shown(a_record(stages=(stage,)))
    assert f"image   {application.references[0]}" in text
    assert f"model   {weights.references[0]}" in text
    assert stage.made() == image


def test_what_a_registry_did_not_get_and_how_the_others_were_checked_is_shown() -> None:
    digest = Digest.of(b"")
    evidence = RegistryEvidence(
        asked="Amazon ECR: DescribeImages", manifests_compared=1, blobs_found=3, notes=("scan: COMPLETE",)
    )
    reference = PushedReference(
        repository=Repository("a.example.com/digits"),
        tag=Tag("1"),
        tags=(Tag("v1"), Tag("latest")),
        digest=digest,
        tag_existed=False,
        duration_s=1,
        evidence=evidence,
    )
    failure = FailedPush(
        repository=Repository("b.example.com/digits"),
        tag=Tag("1"),
        kind="RemoteError",
        message="x",
        exit_code=5,
    )
    image = PushedImage(
        name="digits", tag=Tag("1"), digest=digest, references=(reference,), failures=(failure,)
    )
    assert describe(image) == "a.example.com/digits: 0 B sent, 0 B saved; not b.example.com/digits"
    assert told_by(reference) == (
        "also v1, latest; read back: 1 manifest compared, 3 blobs found (Amazon ECR: DescribeImages); "
        "scan: COMPLETE"
    )
    assert describe(image.model_copy(update={"references": ()})) == (
        "nothing was pushed; not b.example.com/digits"
    )


PROGRESS = "250.3 MB of 893.1 MB there, 123.1 MB/s, 5 s left\nd92bf2a12396 96.5 MB of 419.4 MB"


def shown_progress(*lines: str, terminal: bool, width: int) -> str:
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=width, highlight=False)
    reporter = TerminalReporter(console=console)
    stage = StageRecord(name="push", gives="PushedImage", status=Status.RUNNING)
    reporter.begins(stage)
    if not terminal:  # it speaks only after a while
        reporter._silent_until = 0
    for line in lines:
        reporter.say(line)
    reporter.ended(stage)
    return text.getvalue()


def test_progress_of_several_lines_stands_below_its_stage() -> None:
    printed = shown_progress(PROGRESS, "later", terminal=False, width=160)
    assert printed.splitlines()[:2] == [
        "… push       250.3 MB of 893.1 MB there, 123.1 MB/s, 5 s left",
        "             d92bf2a12396 96.5 MB of 419.4 MB",
    ]
    assert "later" not in printed


def test_a_narrow_terminal_shows_the_beginning_of_each_line() -> None:
    printed = shown_progress(PROGRESS, terminal=True, width=60)
    assert "250.3 MB of 893.1 MB there, 123.1 MB/s, 5 s" in printed
    assert "d92bf2a12396 96.5 MB of 419.4 MB" in printed
    assert "5 s left" not in printed


def test_a_superseded_delivery_says_where_the_newer_build_stands() -> None:
    newer = StandingImage(path="apps/a.yaml", line=7, reference="r/i@x", order="newer")
    older = StandingImage(path="apps/b.yaml", line=2, reference="r/i@y", order="older")
    made = ManifestUpdate(status="superseded", before=(older, newer))
    assert describe(made) == "superseded: apps/a.yaml:7 names a newer build already"


def test_a_forced_delivery_is_told_as_such() -> None:
    made = ManifestUpdate(status="committed", commit="f" * 40, branch="main", forced=True)
    assert describe(made).endswith("(by force)")


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"status": "live"}, "live after 42 s"),
        ({"status": "degraded", "subject": "Deployment a/b"}, "Deployment a/b is broken after 42 s"),
        ({"status": "timeout", "undone_by": "e" * 40}, "not live after 42 s, rolled back by eeeeeeeeeeee"),
    ],
)
def test_what_became_of_a_commit_in_the_cluster_is_told(told: dict[str, str], words: str) -> None:
    rollout = Rollout.model_validate({"watched": ("Deployment a/b",), "duration_s": 41.7, **told})
    made = ManifestUpdate(status="committed", commit="f" * 40, branch="main", rollout=rollout)
    assert describe(made).endswith(f"; {words}")
