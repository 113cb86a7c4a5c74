"""Trivy, over the application layers: their packages, and on request secrets, licences and settings.

Only what the configuration says decides what Trivy looks at: its configuration and ignore files and its
environment variables are left out, so that nothing in the project's folder hides a finding.
"""

import json
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

from pipeline.desk import Desk
from pipeline.errors import PipelineError
from pipeline.model import Check, DiskNeed, Problem, SbomFormat, Tool
from pipeline.process import Command, Outcome
from stages.oci.application_view import View
from stages.oci.endpoint import is_loopback
from stages.scanners.alone import alone
from stages.scanners.interface import Findings, ListedView
from stages.scanners.program import Choice, Program
from stages.scanners.trivy_database import (
    CLOCKS_DIFFER,
    PUBLISHED,
    Connection,
    TrivyDatabase,
    describe_age,
)
from stages.scanners.trivy_lists import convert
from stages.scanners.trivy_login import host_of, is_logged_in, login_environment, without_options
from stages.scanners.trivy_program import TRIVY, find
from stages.scanners.trivy_refusals import failure, joined, lacks_index
from stages.scanners.trivy_report import Contents

PUBLISHED_JAVA = ("mirror.gcr.io/aquasec/trivy-java-db:1", "ghcr.io/aquasecurity/trivy-java-db:1")
WORK_BYTES = 50_000_000
Subject = Literal["secrets", "licenses", "misconfigurations"]
_QUIET = ("--no-progress", "--skip-version-check", "--disable-telemetry", "--config", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trivy:
    """The scanner Trivy and the database that it looks into."""

    program: str | None = None
    """The program; default: the one on the PATH, or of the extra `trivy`."""
    sha256: str | None = None
    """The program's checksum; default: for the extra's, what pip wrote down."""
    look_for: frozenset[Subject] = frozenset()
    """What to look for beside vulnerabilities."""
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
    lists: tuple[SbomFormat, ...] = ()
    """Lists of what is installed to make of each scan of layers."""
    timeout_s: float = 600
    cache: Path | None = None
    """Where database and layers are kept; default: the desk's cache. Without it no result is reused."""

    name: ClassVar[str] = "trivy"

    def check(self, desk: Desk) -> tuple[Check, ...]:
        """Tell which Trivy would run, and how old its database is."""
        program = Choice(program=self.program, sha256=self.sha256).check(TRIVY, "scanner Trivy")
        return (program, self._check_database(self._cache(desk)))

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
            find(self.program, self.sha256).version,
            database.repository,
            database.schema_version,
            database.updated_at.isoformat(),
            _java_index(self.cache),
            *sorted(self.look_for),
        )
        return json.dumps(parts)

    def scan(self, views: tuple[View, ...], desk: Desk) -> Findings:
        """Return what is known about the packages in these views.

        Raises:
            ToolMissing: Trivy is missing, too old, or not what it should be.
            RemoteError: there is no database, and it cannot be fetched.
            StageFailed: the database is too old or damaged, or the scan did not come to its end.
        """
        program, cache, contents = find(self.program, self.sha256), self._cache(desk), Contents()
        lists: list[ListedView] = []
        with alone(cache, desk):
            connect = partial(self._connection, program, desk)
            database = self._database.ready(cache, connect, desk)
            for view in views:
                desk.say(f"scanning the packages for {view.platform}")
                report, said = self._scan(view, program, cache, desk)
                try:
                    contents.add(report, said, view.platform)
                    if view.sbom is None:
                        lists.append(ListedView(view, convert(program, report, self.lists, desk)))
                finally:  # it repeats the image's configuration, with every secret that is in it
                    report.unlink(missing_ok=True)
        return Findings(
            scanner=Tool(name=self.name, version=program.version),
            database=database,
            packages=contents.packages,
            vulnerabilities=contents.vulnerabilities,
            unjudged=contents.unjudged,
            secrets=contents.secrets if "secrets" in self.look_for else None,
            licenses=contents.licenses if "licenses" in self.look_for else None,
            misconfigurations=contents.misconfigurations if "misconfigurations" in self.look_for else None,
            lists=tuple(lists),
        )

    @property
    def tool(self) -> Tool:
        """Trivy and its version.

        Raises:
            ToolMissing: Trivy is missing, too old, or not what it should be.
        """
        return Tool(name=self.name, version=find(self.program, self.sha256).version)

    @property
    def needs_layers(self) -> bool:
        """Tell whether it looks for what no list of packages has."""
        return bool(self.look_for)

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
        """Run Trivy over one view and return the path of its report and what it said.

        It fetches the index of JARs only where it finds one, and gives up where a repository does not answer.
        """
        failed: list[PipelineError] = []
        report = desk.folder / f"trivy-{view.layout.name}.json"
        for index in self.java_databases if self.update else ("",):
            outcome = self._run(view, report, index, program, cache, desk)
            if outcome.succeeded:
                return report, outcome.stderr
            known = not index or is_logged_in(host_of(index), self.databases, self.registries)
            failed.append(failure(outcome, cache, self.timeout_s, index, logged_in=known))
            if not lacks_index(outcome):
                break
        raise joined(failed)

    def _run(  # noqa: PLR0913, PLR0917 - what one call of a program takes
        self, view: View, report: Path, index: str, program: Program, cache: Path, desk: Desk
    ) -> Outcome:
        """Run Trivy over one view; the index of JARs is from this repository, or else from the cache."""
        connection = self._connection(program, desk, index) if index else None
        arguments = (
            *(
                self._layers(view, desk)
                if view.sbom is None
                else ("sbom", str(view.sbom), "--scanners", "vuln")
            ),
            *("--list-all-pkgs", "--format", "json", "--output", str(report)),
            *("--cache-dir", str(cache), "--ignorefile", ""),
            *("--skip-db-update", "--offline-scan"),  # it asks nobody, unless it finds a JAR
            *(
                ("--java-db-repository", index, *connection.options)
                if connection is not None
                else ("--skip-java-db-update", *_QUIET)
            ),
            *("--timeout", f"{self.timeout_s:g}s"),
        )
        return desk.run(
            Command(
                arguments=(str(program.path), *arguments),
                cwd=desk.folder,
                environment=connection.environment if connection is not None else without_options(),
                timeout_s=self.timeout_s,
            ),
            log=f"trivy-{view.layout.name}",
        )

    def _layers(self, view: View, desk: Desk) -> tuple[str, ...]:
        # those in the home folder change findings
        no_modules = ("--module-dir", str(desk.folder / "no-modules"))
        return ("image", "--input", str(view.layout), *self._subjects, *no_modules)

    @property
    def _subjects(self) -> tuple[str, ...]:
        """The options that say what to look for.

        Settings of the image itself are looked at, and not the files in it: a Dockerfile or a manifest that
        lies in a package sets up nothing. The rules are those inside the program, so its version names them.
        """
        scanners = {"secrets": "secret", "licenses": "license"}
        of_files = ["vuln", *(scanners[one] for one in sorted(self.look_for) if one in scanners)]
        of_image = {"secrets": "secret", "misconfigurations": "misconfig"}
        of_config = [of_image[one] for one in sorted(self.look_for) if one in of_image]
        configuration = ("--image-config-scanners", ",".join(of_config), "--skip-check-update")
        return (
            *("--scanners", ",".join(of_files)),
            *(configuration if of_config else ()),
            *(("--secret-config", "") if "secrets" in self.look_for else ()),
        )

    def _connection(self, program: Program, desk: Desk, repository: str) -> Connection:
        host = host_of(repository)
        plain = is_loopback(host) or host in self.insecure_hosts
        return Connection(
            program=program.path,
            options=(*_QUIET, "--insecure") if plain else _QUIET,
            environment=login_environment(host, self.databases, self.registries, desk),
            logged_in=lambda: is_logged_in(host, self.databases, self.registries),
        )

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
        if -CLOCKS_DIFFER <= age <= self.maximum_age:
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
