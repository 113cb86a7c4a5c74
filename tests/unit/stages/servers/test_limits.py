"""Quantities as Kubernetes writes them."""

import pytest

from stages.servers.limits import parse_quantity


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("512Mi", 512 * 1024**2),
        ("1.5Gi", 1.5 * 1024**3),
        ("2G", 2e9),
        ("100k", 1e5),
        ("128974848", 128974848),
        ("129e6", 129e6),
        ("1E", 1e18),
        ("500m", 0.5),
        ("2", 2),
        (".5", 0.5),
    ],
)
def test_quantities_are_understood(text: str, number: float) -> None:
    assert parse_quantity(text) == pytest.approx(number)


@pytest.mark.parametrize("text", ["", "Mi", "1 Mi", "512mb", "-1", "1ee5", "a"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no quantity"):
        parse_quantity(text)
