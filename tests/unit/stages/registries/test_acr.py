from __future__ import annotations

from pathlib import Path

import pytest
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
)

from pipeline.errors import ConfigurationError, RemoteError, TemporaryRemoteError
from pipeline.reference import Repository
from stages.oci.chunked import Chunked
from stages.registries import recognise
from stages.registries.acr import LARGEST_LAYER_BYTES, AcrRegistry
from stages.registries.acr_address import CLOUDS, PUBLIC, AcrAddress, AzureCloud
from stages.registries.azure_refusals import refusal
from stages.registries.azure_session import AzureSession
from stages.registries.cloud_errors import NoCloudLogin, PermissionMissing
from stages.registries.federation import IdentityToken
from stages.registries.generic import GenericRegistry
from stages.registries.options import RegistryOptions

HOST = "modelteam.azurecr.io"
REPOSITORY = Repository(f"{HOST}/models/digits")
TOKEN = "e30.eyJpc3MiOiAiaSIsICJzdWIiOiAicyIsICJhdWQiOiAiYSJ9.x"  # iss i, sub s, aud a


@pytest.mark.parametrize(
    ("host", "name", "cloud"),
    [
        (HOST, "modelteam", PUBLIC),
        ("modelteam-d7f4c2gthqa3c0ga.azurecr.io", "modelteam", PUBLIC),
        ("modelteam.azurecr.cn", "modelteam", CLOUDS["cn"]),
        ("ModelTeam.azurecr.us", "modelteam", CLOUDS["us"]),
    ],
)
def test_a_host_of_acr_says_its_name_and_its_cloud(host: str, name: str, cloud: AzureCloud) -> None:
    assert AcrAddress.parse(host) == AcrAddress(name=name, cloud=cloud)
    registry = recognise(host)
    assert isinstance(registry, AcrRegistry)
    assert registry.largest_blob_bytes == LARGEST_LAYER_BYTES == 214_748_364_800
    assert isinstance(registry.uploads, Chunked)
    assert registry.api.session.cloud == cloud


@pytest.mark.parametrize(
    "host",
    [
        "azurecr.io",
        "abcd.azurecr.io",
        "a.modelteam.azurecr.io",
        "modelteam.azurecr.io.example.com",
        "ghcr.io",
    ],
)
def test_other_hosts_are_none_of_acr(host: str) -> None:
    assert AcrAddress.parse(host) is None
    assert isinstance(recognise(host), GenericRegistry)


def test_a_kind_that_is_named_is_taken() -> None:
    assert isinstance(recognise(HOST, options=RegistryOptions(kind="generic")), GenericRegistry)
    named = recognise("modelteam.westeurope.geo.azurecr.io", options=RegistryOptions(kind="acr"))
    assert isinstance(named, AcrRegistry)
    assert named.api.session.cloud is PUBLIC


@pytest.mark.parametrize(
    "options",
    [
        RegistryOptions(immutable=True),
        RegistryOptions(scan_on_push=True),
        RegistryOptions(encryption="KMS"),
        RegistryOptions(tags={"team": "ml"}),
        RegistryOptions(lifecycle=Path("lifecycle.json")),
    ],
)
def test_what_acr_does_not_know_is_refused_and_not_ignored(options: RegistryOptions) -> None:
    with pytest.raises(ConfigurationError, match=r"Azure Container Registry \(.*\) has no `") as caught:
        recognise(HOST, options=options)
    assert "Leave it out" in caught.value.advice


