"""Progress of registries side by side."""

from stages.registries.progress import beside


def test_one_registry_has_all_the_room() -> None:
    said: list[str] = []
    beside(1, said.append)(0)("1 of 2 MB there\nab12 1 of 2 MB")
    assert said == ["1 of 2 MB there\nab12 1 of 2 MB"]


def test_no_registry_hides_another_one() -> None:
    said: list[str] = []
    say_of = beside(2, said.append)
    first, second = say_of(0), say_of(1)
    second("2 of 9 MB there: b\nab12 1 of 2 MB")
    first("1 of 9 MB there: a")
    second("b: read back")
    assert said[-2:] == ["1 of 9 MB there: a\n2 of 9 MB there: b", "1 of 9 MB there: a\nb: read back"]
