"""Small real stages and policies: the runner is tested with them, without an engine."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import pytest

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.model import Artifact, Check, DiskNeed, Level, Reason, Source, SuiteReport, Verdict
from pipeline.record import Record, StageRecord

REPORT = SuiteReport(command=("pytest",), exit_code=0, duration_s=1)


class Product(Artifact):
    """What the second stage makes."""

    word: str


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A first stage."""

    work: Callable[[Desk], SuiteReport] = lambda _: REPORT
    checks: tuple[Check, ...] = ()
    known_by: str | None = None
    room: tuple[int, ...] = ()
    name: str = "measure"
    needs: ClassVar[tuple[type[Artifact], ...]] = (Source,)
    gives: ClassVar[type[Artifact]] = SuiteReport

    def check(self, desk: Desk) -> tuple[Check, ...]:
        return self.checks

    def disk_needs(self, have: Artifacts, desk: Desk) -> tuple[DiskNeed, ...]:
        return tuple(
            DiskNeed(purpose="measuring", path=desk.cache, size_bytes=count, reason="a test")
            for count in self.room
        )

    def identity(self, have: Artifacts) -> str | None:
        return self.known_by

    def run(self, have: Artifacts, desk: Desk) -> Artifact:
        return self.work(desk)


@dataclass(frozen=True, kw_only=True)
class Make:
    """A second stage: it notes that it ran."""

    ran: list[str] = field(default_factory=list)
    name: str = "make"
    needs: ClassVar[tuple[type[Artifact], ...]] = (Source, SuiteReport)
    gives: ClassVar[type[Artifact]] = Product

    def check(self, desk: Desk) -> tuple[Check, ...]:
        return ()

    def identity(self, have: Artifacts) -> str | None:
        return None

    def run(self, have: Artifacts, desk: Desk) -> Artifact:
        self.ran.append(self.name)
        return Product(word="made")


@dataclass(frozen=True, kw_only=True)
class Objection:
    """A policy that is against everything."""

    level: Level = Level.ENFORCE
    name: str = "objection"
    judges: type[Artifact] = SuiteReport

    def judge(self, artifact: Artifact) -> Verdict:
        reasons = (Reason(message="one"), Reason(message="two"))
        return Verdict(policy=self.name, level=self.level, reasons=reasons)


class Watcher:
    """A reporter that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def checked(self, record: Record) -> None:
        self.told.append("checked")

    def begins(self, stage: StageRecord) -> None:
        self.told.append(f"begins {stage.name}")

    def say(self, line: str) -> None:
        self.told.append(f"says {line}")

    def ended(self, stage: StageRecord) -> None:
        self.told.append(f"ended {stage.name} {stage.status}")

    def finished(self, record: Record, folder: Path) -> None:
        self.told.append(f"finished {record.status}")


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source(root=tmp_path, commit="a" * 40, committed_at=datetime(2026, 1, 2, tzinfo=UTC))
