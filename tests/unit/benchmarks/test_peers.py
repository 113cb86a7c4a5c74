"""Who is measured."""

import pytest

from benchmarks.delivery import main
from benchmarks.peers import LIMITS, OTHERS, choose


def names(text: str) -> list[str]:
    return [peer.name for peer in choose(text)]


def test_we_and_the_limits_are_always_there() -> None:
    assert names("crane") == ["pipeline", *(limit.name for limit in LIMITS), "crane"]


def test_a_group_stands_for_its_members_and_nobody_comes_twice() -> None:
    assert names("buildx, buildx-zstd")[5:] == ["buildx-gzip", "buildx-zstd", "buildx-uncompressed"]


def test_all_are_all() -> None:
    assert names("all")[5:] == [peer.name for peer in OTHERS]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--peers", "podman"], "no peer is called 'podman'"),
        (["--sizes", "big"], "'big' is no size"),
        (["--scenarios", "cold,warm"], "no scenario is called 'warm'"),
    ],
)
def test_what_is_not_known_is_refused(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert said in capsys.readouterr().err
