"""A CI host's identity provider: signs what a job is, as GitHub does, and can tell a forgery."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.loopback import Received, Reply, json_reply, serving

LIFETIME_S = 300
REQUEST_TOKEN = "runner token"


class IdentityProvider:
    """Signs identity tokens for one job."""

    def __init__(
        self,
        issuer: str = "https://token.actions.githubusercontent.com",
        subject: str = "repo:team/digits:ref:refs/heads/main",
    ) -> None:
        self.issuer, self.subject = issuer, subject
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def token(self, audience: str, *, subject: str | None = None, lifetime_s: float = LIFETIME_S) -> str:
        """Return a token that says who the job is, for one audience."""
        now = time.time()
        claims = {
            "iss": self.issuer,
            "sub": subject or self.subject,
            "aud": audience,
            "iat": int(now),
            "jti": str(uuid4()),
            "exp": int(now + lifetime_s),
        }
        return jwt.encode(claims, self._key, algorithm="RS256")

    def verified(self, token: str, audience: str) -> Mapping[str, str]:
        """Return what a token says.

        Raises:
            jwt.InvalidTokenError: it is forged, over, or for somebody else.
        """
        claims: dict[str, str] = jwt.decode(
            token, self._key.public_key(), algorithms=["RS256"], audience=audience, issuer=self.issuer
        )
        return claims

    @contextmanager
    def github_runner(self) -> Iterator[Mapping[str, str]]:
        """Give tokens to a job on GitHub while the `with` block lasts; yields the job's variables."""

        def answer(request: Received) -> Reply:
            if request.headers.get("Authorization") != f"Bearer {REQUEST_TOKEN}":
                return json_reply(401, {"message": "Unauthorized"})
            return json_reply(
                200, {"value": self.token(request.asked("audience") or "https://github.com/team")}
            )

        with serving(answer) as server:
            yield {
                "ACTIONS_ID_TOKEN_REQUEST_URL": f"{server.url}/idtoken?api-version=2.0",
                "ACTIONS_ID_TOKEN_REQUEST_TOKEN": REQUEST_TOKEN,
            }
