"""Azure Container Registry's own API: Entra's token for a registry's, and what the registry says it holds.

Source: Azure Container Registry, "Authenticate with a registry using Entra and OAuth" (AAD-OAuth).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlencode

from pipeline.errors import RemoteError, TemporaryRemoteError
from pipeline.reference import Digest, Tag
from stages.oci.authentication import Credentials
from stages.oci.exchange import Answer, Request, exchange, new_session
from stages.oci.web_tokens import lifetime_s
from stages.registries.azure_refusals import permission_missing, refusal
from stages.registries.azure_session import TIMEOUTS, AzureSession
from stages.registries.extras import require

if TYPE_CHECKING:
    from azure.containerregistry import ContainerRegistryClient

NOBODY = "00000000-0000-0000-0000-000000000000"
"""The user name that stands before a refresh token in a Basic login."""
ADDRESS = re.compile(r"client with IP '([^']+)'")
FIREWALLED = ("is not allowed access", "answered 403 Forbidden to /v2/")

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class AcrImage:
    """A manifest as ACR describes it."""

    digest: Digest
    tags: tuple[str, ...]
    size_bytes: int | None
    created_at: datetime | None
    locked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AcrApi:
    """One registry's own API. All methods raise PipelineError."""

    host: str
    session: AzureSession = field(repr=False)

    def credentials(self) -> Credentials:
        """Return a new refresh token, good for about three hours; the realm takes it as an identity token."""
        token = self.ask("log in", self.session.access_token)
        answer = self._exchange(token)  # which whoever asks the registry tries again
        value = answer.json().get("refresh_token")
        if answer.status != HTTPStatus.OK or not isinstance(value, str):
            raise self._not_let_in(answer)
        return Credentials(
            username=self.session.name or NOBODY,
            secret=value,
            origin=self.session.origin,
            identity_token=True,
            expires_at=_by_our_clock(value),
            advice="Azure gave this token a moment ago: `az acr check-health` says what is wrong.",
        )

    def is_writable(self, name: str) -> bool | None:
        """Tell whether a repository takes pushes; None where it does not exist."""
        found = self._find("look for the repository", lambda client: client.get_repository_properties(name))
        return None if found is None else found.can_write is not False

    def is_locked(self, name: str, tag: Tag) -> bool:
        """Tell whether a tag is there and cannot be moved: it, or the manifest that it names, is locked."""
        found = self._find("look for the tag", lambda client: client.get_tag_properties(name, str(tag)))
        return found is not None and found.can_write is False

    def find_image(self, name: str, digest: Digest) -> AcrImage | None:
        """Return what ACR says of a manifest, or None where there is none of this digest."""
        found = self._find(
            "look for the image", lambda client: client.get_manifest_properties(name, str(digest))
        )
        if found is None:
            return None
        return AcrImage(
            digest=Digest(found.digest),
            tags=tuple(sorted(found.tags or ())),
            size_bytes=found.size_in_bytes,
            created_at=found.created_on,
            locked=found.can_write is False,
        )

    def ask(self, doing: str, work: "Callable[[], T]") -> "T":
        """Return what `work` returns; what Azure's libraries raise becomes an error in words."""
        require("azure.identity", "azure", self.host)
        from azure.core.exceptions import AzureError

        try:
            return work()
        except AzureError as error:
            raise refusal(error, self.session, doing) from error

    def _find(self, doing: str, work: "Callable[[ContainerRegistryClient], T]") -> "T | None":
        require("azure.containerregistry", "azure", self.host)
        from azure.containerregistry import ContainerRegistryClient
        from azure.core.exceptions import ResourceNotFoundError

        def found() -> "T | None":
            credential = self.session.credential()
            with ContainerRegistryClient(f"https://{self.host}", credential, **TIMEOUTS) as client:
                try:
                    return work(client)
                except ResourceNotFoundError:
                    return None

        return self.ask(doing, found)

    def _exchange(self, token: str) -> Answer:
        form = {"grant_type": "access_token", "service": self.host, "access_token": token}
        request = Request(
            method="POST",
            url=f"https://{self.host}/oauth2/exchange",
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            body=urlencode(form).encode(),
        )
        with new_session() as session:
            answer = exchange(session, request)
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS or answer.status >= 500:
            raise TemporaryRemoteError(
                f"{self.host}: the registry's login says {answer.phrase}",
                advice="The registry is overloaded or down. Try again later.",
                retry_after_s=answer.retry_after_s,
            )
        return answer

    def _not_let_in(self, answer: Answer) -> RemoteError:
        if FIREWALLED[0] in (said := answer.content.decode(errors="replace")):
            return blocked(self.host, said)
        if answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            who = f"{self.session.name or 'us'} ({self.session.origin})"
            return permission_missing(self.session, f"Azure knows {who}, and the registry lets it do nothing")
        return RemoteError(
            f"{self.host} answered {answer.phrase} to a login with Azure's token",
            advice="Check that the host is a registry of Azure; `kind: generic` goes by `docker login` only.",
        )


def blocked(host: str, said: str) -> RemoteError:
    """Return the error for a registry whose firewall does not let this machine through."""
    registry = host.partition(".")[0].partition("-")[0]
    found = ADDRESS.search(said)
    address = found[1] if found else "ADDRESS"
    return RemoteError(
        f"{host}: the registry's firewall does not let this machine through",
        advice="Run where its network rules allow it (a runner in the virtual network), or allow this "
        f"address:\naz acr network-rule add --name {registry} --ip-address {address}",
    )


def _by_our_clock(token: str) -> datetime | None:
    """Return when a token ends, its life counted from now: the registry's clock and ours may differ."""
    seconds = lifetime_s(token)
    return None if seconds is None else datetime.now(UTC) + timedelta(seconds=seconds)