def test_create_asks_for_what_a_push_does_anyway() -> None:
    assert isinstance(recognise(HOST, options=RegistryOptions(create=True)), AcrRegistry)


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (7000215, RemoteError, "refused the secret or password: AADSTS7000215: Said."),
        (7000222, RemoteError, "the client secret has expired"),
        (700027, RemoteError, "does not know the certificate"),
        (700024, RemoteError, "is too old, or not valid yet"),
        (700016, RemoteError, "does not know who we say we are"),
        (70043, RemoteError, "wants you to log in again"),
        (700213, RemoteError, "no federated credential for this job"),
        (90033, TemporaryRemoteError, "Azure is busy"),
        (53003, RemoteError, "does not let us in: AADSTS53003"),
    ],
)
def test_a_code_of_entra_is_said_in_words(code: int, kind: type[RemoteError], words: str) -> None:
    text = f"Authentication failed: AADSTS{code}: Said. Trace ID: 1 Correlation ID: 2"
    found = refusal(ClientAuthenticationError(text), AzureSession(host=HOST), "log in")
    assert type(found) is kind
    assert words in found.message
    assert "Trace ID" not in found.message
    assert found.advice


@pytest.mark.parametrize("code", [700212, 70021])
def test_a_wrong_audience_is_told_apart(code: int) -> None:
    text = f"AADSTS{code}: No matching federated identity record found for presented assertion audience 'a'."
    session = AzureSession(host=HOST, token=IdentityToken(TOKEN, "GitHub"))
    found = refusal(ClientAuthenticationError(text), session, "log in")
    assert "does not accept the audience" in found.message
    assert "'api://AzureADTokenExchange'" in found.advice
    assert "iss 'i', sub 's', aud 'a'" in found.advice


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (ServiceRequestError("Failed to resolve"), TemporaryRemoteError, "could not be reached"),
        (ServiceRequestError("certificate verify failed: x"), RemoteError, "no trusted TLS connection"),
        (
            ClientAuthenticationError(
                "Chain failed\n\tEnvironmentCredential: authentication unavailable. Set variables\n"
                "\tAzurePowerShellCredential: PowerShell is not installed\n"
                "\tAzureCliCredential: Azure CLI not found on path"
            ),
            NoCloudLogin,
            "there are no Azure credentials (AzureCliCredential: Azure CLI not found on path)",
        ),
    ],
)
def test_other_errors_of_azures_libraries_are_told_apart(
    error: AzureError, kind: type[RemoteError], words: str
) -> None:
    found = refusal(error, AzureSession(host=HOST), "log in")
    assert type(found) is kind
    assert words in found.message


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, PermissionMissing), (403, PermissionMissing), (429, TemporaryRemoteError), (400, RemoteError)],
)
def test_a_status_of_the_registrys_api_is_said_in_words(status: int, kind: type[RemoteError]) -> None:
    error = HttpResponseError("Operation returned an invalid status")
    error.status_code = status
    found = refusal(error, AzureSession(host=HOST, name="me@example.com"), "look for the image")
    assert type(found) is kind
    assert "cannot look for the image" in found.message
    assert ("--role AcrPush --assignee me@example.com" in found.advice) is (kind is PermissionMissing)


def test_a_refusal_of_the_registry_names_role_lock_or_firewall() -> None:
    registry = recognise(HOST)
    assert isinstance(registry, AcrRegistry)
    denied = RemoteError(f"{HOST}: cannot begin x: DENIED (requested access to the resource is denied)")
    assert registry.explain(denied, REPOSITORY) is denied  # of somebody whom Azure does not know
    registry.api.session.name = "me@example.com"
    assert isinstance(registry.explain(denied, REPOSITORY), PermissionMissing)
    locked = registry.explain(RemoteError("cannot: REGISTRY_DISALLOWED_OPERATION (no)"), REPOSITORY)
    assert "--repository models/digits --write-enabled true" in locked.advice
    walled = registry.explain(RemoteError(f"{HOST} answered 403 Forbidden to /v2/, where …"), REPOSITORY)
    assert walled.advice.endswith("--ip-address ADDRESS")
    assert "firewall" in walled.message
    for other in (RemoteError("something else"), TemporaryRemoteError("429: DENIED")):
        assert registry.explain(other, REPOSITORY) is other
