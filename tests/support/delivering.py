"""One delivery into a GitOps repository as a process of its own: `python -m tests.support.delivering JSON`.

It prints `ready`, waits for a line on its standard input, delivers, and prints what became of it as JSON.
"""

from __future__ import annotations

import json
import sys
import tempfile
from datetime import datetime
from pathlib import Path

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.model import PushedImage, PushedReference, Source
from pipeline.reference import Digest, Repository, Tag
from stages.gitops.destination import Destination
from stages.manifests.interface import Target
from stages.update import Update


def made(repository: str, commit: str, digest: str, moment: str, root: Path = Path()) -> Artifacts:
    """Return what the stages before the update have made of a commit."""
    pushed = PushedReference(
        repository=Repository(repository),
        tag=Tag(commit),
        digest=Digest(digest),
        tag_existed=False,
        duration_s=1.0,
    )
    return Artifacts(
        Source(root=root, commit=commit, committed_at=datetime.fromisoformat(moment)),
        PushedImage(name="digits", tag=pushed.tag, digest=pushed.digest, references=(pushed,)),
    )


def _main() -> None:
    said = json.loads(sys.argv[1])
    update = Update(
        destination=Destination(
            image="digits",
            repositories=(Repository(said["repository"]),),
            repository=said["url"],
            targets=(Target(path=said["path"]),),
        )
    )
    have = made(said["repository"], said["commit"], said["digest"], said["moment"])
    print("ready", flush=True)
    sys.stdin.readline()
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(folder=Path(folder), cache=Path(folder), run_name=said["run"])
        print(update.run(have, desk).model_dump_json())


if __name__ == "__main__":
    _main()
