"""What a way into a GitOps repository must offer: look, show, and land an edit without losing a write."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pipeline.desk import Desk
from pipeline.model import Check
from stages.gitops.forge import Request
from stages.manifests.editing import EditedFile
from stages.manifests.tree import Tree

Edit = Callable[[Tree], tuple[EditedFile, ...]]
"""Applied to the branch's head, and again to each newer head until the result lands; empty: nothing to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Landing:
    """What became of an edit; without a commit there was nothing to change in the branch's head."""

    files: tuple[EditedFile, ...]
    commit: str | None
    attempts: int
    head: str = ""
    request: Request | None = None
    """The pull or merge request on which the edit waits for people, if that is the way."""
    note: str = ""


class Remote(Protocol):
    """A branch of a repository elsewhere."""

    @property
    def shown_url(self) -> str:
        """The address without any password."""
        ...

    def check(self, desk: Desk) -> tuple[Check, ...]:
        """Return whether the branch can be reached, and written to unless this is a dry run."""
        ...

    def preview(self, edit: Edit, desk: Desk) -> tuple[EditedFile, ...]:
        """Return what the edit would change now; nothing is written."""
        ...

    def land(self, edit: Edit, message: str, desk: Desk) -> Landing:
        """Put the edit on the branch, on top of whatever others have put there meanwhile.

        Raises:
            RemoteError: the remote refuses, or cannot be reached.
            ConfigurationError: there is no such branch, or the edit refuses.
        """
        ...
