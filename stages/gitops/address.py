"""Where a repository is and how git is let in: a password is taken out of the address at once.

Credentials come from `GITOPS_USERNAME` and `GITOPS_PASSWORD` (a token), else from the address, else from
git's own credential helpers. Git receives ours through a helper that is bound to the repository's host,
so a redirect to another host never sees them, and no other helper is asked to store them.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from pipeline.redaction import Redactor
from stages.gitops.ssh import SSH_KEY, is_short

USERNAME = "GITOPS_USERNAME"
PASSWORD = "GITOPS_PASSWORD"  # noqa: S105 - the variable's name
ANY_USER = "x-access-token"  # what GitHub expects beside a token; others take any name
_NOT_SECRET = {"", "x-oauth-basic"}  # stands for the password where the token is the user's name
_TOKEN_LENGTH = 20  # of a user without a password: https://TOKEN@HOST, as hosts of repositories show it
_HELPER = (
    f'!f() {{ test "$1" = get && printf "username=%s\\npassword=%s\\n" "${USERNAME}" "${PASSWORD}"; }}; f'
)


@dataclass(frozen=True, slots=True)
class Address:
    """A repository's address without password, and the credentials to use there."""

    url: str
    username: str | None = None
    password: str | None = None
    ssh_command: str | None = None
    """How git calls ssh; None: the repository is not reached by SSH."""

    @classmethod
    def parse(cls, url: str, environment: Mapping[str, str] = os.environ) -> "Address":
        """Return the address with its credentials taken apart; a path on disk becomes absolute."""
        if "://" not in url:
            return cls(url if is_short(url) else str(Path(url).expanduser().absolute()))
        parts = urlsplit(url)
        userinfo, _, host = parts.netloc.rpartition("@")
        user, colon, password = userinfo.partition(":")
        if parts.scheme not in {"http", "https"}:
            netloc = f"{user}@{host}" if user else host
            return cls(urlunsplit(parts._replace(netloc=netloc)))
        clean = urlunsplit(parts._replace(netloc=host))
        given = environment.get(PASSWORD, "").strip()
        if given:
            return cls(clean, environment.get(USERNAME, "").strip() or unquote(user) or ANY_USER, given)
        return cls(clean, unquote(user) or None, unquote(password) if colon else None)

    def hide(self, redact: Redactor) -> None:
        """Have the secrets masked in every text that is shown or logged."""
        if self.password is not None:
            redact.add(self.password)
        alone = self.password is None and len(self.username or "") >= _TOKEN_LENGTH
        if self.username is not None and (alone or self.password in _NOT_SECRET):
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
        variables: dict[str, str | None] = {USERNAME: None, PASSWORD: None, SSH_KEY: None}
        if self.password is not None:
            variables |= {USERNAME: self.username, PASSWORD: self.password}
        if self.ssh_command is not None:
            variables |= {"GIT_SSH_COMMAND": self.ssh_command, "GIT_SSH_VARIANT": "ssh", "GIT_SSH": None}
        return variables
