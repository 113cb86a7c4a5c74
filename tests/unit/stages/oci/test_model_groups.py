"""Groups of files are decided by names and sizes alone, and a small change of those changes little."""

import random
from collections.abc import Callable
from statistics import mean

import pytest

from stages.models.interface import SourceFile
from stages.oci.model_groups import BIG_BYTES, GROUP_BYTES, MOST_BIG_LAYERS, MOST_LAYERS, group

MEBIBYTE = 1024 * 1024
Groups = tuple[tuple[SourceFile, ...], ...]


def seeded(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - the same lists in every run


def file(path: str, size_bytes: int) -> SourceFile:
    return SourceFile(path=path, size_bytes=size_bytes, identity=path)


def shards(count: int, size_bytes: int = 5000 * MEBIBYTE) -> list[SourceFile]:
    return [file(f"model-{number:05d}-of-{count:05d}.safetensors", size_bytes) for number in range(count)]


def texts(count: int, chance: random.Random, largest_bytes: int) -> list[SourceFile]:
    return [
        file(f"{chance.randrange(10**9):09d}.json", chance.randrange(largest_bytes)) for _ in range(count)
    ]


def mixture(chance: random.Random) -> list[SourceFile]:
    sizes = [int(10 ** chance.uniform(0, 10)) for _ in range(chance.randrange(1, 300))]
    return [file(f"{chance.randrange(10**9):09d}", size_bytes) for size_bytes in sizes]


def grouped(files: list[SourceFile]) -> Groups:
    return group(sorted(files, key=lambda one: one.path.encode()))


def size(files: tuple[SourceFile, ...]) -> int:
    return sum(one.size_bytes for one in files)


def test_big_files_have_layers_of_their_own_below_the_small_ones() -> None:
    small = [file("config.json", 700), file("merges.txt", MEBIBYTE), file("vocab.json", 2 * MEBIBYTE)]
    big = [file("model.safetensors", BIG_BYTES), *shards(3)]
    in_order = sorted(big, key=lambda one: one.path)
    assert grouped([*small, *big]) == (*((one,) for one in in_order), tuple(small))


@pytest.mark.parametrize("seed", range(20))
def test_every_file_is_in_one_layer_and_in_order(seed: int) -> None:
    files = mixture(seeded(seed))
    groups = grouped(files)
    assert sorted(one.path for members in groups for one in members) == sorted(one.path for one in files)
    assert all(list(members) == sorted(members, key=lambda one: one.path) for members in groups)
    assert len(groups) <= MOST_LAYERS


@pytest.mark.parametrize("seed", range(20))
def test_big_and_small_files_never_share_a_layer(seed: int) -> None:
    for members in grouped(mixture(seeded(seed))):
        assert len({one.size_bytes >= BIG_BYTES for one in members}) == 1


def test_a_group_of_small_files_is_small() -> None:
    groups = grouped(texts(500, seeded(1), MEBIBYTE // 4))
    assert 4 < len(groups) < MOST_LAYERS
    assert max(map(size, groups)) <= GROUP_BYTES


@pytest.mark.parametrize("count", [65, 100, 200, 600])
def test_hundreds_of_big_files_share_layers_of_about_the_same_size(count: int) -> None:
    groups = grouped([*shards(count), file("config.json", 700)])
    assert len(groups) == MOST_BIG_LAYERS + 1
    assert groups[-1] == (file("config.json", 700),)
    assert max(map(len, groups)) <= 3 * count / MOST_BIG_LAYERS + 1


def test_as_many_big_files_as_layers_still_stand_alone() -> None:
    assert set(map(len, grouped(shards(MOST_BIG_LAYERS)))) == {1}


def test_small_files_do_not_decide_how_big_ones_are_grouped() -> None:
    few, many = (grouped([*shards(100), *texts(count, seeded(1), MEBIBYTE)]) for count in (3, 900))
    assert few[:MOST_BIG_LAYERS] == many[:MOST_BIG_LAYERS]
    assert (len(few), len(many)) == (MOST_BIG_LAYERS + 1, MOST_LAYERS)


Change = Callable[[list[SourceFile], random.Random], list[SourceFile]]


def with_another(files: list[SourceFile], chance: random.Random) -> list[SourceFile]:
    like = chance.choice(files)
    return [*files, file(f"{like.path}.{chance.randrange(10**6)}", like.size_bytes)]


def without_one(files: list[SourceFile], chance: random.Random) -> list[SourceFile]:
    gone = chance.randrange(len(files))
    return files[:gone] + files[gone + 1 :]


def with_one_grown(files: list[SourceFile], chance: random.Random) -> list[SourceFile]:
    place = chance.randrange(len(files))
    grown = file(files[place].path, files[place].size_bytes + chance.randrange(1, 1000))
    return [*files[:place], grown, *files[place + 1 :]]


def new_layers(files: list[SourceFile], change: Change, chance: random.Random) -> Groups:
    before = set(grouped(files))
    return tuple(members for members in grouped(change(files, chance)) if members not in before)


@pytest.mark.parametrize("change", [with_another, without_one, with_one_grown])
def test_one_big_file_more_or_less_moves_that_file_alone(change: Change) -> None:
    for seed in range(20):
        moved = new_layers(shards(40), change, seeded(seed))
        assert set(map(len, moved)) <= {1}
        assert len(moved) == (change is not without_one)


@pytest.mark.parametrize("change", [with_another, without_one, with_one_grown])
@pytest.mark.parametrize(
    ("count", "largest_bytes"), [(500, MEBIBYTE // 4), (3000, 2 * MEBIBYTE), (200, 8000 * MEBIBYTE)]
)
def test_a_small_change_makes_few_new_layers(change: Change, count: int, largest_bytes: int) -> None:
    chance = seeded(7)
    moved = [len(new_layers(texts(count, chance, largest_bytes), change, chance)) for _ in range(15)]
    assert mean(moved) < 3
    assert max(moved) <= 10


def test_the_layers_of_a_known_list_stay_what_they_are() -> None:
    """Another division would send weights again that every registry has."""
    groups = grouped([*shards(70, 3_000_000_000), *texts(40, seeded(3), 2 * MEBIBYTE)])
    big = [members[0].path[6:11] for members in groups[:MOST_BIG_LAYERS] if len(members) > 1]
    assert big == ["00051", "00053", "00056", "00059", "00064", "00067"]
    assert [len(members) for members in groups[MOST_BIG_LAYERS:]] == [3, 9, 4, 2, 7, 6, 5, 4]
