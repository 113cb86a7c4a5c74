"""Statements: their bytes, and when two of them say the same."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import NotVerified
from pipeline.model import Artifact, BuiltImage, ModelImage, Source
from pipeline.reference import Digest
from stages.attestations.bundle import Bundle
from stages.attestations.evidence import embed, kept_in, portable
from stages.attestations.statement import Statement
from stages.attestations.types import CYCLONEDX, PROVENANCE, TEST_RESULT, VULNERABILITIES
from tests.unit.policies.evidence import image, scan, suite

DIGEST = Digest.of(b"manifest")
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SOURCE = Source(root=Path("/home/someone/model"), commit="a" * 40, committed_at=NOW)


def statement(kind: str, predicate: dict[str, Any], *subjects: Digest) -> Statement:
    return Statement(predicate_type=kind, name="digits", subjects=subjects or (DIGEST,), predicate=predicate)


def of(kind: str, artifact: Artifact, at: datetime = NOW) -> Statement:
    return statement(kind, {"modelimagepipeline_evidence": embed([artifact], at)})


def test_what_is_signed_can_be_read_again_and_is_the_same_bytes_every_time() -> None:
    said = statement(PROVENANCE, {"b": 1, "a": ["ü"]}, DIGEST, Digest.of(b"child"))
    assert Statement.parse(said.content()) == said
    assert said.content() == statement(PROVENANCE, {"a": ["ü"], "b": 1}, *said.subjects).content()


@pytest.mark.parametrize(
    "content",
    [
        b"no JSON",
        b"[]",
        b"[" * 200_000,
        b'{"subject": [], "predicateType": "x"}',
        b'{"subject": [{"digest": {"sha512": "00"}}], "predicateType": "x"}',
        b'{"subject": [{"digest": {"sha256": "00"}}], "predicateType": "x"}',
        b'{"subject": [{"digest": {"sha256": "' + b"0" * 64 + b'"}}], "predicateType": "x", "predicate": []}',
        b'{"subject": [{"digest": {"sha256": "' + b"0" * 64 + b'"}}], "predicateType": "x\\u0000"}',
        b'{"subject": [{"digest": {"sha256": "' + b"0" * 64 + b'"}}], "predicateType": "x\\ud800"}',
        b'{"subject": [{"digest": {"sha256": "'
        + b"0" * 64
        + b'"}}], "predicateType": "'
        + b"x" * 2000
        + b'"}',
    ],
)
def test_what_is_no_statement_is_refused(content: bytes) -> None:
    with pytest.raises(NotVerified):
        Statement.parse(content)
    with pytest.raises(NotVerified):
        Bundle.parse(content)


def test_times_and_durations_of_a_run_are_no_other_words() -> None:
    report = suite()
    later = report.model_copy(update={"duration_s": 99.0, "finished_at": NOW + timedelta(minutes=5)})
    assert of(TEST_RESULT, report).says_the_same_as(of(TEST_RESULT, later, NOW + timedelta(hours=1)))
    first = {"runDetails": {"builder": {"id": "x"}, "metadata": {"invocationId": "1"}}}
    second = {"runDetails": {"builder": {"id": "x"}, "metadata": {"invocationId": "2"}}}
    assert statement(PROVENANCE, first).says_the_same_as(statement(PROVENANCE, second))
    assert statement(CYCLONEDX, {"serialNumber": "1"}).says_the_same_as(statement(CYCLONEDX, {}))


def test_another_day_result_type_or_image_is_another_statement() -> None:
    report = scan()
    tomorrow = report.model_copy(update={"scanned_at": report.scanned_at + timedelta(days=1)})
    assert not of(VULNERABILITIES, report).says_the_same_as(of(VULNERABILITIES, tomorrow))
    assert not of(TEST_RESULT, suite(3)).says_the_same_as(of(TEST_RESULT, suite(4)))
    assert not statement(CYCLONEDX, {}).says_the_same_as(statement(PROVENANCE, {}))
    assert not statement(CYCLONEDX, {}).says_the_same_as(statement(CYCLONEDX, {}, Digest.of(b"other")))


def test_evidence_is_kept_whole_and_without_the_folders_of_the_machine() -> None:
    built = image()
    layer = built.model_layers[0].model_copy(update={"source": "/home/someone/model/weights"})
    remote = built.model_layers[0].model_copy(update={"source": "s3://bucket/model"})
    own = ModelImage(
        **{name: getattr(built, name) for name in ("name", "tag", "digest", "media_type", "layout")},
        platforms=built.platforms,
        model_layers=(remote,),
        mounted_at="/mnt",
    )
    built = built.model_copy(
        update={"layout": Path("/home/someone/cache"), "model_layers": (layer,), "model_image": own}
    )

    (kept,) = kept_in({"modelimagepipeline_evidence": embed([portable(built, SOURCE)], NOW)})

    assert kept.type == "BuiltImage"
    again = BuiltImage.model_validate(kept.content)
    assert again.digest == built.digest
    assert again.model_layers[0].source == "weights"
    assert again.model_image is not None
    assert again.model_image.model_layers[0].source == "s3://bucket/model"
    assert "/home/someone" not in str(kept.content)
    assert portable(SOURCE, SOURCE).model_dump(mode="json")["root"] == "."


@pytest.mark.parametrize(
    "predicate", [{}, {"modelimagepipeline_evidence": 3}, {"modelimagepipeline_evidence": {"artifacts": 3}}]
)
def test_what_others_write_holds_no_evidence_of_ours(predicate: dict[str, Any]) -> None:
    assert kept_in(predicate) == ()
