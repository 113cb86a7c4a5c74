"""Secrets never leave the process: every text that does goes through here first."""

import base64
import json
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

MASK = "***"
SHORTEST = 4  # masking every "a" of a log would hide nothing and ruin the log
SECRET_NAME = re.compile(
    r"(PASSWORD|PASSWD|PASSPHRASE|TOKEN|SECRET|CREDENTIALS?|(^|_)KEY)$|^REGISTRY_PASSWORD_", re.IGNORECASE
)
"""Names of variables and settings whose values are taken for secrets."""

FREE_TEXT = frozenset(
    {"advice", "command", "diff", "error_samples", "found", "message", "note", "notes", "reason", "reasons"}
    | {"summary", "tail", "title", "value"}
)
"""Keys of a record whose values are words for people. The others are data that later runs work with: a mask
in a digest, a path or a name would turn it into another one."""


def _tell_nobody(_: str) -> None:
    return None


class Redactor:
    """Replaces the secrets it was told of by `***`, also where they stand encoded for a URL or in base64.

    `learnt` is called once with each line of each of them, before anything can be said that holds it.
    """

    def __init__(self, learnt: Callable[[str], None] = _tell_nobody) -> None:
        self._learnt = learnt
        self._known: set[str] = set()
        self._needles: list[str] = []
        self._lock = threading.Lock()  # several uploads may get a new token at the same time

    def add(self, secret: str) -> None:
        """Remember a secret; each line of a secret of several lines (a key, say) is one of its own."""
        lines = dict.fromkeys(line.strip() for line in (*secret.splitlines(), secret))
        with self._lock:
            for text in lines:
                if len(text) >= SHORTEST and text not in self._known:
                    self._known.add(text)
                    self._remember(text)
                    if len(text.splitlines()) == 1:
                        self._learnt(text)

    def add_all_of(self, environment: Mapping[str, str]) -> None:
        """Remember every variable whose name says that it holds a secret."""
        for name, value in environment.items():
            if SECRET_NAME.search(name):
                self.add(value)

    def _remember(self, text: str) -> None:
        encoded = base64.b64encode(text.encode()).decode()
        escaped = {json.dumps(text, ensure_ascii=only)[1:-1] for only in (True, False)}
        needles = {*self._needles, *escaped, text, quote(text, safe=""), encoded, encoded.rstrip("=")}
        self._needles = sorted(needles, key=len, reverse=True)  # the longest first: one may contain another

    def __call__(self, text: str) -> str:
        """Return the text with every known secret masked."""
        for needle in self._needles:
            text = text.replace(needle, MASK)
        return text

    def words(self, value: Any, *, free: bool = False) -> Any:
        """Return a copy of plain data with the secrets masked wherever it holds words for people."""
        if isinstance(value, dict):
            return {key: self.words(below, free=free or key in FREE_TEXT) for key, below in value.items()}
        if isinstance(value, list):
            return [self.words(below, free=free) for below in value]
        return self(value) if free and isinstance(value, str) else value
