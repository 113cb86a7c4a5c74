"""What the configuration says of one repository, beside where it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

from pipeline.errors import ConfigurationError

Kind = Literal["generic", "ecr", "artifact_registry", "acr"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginOptions:
    """Who the CI job is to the cloud; without any of these the cloud's own default chain decides."""

    role: str | None = None
    """Amazon: the role to assume with the job's identity token."""
    provider: str | None = None
    """Google: the provider of the workload identity pool that knows the CI host."""
    service_account: str | None = None
    """Google: the account that the job acts as; default: the job itself has the rights."""
    client_id: str | None = None
    """Azure: the application or managed identity that the job is; default: AZURE_CLIENT_ID."""
    tenant_id: str | None = None
    """Azure: the directory that knows it; default: AZURE_TENANT_ID."""
    audience: str | None = None
    """What the identity token is made for; default: what the cloud expects."""
    id_token_variable: str | None = None
    """Environment variable that holds the token, as GitLab's `id_tokens` do; default: GitHub is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryOptions:
    """How a repository is made ready; None and empty leave it to the registry."""

    kind: Kind | None = None
    """What the registry is; default: by its host."""
    create: bool = False
    """A repository that is missing is made, with what follows."""
    immutable: bool | None = None
    scan_on_push: bool | None = None
    encryption: str | None = None
    """`AES256`, `KMS`, or the name of a key."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Of the repository, for its bill and its access rules."""
    lifecycle: Path | None = None
    """File with the registry's own lifecycle policy."""
    login: LoginOptions = LoginOptions()

    @property
    def said(self) -> tuple[str, ...]:
        """The keys that ask for something, those below `login` with its name."""
        own = (each.name for each in fields(self) if each.name not in {"kind", "login"})
        login = (each.name for each in fields(self.login))
        return (
            *(name for name in own if getattr(self, name)),
            *(f"login.{name}" for name in login if getattr(self.login, name)),
        )

    def refuse_others(self, registry: str, known: frozenset[str], advice: str) -> None:
        """Refuse what a registry has no use for: whoever wrote it counts on it.

        Raises:
            ConfigurationError: there is such a key.
        """
        others = [f"`{name}`" for name in self.said if name not in known]
        if others:
            raise ConfigurationError(f"registries: {registry} has no {', '.join(others)}", advice=advice)


REPOSITORY = frozenset({"create", "immutable", "scan_on_push", "encryption", "tags", "lifecycle"})
FEDERATION = frozenset({"login.audience", "login.id_token_variable"})
AMAZON = FEDERATION | {"login.role"}
GOOGLE = FEDERATION | {"login.provider", "login.service_account"}
AZURE = FEDERATION | {"login.client_id", "login.tenant_id"}
