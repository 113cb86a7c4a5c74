"""Who we are at each object store: found as the cloud's own tools find it, with no setting of our own.

S3: boto3's sessions (environment, profiles, single sign-on, web identity, containers and instances; a
profile's endpoint, region and certificates). Google: application default credentials. Azure: the storage
variables that `az` and the SDKs read, else azure-identity's DefaultAzureCredential.
"""

import logging
import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from pipeline.errors import ConfigurationError
from stages.models.extras import require

if TYPE_CHECKING:
    from obstore.store import AzureConfig, AzureStore, ClientConfig, GCSStore, RetryConfig, S3Store

AZURE_ACCOUNT = ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT")
AZURE_KEY = ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_KEY")
AZURE_SIGNATURE = ("AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY")
AZURE_CONNECTION = "AZURE_STORAGE_CONNECTION_STRING"
GOOGLE_SCOPES = ("https://www.googleapis.com/auth/devstorage.read_only",)


def s3_store(source: str, bucket: str, prefix: str) -> "S3Store":
    """Return the client for a bucket of Amazon S3, or of another store that speaks its protocol.

    Raises:
        ToolMissing: a library is not installed.
    """
    require("obstore", "aws", source)
    require("boto3", "aws", source)
    import boto3
    import botocore.session
    from obstore.auth.boto3 import Boto3CredentialProvider
    from obstore.store import S3Store

    core = botocore.session.get_session()
    session = boto3.Session(botocore_session=core)
    region = os.environ.get("AWS_REGION") or session.region_name or "us-east-1"
    client = session.client("s3", region_name=region)
    endpoint = str(client.meta.endpoint_url)
    known = session.get_credentials() is not None
    return S3Store(
        bucket,
        prefix=prefix or None,
        region=client.meta.region_name,
        endpoint=endpoint,  # also Amazon's own: in China, over FIPS or a private link it has other names
        skip_signature=not known,  # a public bucket
        credential_provider=Boto3CredentialProvider(session) if known else None,
        client_options=_client_options(endpoint, core.get_config_variable("ca_bundle")),
        retry_config=_retries(),
    )


def google_store(source: str, bucket: str, prefix: str) -> "GCSStore":
    """Return the client for a bucket of Google Cloud Storage, or of STORAGE_EMULATOR_HOST.

    Raises:
        ToolMissing: a library is not installed.
    """
    require("obstore", "google", source)
    require("google.auth", "google", source)
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError
    from obstore.store import GCSStore

    emulator = os.environ.get("STORAGE_EMULATOR_HOST", "")
    endpoint = emulator if "://" in emulator or not emulator else f"http://{emulator}"
    provider = None
    if not emulator and not os.environ.get("GOOGLE_SKIP_SIGNATURE"):
        from obstore.auth.google import GoogleCredentialProvider

        try:
            # without a scope, Google gives a service account no token
            provider = GoogleCredentialProvider(google.auth.default(scopes=GOOGLE_SCOPES)[0])
        except DefaultCredentialsError as error:
            raise ConfigurationError(
                f"{source}: no Google credentials were found",
                advice="Run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS; "
                "for a public bucket GOOGLE_SKIP_SIGNATURE=true.",
            ) from error
    return GCSStore(
        bucket,
        prefix=prefix or None,
        config={"base_url": endpoint, "skip_signature": True} if emulator else {},
        credential_provider=provider,
        client_options=_client_options(endpoint or os.environ.get("GOOGLE_BASE_URL", "")),
        retry_config=_retries(),
    )


def azure_store(source: str, container: str, prefix: str, account: str | None) -> "AzureStore":
    """Return the client for a container of Azure Blob Storage.

    Raises:
        ToolMissing: a library is not installed.
        ConfigurationError: nothing names the account.
    """
    require("obstore", "azure", source)
    from obstore.store import AzureStore

    login = _azure_login(account)
    if "account_name" not in login:
        raise ConfigurationError(
            f"{source} does not say which storage account it means",
            advice="Write https://ACCOUNT.blob.core.windows.net/CONTAINER/…, or set AZURE_STORAGE_ACCOUNT.",
        )
    provider = None
    if not (login.keys() & {"account_key", "sas_key"} or os.environ.get("AZURE_SKIP_SIGNATURE")):
        require("azure.identity", "azure", source)
        from obstore.auth.azure import AzureCredentialProvider

        logging.getLogger("azure.identity").setLevel(logging.ERROR)  # what it warns of is in its exception
        provider = AzureCredentialProvider()
    return AzureStore(
        container,
        prefix=prefix or None,
        config=login,
        credential_provider=provider,
        client_options=_client_options(login.get("endpoint", "")),
        retry_config=_retries(),
    )


def _azure_login(account: str | None) -> "AzureConfig":
    """Return what the environment tells of an account, or of the one that it names itself."""
    parts = _connection(os.environ.get(AZURE_CONNECTION, ""))
    variables = {
        "account_name": _variable(AZURE_ACCOUNT),
        "account_key": _variable(AZURE_KEY),
        "sas_key": _variable(AZURE_SIGNATURE),
        "endpoint": os.environ.get("AZURE_STORAGE_ENDPOINT"),
    }
    name = account or parts.get("account_name") or variables["account_name"]
    found = {"account_name": name}
    for said in (variables, parts):
        if said.get("account_name") in {None, name}:  # nothing that belongs to another account goes there
            found |= {key: value for key, value in said.items() if value}
    return cast("AzureConfig", {key: value for key, value in found.items() if value})


def _connection(text: str) -> dict[str, str]:
    """Return what a connection string says: `AccountName=team;AccountKey=…;EndpointSuffix=…`."""
    pairs = (part.partition("=") for part in text.split(";") if part.strip())
    parts = {key.strip(): value.strip() for key, _, value in pairs}
    endpoint = parts.get("BlobEndpoint", "").rstrip("/")
    name = parts.get("AccountName") or (urlsplit(endpoint).hostname or "").partition(".")[0]
    if not endpoint and name and "EndpointSuffix" in parts:
        endpoint = f"https://{name}.blob.{parts['EndpointSuffix']}"
    signature, key = parts.get("SharedAccessSignature", ""), parts.get("AccountKey", "")
    found = {"account_name": name, "account_key": key, "sas_key": signature, "endpoint": endpoint}
    return {key: value for key, value in found.items() if value}


def _variable(names: tuple[str, ...]) -> str | None:
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


def _client_options(endpoint: str, authorities: str | None = None) -> "ClientConfig":
    """Allow plain HTTP where the configured endpoint says so; let no stalled socket wait for ever.

    `authorities` is a file of certificate authorities to trust beside the system's.
    """
    path = Path(authorities or os.environ.get("REQUESTS_CA_BUNDLE") or ".")
    trusted: ClientConfig = {"root_certificate": path.read_bytes()} if path.is_file() else {}
    return trusted | {
        "allow_http": endpoint.startswith("http://"),
        "connect_timeout": timedelta(seconds=10),
        "read_timeout": timedelta(seconds=60),
        "timeout": timedelta(hours=24),  # of the whole answer, which may be many gigabytes
    }


def _retries() -> "RetryConfig":
    return {"max_retries": 4, "retry_timeout": timedelta(seconds=60)}
