"""Each rule: what it accepts, what it refuses, and that a refusal says measure, limit and remedy."""

from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.artifacts import Artifacts
from pipeline.errors import ConfigurationError
from pipeline.interface import Case
from pipeline.judgement import verdict as asked
from pipeline.model import (
    Artifact,
    BaseImage,
    Baseline,
    BuiltImage,
    Destinations,
    FoundBy,
    Image,
    Level,
    ModelImage,
    Severity,
    Skipped,
    SuiteReport,
    Unjudged,
    Verdict,
)
from pipeline.reference import Digest
from pipeline.yaml_source import parse
from policies.load import load_policies
from tests.unit.policies.evidence import PINNED, SCANNED_AT, benchmark, image, scan, suite, vulnerability

CRITICAL, HIGH, UNKNOWN = Severity.CRITICAL, Severity.HIGH, Severity.UNKNOWN


def judge(rule: str, artifact: Artifact) -> Verdict:
    """Judge with one rule in the form in which a user writes it."""
    tree = parse(f"policies:\n- {rule}", "pipeline.yaml")
    (policy,) = load_policies([], Path(), tree)
    assert isinstance(artifact, policy.judges)
    verdict = asked(policy, artifact, Case(have=Artifacts(artifact), now=SCANNED_AT))
    assert verdict.origin == "pipeline.yaml:2"
    assert all(reason.message and reason.advice for reason in verdict.reasons)
    return verdict


def messages(rule: str, artifact: Artifact) -> list[str]:
    return [reason.message for reason in judge(rule, artifact).reasons]


def test_suite() -> None:
    passed = judge("{rule: suite, minimum_tests: 3}", suite(passed=3, skipped=1))
    assert passed.passed
    assert passed.summary == "3 tests passed, 1 skipped"
    assert messages("{rule: suite, minimum_tests: 4}", suite(passed=3)) == [
        "3 tests passed; at least 4 have to"
    ]
    assert messages("{rule: suite, maximum_skipped: 0}", suite(skipped=2)) == [
        "2 tests skipped; at most 0 may be"
    ]
    assert messages("{rule: suite}", suite(failed=2)) == ["2 of 5 tests failed; 0 are allowed"]


def test_suite_without_counts() -> None:
    report = SuiteReport(command=("make",), exit_code=0, duration_s=1)
    assert judge("{rule: suite}", report).passed
    assert "left no JUnit file" in messages("{rule: suite, counts_required: true}", report)[0]
    bad = report.model_copy(update={"exit_code": 2})
    assert messages("{rule: suite}", bad) == ["the test command ended with exit code 2; 0 is required"]


def test_image_size_and_layers() -> None:
    assert judge("{rule: image, maximum_size: 120MiB, maximum_layers: 3}", image()).passed
    assert messages("{rule: image, maximum_size: 119MiB, maximum_layers: 2}", image()) == [
        "linux/amd64: 120.0MiB (20.0MiB application, 100.0MiB model); at most 119.0MiB is allowed",
        "linux/amd64: 3 layers; at most 2",
    ]


@pytest.mark.parametrize(
    ("user", "root"),
    [
        ("", True),
        ("0", True),
        ("root", True),
        ("0:0", True),
        ("root:users", True),
        ("00:0", True),
        ("+0", True),
        ("0x", False),
        ("10001", False),
        ("app:0", False),
    ],
)
def test_root_user(user: str, root: bool) -> None:
    verdict = judge("{rule: image, allow_root: false}", image(user=user))
    assert verdict.passed is not root
    assert ("runs as root" in verdict.summary) is root
    assert judge("{rule: image}", image(user=user)).passed


def test_dirty_tree() -> None:
    assert judge("{rule: image}", image(dirty=True)).passed
    assert (
        "differs from commit aaaaaaaaaaaa"
        in messages("{rule: provenance, allow_dirty: false}", image(dirty=True))[0]
    )
    assert judge("{rule: provenance, allow_dirty: false}", image()).passed


