"""What pipeline.yaml says of a registry: a host with a path, or a mapping that says more."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from pipeline.reference import Repository
from pipeline.section import Section


def _registry(value: str) -> str:
    try:
        Repository(f"{value.rstrip('/')}/model")
    except ValueError:
        raise ValueError(
            "expected a registry such as registry.example.com:5000/team (the path in lower case)"
        ) from None
    return value


RegistryName = Annotated[str, AfterValidator(_registry)]


class LoginSection(Section):
    """Who the CI job is to the cloud; without any of these its own default chain decides."""

    role: str | None = None
    """Amazon: ARN of the role that the job assumes with its identity token."""
    provider: str | None = None
    """Google: projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER."""
    service_account: str | None = None
    """Google: e-mail of the service account to act as; default: the job itself has the rights."""
    client_id: str | None = None
    """Azure: the application or managed identity that the job is; default: AZURE_CLIENT_ID."""
    tenant_id: str | None = None
    """Azure: the directory (tenant) that knows it; default: AZURE_TENANT_ID."""
    audience: str | None = None
    """Audience that the identity token is made for; default: what the cloud expects."""
    id_token_variable: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    """Variable that holds the identity token (GitLab's `id_tokens`); default: GitHub is asked for one."""


class RegistrySection(Section):
    """A registry, and how the repository in it is made ready."""

    url: RegistryName
    """Where to push: host[:port]/path."""
    kind: Literal["generic", "ecr", "artifact_registry", "acr"] | None = None
    """What the registry is; default: recognised by its host."""
    create: bool = False
    """Make the repository where it is missing, with what follows."""
    immutable: bool | None = None
    """Tags of the new repository cannot be moved; default: the registry's own."""
    scan_on_push: bool | None = None
    """The registry scans what is pushed to the new repository; default: the registry's own."""
    encryption: str | None = None
    """Encryption of the new repository: AES256, KMS, or the name of a key."""
    tags: dict[str, str] = Field(default={})
    """Tags of the new repository, for its bill and its access rules."""
    lifecycle: Path | None = None
    """File with the new repository's lifecycle policy, as the registry writes it."""
    login: LoginSection = LoginSection()
    """Who the CI job is to the registry's cloud."""


def _form(value: object) -> str:
    return "RegistrySection" if isinstance(value, dict | RegistrySection) else "host"


RegistryEntry = Annotated[
    Annotated[RegistryName, Tag("host")] | Annotated[RegistrySection, Tag("RegistrySection")],
    Discriminator(_form),
]


def url_of(entry: str | RegistrySection) -> str:
    """Return where an entry pushes to."""
    return entry.url if isinstance(entry, RegistrySection) else entry
