"""Paths of fields: what they mean, and where a wrong one is wrong."""

import pytest

from pipeline.errors import ConfigurationError
from stages.manifests.field_path import joined, parse_field_path

PATHS = {
    "a": ("a",),
    "a.b": ("a", "b"),
    "a.b[0]": ("a", "b", 0),
    'a.b[0]["key.with.dots"]': ("a", "b", 0, "key.with.dots"),
    '["app.kubernetes.io/name"].x-y_z': ("app.kubernetes.io/name", "x-y_z"),
    "[1][20].c": (1, 20, "c"),
    'a["with \\"quotes\\" and \\\\"]': ("a", 'with "quotes" and \\'),
    'a[""]': ("a", ""),
    "größe": ("größe",),
}


@pytest.mark.parametrize("text", PATHS)
def test_a_path_is_keys_and_indices_and_is_written_again_as_it_was(text: str) -> None:
    path = ""
    for step in parse_field_path(text):
        path = joined(path, step)
    assert (parse_field_path(text), path) == (PATHS[text], text)


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("", 1),
        (".a", 1),
        ("a.", 3),
        ("a..b", 3),
        ("a b", 2),
        ("a]", 2),
        ("a[", 3),
        ("a[x]", 3),
        ("a[-1]", 3),
        ("a['b']", 3),
        ('a["b', 3),
        ('a["b"', 6),
        ('a["b".c', 6),
        ("a[0]b", 5),
        ("a.b{c}", 4),
    ],
)
def test_a_wrong_path_names_the_position(text: str, position: int) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_field_path(text)
    assert caught.value.message.startswith(f"field path {text!r}: ")
    assert caught.value.message.endswith(f" at position {position}")
    assert caught.value.advice