def with_model_image(base: BaseImage | None) -> BuiltImage:
    """Return an image whose weights are in another one, with this base."""
    made = image()
    parts = {name: getattr(made, name) for name in Image.model_fields}
    own = ModelImage(**{**parts, "base": base}, mounted_at="/mnt/models")
    return made.model_copy(update={"model_layers": (), "model_image": own})


def test_weights_in_an_image_of_their_own_count_too() -> None:
    assert messages("{rule: image, maximum_size: 119MiB, maximum_layers: 2}", with_model_image(None)) == [
        "linux/amd64: 120.0MiB (20.0MiB application, 100.0MiB model); at most 119.0MiB is allowed"
    ]


def test_the_base_of_the_weights_own_image_is_judged() -> None:
    rule = "{rule: base_image, allowed: [python], digest_required: true}"
    assert judge(rule, with_model_image(None)).passed
    assert judge(rule, with_model_image(PINNED)).passed
    assert messages(rule, with_model_image(BaseImage(name="busybox"))) == [
        "model image: the base image is busybox; allowed are python",
        "model image: the digest of the base image busybox is not known; it is required",
    ]


@pytest.mark.parametrize(
    ("allowed", "base", "accepted"),
    [
        ("python", "docker.io/library/python:3.12", True),
        ("python:3.12", "python:3.12", True),
        ("python:3.12", "python:3.11", False),
        ("python", "evil.example.com/python", False),
        ("python", "pythonista", False),
        ("registry.example.com/base/*", "registry.example.com/base/ml/cuda:1", True),
        ("registry.example.com/base/*", "registry.example.com/other", False),
        ("scratch", "scratch", True),
        ("python", "scratch", False),
    ],
)
def test_base_images(allowed: str, base: str, accepted: bool) -> None:
    rule = f"{{rule: base_image, allowed: ['{allowed}']}}"
    assert judge(rule, image(base=BaseImage(name=base))).passed is accepted


def test_unknown_base_is_no_allowed_one() -> None:
    assert messages("{rule: base_image, allowed: [python]}", image(base=None)) == [
        "the base image is unknown; allowed are python"
    ]


def test_base_digest() -> None:
    rule = "{rule: base_image, digest_required: true}"
    assert (
        "digest of the base image python is not known"
        in messages(rule, image(base=BaseImage(name="python")))[0]
    )
    assert judge(rule, image(base=BaseImage(name="python", digest=Digest.of(b"")))).passed
    assert judge(rule, image(base=BaseImage(name="scratch"))).passed
    assert messages(rule, image(base=None)) == [
        "the base image is unknown, and its digest with it; a known digest is required"
    ]


def test_no_findings() -> None:
    verdict = judge("{rule: vulnerabilities, maximum: {CRITICAL: 0}}", scan())
    assert (verdict.passed, verdict.summary) == (True, "0 critical, 0 high")


def test_ceilings_are_per_severity_and_unknown_is_one() -> None:
    report = scan(
        vulnerability("A", CRITICAL),
        vulnerability("B", HIGH),
        vulnerability("C", HIGH, fixed=None),
        vulnerability("D", UNKNOWN),
    )
    rule = "{rule: vulnerabilities, maximum: {CRITICAL: 1, high: 1, UNKNOWN: 0}}"
    verdict = judge(rule, report)
    assert [reason.message for reason in verdict.reasons] == [
        (
            "2 HIGH vulnerabilities; at most 1 allowed: B in PyYAML 5.3, fixed in 5.4;"
            " C in PyYAML 5.3, no fix known"
        ),
        "1 UNKNOWN vulnerability; at most 0 allowed: D in PyYAML 5.3, fixed in 5.4",
    ]
    assert verdict.reasons[0].advice.startswith("Upgrade PyYAML to 5.4, and build again.")
    assert "{id: B, package: PyYAML, reason: …, owner: …, expires: 2026-12-20}" in verdict.reasons[0].advice
    assert "pipeline.yaml:2" in verdict.reasons[0].advice
    assert verdict.summary == "1 critical, 2 high, 1 unknown, 3 with a fix"


