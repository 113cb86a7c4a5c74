"""Since when answers are as quick as later ones."""

from stages.servers.warming import steady_at


def answered(*seconds: float) -> list[tuple[float, float]]:
    """Return answers that came one after the other."""
    moments: list[tuple[float, float]] = []
    for each in seconds:
        moments.append(((moments[-1][0] if moments else 0.0) + each, each))
    return moments


def test_the_slow_beginning_is_over_with_the_first_of_several_quick_answers() -> None:
    found = answered(1.0, 0.8, 0.5, *[0.01] * 40)
    assert steady_at(found) == found[3][0]


def test_a_server_that_is_quick_from_its_first_answer() -> None:
    assert steady_at(answered(*[0.01] * 40)) == 0.01


def test_of_a_few_answers_nothing_can_be_told() -> None:
    assert steady_at(answered(*[0.01] * 10)) is None


def test_one_slow_answer_later_makes_no_difference() -> None:
    assert steady_at(answered(*[0.01] * 10, 0.5, *[0.01] * 30)) == 0.01
