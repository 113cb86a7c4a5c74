"""What a plan finds out before any work."""

from enum import StrEnum
from pathlib import Path

from pydantic import Field

from pipeline.model.base import Value


class Problem(StrEnum):
    """What kind of thing a check found missing: it decides the exit code."""

    CONFIGURATION = "configuration"
    TOOL = "tool"
    REMOTE = "remote"
    DISK = "disk"
    TAG = "tag"
    MANIFEST = "manifest"


class DiskNeed(Value):
    """Room that a stage will take on a disk, as far as that is known before it runs."""

    purpose: str = Field(description="what the room is for, in a few words: engine, image layers")
    path: Path | None = Field(description="where; it need not exist yet. None: on another machine")
    size_bytes: int = Field(ge=0)
    at_least: bool = Field(default=False, description="more may be needed; nobody can know how much")
    reason: str = Field(description="how the number came about")
    advice: str = Field(default="", description="how to need less")


class DiskForecast(Value):
    """What a run needs of one file system, against what is free there."""

    mount_point: Path | None = Field(description="None: on other machines, whose disks are not looked at")
    free_bytes: int | None = Field(description="what this user may use, quotas aside; None: not known")
    needed_bytes: int = Field(ge=0)
    at_least: bool = Field(description="more may be needed: one of the needs could not be known")
    needs: tuple[DiskNeed, ...]

    @property
    def fits(self) -> bool:
        """Tell whether there is room, as far as that is known."""
        return self.free_bytes is None or self.needed_bytes <= self.free_bytes


class Check(Value):
    """One thing that a stage needs before any work begins, and whether it is there."""

    subject: str
    found: str = Field(description="what is there: a version, an account, a size; or what is wrong")
    problem: Problem | None = None
    advice: str = ""
    disk: DiskForecast | None = Field(default=None, description="the numbers, where the check is of a disk")

    @property
    def passed(self) -> bool:
        """Tell whether what the stage needs is there."""
        return self.problem is None