def test_a_finding_of_another_scanner_than_ours_says_whose_it_is() -> None:
    found_by = (FoundBy(scanner="trivy", severity=Severity.LOW), FoundBy(scanner="Inspector", severity=HIGH))
    report = scan(vulnerability("A", HIGH).model_copy(update={"found_by": found_by}))
    assert messages("{rule: vulnerabilities, maximum: {HIGH: 0}}", report) == [
        "1 HIGH vulnerability; at most 0 allowed: A in PyYAML 5.3, fixed in 5.4 (trivy: LOW, Inspector: HIGH)"
    ]


def test_no_ceiling_at_all_is_a_mistake() -> None:
    with pytest.raises(ConfigurationError, match="without a ceiling everything is allowed"):
        judge("{rule: vulnerabilities, maximum: {}}", scan())


def test_fixable_only() -> None:
    rule = "{rule: vulnerabilities, maximum: {HIGH: 0}, fixable_only: true}"
    verdict = judge(rule, scan(vulnerability("A", HIGH, fixed=None)))
    assert (verdict.passed, verdict.summary) == (True, "0 critical, 1 high, none with a fix")
    assert not judge(rule, scan(vulnerability("A", HIGH))).passed


def test_new_only_gates_on_what_the_deployed_image_lacks_and_tells_both_numbers() -> None:
    rule = "{rule: vulnerabilities, maximum: {HIGH: 0}, new_only: true}"
    old, new = vulnerability("A", HIGH), vulnerability("B", HIGH)
    deployed = Baseline(
        reference=f"registry.example/digits:1@{Digest.of(b'deployed')}",
        how="sbom",
        vulnerabilities=(old.model_copy(update={"installed_version": "5.2"}),),  # upgraded, and not mended
    )
    known = scan(old).model_copy(update={"baseline": deployed})
    assert judge(rule, known).passed
    assert "none new since sha256:" in judge(rule, known).summary
    report = scan(old, new).model_copy(update={"baseline": deployed})
    (message,) = messages(rule, report)
    since = f"1 new since {deployed.name}, which has 1 of them already"
    assert message.startswith(f"1 HIGH vulnerability, {since}; at most 0 allowed: B")
    unknown = scan(old).model_copy(update={"baseline_missing": "nothing is deployed yet"})
    (message,) = messages(rule, unknown)
    assert "nothing is known of what is deployed (nothing is deployed yet)" in message
    assert not judge(rule, scan(old)).passed


def test_packages() -> None:
    report = scan(vulnerability("A", HIGH, package="PyYAML"), vulnerability("B", HIGH, package="libssl3"))
    rule = "{rule: vulnerabilities, maximum: {HIGH: 0}, packages: ['lib*']}"
    assert messages(rule, report) == [
        "1 HIGH vulnerability; at most 0 allowed: B in libssl3 5.3, fixed in 5.4"
    ]


def test_one_finding_in_two_places_counts_once() -> None:
    report = scan(vulnerability("A", HIGH, target="x"), vulnerability("A", HIGH, target="y"))
    assert judge("{rule: vulnerabilities, maximum: {HIGH: 1}}", report).passed


def exception(expires: str, package: str = "pyyaml") -> str:
    return (
        "{rule: vulnerabilities, maximum: {CRITICAL: 0}, exceptions: "
        f"[{{id: CVE-1, package: {package}, reason: not reachable, owner: anna, expires: {expires}}}]}}"
    )


def test_exception_holds_through_its_last_day() -> None:
    verdict = judge(exception("2026-11-20"), scan(vulnerability("CVE-1", CRITICAL)))
    assert (verdict.passed, verdict.summary) == (
        True,
        "1 critical, 0 high, 1 with a fix, 1 accepted by exception",
    )
    (accepted,) = verdict.accepted
    assert (accepted.id, accepted.owner, str(accepted.expires)) == ("CVE-1", "anna", "2026-11-20")


