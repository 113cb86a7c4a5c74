"""What the GitOps repository says now."""

from typing import Literal

from pydantic import Field

from pipeline.model.base import Artifact, Value


class FieldChange(Value):
    """One scalar of a manifest, before and after."""

    line: int
    field: str
    old: str | None = Field(default=None, description="None where the field was added")
    new: str


class FileChange(Value):
    """One edited manifest of the GitOps repository."""

    path: str
    fields: tuple[FieldChange, ...]
    diff: str


class StandingImage(Value):
    """An image that a manifest named before the edit, and how its build compares with the delivered one.

    same: it is this digest; older, newer: by their order keys; first: no build of this image stood there;
    unknown: nobody can tell; ignored: nobody was to ask.
    """

    path: str
    line: int
    reference: str = Field(description="as the manifest said it")
    order: Literal["same", "older", "newer", "first", "unknown", "ignored"]
    key: str | None = Field(default=None, description="its order key: time and commit")
    occasion: str = Field(default="", description="rollback, promotion or forced, where that wrote it")
    note: str = ""

    @property
    def place(self) -> str:
        """File and line."""
        return f"{self.path}:{self.line}"


class Proof(Value):
    """What shows that an edited file changes the image and nothing else.

    kustomize, helm: rendered before and after the edit, and compared; parsed: compared as it stands.
    """

    file: str
    how: Literal["kustomize", "helm", "parsed"]
    folder: str = Field(default="", description="of the kustomization or chart that was rendered")
    documents: int = Field(default=0, description="documents that were compared")
    changed: int = Field(default=0, description="documents that differ, by the image alone")
    note: str = Field(default="", description="what was not proved, or differs because of the image")


class ChangeRequest(Value):
    """A pull or merge request that asks people for the change."""

    number: int
    url: str
    state: Literal["open", "merged", "closed"]
    opened: bool = Field(description="just now; else it was there and was updated where needed")
    branch: str


class Rollout(Value):
    """What became of a commit in the cluster, where the configuration asks to wait for it.

    live: what was watched runs the new image; degraded: it stayed broken; timeout: it was not live in time.
    """

    status: Literal["live", "degraded", "timeout"]
    watched: tuple[str, ...] = Field(description="such as Deployment digits/server")
    duration_s: float
    subject: str = Field(default="", description="which of them is not live")
    reason: str = Field(default="", description="one word of the API's own, such as ImagePullBackOff")
    message: str = Field(default="", description="what was last seen")
    answered: bool = Field(default=True, description="the last question was answered")
    undone_by: str | None = Field(default=None, description="the commit that rolled it back")
    not_undone: str = Field(default="", description="why it was not rolled back, where that was wanted")


class ManifestUpdate(Artifact):
    """What the GitOps repository says now.

    committed: a commit was pushed; requested: a pull or merge request asks for it; declined: people have
    closed that request; unchanged: the manifests named this digest already; superseded: a newer
    build stands there, so nothing was written; preview: the edit is shown and nothing was written;
    unconfigured: there is no target to edit.
    """

    status: Literal[
        "committed", "requested", "declined", "unchanged", "superseded", "preview", "unconfigured"
    ]
    repository_url: str | None = Field(default=None, description="without password")
    branch: str | None = None
    commit: str | None = None
    files: tuple[FileChange, ...] = ()
    head: str | None = Field(default=None, description="the branch's head, where it named the image already")
    attempts: int = Field(default=0, description="how often the edit was applied to a fresh head")
    order_key: str | None = Field(
        default=None, description="what the delivery is ordered by: time and commit"
    )
    before: tuple[StandingImage, ...] = Field(default=(), description="what the manifests named before")
    forced: bool = Field(default=False, description="written whatever stood there, as somebody asked for")
    request: ChangeRequest | None = Field(default=None, description="where people are asked")
    proofs: tuple[Proof, ...] = Field(default=(), description="one or more for each edited file")
    rollout: Rollout | None = Field(default=None, description="None: nobody waited until it is live")
    image: str | None = Field(default=None, description="what a promotion made the targets name")
    note: str = ""
