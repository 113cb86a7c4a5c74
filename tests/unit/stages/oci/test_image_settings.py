"""What a configuration tells of an image."""

from datetime import UTC, datetime

import pytest

from stages.oci.image_settings import base_created, settings


def test_settings() -> None:
    document = {
        "config": {
            "User": "10001",
            "ExposedPorts": {"8081/tcp": {}, "8080/tcp": {}},
            "Healthcheck": {"Test": ["CMD", "true"]},
            "Labels": {"team": "vision"},
        }
    }
    assert settings(document) == {
        "user": "10001",
        "ports": ("8080/tcp", "8081/tcp"),
        "healthcheck": True,
        "labels": {"team": "vision"},
    }


@pytest.mark.parametrize("said", [{}, {"config": None}, {"config": {"Healthcheck": {"Test": ["NONE"]}}}])
def test_nothing_is_said(said: dict[str, object]) -> None:
    assert settings(said) == {"user": "", "ports": (), "healthcheck": False, "labels": {}}


@pytest.mark.parametrize(
    ("moments", "newest"),
    [
        (("2026-01-02T00:00:00Z", "2026-03-04T00:00:00.5Z"), datetime(2026, 3, 4, 0, 0, 0, 500_000, UTC)),
        (("1970-01-01T00:00:00Z",), None),
        (("no time",), None),
        ((), None),
    ],
)
def test_age_of_the_base(moments: tuple[str, ...], newest: datetime | None) -> None:
    later_label = {"created": "2026-09-09T00:00:00Z", "empty_layer": True}
    assert base_created([*({"created": one} for one in moments), later_label]) == newest
