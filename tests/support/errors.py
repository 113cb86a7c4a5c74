"""The one error that setting up the real parts raises."""

from __future__ import annotations

from pathlib import Path


class SetupError(Exception):
    """A part could not be set up; `advice` says what to do about it and `log` where the details are."""

    def __init__(self, message: str, *, advice: str, log: Path | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice
        self.log = log

    def __str__(self) -> str:
        lines = [self.message, f"  what to do: {self.advice}"]
        if self.log is not None:
            lines.append(f"  details:    {self.log}")
        return "\n".join(lines)
