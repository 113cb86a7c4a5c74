"""What is expected of answers under load, learnt before it."""

import asyncio
from collections.abc import Sequence

import pytest

from pipeline.errors import StageFailed
from stages.servers.answers import MOST_PAYLOADS, with_expectations
from stages.servers.interface import Answer, Payload
from tests.support.answering import Answering


def learnt(answers: Sequence[Answer], *payloads: Payload, compare: bool = True) -> tuple[Payload, ...]:
    """Return the payloads with what is expected; the answers come in turn, the last one again and again."""
    left = list(answers)

    async def answer(_: Payload) -> Answer:
        return left.pop(0) if len(left) > 1 else left[0]

    server = Answering(answer, payloads=payloads or (Payload(body=b"ask"),))
    return asyncio.run(with_expectations(server, 1.0, compare=compare))


def test_the_answer_when_asked_alone_is_expected_under_load() -> None:
    (payload,) = learnt([Answer(body=b'{"y": 1}')])
    assert payload.expected == b'{"y": 1}'
    assert "asked alone" in payload.name


@pytest.mark.parametrize(
    "answers",
    [
        [Answer(body=b"1"), Answer(body=b"2")],
        [Answer("500 not now")],
        [Answer()],
    ],
    ids=["varies", "fails", "says nothing"],
)
def test_what_cannot_be_relied_on_is_not_compared(answers: list[Answer]) -> None:
    (payload,) = learnt(answers)
    assert payload.expected is None


def test_without_comparison_nobody_is_asked() -> None:
    (payload,) = learnt([Answer(body=b"1")], compare=False)
    assert payload.expected is None


def test_what_the_user_expects_stays_and_is_looked_at_before_the_load() -> None:
    wanted = Payload(body=b"ask", name="golden.json", expected=b"7")
    assert learnt([Answer(body=b"7")], wanted, compare=False) == (wanted,)
    with pytest.raises(StageFailed, match=r"golden.json wrongly, although nothing else was asked"):
        learnt([Answer(body=b"8")], wanted, compare=False)


def test_an_error_is_left_to_the_load_to_be_counted() -> None:
    wanted = Payload(body=b"ask", expected=b"7")
    assert learnt([Answer("503 busy")], wanted) == (wanted,)


def test_of_many_payloads_the_first_ones_are_compared() -> None:
    many = [Payload(body=b"%d" % number) for number in range(MOST_PAYLOADS + 1)]
    found = learnt([Answer(body=b"1")], *many)
    assert [each.expected is None for each in found[-2:]] == [False, True]


def test_an_expected_answer_that_cannot_be_read_is_the_users_to_mend() -> None:
    class Strict(Answering):
        def same(self, expected: bytes, answer: bytes) -> str:
            raise ValueError("not a message")

    async def answer(_: Payload) -> Answer:
        return Answer(body=b"7")

    server = Strict(answer, payloads=(Payload(body=b"ask", name="request.json", expected=b"?"),))
    with pytest.raises(StageFailed, match="it cannot be compared: ValueError: not a message") as raised:
        asyncio.run(with_expectations(server, 1.0, compare=True))
    assert "benchmark.expect" in raised.value.advice
