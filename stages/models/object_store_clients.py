"""Who we are at each object store: found as the cloud's own tools find it, with no setting of our own.

S3: boto3's sessions (environment, profiles, single sign-on, web identity, instance roles; a profile's
endpoint and region). Google: application default credentials. Azure: the storage variables, else
azure-identity's DefaultAzureCredential.
"""

import os
from datetime import timedelta
from typing import TYPE_CHECKING

from pipeline.errors import ConfigurationError
from stages.models.extras import require

if TYPE_CHECKING:
    from obstore.store import AzureStore, ClientConfig, GCSStore, RetryConfig, S3Store

AZURE_SECRETS = (
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_ACCESS_KEY",
    "AZURE_STORAGE_KEY",
    "AZURE_STORAGE_SAS_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_TOKEN",
)
AZURE_ACCOUNT = ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT")


def s3_store(source: str, bucket: str, prefix: str) -> "S3Store":
    """Return the client for a bucket of Amazon S3, or of another store that speaks its protocol.

    Raises:
        ToolMissing: a library is not installed.
    """
    require("obstore", "aws", source)
    require("boto3", "aws", source)
    import boto3
    from obstore.auth.boto3 import Boto3CredentialProvider
    from obstore.store import S3Store

    session = boto3.Session()
    client = session.client("s3", region_name=session.region_name or "us-east-1")
    endpoint = str(client.meta.endpoint_url)
    known = session.get_credentials() is not None
    return S3Store(
        bucket,
        prefix=prefix or None,
        region=client.meta.region_name,
        endpoint=None if ".amazonaws.com" in endpoint else endpoint,
        skip_signature=not known,  # a public bucket
        credential_provider=Boto3CredentialProvider(session) if known else None,
        client_options=_client_options(endpoint),
        retry_config=_retries(),
    )


def google_store(source: str, bucket: str, prefix: str) -> "GCSStore":
    """Return the client for a bucket of Google Cloud Storage, or of STORAGE_EMULATOR_HOST.

    Raises:
        ToolMissing: a library is not installed.
    """
    require("obstore", "google", source)
    require("google.auth", "google", source)
    from google.auth.exceptions import DefaultCredentialsError
    from obstore.store import GCSStore

    emulator = os.environ.get("STORAGE_EMULATOR_HOST", "")
    endpoint = emulator if "://" in emulator or not emulator else f"http://{emulator}"
    provider = None
    if not emulator and not os.environ.get("GOOGLE_SKIP_SIGNATURE"):
        from obstore.auth.google import GoogleCredentialProvider

        try:
            provider = GoogleCredentialProvider()
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

    account = account or next((os.environ[name] for name in AZURE_ACCOUNT if os.environ.get(name)), None)
    if account is None:
        raise ConfigurationError(
            f"{source} does not say which storage account it means",
            advice="Write https://ACCOUNT.blob.core.windows.net/CONTAINER/…, or set AZURE_STORAGE_ACCOUNT.",
        )
    provider = None
    if not any(os.environ.get(name) for name in (*AZURE_SECRETS, "AZURE_SKIP_SIGNATURE")):
        require("azure.identity", "azure", source)
        from obstore.auth.azure import AzureCredentialProvider

        provider = AzureCredentialProvider()
    return AzureStore(
        container,
        prefix=prefix or None,
        account_name=account,
        credential_provider=provider,
        client_options=_client_options(os.environ.get("AZURE_STORAGE_ENDPOINT", "")),
        retry_config=_retries(),
    )


def _client_options(endpoint: str) -> "ClientConfig":
    """Allow plain HTTP where the configured endpoint says so; let no stalled socket wait for ever."""
    return {
        "allow_http": endpoint.startswith("http://"),
        "connect_timeout": timedelta(seconds=10),
        "read_timeout": timedelta(seconds=60),
        "timeout": timedelta(hours=24),  # of the whole answer, which may be many gigabytes
    }


def _retries() -> "RetryConfig":
    return {"max_retries": 4, "retry_timeout": timedelta(seconds=60)}
