"""The nouns that flow through a run, in the order in which they appear.

Everything is frozen and knows its units. An `Artifact` is what a stage makes; `Evidence` is an
artifact that only tells something about an image, so a stated reason (`Skipped`) may stand for it.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from pipeline.reference import Digest, Repository, Tag


class Value(BaseModel):
    """A part of an artifact: frozen, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Artifact(Value):
    """What a stage makes and a later stage may need."""


class Evidence(Artifact):
    """What a stage found out about the source or the image; the policies judge it."""


class Skipped(Evidence):
    """A stage that was left out on purpose, and the reason that the user gave."""

    stage: str
    gives: str = Field(description="name of the evidence type that is therefore missing")
    reason: str


# --- judging -----------------------------------------------------------------------------------------


class Level(StrEnum):
    """What follows when a policy is not met: the run stops, or it only says so."""

    ENFORCE = "enforce"
    WARN = "warn"


class Reason(Value):
    """One thing that a policy does not accept: what was measured against which limit, and what mends it."""

    message: str
    advice: str = ""


class Verdict(Value):
    """What one policy says of one artifact; it passed when there is no reason against it."""

    policy: str
    level: Level = Level.ENFORCE
    reasons: tuple[Reason, ...] = ()
    summary: str = Field(default="", description="what was judged, in a few words, when it passed")
    origin: str = Field(default="", description="pack or file and line where the rule stands")

    @property
    def passed(self) -> bool:
        """Tell whether the policy found nothing against the evidence."""
        return not self.reasons

    @property
    def refuses(self) -> bool:
        """Tell whether this verdict stops the run."""
        return not self.passed and self.level is Level.ENFORCE


# --- planning ----------------------------------------------------------------------------------------


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


class Tool(Value):
    """A program that did the work, and its version."""

    name: str
    version: str


# --- source ------------------------------------------------------------------------------------------


