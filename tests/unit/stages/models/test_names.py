import pytest

from pipeline.errors import ConfigurationError
from stages.models.interface import SourceFile
from stages.models.names import image_path, in_order


def files(*paths: str) -> tuple[SourceFile, ...]:
    return tuple(SourceFile(path=path, size_bytes=1, identity=path) for path in paths)


def test_files_come_in_the_order_of_their_bytes() -> None:
    ordered = in_order(files("ü", "b", "a/z", "a.txt", "C/é"))
    assert [file.path for file in ordered] == ["C/é", "a.txt", "a/z", "b", "ü"]


def test_names_that_only_look_odd_are_taken() -> None:
    paths = (" a", "...", "a\nb", "-rf", "model..bin", "c:", "x\\y", ".hidden/.file")
    assert len(in_order(files(*paths))) == len(paths)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/etc/passwd", "absolute"),
        ("../secret", "climbs out"),
        ("a/../../secret", "climbs out"),
        ("a//b", "no plain"),
        ("./a", "no plain"),
        ("a/", "no plain"),
        ("", "no plain"),
        ("a\0b", "no plain"),
        ("a\ud800", "not UTF-8"),
        (".wh.weights", "would delete"),
        ("part/.wh..wh..opq", "would delete"),
    ],
)
def test_a_name_that_is_no_plain_path_is_refused(path: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        in_order(files("weights.bin", path))


@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        ("README.md", "readme.md", "upper and lower case"),
        ("Part/a", "part/b", "upper and lower case"),
        ("caf\u00e9.bin", "cafe\u0301.bin", "NFC"),
        ("caf\u00e9/a", "cafe\u0301/b", "NFC"),
        ("straße", "STRASSE", "upper and lower case"),
        ("a", "a", "twice"),
        ("a", "a/b", "as a file and as a folder"),
        ("A", "a/b", "upper and lower case"),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_names_that_hide_each_other_are_refused(one: str, other: str, reason: str, turned: bool) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        in_order(files(other, "between", one) if turned else files(one, "between", other))


def test_files_of_one_folder_do_not_clash() -> None:
    assert len(in_order(files("part/a", "part/b", "part/deep/a", "a", "b"))) == 5


@pytest.mark.parametrize("path", ["", "models/digits", "/", "//models", "/models/../etc", "..", "C:/models"])
def test_a_path_that_is_not_absolute_is_refused(path: str) -> None:
    with pytest.raises(ConfigurationError, match="not an absolute path"):
        image_path(path)
