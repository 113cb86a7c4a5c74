"""The commit that is delivered."""

from datetime import datetime
from pathlib import Path

from pydantic import Field

from pipeline.model.base import Artifact
from pipeline.reference import Digest


class Source(Artifact):
    """The commit that is delivered, and the folder that holds its pipeline.yaml."""

    root: Path
    commit: str = Field(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")
    committed_at: datetime
    branch: str | None = None
    repository_url: str | None = Field(
        default=None, description="where the commit can be fetched; no password"
    )
    ci: str = Field(
        default="", description="CI host whose job it is: github, gitlab; empty: none that is known"
    )
    protected: bool | None = Field(
        default=None, description="whether the CI host protects the branch or tag; None: nobody says so"
    )
    changes: tuple[str, ...] = Field(default=(), description="paths that differ from the commit")
    changes_digest: Digest | None = Field(default=None, description="of the content of those differences")

    @property
    def dirty(self) -> bool:
        """Tell whether the work tree differs from the commit."""
        return bool(self.changes)

    @property
    def version(self) -> str:
        """The commit, marked when the work tree differs from it; a valid tag."""
        return f"{self.commit}-dirty" if self.dirty else self.commit
