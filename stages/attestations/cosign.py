"""cosign: signs statements and verifies bundles, both in files. It is never sent to a registry.

Bundles travel by our own client, so logins, certificates and insecure hosts are those of the push, and no
docker configuration is read or written. Source: cosign 3, `attest-blob` and `verify-blob-attestation`.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.desk import Desk
from pipeline.errors import (
    ConfigurationError,
    StageFailed,
    ToolMissing,
)
from pipeline.model import Tool
from pipeline.process import Command, Outcome, run
from pipeline.reference import Digest
from stages.attestations.bundle import Bundle
from stages.attestations.cosign_refusals import key_error, refusal, said_by, signing_error
from stages.attestations.signing import PASSWORD, Signing, Trust, key_hint

OLDEST = (3, 0)  # the first one whose bundles and signing configurations are these
VERSION_TIMEOUT_S = 20.0
KEY_TIMEOUT_S = 60.0
INSTALL = (
    "Install cosign 3 (https://docs.sigstore.dev/cosign/system_config/installation), or name it: "
    "`attest: {cosign: PATH}`."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosign:
    """The program cosign."""

    program: str | None = None
    """Default: the one on the PATH."""
    timeout_s: float = 180.0

    def tool(self) -> Tool:
        """Return which cosign runs.

        Raises:
            ToolMissing: there is none, or it is too old.
        """
        path = self._path()
        outcome = run(Command(arguments=(path, "version"), timeout_s=VERSION_TIMEOUT_S))
        if not outcome.succeeded:
            raise ToolMissing(f"{path} does not tell its version", advice=INSTALL)
        found = re.search(r"GitVersion:\s*(\S+)", outcome.stdout + outcome.stderr)
        version = found.group(1).removeprefix("v") if found else "unknown"
        numbers = re.match(r"(\d+)\.(\d+)", version)  # a distribution's own build may say `devel`
        if numbers and tuple(map(int, numbers.groups())) < OLDEST:
            raise ToolMissing(f"{path} is cosign {version}; 3.0 or newer is needed", advice=INSTALL)
        return Tool(name="cosign", version=version)

    def with_key(self, trust: Trust, desk: Desk) -> Trust:
        """Return whose signatures are believed, with the public key itself, where it is a key's.

        Raises:
            ConfigurationError: the key cannot be read.
            RemoteError: the KMS does not answer.
        """
        if trust.key is None:
            return trust
        return replace(trust, public_key=self.public_key(trust.key, desk, private=False))

    def public_key(self, key: str, desk: Desk, *, private: bool) -> str:
        """Return a public key in PEM; of a private one this shows that its password is right.

        Raises:
            ConfigurationError: the key or its password is wrong.
            RemoteError: the KMS does not answer.
        """
        if not private and "://" not in key:
            return _read(key)
        outcome = self._run(("public-key", "--key", key), desk, timeout_s=KEY_TIMEOUT_S)
        if outcome.succeeded:
            return outcome.stdout
        if not private and key.startswith("env://"):  # there a public key may stand as it is
            return os.environ.get(key.removeprefix("env://"), "")
        raise key_error(key, outcome)

    def sign(self, statement: bytes, signing: Signing, desk: Desk) -> bytes:
        """Return the bundle of a signed statement.

        Raises:
            ConfigurationError: the key or its password is wrong.
            RemoteError: a KMS, the transparency log or the certificate authority does not answer.
            StageFailed: cosign cannot sign for another reason.
        """
        with tempfile.TemporaryDirectory(dir=desk.folder, prefix="signing-") as folder:
            said, bundle = Path(folder) / "statement.json", Path(folder) / "bundle.json"
            said.write_bytes(statement)
            key = ("--key", signing.key) if signing.key is not None else ()
            outcome = self._run(
                (
                    *("attest-blob", "--yes", "--statement", str(said), "--bundle", str(bundle), *key),
                    *self._services(signing, desk),
                ),
                desk,
            )
            if not outcome.succeeded or not bundle.is_file():
                raise signing_error(signing, outcome)
            return bundle.read_bytes()

    def refusal(self, bundle: Bundle, subject: Digest, trust: Trust, desk: Desk) -> str:
        """Return why a bundle does not show that this signer says this of the digest; empty where it does.

        Raises:
            RemoteError: a service that is needed for the answer does not answer.
            ConfigurationError: the key cannot be used.
        """
        with tempfile.TemporaryDirectory(dir=desk.folder, prefix="verifying-") as folder:
            path, key = Path(folder) / "bundle.json", Path(folder) / "key.pub"
            path.write_bytes(bundle.content)
            key.write_text(trust.public_key, encoding="utf-8")
            outcome = self._run(
                (
                    *("verify-blob-attestation", "--bundle", str(path)),
                    *("--type", bundle.statement.predicate_type, *trust.arguments(key)),
                    *("--digest", subject.encoded, "--digestAlg", "sha256"),
                ),
                desk,
            )
        if outcome.succeeded:
            return ""
        if trust.key is not None and bundle.certified:
            return "it is signed by a certificate and with no key"
        if trust.key is not None and bundle.key_hint and bundle.key_hint != key_hint(trust.public_key):
            return "it is signed with another key"
        return refusal(outcome, trust)

    def _services(self, signing: Signing, desk: Desk) -> tuple[str, ...]:
        """Return what keeps cosign to these services; the public ones it finds by itself."""
        if signing.services.are_public:
            return ("--trusted-root", str(signing.trusted_root)) if signing.trusted_root is not None else ()
        config, own_root = desk.folder / "signing-config.json", desk.folder / "trusted-root.json"
        self._make("signing-config", config, signing.services.arguments(), desk)
        if signing.trusted_root is None:
            self._make("trusted-root", own_root, (), desk)
        return ("--signing-config", str(config), "--trusted-root", str(signing.trusted_root or own_root))

    def _make(self, what: str, path: Path, arguments: tuple[str, ...], desk: Desk) -> None:
        """Let cosign write one of its files, once for all signatures of a stage."""
        if path.exists():
            return
        outcome = self._run((what, "create", "--out", str(path), *arguments), desk)
        if not outcome.succeeded:
            raise StageFailed(f"cosign {what} failed: {said_by(outcome)}", advice=INSTALL)

    def _run(self, arguments: tuple[str, ...], desk: Desk, *, timeout_s: float | None = None) -> Outcome:
        command = Command(
            arguments=(self._path(), *arguments),
            environment=_environment(os.environ),
            timeout_s=timeout_s or self.timeout_s,
        )
        return desk.run(command, log="cosign")

    def _path(self) -> str:
        path = shutil.which(self.program or "cosign")
        if path is None:
            named = f"there is no {self.program}" if self.program else "cosign is not on the PATH"
            raise ToolMissing(named, advice=INSTALL)
        return path


def _environment(ours: Mapping[str, str]) -> Mapping[str, str | None]:
    """Return what cosign gets beside ours: an empty password keeps it from asking for one."""
    return {PASSWORD: ours.get(PASSWORD, ""), "NO_COLOR": "1"}


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"cannot read the public key {path}: {getattr(error, 'strerror', None) or error}",
            advice="Name the file that `cosign generate-key-pair` wrote as cosign.pub.",
        ) from error
