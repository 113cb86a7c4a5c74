"""Where policies come from, and how a mistake in them is answered."""

from pathlib import Path

import pytest

from pipeline.errors import ConfigurationError
from pipeline.interface import Policy
from pipeline.model import Artifact, Level, Severity, Skipped, Unjudged, Verdict
from pipeline.yaml_source import parse
from policies import load_policies
from policies.load import packs
from tests.unit.policies.evidence import benchmark, image, scan, suite, vulnerability

GOOD = (suite(), image(), scan(), benchmark())


def judged(pack: str, *artifacts: Artifact) -> list[Verdict]:
    policies = load_policies(pack, Path())
    return [
        policy.judge(artifact)
        for artifact in artifacts
        for policy in policies
        if isinstance(artifact, policy.judges)
    ]


def judged_by(pack: str) -> set[type[Artifact]]:
    kinds = [policy.judges for policy in load_policies(pack, Path())]
    return {each for kind in kinds for each in (kind if isinstance(kind, tuple) else (kind,))}


def refused(pack: str, artifact: Artifact) -> bool:
    return any(verdict.refuses for verdict in judged(pack, artifact))


def warned(pack: str, artifact: Artifact) -> bool:
    return any(not verdict.passed and verdict.level is Level.WARN for verdict in judged(pack, artifact))


@pytest.mark.parametrize("pack", packs())
def test_packs_accept_what_is_good_and_judge_all_evidence(pack: str) -> None:
    verdicts = judged(pack, *GOOD)
    assert all(verdict.passed for verdict in verdicts)
    assert all(verdict.origin.startswith(f"pack {pack}:") for verdict in verdicts)
    assert {*map(type, GOOD), Skipped} <= judged_by(pack)


SKIPPED = Skipped(stage="benchmark", gives="BenchmarkReport", reason="no GPU")


@pytest.mark.parametrize(
    ("artifact", "baseline", "production"),
    [
        (suite(failed=1), "refuses", "refuses"),
        (suite(passed=0), "refuses", "refuses"),
        (suite().model_copy(update={"counts": None}), "accepts", "refuses"),
        (image(user=""), "warns", "refuses"),
        (image(dirty=True), "warns", "refuses"),
        (image(layers=126), "refuses", "refuses"),
        (scan(vulnerability("A", Severity.CRITICAL)), "refuses", "refuses"),
        (scan(vulnerability("A", Severity.CRITICAL, fixed=None)), "accepts", "warns"),
        (scan(vulnerability("A", Severity.HIGH)), "warns", "refuses"),
        (scan(vulnerability("A", Severity.UNKNOWN)), "warns", "refuses"),
        (scan(vulnerability("A", Severity.MEDIUM)), "accepts", "accepts"),
        (scan(unjudged=(Unjudged(subject="debian 99.0", reason="is unknown"),)), "refuses", "refuses"),
        (image(base=None), "accepts", "warns"),
        (benchmark(errors=1), "refuses", "refuses"),
        (benchmark(invalid=("lag",)), "refuses", "refuses"),
        (SKIPPED, "accepts", "refuses"),
        (SKIPPED.model_copy(update={"stage": "scan"}), "warns", "refuses"),
    ],
)
def test_how_strict_the_packs_are(artifact: Artifact, baseline: str, production: str) -> None:
    for pack, expected in (("baseline", baseline), ("production", production)):
        found = "refuses" if refused(pack, artifact) else "warns" if warned(pack, artifact) else "accepts"
        assert (pack, found) == (pack, expected)


def test_a_file_is_found_from_the_folder_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "ours.yaml").write_text("description: ours\nrules:\n\n- rule: suite\n  minimum_tests: 9\n")
    (policy,) = load_policies("./ours.yaml", tmp_path)
    assert policy.judge(suite()).origin == "./ours.yaml:4"


def test_rules_inline_know_their_lines() -> None:
    tree = parse("image: x\n\npolicies:\n  - rule: suite\n  - rule: image\n", "pipeline.yaml")
    first, second = load_policies([], Path(), tree)
    assert (first.judge(suite()).origin, second.judge(image()).origin) == (
        "pipeline.yaml:4",
        "pipeline.yaml:5",
    )


def test_rules_are_policies() -> None:
    def take(policy: Policy) -> str:
        return policy.name

    assert [take(policy) for policy in load_policies([{"rule": "suite"}], Path())] == ["suite"]


@pytest.mark.parametrize(
    ("choice", "message", "advice"),
    [
        ("basline", "'basline' is no pack; there are baseline, production", "Did you mean 'baseline'?"),
        ("./none.yaml", "there is no file .*none.yaml", "Check the name"),
        ([], "there is no rule in it", ""),
        ([{"level": "warn"}], "the key 'rule' is required", ""),
        ([{"rule": "imge"}], "unknown rule; did you mean 'image'?", ""),
        ([{"rule": "suite", "minimum_test": 1}], "unknown key; did you mean 'minimum_tests'?", ""),
        ([{"rule": "suite", "level": "warning"}], "'warning' - expected 'enforce' or 'warn'", ""),
        ([{"rule": "image", "maximum_size": "big"}], "'big' - expected a size such as", ""),
        ([{"rule": "base_image", "allowed": ["A B"]}], r"allowed\[0\]: 'A B'", ""),
        ([{"rule": "base_image", "allowed": ["python:3.*"]}], "a pattern is of the repository alone", ""),
        ([{"rule": "vulnerabilities"}], r"policies\[0\]: .* without a ceiling everything is allowed", ""),
        ([{"rule": "vulnerabilities", "maximum": {"HIHG": 0}}], "'HIHG' - expected 'CRITICAL', 'HIGH'", ""),
        (
            [{"rule": "any_of", "rules": [{"rule": "suite", "minimum_test": 1}]}],
            "did you mean 'minimum_tests'",
            "",
        ),
    ],
)
def test_mistakes(choice: str | list[object], message: str, advice: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=message.replace("?", r"\?")) as caught:
        load_policies(choice, tmp_path)
    assert caught.value.advice.startswith(advice)


def test_all_mistakes_come_at_once_with_their_lines(tmp_path: Path) -> None:
    (tmp_path / "ours.yaml").write_text("rules:\n- rule: suit\n- rule: image\n  maximum_layers: many\n")
    with pytest.raises(ConfigurationError) as caught:
        load_policies("ours.yaml", tmp_path)
    lines = caught.value.message.splitlines()
    assert lines[0] == "2 problems in ours.yaml:"
    assert lines[1].startswith(
        "  ours.yaml:2: rules[0]: {'rule': 'suit'} - unknown rule; did you mean 'suite'?"
    )
    assert lines[2] == "  ours.yaml:4: rules[1].maximum_layers: 'many' - expected a whole number"
