"""Google's control plane: token services, service accounts, and Artifact Registry's API as REST.

The real libraries speak to it: answers are written by the proto-plus types of google-cloud-artifact-registry,
signatures are verified, and a permission that an account does not have is refused by its name.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, unquote

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.cloud import artifactregistry_v1

from tests.support.clouds.container_analysis import LIST, ContainerAnalysis
from tests.support.clouds.front import Asked
from tests.support.clouds.identity_provider import IdentityProvider
from tests.support.loopback import Reply, json_reply

PROJECT, NUMBER = "demo", "123456789012"
POOL = f"projects/{NUMBER}/locations/global/workloadIdentityPools/ci/providers/github"
AUDIENCE = f"https://iam.googleapis.com/{POOL}"
API_HOSTS = (
    "artifactregistry.googleapis.com",
    "containeranalysis.googleapis.com",
    "oauth2.googleapis.com",
    "sts.googleapis.com",
    "iamcredentials.googleapis.com",
    "cloudresourcemanager.googleapis.com",
)
LIFETIME_S = 3600
TOO_LONG_S = 3600 + 300  # a signed statement may not live longer
GET, UPLOAD = "artifactregistry.repositories.get", "artifactregistry.repositories.uploadArtifacts"
DOWNLOAD, IMAGE = "artifactregistry.repositories.downloadArtifacts", "artifactregistry.dockerimages.get"
CREATE = "artifactregistry.repositories.createOnPush"
WRITER = frozenset({GET, UPLOAD, DOWNLOAD, IMAGE})
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
NO_LOGIN = (
    "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other "
    "valid authentication credential."
)

Answer = Callable[[Asked], Reply | None]


@dataclass(slots=True)
class Account:
    """Somebody whom Google knows, and what he may do."""

    email: str
    permissions: set[str] = field(default_factory=lambda: set(WRITER))
    key: rsa.RSAPrivateKey = field(
        default_factory=lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048), repr=False
    )

    @property
    def document(self) -> Mapping[str, str]:
        """What the console gives as a service account's key file."""
        pem = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return {
            "type": "service_account",
            "project_id": PROJECT,
            "private_key_id": "1",
            "private_key": pem.decode(),
            "client_email": self.email,
            "client_id": "1",
            "token_uri": "https://oauth2.googleapis.com/token",
        }


@dataclass(slots=True)
class GoogleImage:
    """An image that was pushed, as Artifact Registry keeps account of it."""

    media_type: str
    size_bytes: int
    tags: set[str] = field(default_factory=set)
    uploaded_at: datetime = field(default_factory=lambda: datetime.now(UTC))


class Refusal(Exception):
    """An answer of the API that is an error."""

    def __init__(self, status: int, name: str, message: str, reason: str | None = None) -> None:
        super().__init__(message)
        details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}] if reason else []
        error = {"code": status, "status": name, "message": message, "details": details}
        self.reply = json_reply(status, {"error": error})


