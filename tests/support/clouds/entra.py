"""Microsoft Entra: applications with secrets, federated credentials for CI jobs, tokens for registries."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs
from uuid import uuid4

import jwt

from tests.support.clouds.front import Asked
from tests.support.clouds.identity_provider import IdentityProvider
from tests.support.clouds.tokens import Signer
from tests.support.loopback import Reply, json_reply

HOST = "login.microsoftonline.com"
TENANT = "11111111-2222-3333-4444-555555555555"
AUDIENCE = "api://AzureADTokenExchange"
REGISTRIES = "https://containerregistry.azure.net"
DISCOVERY = f"https://{HOST}/{TENANT}/v2.0/.well-known/openid-configuration"
LIFETIME_S = 3600


@dataclass(frozen=True, slots=True)
class Application:
    """An application of the tenant, with a secret."""

    client_id: str = field(default_factory=lambda: str(uuid4()))
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    subject: str | None = None
    """The job that its federated credential names; None: it has none."""

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables that azure-identity reads."""
        return {**self.job_environment, "AZURE_CLIENT_SECRET": self.secret}

    @property
    def job_environment(self) -> Mapping[str, str]:
        """The same without a secret."""
        return {"AZURE_CLIENT_ID": self.client_id, "AZURE_TENANT_ID": TENANT}


@dataclass(slots=True)
class Entra:
    """Rules of Entra's front; everything that a test may change is a field."""

    signer: Signer = field(default_factory=lambda: Signer(f"https://sts.windows.net/{TENANT}/"))
    identity_provider: IdentityProvider = field(default_factory=IdentityProvider)
    before: Callable[[Asked], Reply | None] = lambda _: None
    """May answer in Entra's place, and so make it misbehave."""
    applications: dict[str, Application] = field(default_factory=dict)
    lifetime_s: int = LIFETIME_S
    """Of its tokens."""
    assertions: list[str] = field(default_factory=list)
    """What jobs have shown."""
    shown: list[str] = field(default_factory=list)
    """By what each token was asked for: `client_secret` or `client_assertion`."""

    def __call__(self, asked: Asked) -> Reply | None:
        if (reply := self.before(asked)) is not None:
            return reply
        if asked.path == "/common/discovery/instance":
            about = {"preferred_network": HOST, "preferred_cache": HOST, "aliases": [HOST]}
            return json_reply(200, {"tenant_discovery_endpoint": DISCOVERY, "metadata": [about]})
        tenant, _, rest = asked.path.removeprefix("/").partition("/")
        if tenant != TENANT:
            return refusal(90002, f"Tenant '{tenant}' not found.", status=400)
        if rest == "v2.0/.well-known/openid-configuration":
            return self._discovery()
        return self._token(parse_qs(asked.read().decode())) if rest == "oauth2/v2.0/token" else None

    def add(self, *, federated: bool = False) -> Application:
        """Make an application; a federated one trusts the job of the identity provider."""
        made = Application(subject=self.identity_provider.subject if federated else None)
        self.applications[made.client_id] = made
        return made

    def issue(self, application: Application, audience: str = REGISTRIES) -> str:
        """Return a token that says who an application is."""
        claims = {"oid": application.client_id, "appid": application.client_id, "tid": TENANT}
        return self.signer.sign(claims, audience, LIFETIME_S)

    def _discovery(self) -> Reply:
        base = f"https://{HOST}/{TENANT}"
        document = {
            "issuer": f"{base}/v2.0",
            "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
            "token_endpoint": f"{base}/oauth2/v2.0/token",
            "jwks_uri": f"{base}/discovery/v2.0/keys",
        }
        return json_reply(200, document)

    def _token(self, form: Mapping[str, list[str]]) -> Reply:
        (client_id,) = form["client_id"]
        application = self.applications.get(client_id)
        if application is None:
            text = f"Application with identifier '{client_id}' was not found in the directory 'Team'."
            return refusal(700016, text, status=400)
        by = "client_assertion" if "client_assertion" in form else "client_secret"
        self.shown.append(by)
        refused = (self._assertion if by == "client_assertion" else self._secret)(application, form[by][0])
        if refused is not None:
            return refused
        audience = form["scope"][0].split()[0].removesuffix("/.default")
        times = {"expires_in": self.lifetime_s, "ext_expires_in": self.lifetime_s}
        return json_reply(
            200, {"token_type": "Bearer", **times, "access_token": self.issue(application, audience)}
        )

    def _secret(self, application: Application, secret: str) -> Reply | None:
        if secret == application.secret:
            return None
        return refusal(7000215, "Invalid client secret provided. Ensure the secret being sent is the value.")

    def _assertion(self, application: Application, assertion: str) -> Reply | None:
        self.assertions.append(assertion)
        about = "No matching federated identity record found for presented assertion"
        try:
            claims = self.identity_provider.verified(assertion, AUDIENCE)
        except jwt.InvalidAudienceError:
            other = jwt.decode(assertion, options={"verify_signature": False})["aud"]
            return refusal(700212, f"{about} audience '{other}'. Please check your federated credential.")
        except jwt.ExpiredSignatureError:
            return refusal(700024, "Client assertion is not within its valid time range.")
        except jwt.InvalidTokenError:
            return refusal(700211, f"{about} issuer '{self.identity_provider.issuer}'.")
        if claims["sub"] != application.subject:
            return refusal(700213, f"{about} subject '{claims['sub']}'.")
        return None


def refusal(code: int, text: str, *, status: int = 401) -> Reply:
    """Return an error as Entra writes it."""
    trace = "Trace ID: 6a1f Correlation ID: 9b2c Timestamp: 2026-11-22 12:00:00Z"
    document = {
        "error": "invalid_client",
        "error_description": f"AADSTS{code}: {text} {trace}",
        "error_codes": [code],
    }
    return json_reply(status, document)
