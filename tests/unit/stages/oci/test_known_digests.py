from pathlib import Path

import pytest

from pipeline.reference import Digest
from stages.oci.known_digests import MOST_ENTRIES, KnownDigests

ONE, OTHER = Digest.of(b"one"), Digest.of(b"other")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache/known.json"


def remember(path: Path, **digests: Digest) -> None:
    known = KnownDigests(path)
    for name, digest in digests.items():
        known.learn(name, digest)
    known.save()


def test_what_was_learnt_is_known_to_the_next_run(path: Path) -> None:
    remember(path, a=ONE, b=OTHER)
    known = KnownDigests(path)
    assert (known.find("a"), known.find("b"), known.find("c")) == (ONE, OTHER, None)


def test_two_runs_at_a_time_lose_nothing(path: Path) -> None:
    first, second = KnownDigests(path), KnownDigests(path)
    first.learn("a", ONE)
    second.learn("b", OTHER)
    first.save()
    second.save()
    known = KnownDigests(path)
    assert (known.find("a"), known.find("b")) == (ONE, OTHER)


def test_what_is_learnt_last_counts(path: Path) -> None:
    remember(path, a=ONE)
    remember(path, a=OTHER)
    assert KnownDigests(path).find("a") == OTHER


def test_to_verify_is_to_find_nothing_and_to_learn_all_the_same(path: Path) -> None:
    remember(path, a=ONE)
    known = KnownDigests(path, verify=True)
    assert known.find("a") is None
    known.learn("a", OTHER)
    known.save()
    assert KnownDigests(path).find("a") == OTHER


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"{",
        b"[]",
        b'{"digests": 1}',
        b'{"digests": {"a": 1}}',
        b'{"digests": {"a": "sha256:x"}}',
    ],
)
def test_a_damaged_file_is_forgotten_and_written_anew(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    assert KnownDigests(path).find("a") is None
    remember(path, a=ONE)
    assert KnownDigests(path).find("a") == ONE


def test_a_folder_that_cannot_be_made_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    known = KnownDigests(tmp_path / "file/known.json")
    known.learn("a", ONE)
    known.save()
    assert known.find("a") == ONE


def test_it_leaves_nothing_beside_the_file_and_writes_only_news(path: Path) -> None:
    remember(path, a=ONE)
    before = path.stat().st_ino
    remember(path, a=ONE)
    assert path.stat().st_ino == before
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_the_entries_longest_in_no_use_are_dropped(path: Path) -> None:
    remember(path, **{f"n{number}": ONE for number in range(MOST_ENTRIES)})
    known = KnownDigests(path)
    assert known.find("n0") == ONE  # in use, so it stays
    known.learn("new", OTHER)
    known.save()
    known = KnownDigests(path)
    assert [known.find(name) for name in ("n0", "n1", "n2", "new")] == [ONE, None, ONE, OTHER]
