"""Clients of Amazon's services: by boto3's own chain, or as the CI job by the role that trusts it."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stages.registries.extras import require
from stages.registries.federation import IdentityToken, identity_token
from stages.registries.options import LoginOptions

if TYPE_CHECKING:
    import boto3

AUDIENCE = "sts.amazonaws.com"
SESSION_NAME = "model-image-pipeline"  # stands in CloudTrail beside the role
ATTEMPTS = 5


@dataclass(slots=True, kw_only=True)
class AwsSession:
    """Who we are to AWS, for one registry host; found out when it is first asked."""

    host: str
    region: str
    login: LoginOptions = field(default_factory=LoginOptions)
    fips: bool = False
    dual_stack: bool = False
    token: IdentityToken | None = None
    """The CI job's identity that was last shown to AWS."""
    _clients: dict[str, Any] = field(default_factory=dict)  # boto3 makes its clients' classes at run time
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def client(self, service: str) -> Any:
        """Return boto3's client for a service, which renews the credentials by itself.

        Raises:
            ToolMissing: boto3 is not installed.
            PipelineError: the CI host does not give the job's identity.
            botocore.exceptions.BotoCoreError: a profile is named and cannot be read.
        """
        require("boto3", "aws", self.host)
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._make(service)
            return self._clients[service]

    @property
    def known_regions(self) -> tuple[str, ...]:
        """The regions that boto3 knows, of all partitions."""
        require("boto3", "aws", self.host)
        import boto3

        session = boto3.Session()
        partitions = session.get_available_partitions()
        return tuple(region for each in partitions for region in session.get_available_regions("ecr", each))

    def _make(self, service: str) -> Any:
        from botocore.config import Config

        config = Config(
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            connect_timeout=15,
            read_timeout=30,
            use_fips_endpoint=self.fips or None,
            use_dualstack_endpoint=self.dual_stack or None,
            user_agent_extra="model-image-pipeline",
        )
        return self._session().client(service, region_name=self.region, config=config)

    def _session(self) -> "boto3.Session":
        import boto3

        self.token = identity_token(self.login, AUDIENCE) if self.login.role else None
        return boto3.Session() if self.token is None else self._as_the_job(self.token)

    def _as_the_job(self, first: IdentityToken) -> "boto3.Session":
        """Return a session that shows AWS a fresh token of the CI host whenever its credentials end."""
        import boto3
        import botocore.session
        from botocore.credentials import (
            AssumeRoleWithWebIdentityCredentialFetcher,
            DeferredRefreshableCredentials,
        )

        core = botocore.session.get_session()
        core.set_config_variable("region", self.region)  # of STS
        fetcher = AssumeRoleWithWebIdentityCredentialFetcher(
            client_creator=core.create_client,
            web_identity_token_loader=self._loader(first),
            role_arn=self.login.role,
            extra_args={"RoleSessionName": SESSION_NAME},
        )
        # as boto3's own provider for AWS_WEB_IDENTITY_TOKEN_FILE does, but for a token that is in no file
        core._credentials = DeferredRefreshableCredentials(
            method="assume-role-with-web-identity", refresh_using=fetcher.fetch_credentials
        )
        return boto3.Session(botocore_session=core)

    def _loader(self, first: IdentityToken) -> Callable[[], str]:
        waiting = [first]

        def load() -> str:
            token = waiting.pop() if waiting else identity_token(self.login, AUDIENCE)
            self.token = token or self.token
            return self.token.value if self.token else ""

        return load