def test_expired_exception_refuses_again_and_says_since_when() -> None:
    (message,) = messages(exception("2026-11-18"), scan(vulnerability("CVE-1", CRITICAL)))
    assert "its exception by anna expired on 2026-11-18, 2 days ago" in message


def test_exception_is_for_one_package() -> None:
    assert not judge(exception("2027-01-01", "other"), scan(vulnerability("CVE-1", CRITICAL))).passed


def test_unused_exception_is_reported() -> None:
    verdict = judge(exception("2027-01-01"), scan())
    assert verdict.passed
    assert verdict.notes == (
        "the exception for CVE-1 in pyyaml (by anna) covers nothing: remove it, or correct what it names",
    )


def test_database_age() -> None:
    rule = "{rule: vulnerability_database, maximum_age_days: 3}"
    assert judge(rule, scan(updated_at=SCANNED_AT - timedelta(days=3))).passed
    (message,) = messages(rule, scan(updated_at=SCANNED_AT - timedelta(days=4)))
    assert message == "the vulnerability database was 4.0 days old; at most 3 are allowed"
    assert judge(rule, scan(updated_at=SCANNED_AT + timedelta(hours=20))).passed  # clocks differ
    (message,) = messages(rule, scan(updated_at=SCANNED_AT + timedelta(days=400)))
    assert "which was still to come when it was used; at most 3 days" in message


def test_evidence_of_the_future_is_not_fresh() -> None:
    rule = "{rule: freshness, maximum_scan_age_days: 7}"
    ahead = scan().model_copy(update={"scanned_at": SCANNED_AT + timedelta(days=2)})
    (message,) = messages(rule, ahead)
    assert "the scan is of 2026-11-22" in message
    assert "which is still to come; at most 7 days" in message
    assert judge(rule, suite(passed=3)).summary == "the test run may be of any age"


def test_what_can_be_fixed_and_what_cannot_are_told_by_rules_of_their_own() -> None:
    both = scan(
        vulnerability("CVE-1", Severity.HIGH), vulnerability("CVE-2", Severity.HIGH, "openssl", fixed=None)
    )
    (message,) = messages("{rule: vulnerabilities, unfixable_only: true, maximum: {HIGH: 0}}", both)
    assert message.startswith("1 HIGH vulnerability without a fix; at most 0 allowed: CVE-2 in openssl")
    told = [
        reason.message
        for policy in load_policies("production", Path())
        if isinstance(both, policy.judges)
        for reason in asked(policy, both, Case(have=Artifacts(both), now=SCANNED_AT)).reasons
    ]
    assert [sum(name in message for message in told) for name in ("CVE-1", "CVE-2")] == [1, 1]
    with pytest.raises(ConfigurationError, match="nothing is left to count"):
        judge("{rule: vulnerabilities, unfixable_only: true, fixable_only: true, maximum: {HIGH: 0}}", both)


UNKNOWN_RELEASE = Unjudged(subject="debian 99.0", reason="is no release that the scanner knows")


def test_what_could_not_be_looked_up_is_refused_unless_allowed() -> None:
    report = scan(unjudged=(UNKNOWN_RELEASE,))
    verdict = judge("{rule: unjudged, allowed: ['debian 9.*']}", report)
    (reason,) = verdict.reasons
    assert (
        reason.message
        == "debian 99.0 is no release that the scanner knows; all that is found has to be looked up"
    )
    assert "Exception: `allowed: [debian 99.0]` in the rule at pipeline.yaml:2." in reason.advice
    assert judge("{rule: unjudged}", scan()).summary == "all could be looked up"
    allowed = judge("{rule: unjudged, allowed: ['debian 99*']}", report)
    assert (allowed.passed, allowed.summary) == (True, "allowed unseen: debian 99.0")


