"""pipeline.yaml as a frozen model: every key, its default, and what it means."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from pipeline.environment_section import EnvironmentSection
from pipeline.reference import Reference, Repository, Tag
from pipeline.registry_section import RegistryEntry, RegistrySection, url_of
from pipeline.section import Number, Seconds, Section, Words, words
from pipeline.tags import require_fixed, require_template
from pipeline.update_section import UpdateSection


def _repository(value: str) -> str:
    try:
        return Repository(value)
    except ValueError:
        raise ValueError(
            "expected a repository such as registry.example.com/team/model, without tag or digest"
        ) from None


def _variable(name: str) -> str:
    if not name or "=" in name or "\0" in name:
        raise ValueError("the name of a variable is not empty and holds no '='")
    return name


def _without_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("the value of a variable cannot hold the character NUL")
    return value


def _repository_name(value: str) -> str:
    try:
        Repository(f"registry.invalid/{value}")
    except ValueError:
        raise ValueError(
            "expected the name of an image such as team/model, in lower case, without tag"
        ) from None
    return value


def _image_reference(value: str) -> str:
    try:
        Reference.parse(value)
    except ValueError:
        raise ValueError("expected an image such as busybox:1.37") from None
    return value


def _image_path(value: str) -> str:
    if not value.startswith("/") or ".." in value.split("/") or value.rstrip("/") == "":
        raise ValueError("a folder in the image begins with '/', and is not '/' itself")
    return value.rstrip("/")


HIGHEST_LEVELS = {"gzip": 9, "zstd": 19}  # above 19, zstd asks for more memory than every runtime gives
RepositoryName = Annotated[str, AfterValidator(_repository_name)]
ImageReference = Annotated[str, AfterValidator(_image_reference)]
ImagePath = Annotated[str, AfterValidator(_image_path)]
Registries = Annotated[tuple[RegistryEntry, ...], BeforeValidator(words)]
Repositories = Annotated[tuple[Annotated[str, AfterValidator(_repository)], ...], BeforeValidator(words)]
Templates = Annotated[tuple[Annotated[str, AfterValidator(require_template)], ...], BeforeValidator(words)]
Variable = Annotated[str, AfterValidator(_variable)]
Variables = dict[Variable, Annotated[str, AfterValidator(_without_nul)]]


class ModelSection(Section):
    """The weights: streamed into layers of their own, so they are not in the Dockerfile."""

    source: Annotated[str, Field(min_length=1)]
    """Folder, relative to pipeline.yaml; or a URL: s3://, gs://, az://, models:/, runs:/, hf://."""
    revision: str | None = None
    """Branch, tag or commit (hf://), version or alias (models:/); pipeline.lock pins what it means."""
    include: Words = ()
    """Patterns of the files to take; `*` goes across folders. Default: all."""
    exclude: Words = ()
    """Patterns of the files to leave out."""
    delivery: Literal["layers", "image"] = "layers"
    """As layers of the image, or as an image of their own that the cluster mounts beside it: a KServe
    modelcar (`oci://`) or a Kubernetes image volume."""
    path: ImagePath | None = None
    """Folder in which the application finds them; default: /models/ and the image's name, with `delivery:
    image` /mnt/models, where KServe mounts them."""
    image: RepositoryName | None = None
    """Name of their own image, below each of the registries; default: the image's name and -model."""
    base: ImageReference | None = None
    """Image that their own image begins with, such as busybox: KServe's modelcar runs `sh` in it. Default:
    none, which is right for image volumes."""
    verify: bool = False
    """Read all weights again; default: files that have not changed since the last run are not read."""

    @field_validator("image", "base")
    @classmethod
    def _of_an_image(cls, value: str | None, said: ValidationInfo) -> str | None:
        if value is not None and said.data.get("delivery") == "layers":
            raise ValueError("this is of no use without `delivery: image`")
        return value


class SuiteSection(Section):
    """The project's own tests."""

    command: str | tuple[str, ...] = "pytest -q"
    """Command to run in the folder of pipeline.yaml, with .venv/bin first on the PATH if there is one."""
    timeout_s: Seconds = 1800
    """Time limit in seconds."""
    junit: str | None = None
    """JUnit XML file that the command writes (a glob is allowed); for pytest it comes by itself."""
    environment: Variables = Field(default={})
    """Variables to set for the command."""


