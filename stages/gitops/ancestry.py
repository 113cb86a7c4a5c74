"""Which of two commits of the application comes before the other, as its own history knows."""

from pathlib import Path

from pipeline.desk import Desk
from pipeline.git import FOREIGN_VARIABLES
from pipeline.process import Command
from stages.oci.order_key import IsAncestor


def history_of(root: Path, desk: Desk) -> IsAncestor:
    """Return what the git history around a folder knows of two commits."""

    def is_ancestor(one: str, other: str) -> bool | None:
        command = Command(
            arguments=("git", "-C", str(root), "merge-base", "--is-ancestor", one, other),
            environment=dict.fromkeys(FOREIGN_VARIABLES),
        )
        answer = desk.run(command, log="ancestry").exit_code
        return answer == 0 if answer in {0, 1} else None

    return is_ancestor
