"""The CI job's own identity, which clouds exchange for short-lived credentials: no secret is kept anywhere.

GitHub gives a job a token for an audience when it is asked; GitLab puts tokens into variables (`id_tokens`).
Sources: GitHub, "OpenID Connect reference"; GitLab, "OpenID Connect (OIDC) Authentication Using ID Tokens".
"""

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import quote

from pipeline.errors import ConfigurationError, RemoteError, TemporaryRemoteError
from stages.oci.exchange import Answer, Request, exchange, new_session
from stages.oci.retries import Retries
from stages.oci.web_tokens import claims_of
from stages.registries.options import LoginOptions

GITHUB_URL = "ACTIONS_ID_TOKEN_REQUEST_URL"
GITHUB_TOKEN = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"  # noqa: S105 - the name of a variable
SHOWN_CLAIMS = ("iss", "sub", "aud")


@dataclass(frozen=True, slots=True)
class IdentityToken:
    """A signed statement of the CI host about the job that runs."""

    value: str = field(repr=False)
    origin: str

    @property
    def claims(self) -> str:
        """What a trust policy looks at, for people; not verified, and empty where it cannot be read."""
        found = claims_of(self.value)
        return ", ".join(f"{name} {found.get(name)!r}" for name in SHOWN_CLAIMS) if found else ""

    @property
    def issuer(self) -> str:
        """Who says that they signed it; empty where it cannot be read."""
        return str(claims_of(self.value).get("iss", ""))


def identity_token(
    login: LoginOptions, audience: str, environment: Mapping[str, str] = os.environ
) -> IdentityToken | None:
    """Return the job's identity token for an audience; None where no CI host gives one.

    Raises:
        ConfigurationError: the job has none in the variable that the configuration names.
        RemoteError: GitHub does not give one.
    """
    if login.id_token_variable is not None:
        return _from_variable(login.id_token_variable, login.audience or audience, environment)
    if environment.get(GITHUB_URL) and environment.get(GITHUB_TOKEN):
        return _from_github(login.audience or audience, environment)
    return None


def _from_variable(name: str, audience: str, environment: Mapping[str, str]) -> IdentityToken | None:
    if value := environment.get(name, ""):
        return IdentityToken(value, f"${name}")
    if not environment.get("CI"):
        return None  # at somebody's desk: the cloud's own chain decides
    raise ConfigurationError(
        f"${name} is to hold the job's identity token, and it is not set",
        advice=f"In .gitlab-ci.yml the job says:\nid_tokens:\n  {name}:\n    aud: {audience}",
    )


def _from_github(audience: str, environment: Mapping[str, str]) -> IdentityToken:
    address = environment[GITHUB_URL]
    joint = "&" if "?" in address else "?"
    request = Request(method="GET", url=f"{address}{joint}audience={quote(audience, safe='')}")

    def ask() -> Answer:
        with new_session() as session:
            answer = exchange(session, request, f"Bearer {environment[GITHUB_TOKEN]}")
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS or answer.status >= 500:
            raise TemporaryRemoteError(
                f"GitHub's token service says {answer.phrase}",
                advice="Run again.",
                retry_after_s=answer.retry_after_s,
            )
        return answer

    answer = Retries(attempts=3).run(ask, threading.Event(), lambda _: None)
    value = answer.json().get("value")
    if answer.status != HTTPStatus.OK or not isinstance(value, str):
        raise RemoteError(
            f"GitHub gives this job no identity token: {answer.phrase}",
            advice="The job needs `permissions:` with `id-token: write`; a pull request from a fork never "
            "gets one.",
        )
    return IdentityToken(value, "GitHub's OpenID Connect")
