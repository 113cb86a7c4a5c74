"""Trivy, over the packages of the application layers.

Only what the configuration says decides what Trivy looks at: its configuration and ignore files and its
environment variables are left out, so that nothing in the project's folder hides a finding.
"""

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

from pipeline.desk import Desk
from pipeline.errors import PipelineError, StageFailed
from pipeline.model import Check, Problem, Tool
from pipeline.process import Command, Outcome
from stages.oci.application_view import View
from stages.oci.authentication import environment_name
from stages.oci.endpoint import is_loopback
from stages.scanners.interface import Findings
from stages.scanners.trivy_database import PUBLISHED, TrivyDatabase, alone, describe_age
from stages.scanners.trivy_program import Program, find
from stages.scanners.trivy_report import Contents

_OWN_LOGIN = {"TRIVY_USERNAME", "TRIVY_PASSWORD", "TRIVY_REGISTRY_TOKEN"}
_QUIET = ("--no-progress", "--skip-version-check", "--disable-telemetry", "--config", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trivy:
    """The scanner Trivy and the database that it looks into."""

    program: str | None = None
    """The program; default: the one on the PATH, or of the extra `trivy`."""
    databases: tuple[str, ...] = PUBLISHED
    """OCI repositories of the database with tag or digest; the next one is a mirror for the one before."""
    maximum_age: timedelta = timedelta(days=7)
    update: bool = True
    """Fetch the database when it is due."""
    insecure_hosts: tuple[str, ...] = ()
    """Hosts that may be spoken to without TLS; loopback always may."""
    registries: tuple[str, ...] = ()
    """Hosts that are pushed to: the ones that REGISTRY_USERNAME and REGISTRY_PASSWORD are meant for."""
    timeout_s: float = 600
    cache: Path | None = None
    """Where database and layers are kept; default: the desk's cache. Without it no result is reused."""

    name: ClassVar[str] = "trivy"

    def check(self, desk: Desk) -> tuple[Check, ...]:
        """Tell which Trivy would run, and how old its database is."""
        return (self._check_program(), self._check_database(self._cache(desk)))

    def identity(self) -> str | None:
        """Return version, database and options; None where the database is missing, due or too old."""
        database = self._database.known(self.cache) if self.cache is not None else None
        if database is None:
            return None
        parts = (
            find(self.program).version,
            database.repository,
            database.schema_version,
            database.updated_at.isoformat(),
        )
        return json.dumps(parts)

    def scan(self, views: tuple[View, ...], desk: Desk) -> Findings:
        """Return what is known about the packages in these views.

        Raises:
            ToolMissing: Trivy is missing, too old, or not what it should be.
            RemoteError: there is no database, and it cannot be fetched.
            StageFailed: the database is too old or damaged, or the scan did not come to its end.
        """
        program, cache, contents = find(self.program), self._cache(desk), Contents()
        with alone(cache, desk):
            database = self._database.ready(
                cache, program.path, self._connection(), self._environment(desk), desk
            )
            for view in views:
                desk.say(f"scanning the packages for {view.platform}")
                contents.add(self._scan(view, program, cache, desk))
        return Findings(
            scanner=Tool(name=self.name, version=program.version),
            database=database,
            packages=contents.packages,
            vulnerabilities=contents.vulnerabilities,
            notes=contents.notes,
        )

    @property
    def _database(self) -> TrivyDatabase:
        return TrivyDatabase(
            repositories=self.databases,
            maximum_age=self.maximum_age,
            update=self.update,
            timeout_s=self.timeout_s,
        )

    def _cache(self, desk: Desk) -> Path:
        return self.cache or desk.cache / self.name

    def _scan(self, view: View, program: Program, cache: Path, desk: Desk) -> Path:
        """Run Trivy over one view and return the path of its report."""
        report = desk.folder / f"trivy-{view.layout.name}.json"
        arguments = (
            *("image", "--input", str(view.layout), "--scanners", "vuln", "--list-all-pkgs"),
            *("--format", "json", "--output", str(report), "--cache-dir", str(cache), "--ignorefile", ""),
            *("--skip-db-update", "--skip-java-db-update", "--offline-scan"),  # it asks nobody
            *("--timeout", f"{self.timeout_s:g}s", *_QUIET),
        )
        outcome = desk.run(
            Command(
                arguments=(str(program.path), *arguments),
                cwd=desk.folder,
                environment=_without_options(),
                timeout_s=self.timeout_s,
            ),
            log=f"trivy-{view.layout.name}",
        )
        if not outcome.succeeded:
            raise self._failure(outcome, cache)
        return report

    def _failure(self, outcome: Outcome, cache: Path) -> StageFailed:
        tail = outcome.stderr[-4000:]
        if outcome.timed_out or "deadline exceeded" in tail:
            return StageFailed(
                f"Trivy was stopped: it took longer than {self.timeout_s:g} s",
                advice="Raise `scan.timeout_s`.",
                tail=tail,
            )
        if "DB error" in tail or "failed to open db" in tail:
            return StageFailed(
                "Trivy cannot read its vulnerability database: it is damaged",
                advice=f"Remove {cache / 'db'} and run again.",
                tail=tail,
            )
        return StageFailed(
            f"Trivy ended with exit code {outcome.exit_code}",
            advice="Its last lines say why; nothing is known about the image.",
            tail=tail,
        )

    def _connection(self) -> tuple[str, ...]:
        plain = all(is_loopback(host) or host in self.insecure_hosts for host in self._hosts)
        return (*_QUIET, "--insecure") if plain else _QUIET

    @property
    def _hosts(self) -> set[str]:
        return {database.partition("/")[0] for database in self.databases}

    def _environment(self, desk: Desk) -> dict[str, str | None]:
        """Return the environment of the download, with a login where one is meant for exactly this host.

        Without one Trivy itself looks into the docker configuration, by host.
        """
        environment = _without_options()
        username, password = self._login()
        if username and password:
            desk.redact.add(password)
            environment |= {"TRIVY_USERNAME": username, "TRIVY_PASSWORD": password}
        return environment

    def _login(self) -> tuple[str | None, str | None]:
        """Return user and password from the environment; none goes to a host it is not meant for."""
        if len(self._hosts) != 1:
            return None, None  # Trivy would show it to every mirror
        (host,) = self._hosts
        suffixes = [f"_{environment_name(host)}"]
        if set(self.registries) == {host}:
            suffixes.append("")  # the short names are for the one registry that is configured
        for suffix in suffixes:
            username = os.environ.get(f"REGISTRY_USERNAME{suffix}")
            password = os.environ.get(f"REGISTRY_PASSWORD{suffix}")
            if username and password:
                return username, password
        return None, None

    def _check_program(self) -> Check:
        try:
            program = find(self.program)
        except PipelineError as error:
            return Check(
                subject="scanner Trivy", found=error.message, problem=Problem.TOOL, advice=error.advice
            )
        return Check(subject="scanner Trivy", found=f"{program.version} ({program.path})")

    def _check_database(self, cache: Path) -> Check:
        subject, database = "vulnerability database", self._database.cached(cache)
        if database is None:
            if self.update:
                return Check(subject=subject, found=f"to be fetched from {self._database.source}")
            return Check(
                subject=subject,
                found=f"there is none in {cache}, and updates are switched off",
                problem=Problem.TOOL,
                advice="Set `scan.database.update: true`, or fill the cache before the run.",
            )
        age = datetime.now(UTC) - database.updated_at
        found = f"updated {describe_age(age)}"
        if age <= self.maximum_age:
            return Check(subject=subject, found=found)
        if self.update:
            return Check(subject=subject, found=f"{found}; to be fetched from {self._database.source}")
        return Check(
            subject=subject,
            found=f"{found}; at most {self.maximum_age / timedelta(days=1):g} days are allowed",
            problem=Problem.TOOL,
            advice="Set `scan.database.update: true`, or bring a newer one into the cache.",
        )


def _without_options() -> dict[str, str | None]:
    """Return the changes that keep TRIVY_… variables from changing what is looked at."""
    return {name: None for name in os.environ if name.startswith("TRIVY_") and name not in _OWN_LOGIN}
