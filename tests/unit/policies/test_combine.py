"""Several rules as one."""

from pathlib import Path

import pytest

from pipeline.errors import ConfigurationError
from pipeline.model import Level, SuiteReport, Verdict
from pipeline.yaml_source import parse
from policies import load_policies
from policies.combine import AllOf, AnyOf
from tests.unit.policies.evidence import suite


def judge(text: str) -> Verdict:
    (policy,) = load_policies([], Path(), parse(text, "pipeline.yaml"))
    return policy.judge(suite(passed=3, skipped=2))


TEXT = """
policies:
  - rule: {name}
    level: warn
    rules:
      - {{rule: suite, minimum_tests: {minimum}}}
      - {{rule: suite, maximum_skipped: {skipped}}}
"""


@pytest.mark.parametrize(
    ("name", "minimum", "skipped", "reasons"),
    [
        ("all_of", 3, 2, 0),
        ("all_of", 4, 2, 1),
        ("all_of", 4, 1, 2),
        ("any_of", 3, 1, 0),
        ("any_of", 4, 2, 0),
        ("any_of", 4, 1, 2),
    ],
)
def test_reasons_are_kept(name: str, minimum: int, skipped: int, reasons: int) -> None:
    verdict = judge(TEXT.format(name=name, minimum=minimum, skipped=skipped))
    assert len(verdict.reasons) == reasons
    assert (verdict.policy, verdict.level, verdict.origin) == (name, Level.WARN, "pipeline.yaml:3")
    assert verdict.passed is (not reasons)


@pytest.mark.parametrize("kind", [AllOf, AnyOf])
def test_an_empty_one_refuses(kind: type[AllOf] | type[AnyOf]) -> None:
    verdict = kind(policies=(), judges=SuiteReport).judge(suite())
    assert verdict.refuses
    assert "accepts nothing" in verdict.reasons[0].message


def test_rules_about_different_evidence_cannot_be_combined() -> None:
    text = "policies:\n- {rule: any_of, rules: [{rule: suite}, {rule: image}]}"
    with pytest.raises(ConfigurationError, match=r"pipeline.yaml:2: any_of needs .* BuiltImage, SuiteReport"):
        judge(text)
