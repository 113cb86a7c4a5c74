"""An image whose signer never attested what the policies judge is not accepted for the want of it."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.compose_policies import lacking
from pipeline.model import Artifact, Signer, Skipped, Verification, VerifiedImage
from pipeline.reference import Digest
from pipeline.report.verification import print_verification
from policies import load_policies
from tests.unit.policies import evidence

SKIPPED = Skipped(stage="benchmark", gives="BenchmarkReport", reason="no server inside")
OUT_OF_REACH = SKIPPED.model_copy(update={"stage": "scan", "gives": "ScanReport", "out_of_reach": True})


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ([evidence.suite(), evidence.image()], ("a scan", "a benchmark")),
        ([evidence.suite(), evidence.image(), evidence.scan(), SKIPPED], ()),
        ([evidence.suite(), evidence.image(), OUT_OF_REACH, SKIPPED], ("a scan",)),
        ([evidence.suite(), evidence.image(), evidence.scan(), evidence.benchmark()], ()),
    ],
)
def test_what_a_policy_judges_has_to_be_there_or_left_out_for_a_reason(
    made: list[Artifact], expected: tuple[str, ...]
) -> None:
    assert lacking(made, load_policies("production", Path())) == expected


def test_without_it_the_verification_does_not_pass_and_says_why() -> None:
    signer, digest = Signer(key="cosign.pub"), Digest.of(b"image")
    image = VerifiedImage(name="r.io/digits", digest=digest, signer=signer, attestations=())
    found = Verification(image=image, evidence=("Source",), missing=("a scan",))
    assert not found.passed
    assert found.model_copy(update={"missing": ()}).passed
    told = io.StringIO()
    print_verification(Console(file=told, width=200), found)
    assert "refused: the policies judge a scan, and none was attested" in told.getvalue()
