"""Secrets never leave the process: every text that does goes through here first."""

import base64
import json
from urllib.parse import quote

MASK = "***"
SHORTEST = 4  # masking every "a" of a log would hide nothing and ruin the log


class Redactor:
    """Replaces the secrets it was told of by `***`, also where they stand encoded for a URL or in base64."""

    def __init__(self) -> None:
        self._needles: list[str] = []

    def add(self, secret: str) -> None:
        """Remember a secret; each line of a secret of several lines (a key, say) is one of its own."""
        for line in {secret, *secret.splitlines()}:
            text = line.strip()
            if len(text) >= SHORTEST:
                self._remember(text)

    def _remember(self, text: str) -> None:
        encoded = base64.b64encode(text.encode()).decode()
        escaped = json.dumps(text)[1:-1]  # records are JSON
        needles = {*self._needles, text, escaped, quote(text, safe=""), encoded, encoded.rstrip("=")}
        self._needles = sorted(needles, key=len, reverse=True)  # the longest first: one may contain another

    def __call__(self, text: str) -> str:
        """Return the text with every known secret masked."""
        for needle in self._needles:
            text = text.replace(needle, MASK)
        return text
