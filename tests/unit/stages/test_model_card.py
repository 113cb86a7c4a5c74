"""The model card: read as the Hub reads it, and nothing in it can hurt."""

import pytest

from pipeline.reference import Digest
from stages.scanners.model_card import MOST_WORDS, parse

DIGEST = Digest.of(b"card")


def test_front_matter() -> None:
    card = parse(
        "---\nlicense: other\nlicense_name: my own\nlicense_link: https://a.example/l\ndatasets: mnist\n"
        "base_model: [a/b, a/b, c]\npipeline_tag: text-generation\nlibrary_name: transformers\n---\n# Hi\n",
        DIGEST,
    )
    assert (card.license, card.license_url) == ("my own", "https://a.example/l")
    assert (card.datasets, card.base_models) == (("mnist",), ("a/b", "c"))
    assert (card.task, card.library) == ("text-generation", "transformers")


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("apache-2.0", "Apache-2.0"),
        ("mit or bsd-3-clause", "MIT OR BSD-3-Clause"),
        ("llama3", "llama3"),
        ("[mit]", "MIT"),
        ("{a: b}", ""),
        ("7", ""),
    ],
)
def test_licences(said: str, meant: str) -> None:
    assert parse(f"---\nlicense: {said}\n---\n", DIGEST).license == meant


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# only words\n---\nlicense: mit\n---\n",
        "---\nlicense: mit\n",  # never closed
        "---\n- license\n---\n",
        "---\nlicense: [unclosed\n---\n",
        "---\nlicense: !!python/object/apply:os.system [id]\n---\n",
        "---\nlicense: 2026-02-31\n---\n",
        f"---\nlicense: {'x' * 70_000}\n---\n",
        "---\nlicense: \x00\n---\n",
    ],
)
def test_what_is_no_front_matter_says_nothing(text: str) -> None:
    assert parse(text, DIGEST).license == ""


def test_a_bomb_stays_small() -> None:
    rows = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))
    card = parse(f"---\na0: &a0 [x, x]\n{rows}\ndatasets: *a11\nbase_model: {['b'] * 500}\n---\n", DIGEST)
    assert card.datasets == ()
    assert len(card.base_models) <= MOST_WORDS


@pytest.mark.parametrize(
    "matter",
    ["license: &a [*a]", "license: mit\ndatasets: &a [*a]", r'license: "\uD800"', "license: ( OR mit"],
)
def test_a_hostile_card_is_read_and_written_down(matter: str) -> None:
    card = parse(f"---\n{matter}\n---\n", DIGEST)
    assert card.model_validate_json(card.model_dump_json()) == card


def test_of_several_licences_all_hold() -> None:
    assert parse("---\nlicense: [mit, agpl-3.0]\n---\n", DIGEST).license == "MIT AND AGPL-3.0-only"
    card = parse("---\nlicense: [mit or x11, agpl-3.0]\n---\n", DIGEST)
    assert card.license == "(MIT OR X11) AND AGPL-3.0-only"
    assert parse("---\nlicense: [mit]\n---\n", DIGEST).license == "MIT"
