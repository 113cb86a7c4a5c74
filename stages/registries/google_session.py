"""Who we are to Google: its application default credentials, or the CI job by its own identity."""

import re
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipeline.errors import ConfigurationError
from stages.registries.federation import IdentityToken, identity_token
from stages.registries.options import LoginOptions

if TYPE_CHECKING:
    from google.auth.credentials import Credentials as GoogleCredentials
    from google.auth.identity_pool import SubjectTokenSupplier

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
TOKEN_TYPE = "urn:ietf:params:oauth:token-type:jwt"  # noqa: S105 - the name of a kind of tokens
STS = "https://sts.googleapis.com/v1/token"
ACCOUNTS = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts"
PROVIDER = re.compile(
    r"(?:(?:https:)?//iam\.googleapis\.com/)?"
    r"(projects/\d+/locations/global/workloadIdentityPools/[\w-]+/providers/[\w-]+)"
)


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What Google's services let in; `expires_at` by this machine's clock."""

    value: str = field(repr=False)
    expires_at: datetime | None


@dataclass(slots=True, kw_only=True)
class GoogleSession:
    """Who we are to Google, for one registry host; found out when it is first asked."""

    host: str
    login: LoginOptions = field(default_factory=LoginOptions)
    token: IdentityToken | None = None
    """The CI job's identity that was last shown to Google."""
    _credentials: "GoogleCredentials | None" = None
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            ConfigurationError: the provider's name is incomplete, or is missing beside a service account.
        """
        if self.login.service_account and not self.login.provider:
            raise ConfigurationError(
                f"registries: `login` of {self.host} names a service account and no provider",
                advice="Add `provider:`, or leave both out: then Google's default credentials decide.",
            )
        if self.login.provider and not PROVIDER.fullmatch(self.login.provider):
            raise ConfigurationError(
                f"registries: {self.login.provider!r} is not the full name of a workload identity provider",
                advice="It is projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/NAME; "
                "`gcloud iam workload-identity-pools providers describe … --format='value(name)'` shows it.",
            )

    def credentials(self) -> "GoogleCredentials":
        """Return google-auth's credentials, which renew themselves.

        Raises:
            PipelineError: the CI host does not give the job's identity.
            google.auth.exceptions.GoogleAuthError: there are none, or they cannot be read.
        """
        with self._lock:
            if self._credentials is None:
                self._credentials = self._find()
            return self._credentials

    def access_token(self) -> AccessToken:
        """Return a new token.

        Raises:
            google.auth.exceptions.GoogleAuthError: Google does not give one.
        """
        credentials = self.credentials()
        from google.auth.transport.requests import Request

        with self._lock:
            credentials.refresh(Request())
            ends_at = credentials.expiry
            return AccessToken(str(credentials.token), ends_at.replace(tzinfo=UTC) if ends_at else None)

    @property
    def provider(self) -> str:
        """The provider's resource name; empty where none is configured."""
        found = PROVIDER.fullmatch(self.login.provider or "")
        return found[1] if found else ""

    @property
    def audience(self) -> str:
        """What the CI job's identity token is made for."""
        return self.login.audience or f"https://iam.googleapis.com/{self.provider}"

    @property
    def origin(self) -> str:
        """Where the credentials come from, for people."""
        if self.token is not None:
            who = self.login.service_account or self.provider.rpartition("/")[2]
            return f"{who}, by {self.token.origin}"
        who = f" of {self.account}" if self.account else ""
        return f"Google's application default credentials{who}"

    @property
    def account(self) -> str:
        """The service account of the credentials that were found; empty where they are of none."""
        found = str(getattr(self._credentials, "service_account_email", None) or "")
        return "" if found == "default" else found

    def _find(self) -> "GoogleCredentials":
        import google.auth

        self.token = identity_token(self.login, self.audience) if self.provider else None
        if self.token is not None:
            return self._as_the_job(self.token)
        found: GoogleCredentials = google.auth.default(scopes=[SCOPE])[0]
        return found

    def _as_the_job(self, first: IdentityToken) -> "GoogleCredentials":
        """Return credentials that show Google a fresh token of the CI host whenever they end."""
        from google.auth import identity_pool

        account = self.login.service_account
        return identity_pool.Credentials(
            audience=f"//iam.googleapis.com/{self.provider}",
            subject_token_type=TOKEN_TYPE,
            token_url=STS,
            subject_token_supplier=self._supplier(first),
            service_account_impersonation_url=f"{ACCOUNTS}/{account}:generateAccessToken"
            if account
            else None,
            scopes=[SCOPE],
        )

    def _supplier(self, first: IdentityToken) -> "SubjectTokenSupplier":
        from google.auth.identity_pool import SubjectTokenSupplier

        session, waiting = self, [first]

        class Supplier(SubjectTokenSupplier):
            def get_subject_token(self, context: object, request: object) -> str:
                """Return the job's identity token."""
                del context, request
                token = waiting.pop() if waiting else identity_token(session.login, session.audience)
                session.token = token or session.token
                return session.token.value if session.token else ""

        return Supplier()
