"""What has to be beside an image, as its provenance tells it."""

from typing import Any

import pytest

from pipeline.errors import NotVerified
from pipeline.reference import Digest
from stages.attestations.bundle import Bundle
from stages.attestations.statement import Statement
from stages.attestations.types import PROVENANCE
from stages.attestations.verification import also_attested

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
