"""Signatures and attestations in a real registry: verified by cosign itself."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import ConfigurationError, RemoteError
from pipeline.model import (
    AttestedImage,
    ModelImage,
    Problem,
    Pushed,
    PushedImage,
    SuiteReport,
)
from pipeline.redaction import Redactor
from pipeline.reference import Digest
from stages.attestations.cosign import Cosign
from stages.attestations.signing import Services, Signing, Trust
from stages.attestations.types import (
    BENCHMARK,
    CYCLONEDX,
    PROVENANCE,
    SIGNATURE,
    SPDX,
    SUMMARY,
    TEST_RESULT,
    VULNERABILITIES,
)
from tests.support import cosign
from tests.support.attested import (
    OFFLINE,
    Deliver,
    empty_root,
    stage_of,
    statements,
    verified,
)
from tests.support.cosign import KeyPair
from tests.support.small_image import COMMIT
from tests.unit.policies.evidence import benchmark


def test_cosign_verifies_everything_that_was_attested_in_every_repository(
    deliver: Deliver, key: KeyPair, login: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    delivered = deliver(repositories=2, platforms=("linux/amd64", "linux/arm64"))
    load = benchmark().model_copy(update={"digest": delivered.image.digest})
    delivered.have = delivered.have.plus(load)
    redact = Redactor()
    redact.add("hunter22")
    parameters = {"build.args": {"TOKEN": "hunter22"}, "image": "small"}

    made = delivered.attest(stage_of(delivered, key, parameters), redact=redact)

    assert (made.status, made.verified) == ("attested", True)
    assert [each.predicate_type for each in made.attestations] == [
        SIGNATURE,
        TEST_RESULT,
        VULNERABILITIES,
        BENCHMARK,
        *(CYCLONEDX, SPDX) * 2,
        PROVENANCE,
        SUMMARY,
    ]
    children = [platform.manifest.digest for platform in delivered.image.platforms]
    # one repository is asked for everything; the other has the same bytes, and is asked for the signature
    here, there = delivered.repositories
    laid = {each.bundle for each in made.attestations}
    digests = (delivered.image.digest, *children)
    assert {one.digest for digest in digests for one in delivered.bundles(digest, there)} == laid
    for reference in (f"{there}@{delivered.image.digest}", *(f"{here}@{digest}" for digest in digests)):
        done = cosign.verify(reference, key, login)
        assert done.returncode == 0, done.stderr
        assert SIGNATURE in {entry["critical"]["type"] for entry in json.loads(done.stdout)}
    of_index = f"{here}@{delivered.image.digest}"
    for kind in ("slsaprovenance1", TEST_RESULT, "vuln", BENCHMARK, SUMMARY):
        (said,) = statements(cosign.verify_attestation(of_index, kind, key, login))
        assert said["subject"][0]["digest"]["sha256"] == delivered.image.digest.encoded
        if kind == BENCHMARK:
            assert said["predicate"]["latency"] == load.model_dump(mode="json")["latency"]
    for digest in children:
        for kind in ("cyclonedx", "spdxjson"):
            (said,) = statements(cosign.verify_attestation(f"{here}@{digest}", kind, key, login))
            assert said["subject"] == [{"name": "small", "digest": {"sha256": digest.encoded}}]
    (provenance,) = (
        each.statement.predicate
        for each in delivered.bundles()
        if each.statement.predicate_type == PROVENANCE
    )
    definition = provenance["buildDefinition"]
    materials = {each["name"]: each for each in definition["resolvedDependencies"]}
    weights = (delivered.folder / "model" / "weights.bin").read_bytes()
    assert materials["weights.bin"]["digest"] == {"sha256": Digest.of(weights).encoded}
    assert materials["weights.bin"]["annotations"]["source"] == "model"
    assert materials["source"] == {
        "name": "source",
        "uri": "git+https://git.example.com/team/model.git@main",
        "digest": {"gitCommit": COMMIT},
    }
    assert definition["externalParameters"]["configuration"]["build.args"] == {"TOKEN": "***"}
    assert provenance["runDetails"]["metadata"]["startedOn"] == "2026-01-01T12:00:00Z"
    assert str(delivered.folder) not in json.dumps(provenance)

    (elsewhere / "fast.yaml").write_text(
        json.dumps({"rules": [{"rule": "performance", "maximum_p99_ms": 1}]})
    )
    code, said_of_us = verified(delivered.reference, key, "--policies", "./fast.yaml", capsys=capsys)
    assert code == 3, said_of_us
    assert "40" in said_of_us  # the benchmark that was attested is judged elsewhere


def test_the_same_is_not_signed_twice_but_by_another_key_or_with_other_words_it_is(
    deliver: Deliver, key: KeyPair, foreign_key: KeyPair
) -> None:
    delivered = deliver()
    first = delivered.attest(stage_of(delivered, key))
    before = {each.digest for each in delivered.bundles()}

    again = delivered.attest(stage_of(delivered, key))

    assert [each.reused for each in first.attestations] == [False] * len(first.attestations)
    assert [each.reused for each in again.attestations] == [True] * len(first.attestations)
    assert {each.digest for each in delivered.bundles()} == before

    delivered.have = delivered.have.plus(SuiteReport(command=("pytest", "-x"), exit_code=0, duration_s=9))
    changed = delivered.attest(stage_of(delivered, key))
    new = {each.predicate_type for each in changed.attestations if not each.reused}
    assert new == {TEST_RESULT, SUMMARY}  # the summary names what it judged

    other = delivered.attest(stage_of(delivered, foreign_key))
    assert not any(each.reused for each in other.attestations)


def test_two_writers_of_one_digest_lose_nothing(deliver: Deliver, key: KeyPair, foreign_key: KeyPair) -> None:
    delivered = deliver()
    made: list[AttestedImage] = []
    writers = [
        threading.Thread(target=lambda one=one: made.append(delivered.attest(stage_of(delivered, one))))
        for one in (key, foreign_key)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    there = {each.digest for each in delivered.bundles()}
    assert len(made) == 2
    assert {each.bundle for image in made for each in image.attestations} == there


def test_the_weights_own_image_is_signed_too(
    deliver: Deliver, key: KeyPair, login: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    delivered, weights = deliver(), deliver()
    (place_,) = weights.repositories
    names = ModelImage.model_fields.keys() - {"mounted_at"}
    own = ModelImage(**{name: getattr(weights.image, name) for name in names}, mounted_at="/mnt/models")
    there = dict(weights.have[PushedImage])
    del there["model_image"]
    pushed = delivered.have[PushedImage].model_copy(update={"model_image": Pushed(**there)})
    built = delivered.image.model_copy(update={"model_image": own})
    delivered.have = delivered.have.plus(built).plus(pushed)

    made = delivered.attest(stage_of(delivered, key))

    reference = f"{place_}@{own.digest}"
    assert [each.predicate_type for each in made.attestations if each.subject == own.digest] == [
        SIGNATURE,
        PROVENANCE,
    ]
    assert cosign.verify(reference, key, login).returncode == 0
    code, said = verified(reference, key, "--policies", "./rules.yaml", capsys=capsys)
    assert code == 0, said
    assert verified(delivered.reference, key, "--policies", "./rules.yaml", capsys=capsys)[0] == 0


def test_what_is_missing_is_told_before_any_work(
    deliver: Deliver, key: KeyPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivered = deliver()
    stage, desk = stage_of(delivered, key), delivered.desk("check")

    *_, fine = stage.check(desk)
    assert fine.passed
    assert "SHA256:" in fine.found

    monkeypatch.setenv("COSIGN_PASSWORD", "wrong")
    *_, wrong = stage.check(desk)
    assert wrong.problem is Problem.CONFIGURATION
    assert "COSIGN_PASSWORD" in wrong.advice
    with pytest.raises(ConfigurationError, match="is not that of the key"):
        delivered.attest(stage)
    assert delivered.bundles() == ()

    absent = replace(stage, cosign=Cosign(program=str(tmp_path / "cosign")))
    (missing,) = absent.check(desk)
    assert missing.problem is Problem.TOOL
    assert "Install cosign" in missing.advice
    assert all(check.passed for check in absent.check(replace(desk, dry_run=True)))

    keyless = replace(stage, signing=Signing(), trust=Trust())
    *_, nobody = keyless.check(desk)
    assert nobody.problem is Problem.CONFIGURATION
    assert "id-token: write" in nobody.advice
    kms = replace(stage, signing=Signing(key="awskms:///alias/model", services=OFFLINE))
    for name, value in (("ACCESS_KEY_ID", "x"), ("SECRET_ACCESS_KEY", "x"), ("REGION", "eu-central-1")):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    *_, unreachable = kms.check(desk)
    assert unreachable.problem is Problem.REMOTE


def test_a_log_that_does_not_answer_ends_the_run(
    deliver: Deliver, key: KeyPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivered = deliver()
    root = empty_root(tmp_path)
    own = Services(rekor="http://127.0.0.1:1")
    stage = stage_of(delivered, key)
    stage = replace(stage, signing=replace(stage.signing, services=own, trusted_root=root))

    with pytest.raises(RemoteError, match="a service does not answer") as told:
        delivered.attest(stage)
    root.write_text("no JSON")
    with pytest.raises(ConfigurationError, match="is no trusted root"):
        delivered.attest(stage)

    assert "transparency_log: false" in told.value.advice
    assert delivered.bundles() == ()
