import pytest

from stages.buildkit.dockerignore import Ignored


@pytest.mark.parametrize(
    ("text", "left_out", "stays"),
    [
        ("a", ["a", "a/b"], ["ab", "b/a"]),
        ("a\n!a/b\na/b/c", ["a/x", "a/b/c/d"], ["a/b", "a/b/x"]),
        ("a\n!a/b\na", ["a", "a/x"], ["a/b", "a/b/x"]),  # for the folder the last line changed nothing
        ("**/a", ["a", "b/a", "b/a/c"], ["ba"]),
        ("**.log", ["a.log", "b/a.log", ".log"], ["log"]),
        ("**.l?g", [".log", "b/.log"], ["a.log", "b/a.log"]),
        ("a/**b", ["a/b", "a/x/b"], ["a/xb", "b"]),
        ("a/**", ["a/b", "a/b/c"], ["a", "ab"]),
        ("*\n!**/x.py", ["y.py", "a/y.py"], ["x.py", "a/x.py"]),
        ("\\*", ["*"], ["a"]),
        ("\ufeff#b\n #a\r\n ! b\nb ", ["#a", "b"], ["a"]),
    ],
)
def test_paths_are_left_out_as_buildkit_does(text: str, left_out: list[str], stays: list[str]) -> None:
    ignored = Ignored.of(text)
    assert [path for path in (*left_out, *stays) if ignored.leaves_out(path)] == left_out


def test_a_folder_is_passed_over_only_where_nothing_of_it_can_come_back() -> None:
    ignored = Ignored.of("a\nb\n!b/c\nd\n!**/e")
    assert not any(ignored.leaves_out_all_of(folder) for folder in ("a", "b", "c", "d"))
    assert Ignored.of("a\nb\n!b/c").leaves_out_all_of("a")
    assert not Ignored.of("a\nb\n!b/c").leaves_out_all_of("b")