def test_performance_within_its_budgets() -> None:
    rule = (
        "{rule: performance, maximum_p50_ms: 5, maximum_p95_ms: 20, maximum_p99_ms: 40,"
        " minimum_throughput_rps: 19.9, maximum_cold_start_ms: 900, maximum_peak_memory: 300MiB}"
    )
    verdict = judge(rule, benchmark())
    assert (verdict.passed, verdict.summary) == (True, "p99 40.0 ms, 19.9 requests/s, 0 errors")


def test_every_broken_budget_is_a_reason() -> None:
    rule = (
        "{rule: performance, maximum_p50_ms: 4, maximum_p95_ms: 19, maximum_p99_ms: 39,"
        " minimum_throughput_rps: 30, maximum_cold_start_ms: 899, maximum_peak_memory: 299MiB,"
        " maximum_error_share: 0.01}"
    )
    assert messages(rule, benchmark(errors=10)) == [
        "10 of 200 requests failed (5.00%); at most 1.00% may: 503 overloaded",
        "p50 is 5.0 ms; at most 4 ms is allowed (at 20 requests/s)",
        "p95 is 20.0 ms; at most 19 ms is allowed (at 20 requests/s)",
        "p99 is 40.0 ms; at most 39 ms is allowed (at 20 requests/s)",
        "19.9 good answers/s; at least 30 are needed; only 20 were asked for",
        "the first answer came 900 ms after the start; at most 899 ms are allowed",
        "peak memory is 300.0MiB; at most 299.0MiB is allowed",
    ]


def test_numbers_that_must_not_be_trusted_are_refused() -> None:
    (message,) = messages("{rule: performance}", benchmark(invalid=("the generator lagged 50 ms",)))
    assert (
        message == "the numbers must not be trusted: the generator lagged 50 ms;"
        " only numbers of a quiet machine are judged"
    )


def test_silence_is_not_quick() -> None:
    report = benchmark(answered=False)
    assert "there is no p99" in messages("{rule: performance, maximum_p99_ms: 1000}", report)[0]
    nothing = report.model_copy(update={"requests": 0})
    assert messages("{rule: performance}", nothing) == [
        "no request was sent; at least one has to be answered"
    ]


def test_skipped_stages() -> None:
    left_out = Skipped(stage="benchmark", gives="BenchmarkReport", reason="no GPU")
    assert judge("{rule: skipped, allowed: [benchmark]}", left_out).passed
    assert messages("{rule: skipped, allowed: [test]}", left_out) == [
        "benchmark was left out: no GPU; only test may be left out"
    ]
    assert messages("{rule: skipped}", left_out) == [
        "benchmark was left out: no GPU; no stage may be left out"
    ]
    silent = left_out.model_copy(update={"reason": " "})
    assert not judge("{rule: skipped, allowed: [benchmark]}", silent).passed


@pytest.mark.parametrize(
    ("target", "allowed"),
    [
        ("overlays/dev", True),
        ("./overlays//dev/web.yaml", True),
        ("overlays/dev/../prod", False),
        ("overlays/dev/../../overlays/prod/web.yaml", False),
        ("../overlays/dev", False),
    ],
)
def test_a_path_is_where_it_leads_to(target: str, allowed: bool) -> None:
    """What `..` leads to is what is written, whatever the path begins with."""
    rule = "{rule: destinations, allowed: [{branches: ['*'], targets: [./overlays/dev, 'overlays/dev/*']}]}"
    bound = Destinations(stage="update", gitops="https://git.example.com/deploy", targets=(target,))
    assert judge(rule, bound).passed is allowed


def test_a_warning_does_not_refuse() -> None:
    verdict = judge("{rule: image, level: warn, allow_root: false}", image(user=""))
    assert (verdict.level, verdict.passed, verdict.refuses) == (Level.WARN, False, False)
