"""What has to be beside an image, as its provenance tells it."""

from typing import Any

import pytest

from pipeline.errors import NotVerified, RemoteError
from pipeline.reference import Digest
from stages.attestations.bundle import Bundle
from stages.attestations.statement import Statement
from stages.attestations.types import PROVENANCE, TEST_RESULT
from stages.attestations.verification import Sorted, also_attested

DIGEST = Digest.of(b"manifest")
KEY = "modelimagepipeline_attested"


def provenance(predicate: dict[str, Any]) -> Bundle:
    said = Statement(predicate_type=PROVENANCE, name="x", subjects=(DIGEST,), predicate=predicate)
    return Bundle(content=b"{}", statement=said)


def test_a_provenance_says_what_else_was_attested() -> None:
    assert also_attested(provenance({KEY: []})) == []
    told = {KEY: [{"predicateType": "x", "subject": DIGEST}]}
    assert also_attested(provenance(told)) == [("x", DIGEST)]


@pytest.mark.parametrize(
    "predicate", [{}, {KEY: None}, {KEY: {}}, {KEY: ["x"]}, {KEY: [{"predicateType": "x", "subject": "y"}]}]
)
def test_one_that_does_not_say_it_is_not_enough(predicate: dict[str, Any]) -> None:
    with pytest.raises(NotVerified):
        also_attested(provenance(predicate))


@pytest.mark.parametrize(
    ("good", "unanswered", "counts"),
    [
        ([1], [], True),
        ([2], [1], True),
        ([1], [2], False),
        ([], [1], False),
    ],
)
def test_what_nobody_can_tell_counts_where_it_may_be_the_newest(
    good: list[int], unanswered: list[int], counts: bool
) -> None:
    def of(day: int) -> Bundle:
        return provenance({"modelimagepipeline_evidence": {"at": f"2026-01-0{day}T00:00:00+00:00"}})

    error = RemoteError("no answer")
    sorted_ = Sorted(
        DIGEST,
        tuple(map(of, good)),
        tuple((PROVENANCE, error.message) for _ in unanswered),
        tuple((of(day), error) for day in unanswered),
    )
    if counts:
        assert sorted_.require(PROVENANCE, "x") == of(good[0])
    else:
        with pytest.raises(RemoteError):
            sorted_.require(PROVENANCE, "x")
    with pytest.raises(NotVerified):  # of another type
        sorted_.require(TEST_RESULT, "x")
