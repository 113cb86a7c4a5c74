"""Build secrets: BuildKit reads them from the environment or a file, and nobody else ever sees them."""

import csv
import io
import os
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import ConfigurationError
from pipeline.model import Check, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSecret:
    """A secret for `RUN --mount=type=secret,id=…`, from an environment variable or from a file."""

    id: str
    environment: str | None = None
    file: Path | None = None

    def __post_init__(self) -> None:
        if (self.environment is None) == (self.file is None):
            raise ConfigurationError(
                f"the build secret {self.id!r} needs exactly one of `environment` and `file`",
                advice="Name the variable or the file that holds it.",
            )

    def __str__(self) -> str:
        """What `--secret` of buildx expects: comma-separated values, quoted where needed."""
        source = f"env={self.environment}" if self.file is None else f"src={self.file}"
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow((f"id={self.id}", source))
        return line.getvalue()

    def value(self) -> str:
        """Return the secret, to be redacted.

        Raises:
            ConfigurationError: the variable is not set, or the file cannot be read.
        """
        if self.file is None:
            value = os.environ.get(self.environment or "")
            if not value:
                raise self._missing(f"the environment variable {self.environment} is not set")
            return value
        try:
            return self.file.read_text(errors="replace")
        except OSError as error:
            raise self._missing(f"{self.file} cannot be read: {error.strerror}") from error

    def check(self) -> Check:
        """Look whether the secret is there."""
        subject = f"build secret {self.id}"
        try:
            self.value()
        except ConfigurationError as error:
            return Check(
                subject=subject,
                found=error.message,
                problem=Problem.CONFIGURATION,
                advice=error.advice,
            )
        return Check(subject=subject, found=f"from {self.file or self.environment}")

    def _missing(self, what: str) -> ConfigurationError:
        return ConfigurationError(
            f"the build secret {self.id!r} is missing: {what}",
            advice="Set it where the pipeline runs, or take it out of `build.secrets`.",
        )
