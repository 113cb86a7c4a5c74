"""A template's words stand above the trailers, and nothing that strangers named breaks a line."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.commit_section import MESSAGE_VARIABLES, require_message, require_trailers
from pipeline.model import PushedImage, Source
from pipeline.reference import Digest, Tag
from stages.gitops.wording import Wording, values

COMMIT = "4f9c1d2e8a7b6c5d4e3f2a1b0c9d8e7f6a5b4c3d"
DIGEST = Digest.of(b"digits")
MESSAGE = "digits: deploy\n\nRoll out digits.\n\nImage: r/digits@x\nOrder-Key: 1 a\n"


def known(branch: str = "main") -> dict[str, str]:
    source = Source(root=Path(), commit=COMMIT, committed_at=datetime(2026, 1, 2, tzinfo=UTC), branch=branch)
    image = PushedImage(name="team/digits", tag=Tag("v2"), digest=DIGEST, references=())
    return values(source, image, "run-1")


def test_every_variable_that_may_be_written_has_a_value() -> None:
    assert tuple(known()) == MESSAGE_VARIABLES


def test_a_template_stands_in_place_of_our_words_and_above_our_trailers() -> None:
    wording = Wording(template="deploy({image}): {tag} at {short_commit}\n\nFrom {branch}, {short_digest}.\n")
    assert wording.of(MESSAGE, known()) == (
        f"deploy(digits): v2 at {COMMIT[:12]}\n\nFrom main, {DIGEST.short}.\n\n"
        "Image: r/digits@x\nOrder-Key: 1 a\n"
    )
    assert Wording().of(MESSAGE, known()) == MESSAGE


def test_a_value_is_one_line_and_no_template() -> None:
    words = Wording(template="{branch}").of(MESSAGE, known("main\n\nOrder-Key: 9 z\n{digest}"))
    assert words.startswith("main Order-Key: 9 z {digest}\n\nImage:")


def test_trailers_are_added_to_ours() -> None:
    wording = Wording(trailers={"Signed-off-by": "Robot <robot@example.com>"})
    assert wording.signed_off(MESSAGE) == f"{MESSAGE}Signed-off-by: Robot <robot@example.com>\n"
    assert Wording().signed_off(MESSAGE) == MESSAGE


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("deploy {imgae}", r"there is no \{imgae\}: a message may have \{image\}, \{tag\}"),
        (" \n", "expected a message"),
        ("deploy\n\nOrder-Key: 9 z", "Order-Key is written by the pipeline itself"),
        ("digest: {tag}", "digest is written by the pipeline itself"),
    ],
)
def test_a_template_that_cannot_be_meant_is_refused(text: str, part: str) -> None:
    with pytest.raises(ValueError, match=part):
        require_message(text)


@pytest.mark.parametrize(
    ("trailers", "part"),
    [
        ({"Signed off by": "x"}, "no name of a trailer"),
        ({"Digest": "x"}, "written by the pipeline itself"),
        ({"Ticket": "a\nb"}, "one line"),
        ({"Ticket": " "}, "one line"),
    ],
)
def test_a_trailer_that_git_would_not_read_is_refused(trailers: dict[str, str], part: str) -> None:
    with pytest.raises(ValueError, match=part):
        require_trailers(trailers)
    assert require_trailers({"Ticket": "OPS-1"}) == {"Ticket": "OPS-1"}
