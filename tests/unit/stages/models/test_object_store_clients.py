"""Where the client of an object store reads, as the environment says."""

from pathlib import Path

import pytest

from stages.models.object_store_clients import s3_store

ENDPOINTS = {
    "Amazon's own": ({}, "https://s3.eu-central-1.amazonaws.com"),
    "Amazon's in China": ({"AWS_REGION": "cn-north-1"}, "https://s3.cn-north-1.amazonaws.com.cn"),
    "a private link to Amazon": (
        {"AWS_ENDPOINT_URL": "https://bucket.vpce-1.s3.eu-central-1.vpce.amazonaws.com"},
        "https://bucket.vpce-1.s3.eu-central-1.vpce.amazonaws.com",
    ),
    "another store": ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9000"}, "http://127.0.0.1:9000"),
}


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the machine's own profiles and instance out."""
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(("variables", "endpoint"), ENDPOINTS.values(), ids=ENDPOINTS)
def test_a_bucket_is_read_where_boto3_reads_it(
    variables: dict[str, str], endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert s3_store("s3://models/digits", "models", "digits").config["endpoint"] == endpoint


@pytest.mark.parametrize("known", [True, False])
def test_a_bucket_is_read_by_nobody_where_there_are_no_credentials(
    known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if known:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    store = s3_store("s3://models/digits", "models", "digits")
    assert (store.credential_provider is not None) == known
