"""A value stays without quotes only where every reader takes it for a string."""

import pytest
import yaml

from stages.manifests.quoting import is_plain_string, quoted

STRINGS = [
    "v1",
    "1.27.3",
    "main",
    "7e1f",
    "1.20-rc1",
    "0o9",
    "4f9c1d2e",
    "nope",
    "sha256:12ab",
    "a:1@sha256:b",
    "a=b:1",
    "_1",
]
OTHERS = [
    *(
        "1.20",
        "1e_5",
        "1e5",
        "1E5",
        "1e+5",
        "0755",
        "0899",
        "1_000",
        "12345678",
        "0x1f",
        "0b11",
        "0o17",
        ".5",
        "1.",
    ),
    *("y", "N", "yes", "No", "ON", "off", "true", "FALSE", "null", "Null", "~", "", ".inf", ".NaN"),
    *(
        "1:30",
        "190:20:30",
        "12:30:45",
        "12:30:45.5",
        "2026-11-22",
        "2026-1-2",
        "a: b",
        "a #b",
        "- a",
        "*a",
        "&a",
        "!a",
        "[::1]/a",
        "a:",
    ),
]


@pytest.mark.parametrize("value", STRINGS)
def test_strings_stay_plain(value: str) -> None:
    assert is_plain_string(value)
    assert yaml.safe_load(quoted(value, "")) == value


@pytest.mark.parametrize("value", OTHERS)
def test_what_one_reader_takes_for_something_else_is_quoted(value: str) -> None:
    assert not is_plain_string(value)
    assert quoted(value, "") == f'"{value}"'
    assert yaml.safe_load(quoted(value, "")) == value


@pytest.mark.parametrize("style", ["'", '"'])
def test_quotes_stay_what_they_are(style: str) -> None:
    assert quoted("v1", style) == f"{style}v1{style}"
    assert yaml.safe_load(quoted('it\'s "\\x"', style)) == 'it\'s "\\x"'
