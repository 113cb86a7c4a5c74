from __future__ import annotations

import pytest

from stages.oci.endpoint import origin


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            "https://registry.example.com/v2/",
            "https://registry.example.com:443/v2/x",
        ),  # as some proxies write
        ("https://Registry.example.com", "https://registry.example.com"),
        ("http://127.0.0.1:80/v2/", "http://127.0.0.1/v2/"),
        ("https://[::1]:443", "https://[::1]"),
    ],
)
def test_a_default_port_makes_no_other_origin(one: str, other: str) -> None:
    assert origin(one) == origin(other)


@pytest.mark.parametrize(
    "other",
    [
        "http://registry.example.com",
        "https://registry.example.com:80",
        "https://registry.example.com:4430",
        "https://registry.example.com.evil.example",
        "https://user@registry.example.com",
        "https://[",
    ],
)
def test_whoever_is_called_otherwise_is_a_stranger(other: str) -> None:
    assert origin(other) != origin("https://registry.example.com")
