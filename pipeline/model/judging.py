"""What a policy says of an artifact."""

from datetime import date
from enum import StrEnum

from pydantic import Field

from pipeline.model.base import Value


class Level(StrEnum):
    """What follows when a policy is not met: the run stops, or it only says so."""

    ENFORCE = "enforce"
    WARN = "warn"


class Reason(Value):
    """One thing that a policy does not accept: what was measured against which limit, and what mends it."""

    message: str
    advice: str = ""


class Accepted(Value):
    """A finding that somebody accepts: by an exception of the policy, or by a VEX document."""

    id: str = Field(description="of the vulnerability; of a model file the finding's code")
    package: str = Field(description="or the model file's path")
    subject: str = Field(default="", description="what a finding in a model file is about")
    reason: str
    owner: str = ""
    expires: date | None = None


class Verdict(Value):
    """What one policy says of one artifact; it passed when there is no reason against it."""

    policy: str
    level: Level = Level.ENFORCE
    reasons: tuple[Reason, ...] = ()
    summary: str = Field(default="", description="what was judged, in a few words, when it passed")
    notes: tuple[str, ...] = Field(default=(), description="what somebody should look at, passed or not")
    accepted: tuple[Accepted, ...] = Field(default=(), description="findings that did not count")
    origin: str = Field(default="", description="pack or file and line where the rule stands")

    @property
    def passed(self) -> bool:
        """Tell whether the policy found nothing against the evidence."""
        return not self.reasons

    @property
    def refuses(self) -> bool:
        """Tell whether this verdict stops the run."""
        return not self.passed and self.level is Level.ENFORCE
