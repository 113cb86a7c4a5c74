"""judge, policy list, policy explain, policy test: as a user starts them."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.cli import main
from pipeline.model import Skipped, Source
from pipeline.record import FILE_NAME, Record, Runs, StageRecord, Status, write_text
from policies.samples import sample

EXAMPLE = Path(__file__).parents[3] / "examples/policies"
STAGES = {"test": "suite", "build": "image", "scan": "scan", "benchmark": "benchmark", "push": "push"}
CRITICAL = {"id": "CVE-1", "package": "openssl", "severity": "CRITICAL", "fixed_version": "2"}


def recorded(folder: Path, *, days_ago: float = 0, **changes: dict[str, object]) -> Path:
    """Write the record of a run, whose evidence is good but for the changes, and return its path."""
    then = datetime.now(UTC) - timedelta(days=days_ago)
    made = {name: sample(kind, changes.get(kind, {}), then) for name, kind in STAGES.items()}
    stages = [
        StageRecord(
            name=name,
            gives=type(one).__name__,
            status=Status.PASSED,
            artifact=one.model_dump(mode="json"),
        )
        for name, one in made.items()
    ]
    source = sample("source", changes.get("source", {}), then)
    assert isinstance(source, Source)
    record = Record(
        run="20261120T120000Z-abc", started_at=then, status=Status.PASSED, source=source, stages=tuple(stages)
    )
    path = Runs(folder).path(record.run)
    write_text(path, record.model_dump_json())
    return path


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pipeline.yaml").write_text("image: digits\npolicies: production\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_good_run_is_accepted_again(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded(project)
    assert main(["judge", "latest"]) == 0
    said = capsys.readouterr().out
    assert "passed  vulnerabilities: 0 critical, 0 high" in said
    assert "the run 20261120T120000Z-abc is accepted by production" in said


def test_other_policies_refuse_it_with_exit_code_3(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded(project, scan={"vulnerabilities": [CRITICAL]})
    (project / "lax.yaml").write_text("rules: [{rule: suite}]\n")
    assert main(["judge", "20261120", "--policies", "./lax.yaml"]) == 0
    capsys.readouterr()
    assert main(["judge", "latest"]) == 3
    said = capsys.readouterr().out
    assert "refused vulnerabilities: 1 CRITICAL vulnerability" in said
    assert "(pack production:" in said
    assert "Exception: " in said


def test_evidence_is_of_its_day_and_freshness_of_today(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded(project, days_ago=30)
    assert main(["judge", "latest", "--json"]) == 3
    found = json.loads(capsys.readouterr().out)
    refused = [one["policy"] for stage in found["stages"] for one in stage["verdicts"] if one["reasons"]]
    assert (found["refused"], refused) == (True, ["freshness"])


def test_a_record_needs_no_configuration_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recorded(tmp_path / "elsewhere", push={"references": [{"repository": "a.example.com/prod/x"}]})
    monkeypatch.chdir(tmp_path)
    (tmp_path / "where.yaml").write_text(
        "rules: [{rule: destinations, allowed: [{branches: [main], registries: [a.example.com/dev/*]}]}]"
    )
    assert main(["judge", str(path), "--policies", "./where.yaml"]) == 3
    assert "the branch main pushes to a.example.com/prod/x" in capsys.readouterr().out


def test_a_stage_that_was_left_out_is_judged_too(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = recorded(project)
    record = Record.model_validate_json(path.read_text())
    left_out = Skipped(stage="scan", gives="ScanReport", reason="later").model_dump(mode="json")
    entry = record.stage("scan")
    assert entry is not None
    changed = entry.model_copy(update={"artifact": left_out, "status": Status.SKIPPED})
    write_text(path, record.with_stage(changed).model_dump_json())
    assert main(["judge", "latest"]) == 3
    assert "refused skipped: scan was left out: later" in capsys.readouterr().out


def test_a_run_that_ended_early_is_not_accepted_for_what_it_has_not_done(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recorded(project)
    record = Record.model_validate_json(path.read_text())
    ended = record.model_copy(update={"status": Status.FAILED, "stages": record.stages[:2]})
    write_text(path, ended.model_dump_json())
    assert main(["judge", "latest"]) == 3
    assert "is refused by production" in (said := capsys.readouterr().out)
    assert said.endswith(": it has no result of a scan, a benchmark\n")
    (project / "more.yaml").write_text("rules: [{rule: suite, minimum_tests: 999}, {rule: performance}]\n")
    assert main(["judge", "latest", "--policies", "./more.yaml"]) == 3
    said = capsys.readouterr().out
    assert said.endswith(": what is listed above, and it has no result of a benchmark\n")
    (project / "tests.yaml").write_text("rules: [{rule: suite}]\n")
    assert main(["judge", "latest", "--policies", "./tests.yaml"]) == 0


def test_packs_and_rules_are_listed(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "list"]) == 0
    assert capsys.readouterr().out.splitlines()[0].startswith("baseline       For every delivery")
    (project / "ours.yaml").write_text("extends: baseline\nrules:\n- {rule: secrets, level: warn}\n")
    assert main(["policy", "list", "./ours.yaml"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.split() == ["secrets", "secrets", "warn", "./ours.yaml:3"]


def test_a_rule_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "explain", "secrets"]) == 0
    said = capsys.readouterr().out
    for part in (
        "No secret lies in a layer",
        "**Why.**",
        "| `maximum` | whole number | `0` |",
        "**Remedy.**",
    ):
        assert part in said
    assert main(["policy", "explain"]) == 0
    assert "- `vulnerabilities`: " in capsys.readouterr().out
    assert main(["policy", "explain", "expression"]) == 0
    assert "| `size_bytes` | whole number |" in capsys.readouterr().out


def test_a_rule_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "explain", "sekrets"]) == 2
    assert "Did you mean 'secrets'?" in capsys.readouterr().err


def test_the_example_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "test", str(EXAMPLE)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "11 passed, 0 failed"


def test_a_case_that_fails_says_what_was_expected_and_what_was_found(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded(project, scan={"vulnerabilities": [CRITICAL]})
    (project / "ours_test.yaml").write_text(f"""