class SecretSection(Section):
    """A secret for `RUN --mount=type=secret,id=…`: it reaches the build step, never a layer or a log."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    """Name that the Dockerfile uses."""
    environment: Variable | None = None
    """Environment variable that holds the secret."""
    file: Path | None = None
    """File that holds the secret, relative to pipeline.yaml."""

    @model_validator(mode="after")
    def _one_place(self) -> "SecretSection":
        if (self.environment is None) == (self.file is None):
            raise ValueError("say either `environment:` or `file:`")
        return self


class BuildSection(Section):
    """The application image: a Dockerfile, built by BuildKit."""

    context: Path = Path()
    """Folder that the Dockerfile copies from, relative to pipeline.yaml."""
    dockerfile: Path = Path("Dockerfile")
    """The Dockerfile, relative to the context."""
    target: str | None = None
    """Stage of the Dockerfile to build; default: the last."""
    platforms: Words = ()
    """Platforms such as linux/amd64; default: this machine's."""
    args: dict[str, str] = Field(default={})
    """Build arguments (`ARG` in the Dockerfile). They can be read from the image: no secrets here."""
    secrets: tuple[SecretSection, ...] = ()
    """Secrets for the build."""
    builder: str | None = None
    """Name of a buildx builder (docker-container, remote, kubernetes); default: the current one."""
    network: Literal["default", "none", "host"] = "default"
    """Network of the build's RUN steps."""
    compression: Literal["gzip", "zstd", "uncompressed"] = "gzip"
    """Compression of the layers that the Dockerfile adds; those of its base image stay as they are."""
    level: Annotated[int, Number] | None = None
    """How hard to compress: 1 to 9 for gzip, 1 to 19 for zstd; default: the compressor's own."""
    labels: dict[str, str] = Field(default={})
    """Labels beside those of the OCI image specification, which come by themselves."""

    @field_validator("level")
    @classmethod
    def _fits_compression(cls, level: int | None, information: ValidationInfo) -> int | None:
        compression = information.data.get("compression")
        if level is None or compression is None:
            return level
        if compression not in HIGHEST_LEVELS:
            raise ValueError("layers that are not compressed have no level; leave it out")
        if not 1 <= level <= HIGHEST_LEVELS[compression]:
            raise ValueError(f"expected 1 to {HIGHEST_LEVELS[compression]} for {compression}")
        return level


class DatabaseSection(Section):
    """The vulnerability database."""

    repositories: Words = ()
    """OCI repositories of Trivy's database, with tag or digest: one and its mirrors; default: Trivy's own."""
    java_repositories: Words = ()
    """The same for Trivy's index of JARs, which is fetched when there is one in the image."""
    maximum_age_days: Annotated[float, Field(gt=0, le=36_500, allow_inf_nan=False), Number] = 7
    """A database that was updated longer ago is an error."""
    update: bool = True
    """Fetch the database when it is missing or old; off: use the one in the cache."""


class ScanSection(Section):
    """The scan of the application layers."""

    trivy: str | None = None
    """The Trivy program; default: found on the PATH, or the one of the extra `trivy`."""
    database: DatabaseSection = DatabaseSection()
    """The vulnerability database."""
    registry_findings: bool = False
    """Count what the registries' own scanners found in the same digest too (ECR, Artifact Registry)."""
    timeout_s: Seconds = 600
    """Time limit in seconds."""


class BenchmarkSection(Section):
    """The load on the model server inside the image."""

    port: Annotated[int, Field(ge=1, le=65535), Number] = 8080
    """Port of the server in the container."""
    protocol: str = "v2"
    """How the server is spoken to: v2 (Open Inference Protocol: Triton, KServe, MLServer)."""
    model: str | None = None
    """Name of the model at the server; default: the image's name."""
    request: Path | None = None
    """JSON file with one inference request; default: zeros in the shape that the server says."""
    rate_rps: Annotated[float, Field(gt=0, le=10_000), Number] = 20
    """Requests per second, sent on a fixed schedule however slow the answers are."""
    duration_s: Seconds = 10
    """How long the load lasts."""
    warmup_s: Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False), Number] = 2
    """Load before the measurement that is not counted."""
    readiness_timeout_s: Seconds = 120
    """How long the server may take to be ready."""
    request_timeout_s: Seconds = 10
    """How long an answer may take before it counts as an error."""
    memory_limit: str | None = None
    """Memory limit of the container, such as 2g."""
    cpus: Annotated[float, Field(gt=0, allow_inf_nan=False), Number] | None = None
    """Number of processors that the container may use."""
    environment: Variables = Field(default={})
    """Variables to set in the container."""
    network: Literal["publish", "host"] = "publish"
    """How the port is reached: published on 127.0.0.1, or in the machine's own network."""


class PushSection(Section):
    """The push to the registries."""

    mount_from: Repositories = ()
    """Other repositories, of the same registries, that hold the weights already: mounted, not uploaded."""


