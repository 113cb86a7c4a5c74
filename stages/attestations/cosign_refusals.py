"""What cosign says when it does not do what it was asked for, as errors with advice."""

import os
import re
from pathlib import Path

from pipeline.errors import ConfigurationError, PipelineError, RemoteError, StageFailed
from pipeline.process import Outcome
from stages.attestations.signing import PASSWORD, Signing, Trust

NO_IDENTITY = (
    "GitHub: `permissions: {id-token: write}`. GitLab: `id_tokens: {SIGSTORE_ID_TOKEN: {aud: sigstore}}`. "
    "Elsewhere sign with a key: `attest: {key: cosign.key}`."
)
_REMOTE = re.compile(
    r"dial tcp|no such host|connection refused|i/o timeout|tuf|giving up after|operation error|TLS handshake|"
    r"context deadline|status code 5|unexpected EOF|IMDS|x509",
    re.IGNORECASE,
)
_REASONS = (
    ("does not match any digest", "it is about another digest"),
    ("could not verify envelope", "its signature does not fit what it says: it was changed"),
    ("failed to verify certificate identity", "its certificate is of another identity"),
    ("no matching CertificateIdentity", "its certificate is of another identity"),
    ("not enough verified log entries", "it has no entry in the transparency log"),
    ("not enough verified timestamps", "it has no entry in the transparency log"),
    ("validation error:", "it is no bundle that can be read"),
)


def said_by(outcome: Outcome) -> str:
    """Return what cosign says is wrong, in one line."""
    if outcome.timed_out:
        return f"no answer within {outcome.duration_s:.0f} s"
    errors = [line for line in outcome.stderr.splitlines() if line.startswith("Error:")]
    lines = errors or [line for line in outcome.stderr.splitlines() if line.strip()] or ["it says nothing"]
    return lines[-1].removeprefix("Error:").strip()


def key_error(key: str, outcome: Outcome) -> PipelineError:
    """Return the error of a key that cannot be read or used."""
    said = said_by(outcome)
    if "decrypt" in said or "inappropriate ioctl" in said:
        there = "is not that of" if os.environ.get(PASSWORD) else "is not set, and there is one on"
        return ConfigurationError(
            f"the password in {PASSWORD} {there} the key {key}",
            advice=f"Set {PASSWORD} to the key's password.",
        )
    if outcome.timed_out or _REMOTE.search(said):
        return RemoteError(
            f"the key {key} cannot be had: {said}",
            advice="Look at the login and the rights of this job at the KMS.",
        )
    return ConfigurationError(
        f"the key {key} cannot be used: {said}",
        advice="Name the private key that `cosign generate-key-pair` or `cosign import-key-pair` wrote.",
    )


def signing_error(signing: Signing, outcome: Outcome) -> PipelineError:
    """Return the error of a signature that was not made."""
    said = said_by(outcome)
    if signing.key is not None and ("decrypt" in said or "reading key" in said):
        return key_error(signing.shown_key or signing.key, outcome)
    if (error := _root_error(said, signing.trusted_root)) is not None:
        return error
    if outcome.timed_out or _REMOTE.search(said):
        own = "`attest: {transparency_log: false}` signs without a log. " if signing.key is not None else ""
        return RemoteError(
            f"nothing was signed, a service does not answer: {said}",
            advice=f"{own}Own services: `rekor`, `fulcio` and `timestamp_authority` of `attest:`.",
        )
    if signing.key is None:
        return ConfigurationError(
            f"nothing was signed, for this job has no identity: {said}",
            advice=NO_IDENTITY,
        )
    return StageFailed(
        f"cosign could not sign: {said}", advice="Its log has more.", tail=outcome.stderr[-2000:]
    )


def refusal(outcome: Outcome, trust: Trust) -> str:
    """Return why a bundle is not believed, as the end of a sentence about it.

    Raises:
        RemoteError, ConfigurationError: nobody could tell, for a service or the key is not there.
    """
    said = said_by(outcome)
    for part, words in _REASONS:
        if part in said:
            return words
    if (error := _root_error(said, trust.trusted_root)) is not None:
        raise error
    if outcome.timed_out or _REMOTE.search(said):
        raise RemoteError(
            f"nothing could be verified, a service does not answer: {said}",
            advice="Own services are believed by `trusted_root`; without a log: `transparency_log: false`.",
        )
    if trust.key is not None and ("loading public key" in said or "reading key" in said or "pem" in said):
        raise ConfigurationError(
            f"the key {trust.shown_key or trust.key} cannot be used: {said}", advice="Name a public key."
        )
    return said


def _root_error(said: str, path: Path | None) -> ConfigurationError | None:
    """Return the error of a trusted root that cannot be read; None where that is not the matter."""
    if path is None or "trusted root" not in said or "TUF" in said:
        return None
    return ConfigurationError(
        f"{path} is no trusted root: {said}", advice="Make one: `cosign trusted-root create --help`."
    )