policies: production
cases:
  - name: the run of last week
    record: .pipeline/runs/20261120T120000Z-abc/{FILE_NAME}
    expect: passed
  - name: for another reason
    evidence: {{scan: {{vulnerabilities: [{json.dumps(CRITICAL)}]}}}}
    expect: refused
    by: [{{rule: suite, message: tests}}]
  - name: a record with a change
    record: .pipeline/runs/20261120T120000Z-abc/{FILE_NAME}
    evidence: {{scan: {{vulnerabilities: []}}}}
    expect: passed
""")
    assert main(["policy", "test"]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "FAILED ours_test.yaml:4: the run of last week"
    assert said[1].split() == ["expected:", "passed"]
    assert said[2].split() == ["found:", "refused"]
    assert "refused by vulnerabilities (pack production:" in said[3]
    assert "expected: refused by suite with 'tests'" in "\n".join(said)
    assert said[-1] == "1 passed, 2 failed"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("policies: production\ncases: []", "cases"),
        ("policies: production\ncases: [{name: a, expect: passed}]", "there is nothing to judge"),
        (
            "policies: production\ncases: [{name: a, expect: passed, evidence: {scn: {}}}]",
            "there is no evidence 'scn'",
        ),
        (
            "policies: production\ncases:\n- name: a\n  expect: passed\n  evidence:\n    scan: {pakages: 1}",
            "case_test.yaml:6: evidence.scan.pakages",
        ),
        ("policies: prod\ncases: [{name: a, expect: passed, evidence: {scan: {}}}]", "'prod' is no pack"),
        ("policies: production\ncases: [{name: a, expect: fine, evidence: {scan: {}}}]", "expected 'passed'"),
    ],
)
def test_mistakes_in_cases(
    text: str, problem: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "case_test.yaml").write_text(text)
    assert main(["policy", "test"]) == 2
    assert problem in capsys.readouterr().err


def test_no_cases_at_all(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "test"]) == 2
    assert "there is no file test_*.yaml" in capsys.readouterr().err


def test_a_pack_that_leaves_everything_out_is_listed_as_nothing(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "theirs.yaml").write_text("rules: [{rule: suite}]\n")
    (project / "ours.yaml").write_text(
        "extends: ./theirs.yaml\nwithout: [{id: suite, reason: none of our models has tests}]\n"
    )
    assert main(["policy", "list", "./ours.yaml"]) == 0
    assert capsys.readouterr().out == ""
