"""Trivy, over the packages of the application layers.

Only what the configuration says decides what Trivy looks at: its configuration and ignore files and its
environment variables are left out, so that nothing in the project's folder hides a finding.
"""

import json
import os
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

from pipeline.desk import Desk
from pipeline.errors import PipelineError, StageFailed
from pipeline.model import Check, DiskNeed, Problem, Tool
from pipeline.process import Command, Outcome
from stages.oci.application_view import View
from stages.oci.authentication import environment_name
from stages.oci.endpoint import is_loopback
from stages.registries.credentials import DockerConfig
from stages.scanners.interface import Findings
from stages.scanners.trivy_database import PUBLISHED, Connection, TrivyDatabase, alone, describe_age
from stages.scanners.trivy_program import Program, find
from stages.scanners.trivy_refusals import refusal
from stages.scanners.trivy_report import Contents

PUBLISHED_JAVA = ("mirror.gcr.io/aquasec/trivy-java-db:1", "ghcr.io/aquasecurity/trivy-java-db:1")
_OWN_LOGIN = {"TRIVY_USERNAME", "TRIVY_PASSWORD", "TRIVY_REGISTRY_TOKEN"}
WORK_BYTES = 50_000_000
_QUIET = ("--no-progress", "--skip-version-check", "--disable-telemetry", "--config", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trivy:
    """The scanner Trivy and the database that it looks into."""

    program: str | None = None
    """The program; default: the one on the PATH, or of the extra `trivy`."""
    databases: tuple[str, ...] = PUBLISHED
    """OCI repositories of the database with tag or digest; the next one is a mirror for the one before."""
    java_databases: tuple[str, ...] = PUBLISHED_JAVA
    """The same for the index that tells what a JAR is; fetched when there is one in the image."""
    maximum_age: timedelta = timedelta(days=7)
    update: bool = True
    """Fetch the databases when they are due."""
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

    def disk_needs(self, desk: Desk) -> tuple[DiskNeed, ...]:
        """Return what a new database takes, and the files of the image that Trivy looks at one by one.

        Trivy reads layers as a stream: for 127 MB of them it wrote 4 MB below TMPDIR.
        """
        work = DiskNeed(
            purpose="scanner",
            path=Path(tempfile.gettempdir()),
            size_bytes=WORK_BYTES,
            reason="an allowance for files that Trivy unpacks to look into them",
            advice="TMPDIR may name a place on another disk.",
        )
        cache = self._cache(desk)
        return (work, *self._database.disk_needs(cache)) if self.update else (work,)

    def identity(self) -> str | None:
        """Return version, database and options; None where the database is missing, due or too old."""
        if self.cache is None or (database := self._database.known(self.cache)) is None:
            return None
        parts = (
            find(self.program).version,
            database.repository,
            database.schema_version,
            database.updated_at.isoformat(),
            _java_index(self.cache),
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
            database = self._database.ready(cache, self._connection(program, self.databases, desk), desk)
            for view in views:
                desk.say(f"scanning the packages for {view.platform}")
                contents.add(*self._scan(view, program, cache, desk))
        return Findings(
            scanner=Tool(name=self.name, version=program.version),
            database=database,
            packages=contents.packages,
            vulnerabilities=contents.vulnerabilities,
            unjudged=contents.unjudged,
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

    def _scan(self, view: View, program: Program, cache: Path, desk: Desk) -> tuple[Path, str]:
        """Run Trivy over one view and return the path of its report and what it said."""
        connection = self._connection(program, self.java_databases, desk)
        java = ("--java-db-repository", ",".join(self.java_databases), *connection.options)
        report = desk.folder / f"trivy-{view.layout.name}.json"
        arguments = (
            *("image", "--input", str(view.layout), "--scanners", "vuln", "--list-all-pkgs"),
            *("--format", "json", "--output", str(report), "--cache-dir", str(cache), "--ignorefile", ""),
            *("--skip-db-update", "--offline-scan"),  # it asks nobody, unless it finds a JAR
            *(java if self.update else ("--skip-java-db-update", *_QUIET)),
            *("--timeout", f"{self.timeout_s:g}s"),
        )
        outcome = desk.run(
            Command(
                arguments=(str(program.path), *arguments),
                cwd=desk.folder,
                environment=connection.environment if self.update else _without_options(),
                timeout_s=self.timeout_s,
            ),
            log=f"trivy-{view.layout.name}",
        )
        if not outcome.succeeded:
            raise self._failure(outcome, cache)
        return report, outcome.stderr

    def _failure(self, outcome: Outcome, cache: Path) -> PipelineError:
        tail = outcome.stderr[-4000:]
        if "Unable to initialize the Java DB" in tail:
            return self._java_failure(tail, cache)
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

    def _java_failure(self, tail: str, cache: Path) -> PipelineError:
        if "cannot be specified on the first run" in tail:
            return StageFailed(
                f"the image has JAR files, and {cache / 'java-db'} holds no index that tells what they are",
                advice="Set `scan.database.update: true`; or fill that folder before the run"
                " (`trivy image --download-java-db-only`).",
                tail=tail,
            )
        return refusal(
            ",".join(self.java_databases),
            tail,
            timed_out=False,
            logged_in=self.is_logged_in(_hosts(self.java_databases)),
            what="the image has JAR files, and the index that tells what they are",
            setting="scan.database.java_repositories",
        )

    def _connection(self, program: Program, repositories: tuple[str, ...], desk: Desk) -> Connection:
        hosts = _hosts(repositories)
        plain = all(is_loopback(host) or host in self.insecure_hosts for host in hosts)
        return Connection(
            program=program.path,
            options=(*_QUIET, "--insecure") if plain else _QUIET,
            environment=self._environment(hosts, desk),
            logged_in=lambda: self.is_logged_in(hosts),
        )

    def _environment(self, hosts: set[str], desk: Desk) -> dict[str, str | None]:
        """Return the environment of a download, with a login where one is meant for exactly this host.

        Without one Trivy itself looks into the docker configuration, by host.
        """
        environment = _without_options(keep_login=hosts == _hosts(self.databases))
        username, password = self._login(hosts)
        if username and password:
            desk.redact.add(password)
            environment |= {"TRIVY_USERNAME": username, "TRIVY_PASSWORD": password}
        return environment

    def is_logged_in(self, hosts: set[str]) -> bool:
        """Tell whether Trivy has a login for one of these hosts, of the environment or of docker's."""
        own = hosts == _hosts(self.databases) and any(os.environ.get(name) for name in _OWN_LOGIN)
        try:
            return own or self._login(hosts)[1] is not None or any(map(DockerConfig.load().find, hosts))
        except PipelineError:  # one that cannot be read is a mistake to mend
            return True

    def _login(self, hosts: set[str]) -> tuple[str | None, str | None]:
        """Return user and password from the environment; none goes to a host it is not meant for."""
        if len(hosts) != 1:
            return None, None  # Trivy would show it to every mirror
        (host,) = hosts
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


def _java_index(cache: Path) -> str:
    """Return what lies beside the index of JARs, if there is one: its version and age."""
    path = cache / "java-db" / "metadata.json"
    return path.read_text() if path.is_file() else ""


def _hosts(repositories: tuple[str, ...]) -> set[str]:
    return {repository.partition("/")[0] for repository in repositories}


def _without_options(*, keep_login: bool = False) -> dict[str, str | None]:
    """Return the changes that keep TRIVY_… variables from changing what is looked at.

    Trivy's own login is meant for the host of the vulnerability database, and for no other.
    """
    kept = _OWN_LOGIN if keep_login else set()
    return {name: None for name in os.environ if name.startswith("TRIVY_") and name not in kept}
