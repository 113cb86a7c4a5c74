"""Where a repository is and how git is let in: a password is taken out of the address at once.

Credentials come from `GITOPS_USERNAME` and `GITOPS_PASSWORD` (a token), else from the address, else from
git's own credential helpers. Git receives ours through a helper that is bound to the repository's host,
so a redirect to another host never sees them, and no other helper is asked to store them.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from pipeline.redaction import Redactor

USERNAME = "GITOPS_USERNAME"
PASSWORD = "GITOPS_PASSWORD"  # noqa: S105 - the variable's name
_ANY_USER = "x-access-token"  # what GitHub expects beside a token; others take any name
_NOT_SECRET = {"", "x-oauth-basic"}  # stands for the password where the token is the user's name
_HELPER = (
    f'!f() {{ test "$1" = get && printf "username=%s\\npassword=%s\\n" "${USERNAME}" "${PASSWORD}"; }}; f'
)
_SSH_SHORT = re.compile(r"(?!/)[^/\s]+:(?!//).*")  # user@host:path, as git reads it


@dataclass(frozen=True, slots=True)
class Address:
    """A repository's address without password, and the credentials to use there."""

    url: str
    username: str | None = None
    password: str | None = None

    @classmethod
    def parse(cls, url: str, environment: Mapping[str, str] = os.environ) -> "Address":
        """Return the address with its credentials taken apart; a path on disk becomes absolute."""
        if "://" not in url:
            return cls(url if _SSH_SHORT.fullmatch(url) else str(Path(url).expanduser().absolute()))
        parts = urlsplit(url)
        userinfo, _, host = parts.netloc.rpartition("@")
        user, colon, password = userinfo.partition(":")
        if parts.scheme not in {"http", "https"}:
            netloc = f"{user}@{host}" if user else host
            return cls(urlunsplit(parts._replace(netloc=netloc)))
        clean = urlunsplit(parts._replace(netloc=host))
        given = environment.get(PASSWORD, "").strip()
        if given:
            return cls(clean, environment.get(USERNAME, "").strip() or unquote(user) or _ANY_USER, given)
        return cls(clean, unquote(user) or None, unquote(password) if colon else None)

    def hide(self, redact: Redactor) -> None:
        """Have the secrets masked in every text that is shown or logged."""
        if self.password is not None:
            redact.add(self.password)
            if self.password in _NOT_SECRET and self.username is not None:
                redact.add(self.username)

    def settings(self) -> tuple[tuple[str, str], ...]:
        """Return the git settings that make git use these credentials and no others."""
        parts = urlsplit(self.url)
        host = f"credential.{parts.scheme}://{parts.netloc}"
        if self.password is not None:
            return ("credential.helper", ""), (f"{host}.helper", _HELPER)
        return ((f"{host}.username", self.username),) if self.username is not None else ()

    def environment(self) -> dict[str, str | None]:
        """Return the variables that hold the credentials for the helper, and for no one else."""
        if self.password is None:
            return {USERNAME: None, PASSWORD: None}
        return {USERNAME: self.username, PASSWORD: self.password}
