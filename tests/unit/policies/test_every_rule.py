"""What holds of all rules: a refusal says everything, each has its texts, the page about them is current."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.artifacts import Artifacts
from pipeline.documented import field_texts
from pipeline.judgement import judge
from pipeline.model import Artifact, Level, Skipped, Source, Verdict
from pipeline.yaml_source import parse
from policies import RULES, load_policies
from policies.document import document
from policies.samples import KINDS, sample
from tests.unit.policies.evidence import SCANNED_AT

ROOT = Path(__file__).parents[3]
OLD = SCANNED_AT - timedelta(days=100)
FOUND = {"id": "CVE-1", "package": "openssl", "severity": "CRITICAL", "fixed_version": "2"}


@dataclass(frozen=True)
class Refused:
    """A rule, evidence that it refuses, and the words for what was measured and for the limit."""

    rule: str
    kind: str
    changes: Mapping[str, Any]
    measured: str
    limit: str


def refused(rule: str, kind: str, changes: Mapping[str, Any], measured: str, limit: str) -> Refused:
    return Refused(rule, kind, changes, measured, limit)


NOBODY = {"secrets": None, "licenses": None, "misconfigurations": None, "model_files": None}
CASES = [
    refused("rule: suite\nminimum_tests: 101", "suite", {}, "100 tests passed", "at least 101"),
    refused("rule: suite", "suite", {"counts": None, "exit_code": 2}, "exit code 2", "0 is required"),
    refused("rule: suite\ncounts_required: true", "suite", {"counts": None}, "no JUnit file", "is required"),
    refused(
        "rule: suite\nminimum_line_coverage: 0.9", "suite", {"line_coverage": 0.5}, "50.0%", "at least 90.0%"
    ),
    refused(
        "rule: suite\nminimum_line_coverage: 0.9",
        "suite",
        {"line_coverage": None},
        "nobody",
        "at least 90.0%",
    ),
    refused(
        "rule: image\nallow_root: false",
        "image",
        {"platforms": [{"platform": "linux/amd64", "user": ""}]},
        "runs as root",
        "another user is required",
    ),
    refused(
        "rule: image\nports: [8080/tcp]",
        "image",
        {"platforms": [{"platform": "linux/amd64", "ports": ["22/tcp", "8080/tcp"]}]},
        "listens on 22/tcp",
        "allowed are 8080/tcp",
    ),
    refused("rule: image\nhealthcheck_required: true", "image", {}, "does not say", "is required"),
    refused("rule: image\nlabels: {team: 'v*'}", "image", {}, "team is missing", "'v*' is required"),
    refused(
        "rule: image\nlabels: {team: 'v*'}",
        "image",
        {"platforms": [{"platform": "linux/amd64", "labels": {"team": "x"}}]},
        "team is 'x'",
        "'v*' is required",
    ),
    refused("rule: base_image\nallowed: [debian]", "image", {}, "is python:3.12-slim", "allowed are debian"),
    refused(
        "rule: base_image\ndigest_required: true",
        "image",
        {"base": {"digest": None}},
        "is not known",
        "required",
    ),
    refused(
        "rule: base_image\nmaximum_age_days: 60",
        "image",
        {"platforms": [{"platform": "linux/amd64", "base_created": OLD}]},
        "100 days old",
        "at most 60",
    ),
    refused(
        "rule: base_image\nmaximum_age_days: 60",
        "image",
        {"platforms": [{"platform": "linux/amd64"}]},
        "unknown age",
        "at most 60",
    ),
    refused("rule: provenance\nallow_dirty: false", "image", {"dirty": True}, "differs from", "is required"),
    refused("rule: provenance\nbuilders: [gitlab]", "image", {}, "built by github", "allowed are gitlab"),
    refused("rule: provenance\nbranches: [release/*]", "image", {}, "branch main", "allowed are release/*"),
    refused(
        "rule: vulnerabilities\nmaximum: {CRITICAL: 0}", "scan", {"vulnerabilities": [FOUND]}, "CVE-1", "0"
    ),
    refused(
        "rule: vulnerabilities\nmaximum_known_exploited: 0",
        "scan",
        {"vulnerabilities": [{**FOUND, "known_exploited": "2026-01-01"}]},
        "1 vulnerability that is known to be exploited",
        "at most 0",
    ),
    refused(
        "rule: vulnerabilities\nmaximum_known_exploited: 0",
        "scan",
        {"known_exploited_list": ""},
        "no list",
        "at most 0",
    ),
    refused(
        "rule: vulnerability_database\nmaximum_age_days: 3",
        "scan",
        {"database": {"updated_at": OLD}},
        "100.0 days old",
        "at most 3",
    ),
    refused(
        "rule: unjudged",
        "scan",
        {"unjudged": [{"subject": "x 1", "reason": "is unknown"}]},
        "x 1",
        "has to be",
    ),
    refused("rule: registry_scan", "scan", {}, "no registry", "one is required"),
    refused(
        "rule: registry_scan",
        "scan",
        {"registries": [{"status": "no scan"}]},
        "not read: no scan",
        "required",
    ),
    refused(
        "rule: registry_scan\nmaximum_age_days: 1",
        "scan",
        {"registries": [{"status": "read", "completed_at": OLD}]},
        "100.0 days old",
        "at most 1",
    ),
    refused("rule: secrets", "scan", NOBODY, "nobody looked for secrets", "is required"),
    refused("rule: secrets", "scan", {"secrets": [{"rule": "key", "path": "/a"}]}, "key in /a", "at most 0"),
    refused("rule: licenses\nallow: [MIT]", "scan", NOBODY, "nobody looked for licences", "is required"),
    refused(
        "rule: licenses\nallow: [MIT]",
        "scan",
        {"licenses": [{"license": "AGPL-3.0-only", "package": "p"}]},
        "p (AGPL-3.0-only)",
        "allowed are MIT",
    ),
    refused(
        "rule: licenses\ndeny: [AGPL-*]",
        "scan",
        {"licenses": [{"license": "whatever", "package": "p"}]},
        "1 licence that nobody knows",
        "known ones are required",
    ),
    refused("rule: misconfigurations", "scan", NOBODY, "nobody looked for misconf", "is required"),
    refused(
        "rule: misconfigurations",
        "scan",
        {"misconfigurations": [{"id": "DS-0002", "title": "root", "severity": "HIGH"}]},
        "DS-0002 root",
        "at most 0",
    ),
    refused("rule: dockerfile\nrequired: true", "scan", {}, "nobody looked", "is required"),
    refused(
        "rule: dockerfile\nmaximum: {warning: 0}",
        "scan",
        {"dockerfile": {"findings": [{"code": "DL3008", "level": "warning", "line": 3}]}},
        "DL3008",
        "at most 0",
    ),
    refused("rule: model_files\nrequired: true", "scan", NOBODY, "nobody looked", "is required"),
    refused(
        "rule: model_files",
        "scan",
        {"model_files": {"findings": [{"path": "m.pkl", "kind": "unsafe", "code": "pickle-import"}]}},
        "m.pkl",
        "none is allowed",
    ),
    refused("rule: model\nformats: [onnx]", "scan", NOBODY, "nobody looked", "allowed are onnx"),
    refused(
        "rule: model\nformats: [onnx]",
        "scan",
        {"model_files": {"files": [{"path": "m", "format": "pickle"}]}},
        "m (pickle)",
        "allowed are onnx",
    ),
    refused("rule: model\ncard_required: true", "scan", {}, "no card", "one is required"),
    refused(
        "rule: model\nlicenses: [MIT]",
        "scan",
        {"model_card": {"path": "README.md", "license": "CC-BY-NC-4.0"}},
        "CC-BY-NC-4.0",
        "allowed are MIT",
    ),
    refused("rule: model_files\nrequired: true", "scan", NOBODY, "nobody looked", "is required"),
    refused(
        "rule: model_files",
        "scan",
        {"model_files": {"findings": [{"path": "m.pkl", "kind": "unsafe", "message": "imports os.system"}]}},
        "imports os.system",
        "none is allowed",
    ),
    refused(
        "rule: model_files\nrefused_formats: [unknown]",
        "scan",
        {"model_files": {"files": [{"path": "m", "format": "unknown"}]}},
        "m (unknown)",
        "not allowed (unknown)",
    ),
    refused("rule: performance\nmaximum_p99_ms: 1", "benchmark", {}, "p99 is 3.0 ms", "at most 1 ms"),
    refused("rule: performance", "benchmark", {"errors": 50}, "50 of 100", "at most 0.00%"),
    refused("rule: performance", "benchmark", {"requests": 0}, "no request", "at least one"),
    refused(
        "rule: performance", "benchmark", {"invalid": ["busy"]}, "busy", "only numbers of a quiet machine"
    ),
    refused(
        "rule: freshness\nmaximum_benchmark_age_days: 1",
        "benchmark",
        {"finished_at": OLD},
        "100.0",
        "at most 1",
    ),
    refused(
        "rule: freshness\nmaximum_suite_age_days: 1",
        "suite",
        {"finished_at": None},
        "nobody noted",
        "at most",
    ),
    refused("rule: freshness\nmaximum_scan_age_days: 1", "scan", {"scanned_at": OLD}, "100.0", "at most 1"),
    refused(
        "rule: destinations\nallowed: [{branches: [main], registries: [a/*]}]",
        "destinations",
        {"repositories": ["registry.example.com/b"]},
        "pushes to registry.example.com/b",
        "allowed are a/*",
    ),
    refused(
        "rule: destinations\nallowed: [{branches: [main], targets: [dev/*]}]",
        "destinations",
        {"gitops": "https://git.example.com/x", "targets": ["prod/k.yaml"]},
        "writes to prod/k.yaml",
        "allowed are dev/* in *",
    ),
    refused(
        "rule: expression\ndeny: image.platforms.size() > 0",
        "image",
        {},
        "image.platforms.size()",
        "must not",
    ),
    refused(
        "rule: expression\ndeny: benchmark.latency.p99_ms > 1.0",
        "benchmark",
        {"latency": None},
        "cannot be evaluated",
        "has to be false",
    ),
    refused(
        "rule: any_of\nrules: [{rule: performance, maximum_p99_ms: 1}]",
        "benchmark",
        {},
        "p99 is 3.0",
        "at most 1",
    ),
    refused(
        "rule: all_of\nrules: [{rule: performance, maximum_p99_ms: 1}]",
        "benchmark",
        {},
        "p99 is 3.0",
        "at most 1",
    ),
]


def verdict_of(rule: str, made: Artifact) -> Verdict:
    lines = "\n".join(f"  {line}" for line in rule.splitlines())
    policies = load_policies([], Path(), parse(f"policies:\n-\n{lines}", "pipeline.yaml"))
    have = Artifacts(*(sample(kind, {}, SCANNED_AT) for kind in KINDS))
    (verdict,) = judge(made, policies, have=have, now=SCANNED_AT)
    return verdict


def says_everything(verdict: Verdict, measured: str, limit: str) -> None:
    (reason, *_) = verdict.reasons
    assert verdict.refuses
    assert measured in reason.message
    assert limit in reason.message
    assert verdict.origin == "pipeline.yaml:3"
    remedy, exception, written = reason.advice.partition("Exception: ")
    assert remedy.strip()
    assert exception
    assert written.strip()


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule} | {case.measured}")
def test_a_refusal_says_measure_limit_place_remedy_and_exception(case: Refused) -> None:
    made = sample(case.kind, case.changes, SCANNED_AT)
    says_everything(verdict_of(case.rule, made), case.measured, case.limit)


def test_a_skipped_stage_too() -> None:
    left_out = Skipped(stage="scan", gives="ScanReport", reason="later")
    says_everything(verdict_of("rule: skipped", left_out), "scan was left out: later", "no stage may be")


def test_an_unprotected_branch_too() -> None:
    have = Artifacts(sample("source", {"protected": None}, SCANNED_AT), sample("image", {}, SCANNED_AT))
    assert have[Source].protected is None
    tree = parse("policies:\n- {rule: provenance, protected: true}", "pipeline.yaml")
    made = sample("image", {}, SCANNED_AT)
    (verdict,) = judge(made, load_policies([], Path(), tree), have=have, now=SCANNED_AT)
    assert verdict.reasons[0].message == (
        "the branch main is not known to be protected; a protected one is required"
    )


def test_every_rule_is_made_to_refuse() -> None:
    used = {parse(case.rule, "x").value["rule"] for case in CASES}  # type: ignore[index]  # mappings all
    assert used | {"skipped"} == set(RULES)


@pytest.mark.parametrize("name", RULES)
def test_every_example_is_read(name: str) -> None:
    tree = parse(RULES[name].example, f"example of {name}")
    (policy,) = load_policies([tree.value], Path())
    assert policy.name


@pytest.mark.parametrize("name", RULES)
def test_every_rule_and_option_is_described(name: str) -> None:
    rule = RULES[name]
    assert all(len(text) > 3 for text in (rule.why, rule.remedy, rule.exception))
    assert rule.model_fields.keys() - {"rule"} <= field_texts(rule).keys()


def test_evidence_that_is_good_passes_every_pack() -> None:
    have = Artifacts(*(sample(kind, {}, SCANNED_AT) for kind in KINDS))
    for pack in ("baseline", "production"):
        for made in have:
            verdicts = judge(made, load_policies(pack, Path()), have=have, now=SCANNED_AT)
            assert all(verdict.passed for verdict in verdicts), verdicts


def test_the_page_is_what_the_code_says() -> None:
    page = (ROOT / "docs/policies.md").read_text(encoding="utf-8")
    assert page == document(), "run `make docs`"


def test_a_refusal_by_a_pack_of_ours_says_how_to_extend_it() -> None:
    have = Artifacts(sample("suite", {}, SCANNED_AT))
    (rule,) = (one for one in load_policies("production", Path()) if one.name == "vulnerability_database")
    made = sample("scan", {"database": {"updated_at": OLD}}, SCANNED_AT)
    (verdict,) = judge(made, (rule,), have=have, now=SCANNED_AT)
    assert verdict.origin.startswith("pack production:")
    assert "policies: {extends: production, rules: [{replaces: vulnerability_database, " in (
        verdict.reasons[0].advice
    )
    assert verdict.level is Level.ENFORCE
