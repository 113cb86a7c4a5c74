"""Google Artifact Registry's own API by its library: the few calls that a push needs, typed."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from pipeline.reference import Digest
from stages.oci.authentication import Credentials
from stages.registries.artifact_registry_address import ArtifactRegistryAddress
from stages.registries.extras import require
from stages.registries.google_refusals import refusal
from stages.registries.google_session import GoogleSession

if TYPE_CHECKING:
    from google.api_core.retry import Retry
    from google.cloud.artifactregistry_v1 import ArtifactRegistryClient

TO_PUSH = (
    "artifactregistry.repositories.uploadArtifacts",
    "artifactregistry.repositories.downloadArtifacts",
)
USERNAME = "oauth2accesstoken"
ANSWER_TIMEOUT_S = 30.0
PATIENCE_S = 20.0  # with an API that is busy

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogleRepository:
    """A repository as Artifact Registry describes it."""

    format: str
    """`DOCKER` for images."""
    mode: str
    """`STANDARD_REPOSITORY`, or one that takes no pushes."""
    immutable_tags: bool
    scans: bool
    """Google's scanner looks at what is pushed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogleImage:
    """An image as Artifact Registry describes it."""

    tags: tuple[str, ...] = ()
    media_type: str | None = None
    size_bytes: int | None = None
    uploaded_at: datetime | None = None


@dataclass(slots=True, kw_only=True)
class ArtifactRegistryApi:
    """The control plane behind one host. All methods raise PipelineError."""

    host: str
    session: GoogleSession = field(repr=False)
    _client: "ArtifactRegistryClient | None" = field(default=None, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def credentials(self) -> Credentials:
        """Return a new access token as a password, good for about an hour."""
        token = self._call("get an access token", self.session.access_token)
        return Credentials(
            username=USERNAME,
            secret=token.value,
            origin=self.session.origin,
            expires_at=token.expires_at,
            advice="Google gave this token a moment ago: look whether the account still exists, and whether "
            "an organization policy or a service perimeter keeps it out.",
        )

    def find_repository(self, address: ArtifactRegistryAddress) -> GoogleRepository | None:
        """Return a repository, or None where there is none."""
        from_google = self._find(
            "look for the repository",
            lambda client, retry: client.get_repository(
                name=address.resource, retry=retry, timeout=ANSWER_TIMEOUT_S
            ),
        )
        if from_google is None:
            return None
        scanning = from_google.vulnerability_scanning_config.enablement_state
        return GoogleRepository(
            format=_name(from_google.format_),
            mode=_name(from_google.mode),
            immutable_tags=from_google.docker_config.immutable_tags,
            scans=_name(scanning) == "SCANNING_ACTIVE",
        )

    def missing_permissions(self, address: ArtifactRegistryAddress) -> tuple[str, ...]:
        """Return what a push takes and this login may not do in a repository."""
        answer = self._find(
            "look at our permissions",
            lambda client, retry: client.test_iam_permissions(
                request={"resource": address.resource, "permissions": TO_PUSH},
                retry=retry,
                timeout=ANSWER_TIMEOUT_S,
            ),
        )
        allowed = answer.permissions if answer is not None else TO_PUSH
        return tuple(each for each in TO_PUSH if each not in allowed)

    def find_image(self, address: ArtifactRegistryAddress, digest: Digest) -> GoogleImage | None:
        """Return what Artifact Registry says of an image, or None where there is none of this digest."""
        name = address.image_resource(digest)
        found = self._find(
            "look for the image",
            lambda client, retry: client.get_docker_image(name=name, retry=retry, timeout=ANSWER_TIMEOUT_S),
        )
        if found is None:
            return None
        uploaded_at = found.upload_time
        return GoogleImage(
            tags=tuple(sorted(found.tags)),
            media_type=found.media_type or None,
            size_bytes=found.image_size_bytes or None,
            uploaded_at=datetime.fromtimestamp(uploaded_at.timestamp(), UTC) if uploaded_at else None,
        )

    def _find(self, doing: str, ask: "Callable[[ArtifactRegistryClient, Retry], T]") -> T | None:
        """Return what the API answers, or None where it says that there is no such thing."""

        def look() -> T | None:
            from google.api_core.exceptions import NotFound

            try:
                return ask(self._connected(), patience())
            except NotFound:
                return None

        return self._call(doing, look)

    def _call(self, doing: str, work: Callable[[], T]) -> T:
        require("google.cloud.artifactregistry_v1", "google", self.host)
        import requests
        from google.api_core.exceptions import GoogleAPIError
        from google.auth.exceptions import GoogleAuthError

        try:
            return work()
        except (GoogleAPIError, GoogleAuthError, requests.RequestException) as error:
            raise refusal(error, self.session, doing) from error

    def _connected(self) -> "ArtifactRegistryClient":
        from google.cloud.artifactregistry_v1 import ArtifactRegistryClient

        credentials = self.session.credentials()
        with self._lock:
            if self._client is None:
                # REST goes through requests, and so by HTTPS_PROXY, NO_PROXY and REQUESTS_CA_BUNDLE as the
                # push itself does; gRPC has variables of its own for each of them
                self._client = ArtifactRegistryClient(credentials=credentials, transport="rest")
            return self._client


def _name(value: object) -> str:
    """Return the name of an enumeration's value; one that this library does not know yet is a number."""
    return str(getattr(value, "name", value))


def patience() -> "Retry":
    """Return how an API of Google's that is busy is asked again."""
    from google.api_core import exceptions
    from google.api_core.retry import Retry, if_exception_type

    passing = if_exception_type(
        exceptions.TooManyRequests,
        exceptions.InternalServerError,
        exceptions.BadGateway,
        exceptions.ServiceUnavailable,
        exceptions.GatewayTimeout,
    )
    return Retry(predicate=passing, initial=0.5, maximum=8.0, timeout=PATIENCE_S)
