"""`pipeline verify` on another machine, of attestations as they are, and of ones broken on purpose."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.artifacts import Artifacts
from pipeline.cascade import read_config
from pipeline.cli import main
from pipeline.compose_contest import attested_benchmarks
from pipeline.model import BenchmarkReport, Skipped
from stages.attestations.types import (
    PROVENANCE,
    TEST_RESULT,
    VULNERABILITIES,
)
from tests.support import cosign
from tests.support.attested import (
    Deliver,
    certified,
    empty_root,
    is_not,
    of_kind,
    place,
    relisted,
    rewritten,
    said_to_be,
    stage_of,
    verified,
)
from tests.support.cosign import KeyPair
from tests.support.registry import Registry
from tests.unit.policies.evidence import benchmark


def test_verify_on_another_machine_judges_what_was_attested(
    deliver: Deliver, key: KeyPair, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    delivered = deliver(platforms=("linux/amd64", "linux/arm64"))
    made = delivered.attest(stage_of(delivered, key))
    tagged = f"{delivered.repositories[0]}:{delivered.image.tag}"

    code, said = verified(tagged, key, "--policies", "./rules.yaml", capsys=capsys)
    assert code == 0, said
    assert delivered.image.digest in said
    assert not (elsewhere / ".pipeline").exists()
    assert f"{len(made.attestations) - 1} attestations verified" in said

    code, said = verified(delivered.reference, key, "--policies", "./strict.yaml", capsys=capsys)
    assert code == 3, said
    assert "benchmark was left out: no server in it; no stage may be left out" in said

    code, said = verified(delivered.reference, key, "--policies", "./rules.yaml", "--json", capsys=capsys)
    document = json.loads(said)
    assert (code, document["passed"]) == (0, True)
    assert document["evidence"] == ["Source", "BuiltImage", "Skipped", "SuiteReport", "ScanReport"]

    platform = f"{delivered.repositories[0]}@{delivered.image.platforms[1].manifest.digest}"
    code, said = verified(platform, key, capsys=capsys)
    assert code == 9, said
    assert f"attested of the whole image: {delivered.reference}" in said

    assert verified(f"{delivered.repositories[0]}:nothing", key, capsys=capsys)[0] == 5
    assert main(["verify", delivered.reference]) == 2
    assert "nobody says whose signatures are believed" in capsys.readouterr().err
    assert main(["verify", delivered.reference, "--identity", "https://ci"]) == 2
    assert "together with `issuer`" in capsys.readouterr().err
    root = empty_root(elsewhere)  # else cosign asks the public one
    logged = ["verify", delivered.reference, "--key", str(key.public), "--trusted-root", str(root)]
    assert main(logged) == 9
    assert "no entry in the transparency log" in capsys.readouterr().err


def test_a_machine_without_records_takes_the_attested_benchmark_of_the_deployed_image(
    deliver: Deliver, key: KeyPair, foreign_key: KeyPair, elsewhere: Path
) -> None:
    """It stands in where that image cannot be run: on a CI runner nothing else is left of earlier runs."""
    delivered = deliver()
    report = benchmark().model_copy(update={"digest": delivered.image.digest, "settings": "the same"})
    delivered.have = Artifacts(*(each for each in delivered.have if not isinstance(each, Skipped)), report)
    delivered.attest(stage_of(delivered, key))
    said: list[str] = []
    desk = replace(delivered.desk("benchmark"), say=said.append)

    def known(verify: str) -> list[BenchmarkReport]:
        path = elsewhere / "pipeline.yaml"
        path.write_text(f"image: tiny\nregistries: [{delivered.repositories[0]}]\n{verify}")
        return list(attested_benchmarks(read_config(path, environment={}), delivered.reference, desk))

    believed = "verify: {{key: {}, transparency_log: false}}\n"
    assert known(believed.format(key.public)) == [report]
    assert said == []
    assert known(believed.format(foreign_key.public)) == []
    assert known("") == []
    (why,) = said
    assert why.startswith("no attested benchmark: ")
    assert "signed with another key" in why


def test_a_changed_byte_is_told(  # noqa: PLR0913, PLR0917 - the real parts
    deliver: Deliver,
    key: KeyPair,
    own_registry: Registry,
    storage: Path,
    elsewhere: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    delivered = deliver()
    delivered.attest(stage_of(delivered, key))
    bundle = of_kind(delivered, VULNERABILITIES)
    (blob,) = (storage / "storage").rglob(f"{bundle.digest.encoded}/data")
    content = blob.read_bytes()
    blob.write_bytes(content.replace(b"payload", b"pAyload", 1))
    code, said = verified(delivered.reference, key, "--policies", "./rules.yaml", capsys=capsys)
    blob.write_bytes(content)
    assert code == 9, said
    assert "there is no vulnerabilities that holds; one is there: its bytes are not those" in said

    honest = of_kind(delivered, TEST_RESULT)
    relisted(delivered, own_registry, lambda each: each.digest != honest.digest)
    place(delivered, rewritten(honest))
    code, said = verified(delivered.reference, key, "--policies", "./rules.yaml", capsys=capsys)
    assert code == 9, said
    assert "no test result that holds; one is there: its signature does not fit what it says" in said


def test_a_foreign_key_is_told(  # noqa: PLR0913, PLR0917 - the real parts
    deliver: Deliver,
    key: KeyPair,
    foreign_key: KeyPair,
    login: Path,
    elsewhere: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    delivered = deliver()
    delivered.attest(stage_of(delivered, foreign_key))

    code, said = verified(delivered.reference, key, capsys=capsys)
    assert code == 9, said
    assert "no signature that holds; one is there: it is signed with another key" in said
    assert cosign.verify(delivered.reference, key, login).returncode != 0

    delivered.attest(stage_of(delivered, key))  # what others lay beside an image takes nothing from ours
    code, said = verified(delivered.reference, key, "--policies", "./rules.yaml", capsys=capsys)
    assert code == 0, said
    assert "ignored: provenance" in said


def test_a_swapped_digest_is_told(
    deliver: Deliver, key: KeyPair, login: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = deliver(), deliver()
    good.attest(stage_of(good, key))
    for bundle in good.bundles():
        place(bad, bundle)

    code, said = verified(bad.reference, key, capsys=capsys)

    assert code == 9, said
    assert "no signature that holds; one is there: it is about another digest" in said
    assert cosign.verify(bad.reference, key, login).returncode != 0


def test_what_strangers_lay_beside_it_changes_nothing(
    deliver: Deliver, key: KeyPair, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever may push can lay anything there: what cosign cannot even be asked about, or says x509 of."""
    delivered = deliver()
    delivered.attest(stage_of(delivered, key))
    honest = of_kind(delivered, TEST_RESULT)
    place(delivered, certified(honest))
    for kind in ("x\0", "x\ud800", "x" * 200_000):
        place(delivered, said_to_be(honest, kind))

    code, said = verified(delivered.reference, key, "--policies", "./rules.yaml", capsys=capsys)

    assert code == 0, said
    assert "ignored: test result" in said
    assert said.count("its predicateType is no address") == 3


def test_what_was_taken_away_is_missed(
    deliver: Deliver,
    key: KeyPair,
    own_registry: Registry,
    elsewhere: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    delivered = deliver()
    code, said = verified(delivered.reference, key, capsys=capsys)
    assert code == 9, said
    assert "there is no signature" in said

    delivered.attest(stage_of(delivered, key))
    for kind, word in ((VULNERABILITIES, "vulnerabilities"), (PROVENANCE, "provenance")):
        relisted(delivered, own_registry, is_not(kind))
        code, said = verified(delivered.reference, key, capsys=capsys)
        assert code == 9, said
        assert f"there is no {word}" in said

    healed = delivered.attest(stage_of(delivered, key))
    assert {each.predicate_type for each in healed.attestations if not each.reused} >= {VULNERABILITIES}
    assert verified(delivered.reference, key, "--policies", "./rules.yaml", capsys=capsys)[0] == 0
