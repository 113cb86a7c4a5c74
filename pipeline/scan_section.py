"""`scan:` in pipeline.yaml: the scanners, their programs and their database."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from pipeline.section import Number, Seconds, Section, Words, words

Sha256 = Annotated[str, Field(pattern=r"^[0-9A-Fa-f]{64}$")]
Subjects = Annotated[tuple[Literal["secrets", "licenses", "misconfigurations"], ...], BeforeValidator(words)]

Lists = Annotated[tuple[Literal["cyclonedx", "spdx"], ...], BeforeValidator(words)]


class ProgramSection(Section):
    """A program, and what it has to be."""

    program: str | None = None
    """Its path, relative to pipeline.yaml, or its name on the PATH; default: as without the mapping."""
    sha256: Sha256 | None = None
    """Its SHA-256; it is compared before the program is started."""


def _form(value: object) -> str:
    return "ProgramSection" if isinstance(value, dict | ProgramSection) else "program"


def _form_or_switch(value: object) -> str:
    return "switch" if isinstance(value, bool) else _form(value)


_Program = Annotated[str, Tag("program")] | Annotated[ProgramSection, Tag("ProgramSection")]
Program = Annotated[_Program, Discriminator(_form)]
ProgramOrSwitch = Annotated[Annotated[bool, Tag("switch")] | _Program, Discriminator(_form_or_switch)]


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

    scanner: str = "trivy"
    """Who looks for vulnerabilities: trivy, or the name of a scanner that an installed package brings."""
    trivy: Program | None = None
    """The Trivy program, or a mapping with its checksum; default: found on the PATH, or the one of the extra
    `trivy`."""
    look_for: Subjects = ()
    """What Trivy looks for beside vulnerabilities: secrets, licenses, misconfigurations."""
    known_exploited: str | None = None
    """CISA's known_exploited_vulnerabilities.json: a file, relative to pipeline.yaml, or an https URL;
    findings that it names say so."""
    hadolint: ProgramOrSwitch = "auto"
    """The linter of the Dockerfile: auto (where it is installed), true (or it is an error), false, the
    program, or a mapping with its checksum."""
    sbom: Lists = ("cyclonedx", "spdx")
    """Lists of what the image and its model are made of: cyclonedx, spdx; `[]` for none."""
    baseline: Literal["deployed"] | None = None
    """deployed: look up the image that the manifests name now too, and tell what is new since."""
    model_files: bool = True
    """Look into the model's files, and into those that a Dockerfile copies into the image; remote ones are
    fetched for it, unless their content is known from an earlier scan."""
    database: DatabaseSection = DatabaseSection()
    """The vulnerability database."""
    registry_findings: bool = False
    """Count what the registries' own scanners found in the same digest too (ECR, Artifact Registry)."""
    timeout_s: Seconds = 600
    """Time limit in seconds."""
