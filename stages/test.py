"""The first stage: the user's test command, under the user's own interpreter."""

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import ConfigurationError, StageFailed, ToolMissing
from pipeline.model import Artifact, CaseFailure, Check, Problem, Source, SuiteReport
from pipeline.process import Command, Outcome
from pipeline.reference import Digest
from stages.suites.coverage import line_coverage
from stages.suites.environment import UserEnvironment
from stages.suites.interpreter import describe_interpreter
from stages.suites.junit import JUnitReport, read

TAIL_LINES = 40
NO_TESTS = 5  # https://docs.pytest.org/en/stable/reference/exit-codes.html
_Snapshot = dict[Path, tuple[int, int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Run the user's tests and read what they reported."""

    command: tuple[str, ...]
    timeout_s: float = 1800
    junit: str | None = None
    """JUnit XML that the command writes: a path below the folder of pipeline.yaml, `*` and `**` allowed."""
    coverage: str | None = None
    """Cobertura file that the command writes, below the folder of pipeline.yaml."""
    environment: Mapping[str, str] = field(default_factory=dict)
    root: Path = Path()
    """Where `check` looks for the program: the folder of pipeline.yaml."""
    inputs: tuple[Path, ...] = ()
    """Files and folders outside version control that the tests read, such as the model."""

    name: ClassVar[str] = "test"
    needs: ClassVar[tuple[type[Artifact], ...]] = (Source,)
    gives: ClassVar[type[SuiteReport]] = SuiteReport

    def check(self, desk: Desk) -> tuple[Check, ...]:
        """Tell whether the command's program is there, and which one it is."""
        subject = f"test command {shlex.join(self.command)}"
        try:
            found = self._program(UserEnvironment.of(self.root, self.environment))
        except ToolMissing as error:
            return (Check(subject=subject, found=error.message, problem=Problem.TOOL, advice=error.advice),)
        return (Check(subject=subject, found=str(found)),)

    def identity(self, have: Artifacts) -> str | None:
        """Return the digest of what the tests read: commit, changes, inputs, interpreter, packages.

        None where nobody can tell which Python runs them, or an input cannot be looked at: then they run.
        """
        source = have[Source]
        environment = UserEnvironment.of(source.root, self.environment)
        interpreter = describe_interpreter(self.command, environment)
        if interpreter is None:
            return None
        try:
            inputs = [_fingerprint(path) for path in self.inputs]
        except OSError:
            return None
        parts = (
            source.commit,
            source.changes_digest,
            self.command,
            self.junit,
            self.coverage,
            sorted(self.environment.items()),
            interpreter,
            inputs,
        )
        return Digest.of(json.dumps(parts).encode())

    def run(self, have: Artifacts, desk: Desk) -> SuiteReport:
        """Run the tests.

        Raises:
            StageFailed: a test failed, there was none, the time was up, or the report cannot be read.
            ToolMissing: there is no such program.
        """
        root = have[Source].root
        environment = UserEnvironment.of(root, self.environment)
        self._program(environment)
        before, covered = self._snapshot(root), self._covered(root)
        own_junit = desk.folder / "junit.xml" if self._speaks_pytest(environment.changes) else None
        changes = _with_junit(environment.changes, own_junit)
        outcome = desk.run(
            Command(arguments=self.command, cwd=root, environment=changes, timeout_s=self.timeout_s),
            log=self.name,
            live=True,
        )
        made = self._judge(outcome, self._reports(root, before, own_junit), desk)
        if self.coverage is None:
            return made
        share = line_coverage(root / self.coverage, written=self._covered(root) != covered)
        return made.model_copy(update={"line_coverage": share})

    def _program(self, environment: UserEnvironment) -> Path:
        if (found := environment.find(self.command[0])) is not None:
            return found
        raise ToolMissing(
            f"the test command's program {self.command[0]!r} is not on the PATH of your tests",
            advice=f"Tests run under your interpreter: {environment.root}/.venv if it is there, then PATH."
            f" Install it there (`python3 -m venv .venv && .venv/bin/pip install …`) or set `test.command`.",
        )

    def _speaks_pytest(self, environment: Mapping[str, str | None]) -> bool:
        """Tell whether we may ask for JUnit XML: pytest is called by name, and nobody else asks."""
        options = " ".join(
            (*self.command, environment.get("PYTEST_ADDOPTS") or os.environ.get("PYTEST_ADDOPTS", ""))
        )
        named = {Path(argument).name for argument in self.command} & {"pytest", "py.test"}
        return bool(named) and self.junit is None and "--junit" not in options

    def _snapshot(self, root: Path) -> _Snapshot:
        """Return the JUnit files that are there, so that an old one is never read as this run's."""
        if self.junit is None:
            return {}
        try:
            found = [path for path in root.glob(self.junit) if path.is_file()]
        except (ValueError, NotImplementedError) as error:
            raise ConfigurationError(
                f"test.junit: {self.junit!r} - {error}",
                advice="Write a path below the folder of pipeline.yaml, such as reports/*.xml.",
            ) from error
        return {path: _stamp(path) for path in found}

    def _covered(self, root: Path) -> tuple[int, int, int] | None:
        """Return the stamp of the coverage file that is there, so that an old one is never this run's."""
        path = root / (self.coverage or "")
        return _stamp(path) if self.coverage is not None and path.is_file() else None

    def _reports(self, root: Path, before: _Snapshot, own: Path | None) -> list[Path]:
        if own is not None:
            return [own] if own.is_file() else []
        return sorted(path for path, stamp in self._snapshot(root).items() if before.get(path) != stamp)

    def _judge(self, outcome: Outcome, files: list[Path], desk: Desk) -> SuiteReport:
        """Return the report of a good run, and raise what is wrong with any other."""
        tail = _tail(desk.folder / f"{self.name}.log")
        try:
            junit = read(files) if files else None
        except StageFailed as error:
            if outcome.succeeded:
                raise
            desk.say(error.message)  # a half-written file is no surprise when the tests were stopped
            junit = None
        made = self._report(outcome, junit, desk)
        if not outcome.succeeded:
            message, advice = self._failure(outcome, made)
            raise StageFailed(message, advice=advice, tail=tail, made=made)
        if self.junit is not None and junit is None:
            raise StageFailed(
                f"the tests passed, but wrote no JUnit file at test.junit: {self.junit!r}",
                advice="Correct the path, or leave `test.junit` out: pytest is asked for one by itself.",
                tail=tail,
                made=made,
            )
        return made

    def _report(self, outcome: Outcome, junit: JUnitReport | None, desk: Desk) -> SuiteReport:
        report = SuiteReport(
            command=self.command,
            exit_code=outcome.exit_code,
            duration_s=round(outcome.duration_s, 3),
            finished_at=datetime.now(UTC),
        )
        if junit is None:
            return report
        failures = tuple(_redacted(failure, desk) for failure in junit.failures)
        return report.model_copy(
            update={"counts": junit.counts, "failures": failures, "slowest": junit.slowest}
        )

    def _failure(self, outcome: Outcome, made: SuiteReport) -> tuple[str, str]:
        """Return what went wrong and what to do about it."""
        if outcome.timed_out:
            return (
                f"the tests were stopped: they ran longer than {self.timeout_s:g} s",
                "Raise `test.timeout_s`, or find the test that hangs: the output ends with it.",
            )
        again = f"Run `{shlex.join(self.command)}` in the project's folder to see them again."
        if counts := made.counts:
            bad = counts.failed + counts.errors
            if bad:
                return f"{bad} of {counts.total} tests failed", again
        if outcome.exit_code == NO_TESTS and "pytest" in shlex.join(self.command):
            return (
                "pytest found no tests",
                "Add tests, correct `test.command`, or leave the stage out with a reason: `skip: {test: …}`.",
            )
        return f"the test command ended with exit code {outcome.exit_code}", again


def _with_junit(environment: Mapping[str, str | None], file: Path | None) -> dict[str, str | None]:
    """Return the environment in which pytest writes a JUnit file on top of what the user asks of it."""
    if file is None:
        return dict(environment)
    theirs = environment.get("PYTEST_ADDOPTS") or os.environ.get("PYTEST_ADDOPTS", "")
    return {**environment, "PYTEST_ADDOPTS": f"{theirs} {shlex.quote(f'--junitxml={file}')}".strip()}


def _fingerprint(path: Path) -> tuple[object, ...]:
    """Return what changes when a file or anything in a folder does, without reading gigabytes."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return (str(path), *((str(file), *_stamp(file)) for file in files if file.is_file()))


def _stamp(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _redacted(failure: CaseFailure, desk: Desk) -> CaseFailure:
    return failure.model_copy(update={"message": desk.redact(failure.message)})


def _tail(log: Path) -> str:
    """Return the last lines of the output as it came: standard output and error in their true order."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    output = lines[1:-1]  # without the command line and the exit code that the desk wrote
    return "\n".join(output[-TAIL_LINES:])