class SkipSection(Section):
    """Stages to leave out, each with a reason; the policies see it."""

    test: str | None = None
    """Why there is no test."""
    scan: str | None = None
    """Why there is no scan."""
    benchmark: str | None = None
    """Why there is no benchmark."""
    update: str | None = None
    """Why no manifest is updated."""


class Config(Section):
    """What pipeline.yaml says: how one model image is delivered."""

    model_config = ConfigDict(title="Model Image Pipeline: pipeline.yaml")

    image: RepositoryName
    """Name of the image, below each of the registries."""
    registries: Registries = ()
    """Where to push: host[:port]/path, or a mapping; default: an OCI image layout folder beside the run."""
    insecure_registries: Words = ()
    """Hosts that are spoken to without TLS; this machine's own addresses need not be named."""
    tag: Tag | None = None
    """Tag of the image; default: the full commit hash, with -dirty when the work tree differs from it."""
    tags: Templates = ()
    """Tags of the image instead of `tag`, from {commit}, {short_commit}, {version} (git describe), {branch},
    {date} (the commit's) and {model_version}. The first one is what manifests get, and never moves; of the
    others, one without commit and version moves with every delivery."""
    model: ModelSection | None = None
    """The weights; without them the image is what the Dockerfile makes."""
    test: SuiteSection = SuiteSection()
    """The project's own tests."""
    build: BuildSection = BuildSection()
    """The application image."""
    scan: ScanSection = ScanSection()
    """The scan of the application layers."""
    benchmark: BenchmarkSection = BenchmarkSection()
    """The load on the model server inside the image."""
    push: PushSection = PushSection()
    """The push to the registries."""
    update: UpdateSection = UpdateSection()
    """The GitOps repository."""
    environments: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")], EnvironmentSection] = (
        Field(default={})
    )
    """Where the image is deployed to, by name (dev, prod), each with what differs from the rest of the file;
    chosen by `--environment`, and by `pipeline promote --from dev --to prod`."""
    policies: str | tuple[Any, ...] = "baseline"
    """What is allowed: a pack (baseline, production), a YAML file, or a list of rules."""
    skip: SkipSection = SkipSection()
    """Stages to leave out, each with a reason."""

    @field_validator("tags")
    @classmethod
    def _first_is_fixed(cls, tags: tuple[str, ...], others: ValidationInfo) -> tuple[str, ...]:
        if tags and others.data.get("tag") is not None:
            raise ValueError("say either `tag:` or `tags:`; the first of `tags` is what `tag` is")
        return tags and (require_fixed(tags[0]), *tags[1:])

    @field_validator("push")
    @classmethod
    def _same_registries(cls, push: PushSection, others: ValidationInfo) -> PushSection:
        hosts = {url_of(registry).partition("/")[0] for registry in others.data.get("registries", ())}
        for repository in push.mount_from:
            if hosts and repository.partition("/")[0] not in hosts:
                raise ValueError(
                    f"mount_from: {repository} is in none of the registries that are pushed to "
                    f"({', '.join(sorted(hosts))}), and a registry mounts only what it has itself"
                )
        return push

    @property
    def repositories(self) -> tuple[Repository, ...]:
        """The repository of the image in each registry."""
        return self._in_registries(self.image)

    @property
    def model_image(self) -> str | None:
        """The name of the weights' own image; None where they are layers of the application's."""
        if self.model is None or self.model.delivery == "layers":
            return None
        return self.model.image or f"{self.image}-model"

    @property
    def model_repositories(self) -> tuple[Repository, ...]:
        """The repository of the weights' own image in each registry, if they have one."""
        return () if self.model_image is None else self._in_registries(self.model_image)

    @property
    def registry_sections(self) -> dict[Repository, RegistrySection]:
        """The repositories of which more is said than where they are."""
        names = [name for name in (self.image, self.model_image) if name is not None]
        sections = [each for each in self.registries if isinstance(each, RegistrySection)]
        return {_in_registry(each, name): each for each in sections for name in names}

    def _in_registries(self, name: str) -> tuple[Repository, ...]:
        return tuple(_in_registry(registry, name) for registry in self.registries)

    @property
    def skipped(self) -> dict[str, str]:
        """The stages to leave out and the reasons."""
        return {name: reason for name, reason in self.skip if reason is not None}


def _in_registry(entry: str | RegistrySection, name: str) -> Repository:
    return Repository(f"{url_of(entry).rstrip('/')}/{name}")


def schema() -> dict[str, Any]:
    """Return the JSON schema of pipeline.yaml (draft 2020-12)."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema()}
