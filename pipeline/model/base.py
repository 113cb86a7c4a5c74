"""What everything that flows has in common: a value, what a stage makes, what only tells about it."""

from pydantic import BaseModel, ConfigDict, Field


class Value(BaseModel):
    """A part of an artifact: frozen, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Artifact(Value):
    """What a stage makes and a later stage may need."""


class Evidence(Artifact):
    """What a stage found out about the source or the image; the policies judge it."""


class Skipped(Evidence):
    """A stage that was left out: on purpose, for the reason that the user gave, or out of a job's reach."""

    stage: str
    gives: str = Field(description="name of the evidence type that is therefore missing")
    reason: str
    out_of_reach: bool = Field(
        default=False, description="nobody wished it: the job for a pull or merge request has no login for it"
    )


class Tool(Value):
    """A program that did the work, and its version."""

    name: str
    version: str
