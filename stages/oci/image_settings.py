"""What an image's configuration says of how it runs, and how old its base is.

OCI image specification 1.1, config.md; the health check is Docker's.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict

from pydantic import TypeAdapter, ValidationError

_MOMENT = TypeAdapter(datetime)
_TOO_EARLY = 1981  # builds that can be reproduced say 1970 or 1980: no age


class Settings(TypedDict):
    """Fields of a platform's image that its configuration tells."""

    user: str
    ports: tuple[str, ...]
    healthcheck: bool
    labels: dict[str, str]


def settings(document: Mapping[str, Any]) -> Settings:
    """Return what a configuration says of how the image runs."""
    said = document.get("config") or {}
    test: Sequence[str] = (said.get("Healthcheck") or {}).get("Test") or ()
    return Settings(
        user=said.get("User") or "",
        ports=tuple(sorted(said.get("ExposedPorts") or ())),
        healthcheck=bool(test) and test[0] != "NONE",
        labels=dict(said.get("Labels") or {}),
    )


def base_created(history: Sequence[Mapping[str, Any]]) -> datetime | None:
    """Return when the newest layer of the base was made, by its history; None where that is not known."""
    said = [step.get("created") for step in history if not step.get("empty_layer")]
    try:
        moments = [_MOMENT.validate_python(each) for each in said if each]
    except ValidationError:
        return None
    newest = max(moments, default=None)
    return newest if newest is not None and newest.year >= _TOO_EARLY else None
