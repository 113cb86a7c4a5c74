"""cosign's own commands, for people who verify by hand: to be copied as they are."""

import shlex

from stages.attestations.signing import Trust


def verify_command(trust: Trust, reference: str, *, plain_http: bool = False) -> str:
    """Return the command that verifies the signature of an image; plain HTTP has to be allowed."""
    allowed = ("--allow-http-registry",) if plain_http else ()
    return shlex.join(("cosign", "verify", *_signer(trust), *allowed, reference))


def _signer(trust: Trust) -> tuple[str, ...]:
    log = () if trust.transparency_log else ("--insecure-ignore-tlog=true",)
    root = ("--trusted-root", trust.trusted_root.name) if trust.trusted_root is not None else ()
    if trust.key is not None:
        return ("--key", _public(trust.shown_key or trust.key), *log, *root)
    who = (
        ("--certificate-identity-regexp", trust.identity_regexp)
        if trust.identity_regexp
        else ("--certificate-identity", trust.identity)
    )
    return (*who, "--certificate-oidc-issuer", trust.issuer, *root)


def _public(key: str) -> str:
    """Return the public half of a key as cosign names it; what is in a variable has no name of its own."""
    if key.startswith("env://"):
        return "cosign.pub"
    return f"{key.removesuffix('.key')}.pub" if key.endswith(".key") and "://" not in key else key
