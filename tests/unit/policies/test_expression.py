"""The escape hatch: what is refused when it is read, and what when it is judged."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.artifacts import Artifacts
from pipeline.errors import ConfigurationError
from pipeline.interface import Case
from pipeline.judgement import verdict
from pipeline.model import BenchmarkReport, BuiltImage, ScanReport, Skipped, Verdict
from pipeline.yaml_source import parse
from policies import cel, load_policies
from policies.samples import KINDS, sample
from tests.unit.policies.evidence import SCANNED_AT

HAVE = Artifacts(*(sample(kind, {}, SCANNED_AT) for kind in KINDS))


def judged(deny: str, have: Artifacts = HAVE) -> Verdict:
    (one,) = load_policies([{"rule": "expression", "deny": deny}], Path())
    assert isinstance(one.judges, type)
    return verdict(one, have[one.judges], Case(have=have, now=SCANNED_AT))


@pytest.mark.parametrize(
    ("deny", "problem"),
    [
        ("image.size_bites > 8e9", "there is no 'size_bites'; did you mean 'size_bytes'"),
        ("imge.size_bytes > 8e9", "there is no 'imge'; did you mean 'image'"),
        ("image.size_bytes > '8e9'", "found no matching overload .* '(int, string)'"),
        ("scan.vulnerabilities.exists(v, v.severty == 'HIGH')", "did you mean 'severity'"),
        ("scan.vulnerabilities.exists(v, v.severity == 1)", "no matching overload"),
        ("image.platforms > 3", "no matching overload"),
        ("image.size_bytes", "expected a comparison that is true or false; this is INT"),
        ("image.size_bytes >", "Syntax error"),
        ("scan.scanned_at > 3", "no matching overload"),
        ("destinations.stage == 'push'", "there is no 'destinations'"),
        ("x" * 4001, "at most 4000"),
    ],
)
def test_a_mistake_is_told_when_it_is_read(deny: str, problem: str) -> None:
    tree = parse(f"policies:\n- rule: expression\n  level: warn\n  deny: {deny!r}\n", "pipeline.yaml")
    with pytest.raises(
        ConfigurationError, match=problem.replace("(int", r"\(int").replace("ng)", r"ng\)")
    ) as caught:
        load_policies([], Path(), tree)
    assert caught.value.message.startswith("pipeline.yaml:4: ")


@pytest.mark.parametrize(
    ("deny", "denied"),
    [
        ("image.size_bytes > 8e9", False),
        ("image.size_bytes < 8e9", True),
        ("image.size_bytes >= 0 && image.revision == source.commit", True),
        ("benchmark.latency.p99_ms > 2", True),
        ("has(scan.baseline)", False),
        ("now - scan.scanned_at > duration('24h')", False),
        ("image.created > source.committed_at", False),
        ("scan.vulnerabilities.exists(v, v.severity == 'CRITICAL')", False),
        ("!image.platforms.all(p, p.user == '10001')", False),
        ("scan.database_age > duration('1h')", False),
        ("image.name.matches('^sam') && image.base.name.startsWith('python')", True),
    ],
)
def test_what_holds_is_denied(deny: str, denied: bool) -> None:
    assert judged(deny).refuses is denied


@pytest.mark.parametrize(
    ("deny", "last"),
    [
        ("benchmark.requests > 0 && image.size_bytes > 1", BenchmarkReport),
        ("image.size_bytes > 1", BuiltImage),
        ("source.dirty", BuiltImage),
        ("scan.packages > 1 && image.name == 'benchmark.x'", ScanReport),
    ],
)
def test_it_is_judged_when_the_last_is_made(deny: str, last: type) -> None:
    (one,) = load_policies([{"rule": "expression", "deny": deny}], Path())
    assert one.judges is last


def test_what_is_missing_is_refused_and_not_zero() -> None:
    have = HAVE.plus(sample("benchmark", {"latency": None}, SCANNED_AT))
    (reason,) = judged("benchmark.latency.p99_ms > 80.0", have).reasons
    assert "cannot be evaluated" in reason.message
    assert judged("has(benchmark.latency) && benchmark.latency.p99_ms > 80.0", have).passed


def test_evidence_of_a_stage_that_was_left_out_is_refused() -> None:
    kept = [one for one in HAVE if not isinstance(one, ScanReport)]
    have = Artifacts(*kept, Skipped(stage="scan", gives="ScanReport", reason="later"))
    (reason,) = judged("scan.packages > 1 && benchmark.requests > 1", have).reasons
    assert "there is no scan" in reason.message


def test_too_many_steps_are_refused() -> None:
    found = [{"id": f"CVE-{number}", "package": "p", "severity": "LOW"} for number in range(300)]
    have = HAVE.plus(sample("scan", {"vulnerabilities": found}, SCANNED_AT))
    each = "scan.vulnerabilities.all(a, scan.vulnerabilities.all(b, a.id != b.id || a.package == b.package))"
    (reason,) = judged(f"!{each}", have).reasons
    assert "budget exceeded" in reason.message
    assert judged("scan.vulnerabilities.size() > 300", have).passed


def test_a_refusal_says_what_was_measured() -> None:
    rule = {
        "rule": "expression",
        "id": "big",
        "deny": "image.size_bytes < 8e9",
        "message": "too small",
        "advice": "Add.",
    }
    (one,) = load_policies([rule], Path())
    found = verdict(one, HAVE[BuiltImage], Case(have=HAVE, now=SCANNED_AT))
    (reason,) = found.reasons
    assert found.policy == "big"
    assert reason.message == "too small: `image.size_bytes < 8e9` holds, and must not; image.size_bytes is 0"
    assert reason.advice.startswith("Add. Exception: ")


def test_what_is_called_is_no_value_that_is_missing() -> None:
    deny = "scan.vulnerabilities.exists(v, v.severity == 'HIGH') && scan.packages > 1"
    program = cel.compile_expression(deny)
    assert (
        program.measured(Case(have=HAVE, now=SCANNED_AT)) == f"scan.packages is {HAVE[ScanReport].packages}"
    )


def test_every_name_is_a_type_that_can_be_described() -> None:
    assert tuple(cel.VARIABLES) == ("source", "suite", "image", "scan", "benchmark", "push", "update")


def test_without_the_library_an_expression_is_an_error_that_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['cel_expr_python'] = None\n"
        "from pathlib import Path\n"
        "from policies import load_policies\n"
        "assert load_policies('production', Path())\n"
        "try: load_policies([{'rule': 'expression', 'deny': 'source.dirty'}], Path())\n"
        "except Exception as error: print(type(error).__name__, error.advice)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("ToolMissing Install the extra: `pip install 'model-image-pipeline[cel]'`")
