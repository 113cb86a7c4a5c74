"""What an attestation says of the policies that a run was judged by."""

import hashlib
from pathlib import Path

import policies
from pipeline.cascade import read_config
from pipeline.compose_attest import policy_set
from pipeline.reference import Digest
from stages.attestations.predicates import PolicySet

PACKS = Path(policies.__file__).parent / "packs"
RULES = "rules: [{rule: vulnerabilities, maximum: {CRITICAL: 0}}]\n"
EXCEPTION = "{id: CVE-1, package: p, reason: r, owner: o, expires: 2027-01-31}"


def made(folder: Path, said: str) -> PolicySet:
    (folder / "pipeline.yaml").write_text(f"image: tiny\npolicies: {said}\n")
    return policy_set(read_config(folder / "pipeline.yaml", environment={}))


def of(content: bytes) -> Digest:
    return Digest(f"sha256:{hashlib.sha256(content).hexdigest()}")


def test_the_digest_of_one_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "ours.yaml").write_text(RULES)
    assert made(tmp_path, "./ours.yaml") == PolicySet(uri="./ours.yaml", digest=of(RULES.encode()))
    production = (PACKS / "production.yaml").read_bytes()
    assert made(tmp_path, "production") == PolicySet(uri="pack:production", digest=of(production))


def test_the_digest_of_several_files_is_that_of_their_digests(tmp_path: Path) -> None:
    ours = f"extends: ./theirs.yaml\nvex: [vex.json]\nexceptions: [{EXCEPTION}]\n"
    vex = '{"@context": "https://openvex.dev/ns/v0.2.0", "statements": []}'
    files = {"ours.yaml": ours, "vex.json": vex, "theirs.yaml": RULES}
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    before = made(tmp_path, "./ours.yaml").digest
    assert before == of("\n".join(of(content.encode()) for content in files.values()).encode())
    for name, content in files.items():
        (tmp_path / name).write_text(f"{content} ")
        assert made(tmp_path, "./ours.yaml").digest != before
        (tmp_path / name).write_text(content)


def test_what_stands_in_the_configuration_and_what_that_extends_count(tmp_path: Path) -> None:
    (tmp_path / "theirs.yaml").write_text(RULES)
    said = f"{{extends: ./theirs.yaml, exceptions: [{EXCEPTION}]}}"
    first = made(tmp_path, said)
    assert first.uri == "pipeline.yaml#policies"
    assert made(tmp_path, said) == first
    assert made(tmp_path, said.replace("CVE-1", "CVE-2")).digest != first.digest
    (tmp_path / "theirs.yaml").write_text(RULES.replace("0", "1"))
    assert made(tmp_path, said).digest != first.digest
    assert made(tmp_path, "[{rule: suite}]").digest != made(tmp_path, "[{rule: skipped}]").digest