class Source(Artifact):
    """The commit that is delivered, and the folder that holds its pipeline.yaml."""

    root: Path
    commit: str = Field(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")
    committed_at: datetime
    branch: str | None = None
    repository_url: str | None = Field(
        default=None, description="where the commit can be fetched; no password"
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


# --- test --------------------------------------------------------------------------------------------


class CaseFailure(Value):
    """A test that failed or could not run, with the end of what it said."""

    name: str
    message: str
    file: str | None = None
    line: int | None = None


class SlowTest(Value):
    """One of the tests that took longest."""

    name: str
    duration_s: float


class CaseCounts(Value):
    """How many tests there were, from the JUnit file that the command wrote."""

    total: int
    passed: int
    failed: int
    errors: int
    skipped: int


class SuiteReport(Evidence):
    """What the user's test command said."""

    command: tuple[str, ...]
    exit_code: int
    duration_s: float
    counts: CaseCounts | None = Field(default=None, description="None where the command wrote no JUnit file")
    failures: tuple[CaseFailure, ...] = ()
    slowest: tuple[SlowTest, ...] = ()


# --- image -------------------------------------------------------------------------------------------


class Descriptor(Value):
    """Bytes that a manifest points to (OCI image specification 1.1, descriptor.md)."""

    media_type: str
    digest: Digest
    size_bytes: int = Field(ge=0)


class ModelFile(Value):
    """One file of the model: where it lies below the model folder, and what is in it."""

    path: str = Field(description="relative, with forward slashes")
    size_bytes: int = Field(ge=0)
    digest: Digest
    identity: str = Field(
        default="", description="what a remote source calls this content, such as an object's version"
    )


class ModelLayer(Value):
    """A layer of weights described by its recipe: an uncompressed tar of these files, streamed when needed.

    Its digest is its diff id.
    """

    descriptor: Descriptor
    source: str = Field(description="absolute folder or URL that the files are read from")
    path: str = Field(description="folder in the image")
    files: tuple[ModelFile, ...]


class PlatformImage(Value):
    """The image for one platform: its manifest and configuration as they will be pushed."""

    platform: str = Field(description="os/architecture[/variant]")
    manifest: Descriptor
    config: Descriptor
    application_layers: tuple[Descriptor, ...]
    user: str = Field(default="", description="the user that the image runs as; empty is root")


class BaseImage(Value):
    """The image that the Dockerfile's last stage starts from."""

    name: str
    digest: Digest | None = None


class Image(Value):
    """An image as it will be pushed: application layers and model layers under one digest.

    `layout` is an OCI image layout that holds the index, manifests, configurations and application layers;
    the blobs of the model layers are not in it, they are streamed from the model's files.
    """

    name: str
    tag: Tag
    digest: Digest = Field(description="of the manifest, or of the index of several platforms")
    media_type: str
    layout: Path
    platforms: tuple[PlatformImage, ...] = Field(min_length=1)
    model_layers: tuple[ModelLayer, ...] = ()
    annotations: dict[str, str] = {}
    base: BaseImage | None = None

    @property
    def application_size_bytes(self) -> int:
        """Bytes of the application layers as they are pushed, of all platforms, each blob once."""
        layers = {layer.digest: layer for image in self.platforms for layer in image.application_layers}
        return sum(layer.size_bytes for layer in layers.values())

    @property
    def model_size_bytes(self) -> int:
        """Bytes of the model layers."""
        return sum(layer.descriptor.size_bytes for layer in self.model_layers)

    @property
    def size_bytes(self) -> int:
        """Bytes of all layers as they are pushed."""
        return self.application_size_bytes + self.model_size_bytes


class ModelImage(Image):
    """The weights as an image of their own, mounted beside the application.

    Its digest depends on the weights, the base image and the platforms alone; its tag is the beginning of its
    digest. Its application layers are those of the base image; without a base there are none.
    """

    mounted_at: str = Field(description="folder in which the application finds the weights")


class BuiltImage(Artifact, Image):
    """The application image, and beside it the weights' own where there is one; nothing changes them later.

    The layout holds both.
    """

    revision: str
    dirty: bool
    created: datetime
    builder: Tool
    model_image: ModelImage | None = None

    @property
    def weights(self) -> tuple[ModelLayer, ...]:
        """The layers of the weights, in whichever image they are."""
        return self.model_layers if self.model_image is None else self.model_image.model_layers

    def as_mounted(self, layers: Sequence[ModelLayer]) -> tuple[ModelLayer, ...]:
        """Return layers of the weights with the folder in which the application finds their files."""
        if self.model_image is None:
            return tuple(layers)
        place = {"path": self.model_image.mounted_at}
        return tuple(layer.model_copy(update=place) for layer in layers)


# --- scan --------------------------------------------------------------------------------------------


class Severity(StrEnum):
    """How bad a vulnerability is said to be; UNKNOWN is a class of its own, not a low one."""

    CRITICAL = "CRITICAL"
    HIGH = "HIGH"
    MEDIUM = "MEDIUM"
    LOW = "LOW"
    UNKNOWN = "UNKNOWN"


class FoundBy(Value):
    """One scanner that found a vulnerability, and how bad it says that it is."""

    scanner: str
    severity: Severity
    repository: Repository | None = Field(default=None, description="None: our own scanner, of no registry")


class Vulnerability(Value):
    """A known weakness of an installed package."""

    id: str
    package: str
    installed_version: str
    source_package: str = Field(default="", description="what the package was built from, where it is known")
    fixed_version: str | None = Field(default=None, description="None where no fix is known")
    severity: Severity
    severity_source: str | None = None
    target: str = Field(default="", description="the file or distribution that the package was found in")
    package_type: str = Field(default="", description="debian, python-pkg, …")
    title: str = ""
    url: str | None = None
    cvss_score: float | None = Field(default=None, ge=0, le=10)
    found_by: tuple[FoundBy, ...] = Field(
        default=(), description="of several scanners; the severity is their highest. Empty: the report's own"
    )


class VulnerabilityDatabase(Value):
    """The database that the scanner looked into; its age is part of the evidence."""

    repository: str
    schema_version: int
    updated_at: datetime
    downloaded_at: datetime | None = None


class Unjudged(Value):
    """A part of the image that could not be looked up: that nothing is known of it says nothing."""

    subject: str = Field(description="such as `debian 99.0`; policies allow it by this name")
    reason: str


class RegistryScan(Value):
    """What the registry's own scanner found in an image."""

    digest: Digest
    scanner: Tool
    completed_at: datetime | None = None
    database_updated_at: datetime | None = None
    vulnerabilities: tuple[Vulnerability, ...] = ()
    notes: tuple[str, ...] = Field(default=(), description="what the registry says beside its findings")


class RegistryAnswer(Value):
    """What a registry said when it was asked for its scanner's findings in one digest.

    Unless they were read, nothing is known from it: no finding then means nothing.
    """

    repository: Repository
    digest: Digest
    status: Literal["read", "no image", "no scan", "unfinished"]
    scanner: str = ""
    completed_at: datetime | None = None
    database_updated_at: datetime | None = None
    findings: int = Field(default=0, ge=0)
    notes: tuple[str, ...] = Field(default=(), description="what the registry says beside it")


class ScanReport(Evidence):
    """What the scanner found in the application layers of one digest, and in the base of its model image.

    With `scan.registry_findings`, what the scanners of registries found stands among the vulnerabilities too.
    """

    digest: Digest
    scanner: Tool
    scanned_at: datetime
    database: VulnerabilityDatabase
    packages: int = Field(ge=0, description="how many installed packages were compared with the database")
    vulnerabilities: tuple[Vulnerability, ...] = ()
    unjudged: tuple[Unjudged, ...] = Field(default=(), description="what could not be looked up, and why")
    registries: tuple[RegistryAnswer, ...] = Field(default=(), description="asked for their own findings")

    @property
    def database_age(self) -> timedelta:
        """How old the database was when the scan ran."""
        return self.scanned_at - self.database.updated_at


# --- benchmark ---------------------------------------------------------------------------------------


class ColdStart(Value):
    """Time from the start of the container to each step, in milliseconds."""

    port_open_ms: float
    ready_ms: float
    first_answer_ms: float


class Latency(Value):
    """Percentiles of a set of durations, in milliseconds."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    mean_ms: float


class BenchmarkReport(Evidence):
    """What the model server inside the image did under a steady load.

    Latency counts from the moment at which a request was *due*, so a stalled server shows (open loop);
    `service_time` counts from the moment at which it was sent.
    """

    digest: Digest
    protocol: str
    model: str | None = None
    rate_rps: float = Field(description="requests per second that were due")
    duration_s: float
    warmup_requests: int
    cold_start: ColdStart
    requests: int
    errors: int
    error_samples: tuple[str, ...] = ()
    throughput_rps: float = Field(description="good answers per second")
    latency: Latency | None = Field(default=None, description="None where no request was answered")
    service_time: Latency | None = None
    send_lag_p99_ms: float = Field(description="how late the generator itself was")
    generator_cpu: float = Field(description="share of one core that the load generator used, 0 to 1")
    peak_memory_bytes: int
    memory_source: str = Field(description="where the peak was read: cgroup v1, cgroup v2, engine statistics")
    invalid: tuple[str, ...] = Field(default=(), description="why the numbers must not be trusted, if so")


# --- push --------------------------------------------------------------------------------------------


class PushedBlob(Value):
    """What became of one blob at the registry."""

    digest: Digest
    size_bytes: int
    how: Literal["exists", "mounted", "uploaded"]
    sent_bytes: int = Field(
        default=0, ge=0, description="over the network, what had to be sent again counted again"
    )


class RegistryEvidence(Value):
    """What the registry holds after the push, asked by digest."""

    asked: str = Field(description="who answered, such as `Amazon ECR: DescribeImages`")
    manifests_compared: int = Field(ge=0, description="fetched by digest, and the same byte for byte")
    blobs_found: int = Field(ge=0)
    tags: tuple[str, ...] | None = Field(default=None, description="None where the registry does not tell")
    media_type: str | None = None
    size_bytes: int | None = Field(default=None, description="as the registry counts it")
    pushed_at: datetime | None = None
    scan: RegistryScan | None = Field(default=None, description="None where no scan of its own is finished")
    notes: tuple[str, ...] = Field(default=(), description="what else it says, or why it could not be asked")


class ImageTag(Value):
    """A tag that an image shall get; one that moves names another image after the next delivery."""

    tag: Tag
    moves: bool = False

    def __str__(self) -> str:
        return f"{self.tag} (moves)" if self.moves else self.tag


class PushedReference(Value):
    """The image in one repository, as the registry answered."""

    repository: Repository
    tag: Tag
    tags: tuple[Tag, ...] = Field(default=(), description="what else names the image there now")
    digest: Digest
    tag_existed: bool = Field(description="the tag was there before, with this digest")
    blobs: tuple[PushedBlob, ...] = ()
    duration_s: float
    evidence: RegistryEvidence | None = None

    @property
    def bytes_sent(self) -> int:
        """Bytes of blobs that went over the network."""
        return sum(blob.sent_bytes for blob in self.blobs)

    @property
    def bytes_mounted(self) -> int:
        """Bytes of blobs that the registry took from another of its repositories."""
        return sum(blob.size_bytes for blob in self.blobs if blob.how == "mounted")

    @property
    def bytes_saved(self) -> int:
        """Bytes of blobs that the registry had already, here or in another repository."""
        return sum(blob.size_bytes for blob in self.blobs if blob.how != "uploaded")

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}@{self.digest}"


class FailedPush(Value):
    """A repository that did not get the image, and why; whether it got parts of it, nobody knows."""

    repository: Repository
    tag: Tag
    kind: str = Field(description="the error's name")
    message: str
    advice: str = ""
    exit_code: int


class Pushed(Value):
    """A digest, everywhere it can now be pulled from, and where it could not be brought."""

    name: str
    tag: Tag
    digest: Digest
    references: tuple[PushedReference, ...] = ()
    failures: tuple[FailedPush, ...] = ()
    layout: Path | None = Field(
        default=None, description="OCI image layout folder, where no registry is configured"
    )


class PushedImage(Artifact, Pushed):
    """The application image where it can be pulled from, and the weights' own where there is one."""

    model_image: Pushed | None = None


# --- update ------------------------------------------------------------------------------------------


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
    note: str = ""
