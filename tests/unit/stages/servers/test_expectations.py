"""What an answer must say: the same, but for rounding and for what stands beside it."""

import pytest

from stages.servers.expectations import USUAL, Tolerance, difference


@pytest.mark.parametrize(
    ("expected", "answer"),
    [
        (
            {"outputs": [{"data": [1.0, 2.5]}]},
            {"id": "x", "outputs": [{"data": [1.00001, 2.5]}]},
        ),
        ([1], [1.0]),
        ([float("nan")], [float("nan")]),
        ([1e308], [10**308]),
        ("seven", "seven"),
        ({"label": None, "sure": True}, {"label": None, "sure": True}),
    ],
)
def test_the_same_but_for_rounding(expected: object, answer: object) -> None:
    assert difference(expected, answer) == ""


def test_a_tolerance_is_of_the_value_and_whole_numbers_have_none() -> None:
    half = Tolerance.of(0.01)
    assert difference([0.5, 0.0], [0.503, 0.00009], half) == ""
    assert difference([0.5], [0.506], half) == "$[0] is 0.506, not 0.5"
    assert difference([7], [8], Tolerance.of(0.5)) == "$[0] is 8, not 7"
    assert Tolerance.of(1e-4) == USUAL


@pytest.mark.parametrize(
    ("expected", "answer", "words"),
    [
        (
            {"outputs": [{"data": [1.0]}]},
            {"outputs": [{"data": [1.1]}]},
            "$.outputs[0].data[0] is 1.1, not 1.0",
        ),
        ({"a": 1}, {}, "$.a is missing"),
        ({"a": 1}, [1], "$ is a list, not an object"),
        ([1, 2], [1], "$ has 1 entries, not 2"),
        ([1], 1, "$ is 1, not a list"),
        (1, True, "$ is True, not 1"),
        (0, None, "$ is null, not 0"),
        ("7", 7, "$ is 7, not '7'"),
        (1.0, float("nan"), "$ is nan, not 1.0"),
        ([50256], [50257], "$[0] is 50257, not 50256"),
        (10**18, 10**18 + 1, "$ is 1000000000000000001, not 1000000000000000000"),
        (1.0, 10**400, f"$ is {str(10**400)[:59]}…, not 1.0"),
    ],
)
def test_a_difference_says_where_and_what(expected: object, answer: object, words: str) -> None:
    assert difference(expected, answer) == words
