"""Commits that say who made them in a way that can be checked: signed with an SSH key or with OpenPGP.

The key has no passphrase: there is nobody to type it. Its content comes from `GITOPS_SIGNING_KEY` or from a
file; for OpenPGP it may also be in the user's own keyring.
"""

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.desk import Desk
from pipeline.errors import ConfigurationError
from pipeline.process import Command
from stages.gitops.ssh import read_key, written_key

SIGNING_KEY = "GITOPS_SIGNING_KEY"
_KEY_ID = re.compile(r"(0x)?[0-9A-Fa-f]{8,40}!?|<?[^/\s]+@[^/\s]+>?")
_IMPORTED = re.compile(r"\[GNUPG:\] IMPORT_OK \d+ ([0-9A-F]{40,64})")


@dataclass(frozen=True, slots=True)
class Signer:
    """What git needs to sign."""

    key: str
    settings: tuple[tuple[str, str], ...]
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """How commits are signed."""

    format: Literal["ssh", "openpgp"]
    key: str | None = None
    """File with the private key, or the id of one in the OpenPGP keyring; None: `GITOPS_SIGNING_KEY`."""

    @contextmanager
    def ready(
        self, folder: Path, desk: Desk, environment: Mapping[str, str] = os.environ
    ) -> Iterator[Signer]:
        """Have the key where git finds it for as long as the `with` block lasts.

        Raises:
            ConfigurationError: there is no usable key.
        """
        text, source = self._key(environment)
        if self.format == "ssh":
            place = folder / "signing"
            place.mkdir(mode=0o700)
            key = str(written_key(text, source, place, desk))
            yield Signer(key, (("gpg.format", "ssh"), ("user.signingKey", key)), {})
        elif not text:
            yield Signer(self.key or "", (("gpg.format", "openpgp"),), {})
        else:
            with _keyring(text, source, desk) as (home, key):
                yield Signer(key, (("gpg.format", "openpgp"),), {"GNUPGHOME": home})

    def _key(self, environment: Mapping[str, str]) -> tuple[str, str]:
        """Return the key's text, empty where the user's keyring has it, and where it is from."""
        given = environment.get(SIGNING_KEY, "")
        if given.strip():
            return given, SIGNING_KEY
        if self.key is None:
            raise ConfigurationError(
                "update.signing: there is no key",
                advice=f"Put the private key's content into {SIGNING_KEY}, or name its file as `key:`.",
            )
        if is_key_id(self.format, self.key):
            return "", self.key
        return read_key(Path(self.key), "update.signing.key"), f"update.signing.key: {self.key}"


def is_key_id(format: str, key: str) -> bool:  # noqa: A002 - git's word
    """Tell whether a key is named by its id in the user's OpenPGP keyring, and not by a file."""
    return format == "openpgp" and _KEY_ID.fullmatch(key) is not None


@contextmanager
def _keyring(text: str, source: str, desk: Desk) -> Iterator[tuple[str, str]]:
    """Import a key into a keyring of its own; a short path, as the agent's socket must have."""
    desk.redact.add(text)
    with tempfile.TemporaryDirectory(prefix="pgp-", ignore_cleanup_errors=True) as home:
        environment = {"GNUPGHOME": home, "LC_ALL": "C"}
        arguments = ("gpg", "--batch", "--no-tty", "--status-fd", "1", "--import")
        try:
            command = Command(arguments=arguments, stdin=f"{text.strip()}\n", environment=environment)
            outcome = desk.run(command, log="gpg")
            found = _IMPORTED.search(outcome.stdout)
            if found is None or "secret keys" not in outcome.stderr:
                raise ConfigurationError(
                    f"{source} is no private OpenPGP key",
                    advice="Export it with `gpg --export-secret-keys --armor KEY`.",
                )
            yield home, found[1]
        finally:
            stop = ("gpgconf", "--kill", "gpg-agent")
            desk.run(Command(arguments=stop, environment=environment), log="gpg")
