from __future__ import annotations

import base64
import json
import traceback
from pathlib import Path

import pytest

from pipeline.errors import ConfigurationError, RemoteError, ToolMissing
from stages.registries.credentials import DOCKER_HUB, find

HOST = "registry.example.com:5000"
AUTH = base64.b64encode(b"ci:from:the file").decode()


@pytest.fixture(autouse=True)
def docker_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty docker configuration, an own folder on the PATH, and no credentials in the environment."""
    for name in ("REGISTRY_USERNAME", "REGISTRY_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path / "config.json"


def write(path: Path, **content: object) -> None:
    path.write_text(json.dumps(content))


def install_helper(folder: Path, name: str, script: str) -> None:
    """Put a credential helper on the PATH; it notes what it was asked."""
    program = folder / f"docker-credential-{name}"
    program.write_text(f'#!/bin/sh\nread -r host\necho "$1 $host $#" >>{folder}/{name}.asked\n{script}\n')
    program.chmod(0o755)


def test_there_may_be_none() -> None:
    assert find(HOST) is None


def test_the_users_own_docker_configuration_is_read_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOCKER_CONFIG")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".docker").mkdir()
    write(tmp_path / ".docker" / "config.json", auths={HOST: {"auth": AUTH}})
    found = find(HOST)
    assert found is not None
    assert found.origin == str(tmp_path / ".docker" / "config.json")


@pytest.mark.parametrize("key", [HOST, f"https://{HOST}", f"https://{HOST}/v1/", f"http://{HOST}/"])
def test_the_docker_configuration_names_a_host_in_several_ways(docker_config: Path, key: str) -> None:
    write(docker_config, auths={"https://[": {}, "other.example.com": {"auth": "eDp5"}, key: {"auth": AUTH}})
    found = find(HOST)
    assert found is not None
    assert (found.username, found.secret, found.identity_token) == ("ci", "from:the file", False)
    assert "from:the file" not in repr(found)


@pytest.mark.parametrize("host", ["docker.io", "index.docker.io"])
def test_docker_hub_has_a_key_of_its_own(docker_config: Path, host: str) -> None:
    write(docker_config, auths={DOCKER_HUB: {"auth": AUTH}})
    assert find(host) is not None
    assert find("hub.docker.com") is None


def test_an_identity_token_goes_before_the_password(docker_config: Path) -> None:
    write(docker_config, auths={HOST: {"auth": AUTH, "identitytoken": "refresh-me"}})
    found = find(HOST)
    assert found is not None
    assert (found.secret, found.identity_token) == ("refresh-me", True)


def test_user_and_password_may_stand_in_plain(docker_config: Path) -> None:
    write(docker_config, auths={HOST: {"username": "ci", "password": "plain"}})
    found = find(HOST)
    assert found is not None
    assert (found.username, found.secret) == ("ci", "plain")


@pytest.mark.parametrize("entry", [{}, {"auth": ""}, {"email": "x"}, "nonsense"])
def test_an_empty_entry_is_none(docker_config: Path, entry: object) -> None:
    write(docker_config, auths={HOST: entry})
    assert find(HOST) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot read"),
        ("[]", "no JSON object"),
        ('{"auths": []}', None),
        ('{"auths": ["x"]}', "`auths`"),
        (f'{{"auths": {{"{HOST}": {{"auth": "%%%"}}}}}}', "base64"),
    ],
)
def test_a_broken_docker_configuration_is_named(docker_config: Path, text: str, message: str | None) -> None:
    docker_config.write_text(text)
    if message is None:
        assert find(HOST) is None
        return
    with pytest.raises(ConfigurationError, match=message) as caught:
        find(HOST)
    assert str(docker_config) in caught.value.message


def test_the_environment_goes_before_the_docker_configuration(
    docker_config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(docker_config, auths={HOST: {"auth": AUTH}})
    monkeypatch.setenv("REGISTRY_USERNAME", "env")
    monkeypatch.setenv("REGISTRY_PASSWORD", "from the environment")
    found = find(HOST)
    assert found is not None
    assert (found.username, found.secret) == ("env", "from the environment")
    assert "REGISTRY_USERNAME" in found.origin


def test_a_secret_that_ends_in_a_line_break_is_taken_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_USERNAME", "env\n")
    monkeypatch.setenv("REGISTRY_PASSWORD", " from echo \r\n")
    found = find(HOST)
    assert found is not None
    assert (found.username, found.secret) == ("env", " from echo ")


def test_a_password_for_one_registry_is_not_offered_to_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_USERNAME", "env")
    monkeypatch.setenv("REGISTRY_PASSWORD", "from the environment")
    monkeypatch.setenv("REGISTRY_USERNAME_REGISTRY_EXAMPLE_COM_5000", "own")
    monkeypatch.setenv("REGISTRY_PASSWORD_REGISTRY_EXAMPLE_COM_5000", "of this host")
    assert find("other.example.com", only=False) is None
    for only in (True, False):
        found = find(HOST, only=only)
        assert found is not None
        assert found.secret == "of this host"


@pytest.mark.parametrize(("there", "missing"), [("USERNAME", "PASSWORD"), ("PASSWORD", "USERNAME")])
def test_half_a_login_is_an_error(monkeypatch: pytest.MonkeyPatch, there: str, missing: str) -> None:
    monkeypatch.setenv(f"REGISTRY_{there}", "half")
    monkeypatch.setenv(f"REGISTRY_{missing}", "")
    with pytest.raises(ConfigurationError, match=f"REGISTRY_{there} is set and REGISTRY_{missing} is not"):
        find(HOST)


def test_the_helper_of_a_host_is_asked(docker_config: Path) -> None:
    install_helper(docker_config.parent, "vault", """echo '{"Username":"robot","Secret":"from the vault"}'""")
    write(docker_config, credHelpers={HOST: "vault"}, credsStore="missing", auths={HOST: {"auth": AUTH}})
    found = find(HOST)
    assert found is not None
    assert (found.username, found.secret) == ("robot", "from the vault")
    assert "docker-credential-vault" in found.origin
    assert (docker_config.parent / "vault.asked").read_text() == f"get {HOST} 1\n"


def test_the_store_is_asked_for_docker_hub_by_its_key(docker_config: Path) -> None:
    install_helper(docker_config.parent, "store", """echo '{"Username":"<token>","Secret":"refresh-me"}'""")
    write(docker_config, credsStore="store")
    found = find("docker.io")
    assert found is not None
    assert found.identity_token
    assert (docker_config.parent / "store.asked").read_text() == f"get {DOCKER_HUB} 1\n"


def test_a_helper_that_knows_nothing_leaves_the_file(docker_config: Path) -> None:
    install_helper(docker_config.parent, "store", "echo 'credentials not found in native keychain'; exit 1")
    write(docker_config, credsStore="store")
    assert find(HOST) is None
    write(docker_config, credsStore="store", auths={HOST: {"auth": AUTH}})
    assert find(HOST) is not None


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo 'the vault is sealed' >&2; exit 1", "the vault is sealed"),
        ("exit 3", "says nothing"),
        ("echo 'Secret: from the vault'", "unlike a credential helper"),
        ("""echo '{"Secret": "from the vault"}'""", "unlike a credential helper"),
    ],
)
def test_a_helper_that_fails_is_named_without_its_secret(
    docker_config: Path, script: str, message: str
) -> None:
    install_helper(docker_config.parent, "vault", script)
    write(docker_config, credHelpers={HOST: "vault"})
    with pytest.raises(RemoteError, match=message) as caught:
        find(HOST)
    assert "docker-credential-vault" in caught.value.message
    told = "".join(traceback.format_exception(caught.value))
    assert "from the vault" not in told + caught.value.advice


def test_a_helper_that_is_not_installed_is_a_missing_tool(docker_config: Path) -> None:
    write(docker_config, credHelpers={HOST: "absent"})
    with pytest.raises(ToolMissing, match="docker-credential-absent") as caught:
        find(HOST)
    assert "docker login" in caught.value.advice
