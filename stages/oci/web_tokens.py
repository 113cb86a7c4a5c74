"""What a JSON web token says of itself; never verified here, for nobody is let in by it.

Source: RFC 7519.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any


def claims_of(token: str) -> Mapping[str, Any]:
    """Return what a token says; empty where it is none."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError):
        return {}
    return claims if isinstance(claims, dict) else {}


def lifetime_s(token: str) -> float | None:
    """Return how many seconds a token lives, counted from when it was made; None where it does not tell.

    The clock of whoever made it may differ from ours.
    """
    claims = claims_of(token)
    begin, end = claims.get("iat"), claims.get("exp")
    if not (isinstance(begin, int | float) and isinstance(end, int | float) and end > begin):
        return None
    return float(end - begin)