@dataclass(slots=True)
class Google:
    """Rules for the front; everything that a test may change is a field."""

    accounts: dict[str, Account] = field(default_factory=dict)
    repositories: dict[str, artifactregistry_v1.Repository] = field(default_factory=dict)
    images: dict[tuple[str, str, str], GoogleImage] = field(default_factory=dict)
    """By repository, name below it, and digest."""
    analysis: ContainerAnalysis = field(default_factory=ContainerAnalysis)
    """What was found in images."""
    identity_provider: IdentityProvider = field(default_factory=IdentityProvider)
    job: Account = field(default_factory=lambda: Account(f"principal://iam.googleapis.com/{POOL}"))
    """The CI job, where it does not act as a service account."""
    refresh_tokens: dict[str, str] = field(default_factory=dict)
    """Of people: whose they are."""
    tokens: dict[str, Account] = field(default_factory=dict)
    """Access tokens, and tokens of the registry, that are good now."""
    token_lifetime_s: int = LIFETIME_S
    before: Answer = lambda _: None
    """May answer in Google's place, and so make it misbehave."""
    shown: list[str] = field(default_factory=list)
    """Identity tokens that CI jobs have shown."""
    calls: list[str] = field(default_factory=list)
    """What was asked for: `GetRepository`, `token`, and so on."""

    def __call__(self, asked: Asked) -> Reply | None:
        path = unquote(asked.path.replace("%2F", "%252F"))  # as Google decodes paths: all but slashes
        for pattern, name, rule in self._rules():
            found = re.fullmatch(pattern, f"{asked.method} {asked.host}{path}")
            if found is not None:
                self.calls.append(name)
                try:
                    return self.before(asked) or rule(asked, found)
                except Refusal as refusal:
                    return refusal.reply
        return None

    def make_account(self, *, permissions: frozenset[str] = WRITER) -> Account:
        """Make a service account."""
        account = Account(f"push-{secrets.token_hex(4)}@{PROJECT}.iam.gserviceaccount.com", set(permissions))
        self.accounts[account.email] = account
        return account

    def make_repository(
        self, location: str, name: str, *, form: str = "DOCKER", immutable: bool = False, mode: int = 1
    ) -> artifactregistry_v1.Repository:
        """Make a repository."""
        resource = f"projects/{PROJECT}/locations/{location}/repositories/{name}"
        self.repositories[resource] = artifactregistry_v1.Repository(
            name=resource, format_=form, mode=mode, docker_config={"immutable_tags": immutable}
        )
        return self.repositories[resource]

    def mint(self, account: Account) -> str:
        """Return a new access token."""
        token = f"ya29.{secrets.token_urlsafe(40)}"
        self.tokens[token] = account
        return token

    def expire_tokens(self) -> None:
        """Let every token that was given so far end now."""
        self.tokens.clear()

    def whose(self, token: str) -> Account | None:
        """Return whose an access token is; also one that a service account has signed itself."""
        if token.count(".") == 2:
            try:
                return self._signed(token)
            except Refusal:
                return None
        return self.tokens.get(token)

    def account_of_key(self, text: str) -> Account | None:
        """Return the service account whose key file this is; None where it is not its key."""
        try:
            document = json.loads(text)
            account = self.accounts[document["client_email"]]
        except (ValueError, KeyError):
            return None
        return account if document["private_key"] == account.document["private_key"] else None

    def note(self, repository: str, image: str, digest: str, tag: str | None, made: GoogleImage) -> None:
        """Keep account of an image that was pushed; a tag that was elsewhere moves."""
        there = self.images.setdefault((repository, image, digest), made)
        if tag is not None:
            for (where, name, _), each in self.images.items():
                if (where, name) == (repository, image):
                    each.tags.discard(tag)
            there.tags.add(tag)

    def _rules(self) -> tuple[tuple[str, str, Callable[[Asked, re.Match[str]], Reply]], ...]:
        api = r"artifactregistry\.googleapis\.com/v1/(projects/[^/]+/locations/[^/]+/repositories/[^/]+)"
        return (
            (rf"GET {api}", "GetRepository", self._get_repository),
            (rf"POST {api}:testIamPermissions", "TestIamPermissions", self._test_permissions),
            (rf"GET {api}/dockerImages/(.+)@(sha256:\w+)", "GetDockerImage", self._get_image),
            (
                r"GET containeranalysis\.googleapis\.com/v1/(projects/[^/]+)/occurrences",
                "ListOccurrences",
                self._list_occurrences,
            ),
            (r"POST oauth2\.googleapis\.com/token", "token", self._token),
            (r"POST sts\.googleapis\.com/v1/token", "exchange", self._exchange),
            (
                r"POST iamcredentials\.googleapis\.com/v1/.+/serviceAccounts/(.+):generateAccessToken",
                "generateAccessToken",
                self._impersonate,
            ),
            (r"GET iamcredentials\.googleapis\.com/v1/.+/allowedLocations", "allowedLocations", _anywhere),
            (r"GET cloudresourcemanager\.googleapis\.com/.+", "GetProject", self._no_project),
        )

    def _get_repository(self, asked: Asked, found: re.Match[str]) -> Reply:
        self._require(asked, GET, found[1])
        if found[1] not in self.repositories:
            raise Refusal(404, "NOT_FOUND", "Requested entity was not found.")
        text = artifactregistry_v1.Repository.to_json(self.repositories[found[1]])
        return Reply(200, {"Content-Type": "application/json"}, text.encode())

    def _get_image(self, asked: Asked, found: re.Match[str]) -> Reply:
        self._require(asked, IMAGE, found[1])
        there = self.images.get((found[1], found[2].replace("%2F", "/"), found[3]))
        if there is None:
            raise Refusal(404, "NOT_FOUND", "Requested entity was not found.")
        image = artifactregistry_v1.DockerImage(
            name=found[0].partition("/v1/")[2],
            tags=sorted(there.tags),
            image_size_bytes=there.size_bytes,
            media_type=there.media_type,
            upload_time=there.uploaded_at,
        )
        text = artifactregistry_v1.DockerImage.to_json(image)
        return Reply(200, {"Content-Type": "application/json"}, text.encode())

    def _list_occurrences(self, asked: Asked, found: re.Match[str]) -> Reply:
        self._require(asked, LIST, found[1])
        return self.analysis.answer(asked)

    def _test_permissions(self, asked: Asked, found: re.Match[str]) -> Reply:
        del found
        wanted = json.loads(asked.read())["permissions"]
        return json_reply(
            200, {"permissions": [each for each in wanted if each in self._caller(asked).permissions]}
        )

    def _require(self, asked: Asked, permission: str, resource: str) -> None:
        if permission not in self._caller(asked).permissions:
            what = f"//{asked.host}/{resource}"
            said = f"Permission '{permission}' denied on resource '{what}' (or it may not exist)."
            raise Refusal(403, "PERMISSION_DENIED", said, "IAM_PERMISSION_DENIED")

    def _caller(self, asked: Asked) -> Account:
        account = self.whose(asked.headers.get("Authorization", "").removeprefix("Bearer "))
        if account is None:
            raise Refusal(401, "UNAUTHENTICATED", NO_LOGIN)
        return account

    def _token(self, asked: Asked, found: re.Match[str]) -> Reply:
        del found
        form = _form(asked)
        if form["grant_type"] == "refresh_token":
            email = self.refresh_tokens.get(form["refresh_token"])
            if email is None:
                return _oauth_refusal("invalid_grant", "Token has been expired or revoked.")
            return self._given(Account(email))
        try:
            return self._given(self._signed(form["assertion"]))
        except Refusal as refusal:
            return _oauth_refusal("invalid_grant", str(refusal))

    def _exchange(self, asked: Asked, found: re.Match[str]) -> Reply:
        """Take a CI job's identity token, as the security token service does."""
        del found
        form = _form(asked)
        self.shown.append(form["subject_token"])
        if form["audience"] != f"//iam.googleapis.com/{POOL}":
            said = 'The target service indicated by the "audience" parameters is invalid.'
            return _oauth_refusal("invalid_target", said)
        try:
            claims = self.identity_provider.verified(form["subject_token"], AUDIENCE)
        except jwt.InvalidAudienceError:
            claims = jwt.decode(form["subject_token"], options={"verify_signature": False})
            said = (
                f"The audience in ID Token [{claims['aud']}] does not match the expected audience {AUDIENCE}."
            )
            return _oauth_refusal("invalid_grant", said)
        except jwt.InvalidTokenError as error:
            return _oauth_refusal(
                "invalid_grant", f"Error connecting to the given credential's issuer: {error}"
            )
        if claims["sub"] != self.identity_provider.subject:
            said = "The given credential is rejected by the attribute condition."
            return _oauth_refusal("unauthorized_client", said)
        return self._given(self.job, issued_token_type="urn:ietf:params:oauth:token-type:access_token")

    def _impersonate(self, asked: Asked, found: re.Match[str]) -> Reply:
        caller, account = self._caller(asked), self.accounts.get(found[1])
        if account is None or f"act as {account.email}" not in caller.permissions:
            said = "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist)."
            raise Refusal(403, "PERMISSION_DENIED", said, "IAM_PERMISSION_DENIED")
        ends_at = datetime.now(UTC) + timedelta(seconds=self.token_lifetime_s)
        return json_reply(
            200, {"accessToken": self.mint(account), "expireTime": ends_at.strftime("%Y-%m-%dT%H:%M:%SZ")}
        )

    def _no_project(self, asked: Asked, found: re.Match[str]) -> Reply:
        """Tell nobody a project's name: google-auth asks for it, and can do without."""
        del asked, found
        raise Refusal(403, "PERMISSION_DENIED", "The caller does not have permission")

    def _given(self, account: Account, **more: str) -> Reply:
        answer = {"access_token": self.mint(account), "expires_in": self.token_lifetime_s}
        return json_reply(200, {**answer, "token_type": "Bearer", **more})

    def _signed(self, assertion: str) -> Account:
        """Return who has signed a statement.

        Raises:
            Refusal: nobody whom we know, or not now.
        """
        try:
            claims = jwt.decode(assertion, options={"verify_signature": False})
            account = self.accounts[claims["iss"]]
        except (jwt.InvalidTokenError, KeyError):
            raise Refusal(400, "", "Invalid grant: account not found") from None
        try:
            jwt.decode(
                assertion, account.key.public_key(), ["RS256"], options={"verify_aud": False}, leeway=60
            )
        except jwt.InvalidSignatureError:
            raise Refusal(400, "", "Invalid JWT Signature.") from None
        except jwt.InvalidTokenError:
            raise Refusal(400, "", _UNREASONABLE) from None
        if claims["exp"] - time.time() > TOO_LONG_S:
            raise Refusal(400, "", _UNREASONABLE)
        return account


_UNREASONABLE = (
    "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your "
    "iat and exp values in the JWT claim."
)


def basic(header: str) -> tuple[str, str]:
    """Return user and password of a Basic Authorization header; empty where it is none."""
    try:
        text = base64.b64decode(header.removeprefix("Basic "), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    user, _, password = text.partition(":")
    return user, password


def _anywhere(asked: Asked, found: re.Match[str]) -> Reply:
    """Keep no account to some regions: google-auth asks on the side."""
    del asked, found
    return json_reply(200, {"locations": [], "encodedLocations": "0x0"})


def _form(asked: Asked) -> Mapping[str, str]:
    return {name: values[0] for name, values in parse_qs(asked.read().decode()).items()}


def _oauth_refusal(code: str, description: str) -> Reply:
    return json_reply(400, {"error": code, "error_description": description})
