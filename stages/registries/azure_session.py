"""Who we are to Azure: by azure-identity's own chain, or as the CI job by a federated credential."""

import logging
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipeline.errors import ConfigurationError
from stages.oci.web_tokens import claims_of
from stages.registries.acr_address import PUBLIC, AzureCloud
from stages.registries.extras import require
from stages.registries.federation import IdentityToken, identity_token
from stages.registries.options import LoginOptions

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

CLIENT, TENANT = "AZURE_CLIENT_ID", "AZURE_TENANT_ID"
AUTHORITY = "AZURE_AUTHORITY_HOST"
OTHER_WAYS = ("AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_FEDERATED_TOKEN_FILE")
SCOPE = "https://containerregistry.azure.net/.default"  # in every cloud
NAMES = ("upn", "unique_name", "preferred_username", "appid", "azp", "oid")
TIMEOUTS: Mapping[str, Any] = {
    "connection_timeout": 15,
    "read_timeout": 30,
}  # seconds; azure-core waits for minutes


@dataclass(slots=True, kw_only=True)
class AzureSession:
    """Who we are to Azure, for one registry host; found out when it is first asked."""

    host: str
    cloud: AzureCloud = PUBLIC
    login: LoginOptions = field(default_factory=LoginOptions)
    token: IdentityToken | None = None
    """The CI job's identity that was last shown to Entra."""
    name: str = ""
    """Who Entra says we are: a user's name, or the identifier of an application."""
    _credential: "TokenCredential | None" = field(default=None, repr=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def credential(self) -> "TokenCredential":
        """Return azure-identity's credential, which renews its tokens by itself.

        Raises:
            ToolMissing: azure-identity is not installed.
            PipelineError: the CI host does not give the job's identity, or `login:` is incomplete.
        """
        require("azure.identity", "azure", self.host)
        with self._lock:
            if self._credential is None:
                # it logs its failures to stderr where nobody has set logging up; they come as errors too
                logging.getLogger("azure").addHandler(logging.NullHandler())
                self._credential = self._find()
            return self._credential

    def access_token(self) -> str:
        """Return a token of Entra's for container registries.

        Raises:
            azure.core.exceptions.AzureError: Entra does not give one.
        """
        token = self.credential().get_token(SCOPE).token
        claims = claims_of(token)
        self.name = next((str(claims[name]) for name in NAMES if claims.get(name)), "")
        return token

    @property
    def origin(self) -> str:
        """Where the identity comes from, for people."""
        if self.token is not None:
            return f"{self.token.origin}, as a federated credential of Azure"
        return "the Azure credentials of this environment"

    def _find(self) -> "TokenCredential":
        from azure.identity import DefaultAzureCredential

        as_the_job = self._as_the_job()
        if as_the_job is not None:
            return as_the_job
        options: dict[str, Any] = {**self._authority, **TIMEOUTS}
        if self.login.client_id:
            options["managed_identity_client_id"] = self.login.client_id
        if self.login.tenant_id:
            options["workload_identity_tenant_id"] = self.login.tenant_id
        return DefaultAzureCredential(**options)

    def _as_the_job(self) -> "TokenCredential | None":
        """Return a credential that shows Entra a fresh token of the CI host whenever its own ends."""
        from azure.identity import ClientAssertionCredential

        login = self.login
        configured = any((login.client_id, login.tenant_id, login.id_token_variable, login.audience))
        if not configured and any(os.environ.get(name) for name in OTHER_WAYS):
            return None
        client, tenant = login.client_id or os.environ.get(CLIENT), login.tenant_id or os.environ.get(TENANT)
        if not configured and not (client and tenant):
            return None
        self.token = identity_token(login, self.cloud.audience)
        if self.token is None:
            return None
        if not (client and tenant):
            raise ConfigurationError(
                f"{self.host}: `login` does not say which identity of Azure the CI job is",
                advice=f"Write `login: {{client_id: …, tenant_id: …}}`, or set {CLIENT} and {TENANT}.",
            )
        return ClientAssertionCredential(
            tenant, client, self._loader(self.token), **self._authority, **TIMEOUTS
        )

    def _loader(self, first: IdentityToken) -> Callable[[], str]:
        waiting = [first]

        def load() -> str:
            token = waiting.pop() if waiting else identity_token(self.login, self.cloud.audience)
            self.token = token or self.token
            return self.token.value if self.token else ""

        return load

    @property
    def _authority(self) -> Mapping[str, str]:
        return {} if os.environ.get(AUTHORITY) else {"authority": self.cloud.authority}
