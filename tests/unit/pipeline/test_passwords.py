from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cascade import FILE_NAME
from pipeline.errors import ConfigurationError
from pipeline.passwords import take_password
from stages.oci.authentication import Credentials
from tests.support.loopback import Received, Reply, serving

SECRET = "correct horse"


@pytest.mark.parametrize("suffix", ["", "_GHCR_IO"])
def test_a_password_becomes_that_of_the_user_without_one(suffix: str) -> None:
    environment = {
        f"REGISTRY_USERNAME{suffix}": "ci",
        "REGISTRY_USERNAME_DOCKER_IO": "other",
        "REGISTRY_PASSWORD_DOCKER_IO": "another",
        "REGISTRY_USERNAME_EMPTY": "",
    }
    take_password(io.StringIO(f"{SECRET}\r\n"), environment)
    assert environment[f"REGISTRY_PASSWORD{suffix}"] == SECRET
    assert environment["REGISTRY_PASSWORD_DOCKER_IO"] == "another"


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "does not know whose password it is"),
        ({"REGISTRY_USERNAME": "ci", "REGISTRY_PASSWORD": "x"}, "does not know whose password it is"),
        (
            {"REGISTRY_USERNAME_A": "ci", "REGISTRY_USERNAME_B": "ci"},
            "REGISTRY_PASSWORD_A, REGISTRY_PASSWORD_B are all missing",
        ),
    ],
)
def test_a_password_of_nobody_or_of_several_is_refused(environment: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        take_password(io.StringIO(SECRET), environment)


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe"])
def test_an_empty_input_is_refused(content: bytes) -> None:
    stream = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8")
    with pytest.raises(ConfigurationError, match="no password on standard input"):
        take_password(stream, {"REGISTRY_USERNAME": "ci"})


def test_a_closed_input_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no password on standard input"):
        take_password(None, {"REGISTRY_USERNAME": "ci"})


def test_the_command_line_logs_in_with_it_and_never_shows_it(tmp_path: Path) -> None:
    user = Credentials(username="ci", secret=SECRET, origin="a test")

    def answer(request: Received) -> Reply | None:
        if request.headers.get("Authorization") != user.basic:
            return Reply(401, {"WWW-Authenticate": 'Basic realm="test"'})
        return Reply(200) if request.path == "/v2/" else None

    environment = {name: value for name, value in os.environ.items() if not name.startswith("REGISTRY_")}
    environment |= {"DOCKER_CONFIG": str(tmp_path), "REGISTRY_USERNAME": "ci"}
    with serving(answer) as server:
        (tmp_path / FILE_NAME).write_text(json.dumps({"image": "small", "registries": [server.address]}))
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", "doctor", "--password-stdin"],
            cwd=tmp_path,
            env=environment,
            input=f"{SECRET}\n",
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert "logged in as ci" in done.stdout
    assert SECRET not in done.stdout
