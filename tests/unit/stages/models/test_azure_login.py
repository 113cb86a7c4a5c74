import pytest

from stages.models.object_store_clients import azure_store

KEY = "a2V5"
SIGNATURES = {"sas_key", "sas_token"}
OTHERS = {"AZURE_STORAGE_ACCOUNT": "others", "AZURE_STORAGE_ENDPOINT": "https://others.example.com"}


def login(monkeypatch: pytest.MonkeyPatch, account: str | None, **variables: str) -> dict[str, object]:
    """Return who we are to an account where these variables are all that is known."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return dict(azure_store("az://models", "models", "", account).config)


@pytest.mark.parametrize(
    ("account", "name"),
    [(None, {"AZURE_STORAGE_ACCOUNT": "ours"}), ("ours", {"AZURE_STORAGE_ACCOUNT": "ours"}), ("ours", {})],
)
def test_the_variables_are_of_the_account_that_they_name(
    monkeypatch: pytest.MonkeyPatch, account: str | None, name: dict[str, str]
) -> None:
    found = login(monkeypatch, account, AZURE_STORAGE_KEY=KEY, **name)
    assert (found["account_name"], found["account_key"]) == ("ours", KEY)


@pytest.mark.parametrize("secret", ["AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN"])
def test_a_secret_of_one_account_goes_to_no_other(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    found = login(monkeypatch, "ours", **{secret: KEY, **OTHERS})
    assert found["account_name"] == "ours"
    assert not {"account_key", "endpoint", *SIGNATURES} & found.keys()


@pytest.mark.parametrize("account", [None, "ours"])
def test_a_connection_string_goes_before_the_variables(
    monkeypatch: pytest.MonkeyPatch, account: str | None
) -> None:
    text = f"AccountName=ours;AccountKey={KEY};EndpointSuffix=core.example.com"
    found = login(
        monkeypatch, account, AZURE_STORAGE_CONNECTION_STRING=text, AZURE_STORAGE_SAS_TOKEN="s", **OTHERS
    )
    assert (found["account_name"], found["account_key"]) == ("ours", KEY)
    assert found["endpoint"] == "https://ours.blob.core.example.com"
    assert not SIGNATURES & found.keys()
