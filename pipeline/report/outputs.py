"""What later steps and jobs may want to know of a run, in plain words for programs."""

from pathlib import Path

from pipeline.ci.interface import Output
from pipeline.model import BuiltImage, ManifestUpdate, PushedImage
from pipeline.record import Record


def outputs(record: Record, path: Path, sarif: Path | None = None) -> dict[Output, str]:
    """Return every output; empty where the run came to none. `path` is where the record lies.

    `image` can be pulled; `tags` has one a line; `commit` and `pull-request` are the GitOps repository's.
    """
    built = digest = image = tags = commit = request = ""
    promotes = record.stage("promote") is not None
    for made in record.made():
        if isinstance(made, BuiltImage):
            built = str(made.digest)
        if isinstance(made, PushedImage):
            digest = str(made.digest)
            tags = str(made.tag)
        if isinstance(made, PushedImage) and not promotes:  # else these are the other environment's
            image = next((f"{one.repository}@{one.digest}" for one in made.references), "")
            names = [tag for one in made.references for tag in (one.tag, *one.tags)]
            tags = "\n".join(dict.fromkeys(map(str, names)))
        if isinstance(made, ManifestUpdate):
            image = made.image or image
            commit = made.commit or ""
            request = made.request.url if made.request is not None else ""
    return {
        "verdict": str(record.status),
        "digest": digest or built,
        "image": image,
        "tags": tags,
        "commit": commit,
        "pull-request": request,
        "record": str(path),
        "sarif": str(sarif) if sarif is not None else "",
    }
