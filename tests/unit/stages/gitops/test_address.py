"""Passwords leave the address before anything sees it."""

import pytest

from pipeline.redaction import Redactor
from stages.gitops.address import Address

TOKEN = "glpat-x/y&z"  # not a real one


@pytest.mark.parametrize(
    ("written", "url", "username", "password"),
    [
        ("https://git.example.com/a/b.git", "https://git.example.com/a/b.git", None, None),
        ("https://me@git.example.com/a.git", "https://git.example.com/a.git", "me", None),
        ("https://me:p%40ss@git.example.com:8443/a", "https://git.example.com:8443/a", "me", "p@ss"),
        ("https://token:@github.com/a", "https://github.com/a", "token", ""),
        ("ssh://git@git.example.com:22/a.git", "ssh://git@git.example.com:22/a.git", None, None),
        ("ssh://git:secret@git.example.com/a.git", "ssh://git@git.example.com/a.git", None, None),
        ("git@git.example.com:team/a.git", "git@git.example.com:team/a.git", None, None),
        ("/srv/git/a.git", "/srv/git/a.git", None, None),
        ("file:///srv/git/a.git", "file:///srv/git/a.git", None, None),
    ],
)
def test_an_address_is_taken_apart(
    written: str, url: str, username: str | None, password: str | None
) -> None:
    assert Address.parse(written, {}) == Address(url, username, password)


@pytest.mark.parametrize(
    ("environment", "username"),
    [
        ({"GITOPS_PASSWORD": TOKEN}, "x-access-token"),
        ({"GITOPS_PASSWORD": f"{TOKEN}\n", "GITOPS_USERNAME": "robot"}, "robot"),
    ],
)
def test_the_environment_goes_before_the_address(environment: dict[str, str], username: str) -> None:
    assert Address.parse("https://git.example.com/a", environment).username == username
    assert Address.parse("https://:old@git.example.com/a", environment).password == TOKEN


def test_credentials_are_bound_to_the_host_and_stand_in_no_setting() -> None:
    address = Address.parse("https://git.example.com:8443/a", {"GITOPS_PASSWORD": TOKEN})
    settings = dict(address.settings())
    assert settings["credential.helper"] == ""
    assert "credential.https://git.example.com:8443.helper" in settings
    assert TOKEN not in str(settings)
    assert address.environment()["GITOPS_PASSWORD"] == TOKEN


def test_other_programs_get_no_password_where_none_is_used() -> None:
    address = Address.parse("git@git.example.com:a", {"GITOPS_PASSWORD": TOKEN})
    assert address.environment() == dict.fromkeys(("GITOPS_USERNAME", "GITOPS_PASSWORD", "GITOPS_SSH_KEY"))


def test_a_token_in_the_place_of_the_user_is_hidden_too() -> None:
    redact = Redactor()
    Address.parse("https://ghp_abcdef:x-oauth-basic@github.com/a", {}).hide(redact)
    assert redact("Password for ghp_abcdef") == "Password for ***"


def test_a_token_without_a_password_is_hidden_and_a_name_is_not() -> None:
    redact, token = Redactor(), "ghp_" + "a1" * 18
    for user in (token, "deploy"):
        Address.parse(f"https://{user}@github.com/a", {}).hide(redact)
    assert redact(f"could not read Password for 'https://{token}@github.com'").count("***") == 1
    assert redact("Password for 'https://deploy@github.com'") == "Password for 'https://deploy@github.com'"
