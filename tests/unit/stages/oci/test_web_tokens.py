from __future__ import annotations

import base64
import json

import pytest

from stages.oci.web_tokens import claims_of, lifetime_s


def token(claims: object) -> str:
    return f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.signature"


def test_a_token_says_what_its_middle_holds() -> None:
    assert claims_of(token({"iss": "i", "sub": "ü"})) == {"iss": "i", "sub": "ü"}


@pytest.mark.parametrize("text", ["", "opaque", "a.b.c", "e30.W10.x", "e30.4pyT.x", "e30.é.x"])
def test_a_token_that_is_none_says_nothing(text: str) -> None:
    assert claims_of(text) == {}
    assert lifetime_s(text) is None


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"iat": 1000, "exp": 5500}, 4500),
        ({"exp": 5500}, None),
        ({"iat": 5500, "exp": 1000}, None),
        ({"iat": "1000", "exp": "5500"}, None),
    ],
)
def test_a_lifetime_is_counted_from_when_the_token_was_made(
    claims: dict[str, object], expected: float | None
) -> None:
    assert lifetime_s(token(claims)) == expected
