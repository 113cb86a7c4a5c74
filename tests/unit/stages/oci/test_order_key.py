"""Which of two builds is the newer one, and how a key is written down."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from stages.oci.order_key import NAME, OrderKey, is_newer

MOMENT = datetime(2026, 11, 22, 14, 30, 33, tzinfo=UTC)
A, B = "a" * 40, "b" * 40


def key(seconds: int = 0, revision: str = A, run: str = "") -> OrderKey:
    return OrderKey.at(MOMENT + timedelta(seconds=seconds), revision, run)


def test_a_key_is_written_in_utc_without_fractions_and_read_again() -> None:
    east = MOMENT.astimezone(timezone(timedelta(hours=5))).replace(microsecond=999)
    written = str(OrderKey.at(east, A))
    assert written == f"2026-11-22T14:30:33Z {A}"
    assert OrderKey.parse(written) == key()
    assert OrderKey.said_by({NAME: written}) == key()


@pytest.mark.parametrize(
    "text", ["", "yesterday", f"2026-11-22T14:30:33 {A}", "2026-11-22T14:30:33Z", "x y z"]
)
def test_what_is_no_key_is_none(text: str) -> None:
    assert OrderKey.parse(text) is None


def test_the_labels_of_other_tools_are_no_key() -> None:
    said = {
        "org.opencontainers.image.created": "2030-01-01T00:00:00Z",
        "org.opencontainers.image.revision": A,
    }
    assert OrderKey.said_by(said) is None


def test_time_decides_before_all_else() -> None:
    assert is_newer(key(1, A), key(0, B))
    assert not is_newer(key(0, B, "z"), key(1, A, "a"))


@pytest.mark.parametrize("first", [A, B])
def test_the_history_decides_between_commits_of_the_same_second(first: str) -> None:
    second = B if first == A else A

    def is_ancestor(one: str, other: str) -> bool:
        return (one, other) == (first, second)

    assert is_newer(key(0, second), key(0, first), is_ancestor)
    assert not is_newer(key(0, first), key(0, second), is_ancestor)


def test_without_a_history_all_writers_still_come_to_the_same_answer() -> None:
    assert is_newer(key(0, B), key(0, A))
    assert not is_newer(key(0, A), key(0, B))


def test_two_builds_of_one_commit_are_ordered_by_their_runs() -> None:
    early, late = key(run="20261122T143033.123Z"), key(run="20261122T143033.124Z")
    assert is_newer(late, early)
    assert not is_newer(early, late)
    assert not is_newer(late, key())  # whose run nobody knows: a build anew may be delivered
    assert not is_newer(key(), late)
