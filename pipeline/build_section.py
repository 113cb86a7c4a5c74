"""`build:` in pipeline.yaml: the application image."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from pipeline.cache_section import CacheEntry
from pipeline.section import Number, Section, Words
from pipeline.variables import Variable

HIGHEST_LEVELS = {"gzip": 9, "zstd": 19}  # above 19, zstd asks for more memory than every runtime gives


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
    cache: CacheEntry | None = None
    """Where the cache of the build's steps lies between machines: registry, gha, or a repository by its name;
    read by every build, written by deliveries alone. Default: each machine remembers its own steps."""
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
