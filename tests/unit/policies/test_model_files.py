"""The rule about findings in model files."""

from datetime import date, timedelta
from typing import Any

import pytest

from pipeline.artifacts import Artifacts
from pipeline.interface import Case
from pipeline.model import ModelFileFinding, ModelFilesReport, ScannedModelFile, ScanReport, Verdict
from pipeline.reference import Digest
from policies import load_policies
from policies.model_files import ModelFilesRule
from tests.unit.policies.evidence import SCANNED_AT, TODAY, scan

UNLISTED = {"code": "pickle-unlisted-import", "subject": "churn.net.Net", "message": "imports churn.net.Net"}


def finding(**said: str) -> ModelFileFinding:
    plain = {"path": "model.pkl", "format": "pickle", "kind": "unsafe", "code": "pickle-import"}
    return ModelFileFinding.model_validate(
        {**plain, "subject": "os.system", "message": "imports os.system", **said}
    )


def report(*findings: ModelFileFinding, formats: tuple[str, ...] = ("pickle",)) -> ScanReport:
    files = tuple(
        ScannedModelFile(path=f"{name}.bin", digest=Digest.of(b""), size_bytes=1, format=name)
        for name in formats
    )
    return scan().model_copy(
        update={"model_files": ModelFilesReport(scanners=(), files=files, findings=findings)}
    )


def judged(evidence: ScanReport, **options: Any) -> Verdict:
    case = Case(have=Artifacts(evidence), now=SCANNED_AT)
    return ModelFilesRule(rule="model_files", **options).standing_at("ours.yaml:3").judge_in(evidence, case)


def exception(expires: date, **said: str) -> dict[str, object]:
    plain = {"path": "*.pkl", "code": "pickle-import", "reason": "known", "owner": "ada"}
    return {**plain, "expires": expires, **said}


def test_a_refusal_says_what_was_found_and_how_to_mend_or_except_it() -> None:
    (reason,) = judged(
        report(finding(member="a!b"), finding(kind="unread", code="damaged", subject=""))
    ).reasons
    assert "model.pkl (pickle): a!b: imports os.system [unsafe, pickle-import]" in reason.message
    assert "[unread, damaged]" in reason.message
    assert "safetensors" in reason.advice
    expected = "{path: model.pkl, code: pickle-import, subject: os.system, reason: …, owner: …, expires: "
    assert expected in reason.advice
    assert "ours.yaml:3" in reason.advice


def test_each_file_has_a_reason_of_its_own() -> None:
    assert len(judged(report(finding(), finding(path="b.pkl"), finding(code="x"))).reasons) == 2


@pytest.mark.parametrize(
    ("imports", "passes"), [([], False), (["churn.*"], True), (["churn.other.*"], False)]
)
def test_own_classes_are_named_under_imports(imports: list[str], passes: bool) -> None:
    verdict = judged(report(finding(**UNLISTED)), imports=imports)
    assert verdict.passed is passes
    assert passes or "imports: [churn.net.Net]" in verdict.reasons[0].advice


def test_what_runs_commands_is_no_class_of_ones_own() -> None:
    assert not judged(report(finding()), imports=["*"]).passed


def test_an_exception_holds_until_its_day_whenever_the_scan_was() -> None:
    evidence = report(finding())
    assert judged(evidence, exceptions=[exception(TODAY)]).passed
    verdict = judged(evidence, exceptions=[exception(TODAY - timedelta(days=2))])
    assert "its exception by ada expired on 2026-11-18, 2 days ago" in verdict.reasons[0].message
    assert not judged(evidence, exceptions=[exception(TODAY, subject="os.popen")]).passed
    later = ModelFilesRule.model_validate({"rule": "model_files", "exceptions": [exception(TODAY)]}).judge_in(
        evidence, Case(have=Artifacts(evidence), now=SCANNED_AT + timedelta(days=3))
    )
    assert "expired on 2026-11-20, 3 days ago" in later.reasons[0].message


def test_the_verdict_says_who_accepts_what() -> None:
    own = finding(code="pickle-unlisted-import", subject="churn.Model")
    verdict = judged(report(finding(), own), exceptions=[exception(TODAY)], imports=["churn.*"])
    assert verdict.passed
    assert [(one.id, one.package, one.subject, one.owner) for one in verdict.accepted] == [
        ("pickle-import", "model.pkl", "os.system", "ada"),
        ("pickle-unlisted-import", "model.pkl", "churn.Model", ""),
    ]
    assert judged(report(finding()), exceptions=[exception(TODAY - timedelta(days=1))]).accepted == ()


def test_an_unused_exception_is_reported() -> None:
    assert "covers nothing" in judged(report(), exceptions=[exception(TODAY)]).notes[0]


def test_only_the_findings_that_are_named_count() -> None:
    assert judged(report(finding(kind="malformed")), findings=["unsafe"]).passed
    assert not judged(report(finding(code="zip-overlap")), findings=["zip-*"]).passed


def test_the_summary_counts_files_formats_and_findings() -> None:
    assert (
        judged(report(formats=("onnx", "pickle"))).summary == "2 model files (1 onnx, 1 pickle), no findings"
    )


@pytest.mark.parametrize(
    ("evidence", "baseline", "production"),
    [
        (report(), "accepts", "warns"),
        (report(formats=("safetensors",)), "accepts", "accepts"),
        (report(formats=("unknown",)), "warns", "refuses"),
        (report(finding()), "refuses", "refuses"),
        (report(finding(kind="unread")), "refuses", "refuses"),
        (scan().model_copy(update={"model_files": None}), "accepts", "refuses"),
    ],
)
def test_how_strict_the_packs_are(
    evidence: ScanReport, baseline: str, production: str, tmp_path: Any
) -> None:
    for pack, expected in (("baseline", baseline), ("production", production)):
        rules = [policy for policy in load_policies(pack, tmp_path) if isinstance(policy, ModelFilesRule)]
        failed = [
            verdict.level.value for verdict in (rule.judge(evidence) for rule in rules) if not verdict.passed
        ]
        found = "refuses" if "enforce" in failed else "warns" if failed else "accepts"
        assert found == expected


def test_findings_beyond_those_that_are_told_are_not_accepted_with_them() -> None:
    more = {"kind": "unread", "code": "too-many-findings", "subject": "", "message": "has more findings"}
    (reason,) = judged(report(finding(**UNLISTED), finding(**more)), imports=("churn.*",)).reasons
    assert "has more findings" in reason.message
    assert "imports churn" not in reason.message
