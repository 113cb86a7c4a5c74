"""VEX documents: which findings they take away, and which they do not."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ConfigurationError
from pipeline.model import Severity
from pipeline.reference import Digest
from policies import load_policies
from tests.unit.policies.evidence import scan, vulnerability

OURS = Digest.of(b"manifest")
FOUND = vulnerability("CVE-2024-1", Severity.CRITICAL, package="PyYAML").model_copy(
    update={"package_type": "python-pkg"}
)


def accepted(document: dict[str, Any], folder: Path) -> bool:
    (folder / "vex.json").write_text(json.dumps(document))
    (folder / "ours.yaml").write_text(
        "vex: [vex.json]\nrules: [{rule: vulnerabilities, maximum: {CRITICAL: 0}}]\n"
    )
    (rule,) = load_policies("./ours.yaml", folder)
    return rule.judge(scan(FOUND)).passed


def openvex(**changes: Any) -> dict[str, Any]:
    statement = {
        "vulnerability": {"name": "CVE-2024-1"},
        "products": [{"@id": "pkg:pypi/pyyaml@5.3"}],
        "status": "not_affected",
        "justification": "vulnerable_code_not_in_execute_path",
        **changes,
    }
    return {"@context": "https://openvex.dev/ns/v0.2.0", "statements": [statement]}


def image(**changes: Any) -> dict[str, Any]:
    return {"@id": f"pkg:oci/digits@{OURS}", **changes}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"status": "fixed", "justification": None}, True),
        ({"status": "affected"}, False),
        ({"status": "under_investigation"}, False),
        ({"vulnerability": "cve-2024-1"}, True),
        ({"vulnerability": {"name": "GHSA-1", "aliases": ["CVE-2024-1"]}}, True),
        ({"vulnerability": {"name": "CVE-2024-2"}}, False),
        ({"products": [{"@id": "pkg:pypi/pyyaml"}]}, True),
        ({"products": [{"@id": "pkg:pypi/pyyaml@5.4"}]}, False),
        ({"products": [{"@id": "pkg:npm/pyyaml@5.3"}]}, False),
        ({"products": [image()]}, True),
        ({"products": [image(subcomponents=[{"@id": "pkg:pypi/pyyaml@5.3"}])]}, True),
        ({"products": [image(subcomponents=[{"@id": "pkg:pypi/other"}])]}, False),
        ({"products": [{"@id": f"pkg:oci/digits@{Digest.of(b'another')}"}]}, False),
        ({"products": [{"@id": "x", "hashes": {"sha-256": OURS.encoded}}]}, True),
        ({"products": []}, False),
        ({"products": [{"@id": "pkg:pypi/%2A"}]}, False),
    ],
)
def test_openvex(changes: dict[str, Any], expected: bool, tmp_path: Path) -> None:
    assert accepted(openvex(**changes), tmp_path) is expected


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ({}, {"status": "affected"}, False),
        ({"status": "under_investigation"}, {}, True),
        (
            {"timestamp": "2026-03-01T00:00:00Z"},
            {"status": "affected", "timestamp": "2026-02-01T00:00:00Z"},
            True,
        ),
        (
            {"status": "affected", "timestamp": "2026-03-01T00:00:00+01:00"},
            {"timestamp": "2026-02-28T22:00:00.123456789Z"},
            False,
        ),
        ({}, {"status": "affected", "products": [{"@id": "pkg:pypi/pyyaml"}]}, False),
        ({}, {"status": "affected", "products": [{"@id": "pkg:pypi/other"}]}, True),
        ({}, {"status": "affected", "vulnerability": {"name": "CVE-2024-2"}}, True),
    ],
)
def test_of_two_statements_the_later_one_counts(
    first: dict[str, Any], second: dict[str, Any], expected: bool, tmp_path: Path
) -> None:
    document = openvex(**first)
    document["statements"] += openvex(**second)["statements"]
    assert accepted(document, tmp_path) is expected


def test_the_verdict_names_the_statement_and_its_reason(tmp_path: Path) -> None:
    accepted(openvex(), tmp_path)
    (rule,) = load_policies("./ours.yaml", tmp_path)
    (one,) = rule.judge(scan(FOUND)).accepted
    assert one.reason == ("VEX of vex.json: statements[0], not_affected vulnerable_code_not_in_execute_path")


@pytest.mark.parametrize(
    ("analysis", "ref", "expected"),
    [
        ({"state": "not_affected", "justification": "code_not_reachable"}, "pkg:pypi/pyyaml@5.3", True),
        ({"state": "resolved"}, "urn:cdx:3e671687-395b-41f5-a30f-a58921a69b79/1#pkg:pypi/pyyaml@5.3", True),
        ({"state": "exploitable"}, "pkg:pypi/pyyaml@5.3", False),
        ({"state": "in_triage"}, "pkg:pypi/pyyaml@5.3", False),
        ({"state": "false_positive", "detail": "another package"}, f"pkg:oci/digits@{OURS}", True),
        ({"state": "resolved"}, "pkg:pypi/other", False),
    ],
)
def test_cyclonedx(analysis: dict[str, str], ref: str, expected: bool, tmp_path: Path) -> None:
    entry = {"id": "CVE-2024-1", "analysis": analysis, "affects": [{"ref": ref}]}
    assert accepted({"bomFormat": "CycloneDX", "vulnerabilities": [entry]}, tmp_path) is expected


@pytest.mark.parametrize(
    ("purl", "package", "package_type", "expected"),
    [
        ("pkg:cargo/openssl@5.3", "openssl", "debian", False),
        ("pkg:cargo/openssl@5.3", "openssl", "rustbinary", True),
        ("pkg:gem/rack", "rack", "gemspec", True),
        ("pkg:gem/json", "json", "node-pkg", False),
        ("pkg:rpm/redhat/openssl", "openssl", "redhat", True),
        ("pkg:rpm/redhat/openssl", "openssl", "fedora", False),
        ("pkg:rpm/suse/openssl", "openssl", "sles", True),
        ("pkg:rpm/openssl", "openssl", "rocky", True),
        ("pkg:deb/ubuntu/openssl", "openssl", "debian", False),
        ("pkg:deb/debian/openssl", "openssl", "debian", True),
        ("pkg:swift/openssl", "openssl", "swift", True),
        ("pkg:generic/openssl", "openssl", "debian", False),
        ("pkg:npm/%40angular/core", "@angular/core", "node-pkg", True),
        ("pkg:npm/%40angular/core", "core", "node-pkg", False),
        ("pkg:maven/org.apache/log4j", "org.apache:log4j", "jar", True),
        ("pkg:maven/org.apache/log4j", "com.example:log4j", "jar", False),
    ],
)
def test_a_package_of_another_kind_is_another_one(
    purl: str, package: str, package_type: str, expected: bool, tmp_path: Path
) -> None:
    accepted(openvex(products=[{"@id": purl}]), tmp_path)
    (rule,) = load_policies("./ours.yaml", tmp_path)
    found = FOUND.model_copy(update={"package": package, "package_type": package_type})
    assert rule.judge(scan(found)).passed is expected


@pytest.mark.parametrize("first", ["python-pkg", "debian"])
def test_a_package_of_another_kind_is_not_accepted_along_with_it(first: str, tmp_path: Path) -> None:
    """Name, version and vulnerability are the same; the statement is about one of the two packages."""
    accepted(openvex(products=[{"@id": "pkg:pypi/pyyaml@5.3"}]), tmp_path)
    (rule,) = load_policies("./ours.yaml", tmp_path)
    kinds = (first, "debian" if first == "python-pkg" else "python-pkg")
    both = (FOUND.model_copy(update={"package_type": kind, "target": kind}) for kind in kinds)
    assert not rule.judge(scan(*both)).passed


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ([{"version": "5.3", "status": "unaffected"}], True),
        ([{"version": "5.4", "status": "unaffected"}], False),
        ([{"version": "5.3", "status": "affected"}], False),
        ([{"version": "5.3"}], False),
        ([{"range": "vers:pypi/<6", "status": "unaffected"}], False),
        ([], False),
    ],
)
def test_cyclonedx_says_it_of_some_versions(
    versions: list[dict[str, str]], expected: bool, tmp_path: Path
) -> None:
    affects = [{"ref": "pkg:pypi/pyyaml", "versions": versions}]
    entry = {"id": "CVE-2024-1", "analysis": {"state": "resolved"}, "affects": affects}
    assert accepted({"bomFormat": "CycloneDX", "vulnerabilities": [entry]}, tmp_path) is expected


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (openvex(justification=None), "not_affected without a justification"),
        (
            {
                "bomFormat": "CycloneDX",
                "vulnerabilities": [{"id": "A", "analysis": {"state": "not_affected"}}],
            },
            "without a justification",
        ),
        ({}, "neither OpenVEX"),
        ({"@context": "https://openvex.dev/ns"}, "statements"),
        ([], "is no mapping"),
    ],
)
def test_a_document_that_cannot_be_used_is_an_error(
    document: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        accepted(document, tmp_path)
