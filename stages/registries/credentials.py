"""Credentials from where people keep them: the environment, then docker's configuration and its helpers."""

import base64
import binascii
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigurationError, RemoteError, ToolMissing
from pipeline.process import Command, run
from stages.oci.authentication import Credentials, environment_name
from stages.registries.cloud_errors import NoCloudLogin

HELPER_TIMEOUT_S = 60.0
NOT_FOUND = "credentials not found"  # what every helper says, by convention, of a host it does not know
DOCKER_HUB = "https://index.docker.io/v1/"  # the key under which docker keeps its own registry
DOCKER_HUB_HOSTS = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
IDENTITY_TOKEN_USER = "<token>"  # noqa: S105 - the user name by which a helper says that it gives a token


def find(host: str, *, only: bool = True) -> Credentials | None:
    """Return the credentials for a registry; None where there are none.

    `only` says that the run has no other registry: REGISTRY_USERNAME and REGISTRY_PASSWORD are never
    offered to several.

    Raises:
        ConfigurationError: a part is missing, or docker's configuration cannot be read.
        ToolMissing, RemoteError: a credential helper is missing or fails.
    """
    return from_environment(host, os.environ, only=only) or DockerConfig.load().find(host)


def with_cloud(host: str, cloud: Callable[[], Credentials], *, only: bool) -> Credentials:
    """Return the password of the environment, else what the cloud gives, else what `docker login` left.

    Raises:
        NoCloudLogin, ToolMissing: the cloud knows nobody here, and nobody has logged in.
    """
    named = from_environment(host, os.environ, only=only)
    if named is not None:
        return named
    try:
        return cloud()
    except (NoCloudLogin, ToolMissing):
        if (kept := DockerConfig.load().find(host)) is not None:
            return kept
        raise


def from_environment(host: str, environment: Mapping[str, str], *, only: bool) -> Credentials | None:
    """Return the credentials for a registry that the environment holds."""
    for suffix in (f"_{environment_name(host)}", *([""] if only else [])):
        user_name, password_name = f"REGISTRY_USERNAME{suffix}", f"REGISTRY_PASSWORD{suffix}"
        # a secret that was made by `echo` ends in a line break, which no password holds
        user, password = (environment.get(name, "").rstrip("\r\n") for name in (user_name, password_name))
        if bool(user) != bool(password):
            there, missing = (user_name, password_name) if user else (password_name, user_name)
            raise ConfigurationError(
                f"{there} is set and {missing} is not",
                advice="Set both, or neither. In CI a secret is empty where the job may not see it "
                "(a pull request from a fork, a protected variable).",
            )
        if user:
            return Credentials(
                username=user, secret=password, origin=f"{user_name} and {password_name} in the environment"
            )
    return None


@dataclass(frozen=True, slots=True)
class DockerConfig:
    """What `docker login` wrote, or a CI job in its place."""

    path: Path
    content: Mapping[str, Any]

    @classmethod
    def load(cls) -> "DockerConfig":
        """Read `config.json` in $DOCKER_CONFIG or ~/.docker; a missing one is empty."""
        folder = os.environ.get("DOCKER_CONFIG")
        path = (Path(folder) if folder else Path.home() / ".docker") / "config.json"
        try:
            content = json.loads(path.read_bytes())
        except FileNotFoundError:
            content = {}
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"cannot read {path}: {error}", advice="Mend it, or log in again."
            ) from error
        if not isinstance(content, dict):
            raise ConfigurationError(f"{path} is no JSON object", advice="Mend it, or log in again.")
        return cls(path, content)

    def find(self, host: str) -> Credentials | None:
        """Return the credentials for a registry: from its helper, the store, or the file itself."""
        helpers = self._section("credHelpers")
        helper = next((str(name) for key, name in helpers.items() if _host(key) == _host(host)), None)
        helper = helper or str(self.content.get("credsStore") or "")
        return (self._ask(helper, host) if helper else None) or self._stored(host)

    def _stored(self, host: str) -> Credentials | None:
        entries = [entry for key, entry in self._section("auths").items() if _host(key) == _host(host)]
        for entry in entries:
            if isinstance(entry, dict) and (found := self._read_entry(entry, host)) is not None:
                return found
        return None

    def _read_entry(self, entry: Mapping[str, Any], host: str) -> Credentials | None:
        username, password = str(entry.get("username") or ""), str(entry.get("password") or "")
        if encoded := entry.get("auth"):
            username, password = self._decode(str(encoded), host)
        token = str(entry.get("identitytoken") or "")
        if not (token or (username and password)):
            return None
        return Credentials(
            username=username or IDENTITY_TOKEN_USER,
            secret=token or password,
            origin=str(self.path),
            identity_token=bool(token),
        )

    def _decode(self, encoded: str, host: str) -> tuple[str, str]:
        try:
            username, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"{self.path}: `auth` of {host} is not base64 of user:password",
                advice=f"Run `docker login {host}`.",
            ) from error
        return username, password.rstrip("\0")

    def _ask(self, helper: str, host: str) -> Credentials | None:
        program = f"docker-credential-{helper}"
        key = DOCKER_HUB if host in DOCKER_HUB_HOSTS else host
        try:
            # not through the desk: its log would show the secret before anybody knows it
            outcome = run(Command(arguments=(program, "get"), stdin=key, timeout_s=HELPER_TIMEOUT_S))
        except ToolMissing as error:
            raise ToolMissing(
                f"{self.path} says that {program} knows the login of {host}, and {error.message}",
                advice=f"Install {program}, or remove it from that file and run `docker login {host}`.",
            ) from error
        if not outcome.succeeded:
            said = (outcome.stdout.strip() or outcome.stderr.strip()).splitlines()
            if said and NOT_FOUND in said[0].lower():
                return None
            why = (
                "took too long" if outcome.timed_out else f"failed: {said[-1] if said else 'it says nothing'}"
            )
            raise RemoteError(
                f"{program} (from {self.path}) {why}", advice=f"Run `echo {key} | {program} get` to see more."
            )
        return self._read_helper(outcome.stdout, program)

    def _read_helper(self, output: str, program: str) -> Credentials | None:
        try:
            document = json.loads(output)
            username, secret = str(document["Username"]), str(document["Secret"])
        except (ValueError, KeyError, TypeError) as error:
            # the output itself may hold the secret, and so may the cause
            raise RemoteError(
                f"{program} (from {self.path}) answers unlike a credential helper: {type(error).__name__}",
                advice="Update it.",
            ) from None
        if not secret:
            return None
        return Credentials(
            username=username,
            secret=secret,
            origin=f"{program}, which {self.path} names",
            identity_token=username == IDENTITY_TOKEN_USER,
        )

    def _section(self, name: str) -> Mapping[str, Any]:
        section = self.content.get(name) or {}
        if not isinstance(section, dict):
            raise ConfigurationError(f"{self.path}: `{name}` is no JSON object", advice="Mend it.")
        return section


def _host(key: str) -> str:
    """Return the host of a key, which docker writes as a host or as a URL with a path."""
    host = (key.partition("://")[2] or key).partition("/")[0]
    return "docker.io" if host in DOCKER_HUB_HOSTS else host
