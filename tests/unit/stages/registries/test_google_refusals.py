from __future__ import annotations

import pytest
import requests
from google.api_core import exceptions as api
from google.auth import exceptions as auth

from pipeline.errors import ConfigurationError, PipelineError, RemoteError, TemporaryRemoteError
from stages.registries.cloud_errors import NoCloudLogin, PermissionMissing
from stages.registries.google_refusals import permission_missing, refusal
from stages.registries.google_session import GoogleSession

HOST = "us-docker.pkg.dev"
UPLOAD = "artifactregistry.repositories.uploadArtifacts"
NO_API = "Artifact Registry API has not been used in project demo-1 before or it is disabled. Enable it by"


def told(error: Exception) -> PipelineError:
    return refusal(error, GoogleSession(host=HOST), "look for the repository")


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (api.TooManyRequests("quota"), TemporaryRemoteError, "Google is busy (429: quota)"),
        (api.ServiceUnavailable("down"), TemporaryRemoteError, "Google is busy (503: down)"),
        (api.RetryError("", api.BadGateway("x")), TemporaryRemoteError, "Google is busy (502: x)"),
        (api.Unauthorized("no"), RemoteError, "does not accept its own token: no"),
        (api.BadRequest("odd"), RemoteError, "cannot look for the repository: 400: odd"),
        (api.Forbidden("because"), PermissionMissing, "cannot look for the repository: because"),
        (api.Forbidden(f"GET https://x/y: {NO_API}"), RemoteError, "API is disabled in project demo-1"),
        (
            api.Forbidden(f"Permission '{UPLOAD}' denied on resource 'x' (or it may not exist)."),
            PermissionMissing,
            f"Google does not allow {UPLOAD}",
        ),
        (auth.DefaultCredentialsError("none"), NoCloudLogin, "there are no Google credentials"),
        (auth.RefreshError("busy", retryable=True), TemporaryRemoteError, "token service is busy"),
        (auth.RefreshError("reauth related error (invalid_rapt)"), RemoteError, "has ended"),
        (auth.RefreshError("invalid_grant: Bad Request"), RemoteError, "gives no token for Google's"),
        (
            auth.OAuthError("Error code invalid_grant: ID Token issued at 1 is stale to sign-in."),
            RemoteError,
            "identity token had ended when Google saw it",
        ),
        (
            auth.OAuthError("Error code invalid_grant: The issuer in ID Token x is not the expected one"),
            RemoteError,
            "does not trust whoever signed",
        ),
        (
            auth.OAuthError("The size of mapped attribute google.subject exceeds the 127 bytes limit."),
            RemoteError,
            "is too long for Google",
        ),
        (auth.RefreshError("invalid_grant: Invalid JWT Signature."), RemoteError, "does not accept the key"),
        (auth.RefreshError("invalid_grant: account not found"), RemoteError, "Google knows no account"),
        (auth.OAuthError("Error code invalid_target: no"), RemoteError, "does not know the workload"),
        (auth.TransportError(requests.ConnectTimeout("x")), TemporaryRemoteError, "(ConnectTimeout)"),
        (auth.TransportError(requests.exceptions.SSLError("x")), RemoteError, "no trusted TLS connection"),
        (requests.ConnectionError("x"), TemporaryRemoteError, "could not be reached (ConnectionError)"),
        (auth.MutualTLSChannelError("odd"), RemoteError, "cannot look for the repository: odd"),
    ],
)
def test_an_error_of_googles_is_told_in_our_words(
    error: Exception, kind: type[PipelineError], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    found = told(error)
    assert type(found) is kind
    assert words in found.message
    assert found.advice


def test_a_credentials_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/x.json")
    found = told(auth.DefaultCredentialsError("File /x.json was not found."))
    assert isinstance(found, ConfigurationError)
    assert "File /x.json was not found." in found.message


def test_a_broken_answer_to_the_metadata_server_is_temporary() -> None:
    error = auth.RefreshError("Failed to retrieve http://metadata.google.internal/")
    error.__cause__ = auth.TransportError(requests.ConnectionError("x"))
    assert type(told(error)) is TemporaryRemoteError


@pytest.mark.parametrize(
    ("text", "permission", "role"),
    [
        (
            f'DENIED (Permission "{UPLOAD}" denied on resource "projects/p/locations/us/repositories/r")',
            UPLOAD,
            "roles/artifactregistry.writer",
        ),
        (
            "DENIED (Creating on push requires the artifactregistry.repositories.createOnPush permission)",
            "artifactregistry.repositories.createOnPush",
            "roles/artifactregistry.createOnPushWriter",
        ),
        (
            f'DENIED (Unauthenticated request. Unauthenticated requests do not have permission "{UPLOAD}")',
            UPLOAD,
            "roles/artifactregistry.writer",
        ),
    ],
)
def test_a_permission_is_found_in_what_the_registry_says(text: str, permission: str, role: str) -> None:
    found = permission_missing(text, HOST)
    assert found is not None
    assert f"Google does not allow {permission}: " in found.message
    assert f"Grant {role}," in found.advice


def test_the_command_names_the_repository_that_google_names() -> None:
    resource = "projects/demo/locations/europe-west1/repositories/models"
    found = permission_missing(f'{HOST}: Permission "{UPLOAD}" denied on resource "{resource}"', HOST)
    assert found is not None
    assert found.message.count(f"{HOST}: ") == 1
    assert (
        "add-iam-policy-binding models --project=demo --location=europe-west1 "
        "--role=roles/artifactregistry.writer --member=MEMBER" in found.advice
    )


def test_an_answer_is_not_told_twice() -> None:
    answer = '{"error": "invalid_grant", "error_description": "odd"}'
    assert told(auth.OAuthError("Error code invalid_grant: odd", answer)).message.endswith(": odd")
    assert told(auth.OAuthError("Error code invalid_grant", answer)).message.endswith(answer)


def test_where_no_permission_is_named_none_is_found() -> None:
    assert permission_missing("NAME_UNKNOWN (Repository not found)", HOST) is None
    assert permission_missing("the permission is missing", HOST) is None


def test_a_long_answer_is_shortened() -> None:
    assert len(told(api.BadRequest("x" * 5000)).message) < 500
