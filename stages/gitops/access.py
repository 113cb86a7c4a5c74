"""Who lets git in, in the order in which it is asked.

Over SSH: `GITOPS_SSH_KEY`, `update.ssh_key`, then ssh's own ways. Over HTTP: `GITOPS_PASSWORD`, the GitHub
App, what stands in the address, GitLab's job token where the repository is on the job's own server, then
git's own credential helpers.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.desk import Desk
from stages.gitops import ssh
from stages.gitops.address import ANY_USER, PASSWORD, Address
from stages.gitops.github_app import GitHubApp

JOB_TOKEN = "CI_JOB_TOKEN"  # noqa: S105 - the variable's name
_JOB_USER = "gitlab-ci-token"
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What the configuration says of keys and tokens."""

    ssh_key: Path | None = None
    known_hosts: Path | None = None
    github_app: GitHubApp | None = None

    def address(
        self, url: str, folder: Path, desk: Desk, environment: Mapping[str, str] = os.environ
    ) -> Address:
        """Return the address with what lets us in; a key is written into the folder.

        Raises:
            ConfigurationError: a key is not usable.
            RemoteError: GitHub gives the App no token.
        """
        address = Address.parse(url, environment)
        if ssh.host_of(address.url) is not None:
            return replace(address, ssh_command=self._ssh_command(folder, desk, environment))
        host = urlsplit(address.url).hostname
        if host is not None and not environment.get(PASSWORD, "").strip():
            if self.github_app is not None:
                token = self.github_app.token(host, desk.redact, environment)
                address = replace(address, username=ANY_USER, password=token)
            elif address.username is None and address.password is None:
                address = with_job_token(address, environment)
        address.hide(desk.redact)
        return address

    def api_token(self, url: str, desk: Desk, environment: Mapping[str, str] = os.environ) -> str | None:
        """Return the token for the API of the repository's host; None where there is none.

        Raises:
            ConfigurationError: the App's key is not usable.
            RemoteError: GitHub gives the App no token.
        """
        given = environment.get(PASSWORD, "").strip() or None
        by_ssh = ssh.host_of(url)
        host = urlsplit(url).hostname if by_ssh is None else by_ssh[0]
        if given is None and self.github_app is not None and host is not None:
            return self.github_app.token(host, desk.redact, environment)
        token = given or Address.parse(url, {}).password
        if token is not None:
            desk.redact.add(token)
        return token

    def _ssh_command(self, folder: Path, desk: Desk, environment: Mapping[str, str]) -> str:
        ssh.require_known_hosts(self.known_hosts)
        key = ssh.deploy_key(self.ssh_key, environment)
        path = ssh.written_key(*key, folder, desk) if key is not None else None
        return ssh.command(path, self.known_hosts, environment)


def with_job_token(address: Address, environment: Mapping[str, str]) -> Address:
    """Return the address with the token of GitLab's job, where the repository is on the job's own server."""
    token = environment.get(JOB_TOKEN, "").strip()
    parts = urlsplit(address.url)
    own = (environment.get("CI_SERVER_PROTOCOL", "https"), environment.get("CI_SERVER_HOST", "").lower())
    port = environment.get("CI_SERVER_PORT", "") or str(_DEFAULT_PORTS.get(parts.scheme, ""))
    here = (parts.scheme, parts.hostname or "")
    if not token or here != own or str(parts.port or _DEFAULT_PORTS.get(parts.scheme)) != port:
        return address
    return replace(address, username=_JOB_USER, password=token)
