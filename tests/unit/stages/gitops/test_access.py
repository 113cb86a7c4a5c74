"""Who is let in where, and that no token goes to another server than its own."""

import shlex
from pathlib import Path

import pytest

from stages.gitops import ssh
from stages.gitops.access import with_job_token
from stages.gitops.address import Address
from stages.gitops.github_app import default_api

JOB = {"CI_JOB_TOKEN": "job-secret", "CI_SERVER_HOST": "gitlab.example.com"}


@pytest.mark.parametrize(
    ("url", "environment", "used"),
    [
        ("https://gitlab.example.com/a/b.git", JOB, True),
        ("https://GitLab.example.com:443/a/b.git", JOB, True),
        ("https://gitlab.example.com:8443/a.git", {**JOB, "CI_SERVER_PORT": "8443"}, True),
        ("https://gitlab.example.com:8443/a.git", JOB, False),
        ("http://gitlab.example.com/a.git", JOB, False),
        ("https://gitlab.example.com.evil.org/a.git", JOB, False),
        ("https://github.com/a.git", JOB, False),
        ("https://gitlab.example.com/a.git", {"CI_SERVER_HOST": "gitlab.example.com"}, False),
    ],
)
def test_the_job_token_is_for_the_jobs_own_server(url: str, environment: dict[str, str], used: bool) -> None:
    address = with_job_token(Address(url), environment)
    expected = ("gitlab-ci-token", "job-secret") if used else (None, None)
    assert (address.username, address.password) == expected


@pytest.mark.parametrize(
    ("url", "host", "line"),
    [
        ("git@git.example.com:a/b.git", ("git.example.com", None), "ssh-keyscan git.example.com"),
        (
            "ssh://git@git.example.com:2222/a",
            ("git.example.com", 2222),
            "ssh-keyscan -p 2222 git.example.com",
        ),
        ("[::1]:a/b.git", ("::1", None), "ssh-keyscan ::1"),
        ("https://git.example.com/a.git", None, "ssh-keyscan HOST"),
        ("/srv/git/a:b.git", None, "ssh-keyscan HOST"),
    ],
)
def test_the_host_of_an_ssh_address(url: str, host: tuple[str, int | None] | None, line: str) -> None:
    assert ssh.host_of(url) == host
    assert ssh.keyscan(url).startswith(f"{line} >>")


def test_ssh_asks_nothing_and_trusts_nobody_new() -> None:
    words = shlex.split(ssh.command(Path("/a b/key"), Path("/c d/hosts"), {"GIT_SSH_COMMAND": "other"}))
    assert words[0] == "ssh"
    assert {"BatchMode=yes", "StrictHostKeyChecking=yes", "ForwardAgent=no", "IdentityAgent=none"} < {*words}
    assert 'UserKnownHostsFile="/c d/hosts"' in words
    assert words[-2:] == ["-i", "/a b/key"]


def test_a_users_own_command_cannot_take_the_check_away() -> None:
    command = ssh.command(None, None, {"GIT_SSH_COMMAND": "ssh -i '/my key' -o StrictHostKeyChecking=no"})
    words = shlex.split(command)
    assert words.index("StrictHostKeyChecking=yes") < words.index(
        "StrictHostKeyChecking=no"
    )  # the first counts
    assert "/my key" in words


def test_a_github_hosts_api() -> None:
    assert default_api("github.com") == "https://api.github.com"
    assert default_api("ghe.example.com") == "https://ghe.example.com/api/v3"
