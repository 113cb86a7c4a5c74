"""Trivy's vulnerability database in our cache: fetched when it is due, and never used when it is too old.

Trivy itself takes a stale database without a word, so we read its age from `metadata.json`; and it unpacks a
new one over the old, so we fetch into a folder beside and swap.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from pipeline.desk import Desk
from pipeline.errors import PipelineError, StageFailed
from pipeline.model import DiskNeed, VulnerabilityDatabase
from pipeline.process import Command
from stages.scanners.trivy_refusals import joined, refusal

SCHEMA_VERSION = 2
PUBLISHED = ("mirror.gcr.io/aquasec/trivy-db:2", "ghcr.io/aquasecurity/trivy-db:2")  # Trivy's own default
FRESHLY_FETCHED = timedelta(hours=1)  # as Trivy does: a repository that is behind is not asked all the time
CLOCKS_DIFFER = timedelta(days=1)
DATABASE_BYTES = 1_000_000_000
"""The published one, unpacked: 0.5 GB in 2024, and growing. The index of JARs, if needed, is larger."""
PACKED = 8
"""How much smaller its archive is, which Trivy writes to TMPDIR first."""
Now = Callable[[], datetime]


class Metadata(BaseModel):
    """What lies beside the database (`metadata.json`)."""

    version: int = Field(alias="Version")
    updated_at: datetime = Field(alias="UpdatedAt")
    next_update: datetime = Field(alias="NextUpdate")
    downloaded_at: datetime = Field(alias="DownloadedAt")


class _Origin(BaseModel):
    """Our own note on where the database came from, and how its file looked then."""

    repository: str
    """All that might be asked."""
    fetched_from: str = ""
    """The one of them that it came from."""
    size_bytes: int
    modified_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """How Trivy is started to fetch something."""

    program: Path
    options: tuple[str, ...] = ()
    environment: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    logged_in: Callable[[], bool] = field(default=lambda: True, compare=False)
    """Whether there is a login for what is fetched; asked once that is refused."""


Connect = Callable[[str], Connection]
"""How Trivy is started to fetch something from this repository."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrivyDatabase:
    """The database of one or several repositories (mirrors, in order of priority)."""

    repositories: tuple[str, ...] = PUBLISHED
    maximum_age: timedelta
    update: bool = True
    """Fetch it when it is due; otherwise what is in the cache has to do."""
    timeout_s: float = 300
    now: Now = field(default=lambda: datetime.now(UTC), compare=False)

    @property
    def source(self) -> str:
        """The repositories as Trivy takes them."""
        return ",".join(self.repositories)

    @property
    def pinned(self) -> bool:
        """Tell whether a digest names the database: then there is never a newer one."""
        return all("@" in repository for repository in self.repositories)

    def known(self, cache: Path) -> VulnerabilityDatabase | None:
        """Return the cached database if a scan would use it as it is, without asking anybody."""
        try:
            metadata = self._read(cache)
        except StageFailed:
            return None
        return None if self._due(metadata) or self._too_old(metadata) else self._describe(metadata, cache)

    def cached(self, cache: Path) -> VulnerabilityDatabase | None:
        """Return what is in the cache, however old it is."""
        with contextlib.suppress(StageFailed):
            return self._describe(self._read(cache), cache)
        return None

    def disk_needs(self, cache: Path) -> tuple[DiskNeed, ...]:
        """Return what fetching takes, if it is due: the new database beside the old one, and its archive.

        How large it is only its registry knows: it is taken to be as large as the one that is here, or else
        as the one that is published.
        """
        if self.known(cache) is not None:
            return ()
        here = _size(cache / "db" / "trivy.db") if self.cached(cache) is not None else 0  # of our repository
        size_bytes = here or DATABASE_BYTES
        common = {
            "purpose": "scanner database",
            "reason": "as large as the one that is here"
            if here
            else "about as large as the one that is published",
            "at_least": not here,
        }
        places = ((cache, size_bytes), (Path(tempfile.gettempdir()), size_bytes // PACKED))
        return tuple(DiskNeed(path=path, size_bytes=count, **common) for path, count in places)

    def ready(self, cache: Path, connect: Connect, desk: Desk) -> VulnerabilityDatabase:
        """Return a database that is fresh enough, fetched if need be.

        Raises:
            RemoteError: there is none, and it cannot be fetched.
            StageFailed: it is damaged, of another schema, or too old.
        """
        try:
            metadata: Metadata | None = self._read(cache)
        except StageFailed:
            if not self.update:
                raise
            metadata = None
        if metadata is None or (self.update and (self._due(metadata) or self._too_old(metadata))):
            try:
                metadata = self._fetch(cache, connect, desk)
            except PipelineError as error:
                if metadata is None or self._too_old(metadata):
                    raise
                age = describe_age(self.now() - metadata.updated_at)
                desk.say(
                    f"the vulnerability database could not be refreshed, using the one of {age}: {error}"
                )
        self._require_fresh(metadata)
        return self._describe(metadata, cache)

    def _due(self, metadata: Metadata) -> bool:
        if self.pinned or not self.update or self.now() < metadata.next_update:
            return False
        return self.now() - metadata.downloaded_at > FRESHLY_FETCHED

    def _too_old(self, metadata: Metadata) -> bool:
        return self.now() - metadata.updated_at > self.maximum_age or self._of_the_future(metadata)

    def _of_the_future(self, metadata: Metadata) -> bool:
        """Tell whether it would be young for ever; clocks differ by less."""
        return metadata.updated_at - self.now() > CLOCKS_DIFFER

    def _require_fresh(self, metadata: Metadata) -> None:
        if not self._too_old(metadata):
            return
        if self._of_the_future(metadata):
            raise StageFailed(
                f"the vulnerability database says that it was updated {metadata.updated_at:%Y-%m-%d},"
                " which is still to come: nobody knows how old it is",
                advice=f"Is this machine's clock right? If so, take another one than {self.source}:"
                " `scan.database`.",
            )
        days = self.maximum_age / timedelta(days=1)
        raise StageFailed(
            f"the vulnerability database was last updated {metadata.updated_at:%Y-%m-%d},"
            f" {describe_age(self.now() - metadata.updated_at)}; at most {days:g} days are allowed",
            advice="A scan with it would miss what became known since. "
            + ("Pin a newer digest in" if self.pinned else "Bring the mirror up to date, or correct")
            + f" `scan.database` ({self.source}); the limit is `scan.database.maximum_age_days`."
            + ("" if self.update else " Updates are switched off: `scan.database.update`."),
        )

    def _read(self, cache: Path) -> Metadata:
        """Return the metadata of the cached database, once found to be whole and from our repository."""
        metadata = read_metadata(cache / "db")
        if not self.update and not _origin_file(cache).exists():
            return metadata  # brought by hand to a machine without network
        try:
            origin = _Origin.model_validate_json(_origin_file(cache).read_bytes())
        except (OSError, ValidationError) as error:
            raise StageFailed("the cached vulnerability database has no note of its origin") from error
        if origin != _origin(cache / "db", self.source, origin.fetched_from):
            raise StageFailed(
                f"the vulnerability database in {cache / 'db'} was changed, or is not from {self.source}",
                advice=f"Remove {cache / 'db'}, and let `scan.database.update` fetch it again.",
            )
        return metadata

    def _fetch(self, cache: Path, connect: Connect, desk: Desk) -> Metadata:
        """Fetch from the first repository that has it: Trivy itself gives up where one does not answer."""
        failed: list[PipelineError] = []
        for repository in self.repositories:
            try:
                return self._fetch_from(repository, cache, connect(repository), desk)
            except PipelineError as error:
                failed.append(error)
        raise joined(failed)

    def _fetch_from(self, repository: str, cache: Path, connection: Connection, desk: Desk) -> Metadata:
        desk.say(f"fetching the vulnerability database from {repository}")
        incoming = cache / "incoming"
        shutil.rmtree(incoming, ignore_errors=True)
        command = Command(
            arguments=(
                *(str(connection.program), "image", "--download-db-only", "--db-repository", repository),
                *("--cache-dir", str(incoming), "--timeout", f"{self.timeout_s:g}s", *connection.options),
            ),
            cwd=desk.folder,
            environment=connection.environment,
            timeout_s=self.timeout_s + 10,  # its own limit comes first and says more
        )
        try:
            outcome = desk.run(command, log="database")
            if not outcome.succeeded:
                logged_in = outcome.timed_out or connection.logged_in()
                raise refusal(repository, outcome.stderr, timed_out=outcome.timed_out, logged_in=logged_in)
            metadata = read_metadata(incoming / "db")
            self._keep(incoming / "db", cache, repository)
        finally:
            shutil.rmtree(incoming, ignore_errors=True)
        return metadata

    def _keep(self, fetched: Path, cache: Path, repository: str) -> None:
        _origin_file(cache).unlink(missing_ok=True)  # from here to the last line there is no database
        shutil.rmtree(cache / "db", ignore_errors=True)
        fetched.rename(cache / "db")
        _origin_file(cache).write_text(_origin(cache / "db", self.source, repository).model_dump_json())

    def _describe(self, metadata: Metadata, cache: Path) -> VulnerabilityDatabase:
        came_from = ""
        with contextlib.suppress(OSError, ValidationError):  # brought by hand
            came_from = _Origin.model_validate_json(_origin_file(cache).read_bytes()).fetched_from
        downloaded = metadata.downloaded_at if metadata.downloaded_at.year > 1 else None
        return VulnerabilityDatabase(
            repository=came_from or self.source,
            schema_version=metadata.version,
            updated_at=metadata.updated_at,
            downloaded_at=downloaded,
        )


def read_metadata(folder: Path) -> Metadata:
    """Return the metadata of a database in a folder.

    Raises:
        StageFailed: it is missing, damaged, or of a schema that we do not know.
    """
    mend = f"Remove {folder}, and let `scan.database.update` fetch it again."
    try:
        metadata = Metadata.model_validate_json((folder / "metadata.json").read_bytes())
        size_bytes = (folder / "trivy.db").stat().st_size
    except OSError as error:
        raise StageFailed(f"there is no vulnerability database in {folder}", advice=mend) from error
    except ValidationError as error:
        raise StageFailed(
            f"the vulnerability database in {folder} is damaged: {error.errors()[0]['msg']} in metadata.json",
            advice=mend,
        ) from error
    if metadata.version != SCHEMA_VERSION:
        raise StageFailed(
            f"the vulnerability database has schema version {metadata.version}; {SCHEMA_VERSION} is needed",
            advice="Correct the tag in `scan.database.repositories`: Trivy's own is the schema version.",
        )
    if size_bytes == 0:
        raise StageFailed(f"the vulnerability database in {folder} is empty", advice=mend)
    return metadata


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def describe_age(age: timedelta) -> str:
    """Return an age in the unit that a person would choose."""
    if age < -CLOCKS_DIFFER:
        return f"{-age.days} days ahead of this clock"
    hours = age / timedelta(hours=1)
    return f"{age.days} days ago" if age.days >= 2 else f"{max(0, round(hours))} hours ago"


def _origin_file(cache: Path) -> Path:
    return cache / "db-origin.json"


def _origin(folder: Path, source: str, fetched_from: str) -> _Origin:
    status = (folder / "trivy.db").stat()
    return _Origin(
        repository=source,
        fetched_from=fetched_from,
        size_bytes=status.st_size,
        modified_ns=status.st_mtime_ns,
    )
