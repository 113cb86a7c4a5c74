"""What git says, as it says it, and what is made of it."""

import pytest

from pipeline.errors import ConfigurationError, PipelineError, RemoteError, TemporaryRemoteError
from pipeline.process import Command, Outcome
from stages.gitops.answers import diagnose, lost_race, refused_push

URL = "https://git.example.com/a.git"


def _outcome(*, stdout: str = "", stderr: str = "", timed_out: bool = False) -> Outcome:
    command = Command(arguments=("git", "push"), timeout_s=120)
    return Outcome(
        command=command, exit_code=1, stdout=stdout, stderr=stderr, duration_s=1.0, timed_out=timed_out
    )


@pytest.mark.parametrize(
    ("summary", "lost"),
    [
        ("[rejected] (fetch first)", True),
        ("[rejected] (non-fast-forward)", True),
        ("[remote rejected] (failed to update ref)", True),
        ("[remote rejected] (cannot lock ref 'refs/heads/main': is at 1 but expected 2)", True),
        ("[remote rejected] (incorrect old value provided)", True),
        ("[remote rejected] (pre-receive hook declined)", False),
        ("[remote rejected] (protected branch hook declined)", False),
        ("[remote failure] (remote failed to report status)", False),
    ],
)
def test_a_lost_race_is_told_from_a_refusal(summary: str, lost: bool) -> None:
    pushed = _outcome(stdout=f"To {URL}\n!\t1:refs/heads/main\t{summary}\nDone\n")
    assert lost_race(pushed) is lost


def test_a_refusal_quotes_the_remote() -> None:
    pushed = _outcome(
        stdout="!\t1:refs/heads/main\t[remote rejected] (protected branch hook declined)\n",
        stderr="remote: \nremote: GL-HOOK-ERR: You are not allowed\nerror: failed to push some refs\n",
    )
    error = refused_push(pushed, URL, "main")
    assert type(error) is RemoteError
    assert error.message == (
        f"{URL} declined the push to main: [remote rejected] (protected branch hook declined)\n"
        "    GL-HOOK-ERR: You are not allowed"
    )


@pytest.mark.parametrize(
    ("said", "kind", "part"),
    [
        ("fatal: Authentication failed for 'https://git.example.com/'", RemoteError, "GITOPS_PASSWORD"),
        ("fatal: could not read Username for 'https://x': terminal prompts disabled", RemoteError, "token"),
        ("fatal: unable to access: The requested URL returned error: 403", RemoteError, "may write"),
        ("git@x: Permission denied (publickey).\nfatal: Could not read from remote", RemoteError, "SSH"),
        ("Host key verification failed.\nfatal: Could not read from remote", RemoteError, "known_hosts"),
        ("fatal: SSL certificate problem: self-signed certificate", RemoteError, "GIT_SSL_CAINFO"),
        ("fatal: could not read Username for 'https://git.example.com'", RemoteError, "GITOPS_PASSWORD"),
        ("fatal: repository 'https://git.example.com/a.git/' not found", RemoteError, "repository:"),
        ("fatal: couldn't find remote ref refs/heads/mian", ConfigurationError, "branch:"),
        ("fatal: Could not resolve host: git.example.com", TemporaryRemoteError, "network"),
        ("error: RPC failed; HTTP 502\nfatal: early EOF", TemporaryRemoteError, "run again"),
        ("fatal: something new", RemoteError, "git.log"),
    ],
)
def test_every_trouble_has_its_error_and_its_advice(said: str, kind: type[PipelineError], part: str) -> None:
    error = diagnose(_outcome(stderr=said), URL).error()
    assert type(error) is kind
    assert part in error.advice
    assert error.message.startswith(URL)


def test_a_remote_that_hangs_is_worth_another_try() -> None:
    error = refused_push(_outcome(timed_out=True), URL, "main")
    assert isinstance(error, TemporaryRemoteError)
    assert "did not answer within 120 s" in error.message


@pytest.mark.parametrize(
    ("reason", "stderr", "part"),
    [
        ("protected branch hook declined", "remote: GH006: Protected branch update failed", "pull_request"),
        ("push declined due to repository rule violations", "remote: GH013: violations", "pull_request"),
        ("pre-receive hook declined", "remote: GitLab: Not allowed to push to protected branches", "App"),
        ("TF402455: Pushes to this branch are not permitted", "", "pull_request"),
        (
            "pre-receive hook declined",
            "remote: GH013\nremote: - Commits must have verified signatures",
            "signing",
        ),
        (
            "pre-receive hook declined",
            "remote: GitLab: Commit message does not follow the pattern",
            "message",
        ),
        ("push declined due to email privacy restrictions", "remote: error: GH007: private email", "author"),
        ("pre-receive hook declined", "remote: frozen", "hooks"),
    ],
)
def test_a_declined_push_says_what_helps(reason: str, stderr: str, part: str) -> None:
    stdout = f"!\t1:refs/heads/main\t[remote rejected] ({reason})\n"
    error = refused_push(_outcome(stdout=stdout, stderr=stderr), URL, "main")
    assert reason in error.message
    assert part in error.advice


def test_an_unknown_host_is_told_the_very_line() -> None:
    said = _outcome(stderr="Host key verification failed.\nfatal: Could not read from remote repository.")
    advice = diagnose(said, "ssh://git@git.example.com:2222/a.git").advice
    assert "`ssh-keyscan -p 2222 git.example.com >> ~/.ssh/known_hosts`" in advice
