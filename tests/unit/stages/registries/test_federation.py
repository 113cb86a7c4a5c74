from __future__ import annotations

import base64
import json

import pytest

from pipeline.errors import ConfigurationError, RemoteError
from stages.registries.federation import IdentityToken, identity_token
from stages.registries.options import LoginOptions
from tests.support.loopback import Received, Reply, Server, json_reply, serving

GITLAB = LoginOptions(role="arn:aws:iam::1:role/push", id_token_variable="AWS_ID_TOKEN")


def github(server: Server, path: str = "/token?api-version=2.0") -> dict[str, str]:
    return {
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"{server.url}{path}",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "of the job",
    }


@pytest.mark.parametrize("path", ["/token?api-version=2.0", "/token"])
def test_github_is_asked_for_a_token_for_the_audience(path: str) -> None:
    def answer(request: Received) -> Reply:
        assert request.headers["Authorization"] == "Bearer of the job"
        return json_reply(200, {"value": f"for {request.asked('audience')}"})

    with serving(answer) as server:
        token = identity_token(LoginOptions(), "https://sts.example/a b", github(server, path))
        mine = identity_token(LoginOptions(audience="mine"), "sts", github(server, path))
    assert token is not None
    assert mine is not None
    assert (token.value, mine.value) == ("for https://sts.example/a b", "for mine")
    assert "for https" not in repr(token)


def test_github_that_gives_no_token_is_told_with_the_permission() -> None:
    with (
        serving(lambda _: json_reply(403, {"message": "no"})) as server,
        pytest.raises(RemoteError, match="403 Forbidden") as caught,
    ):
        identity_token(LoginOptions(), "sts", github(server))
    assert "`id-token: write`" in caught.value.advice


@pytest.mark.parametrize("status", [429, 503])
def test_github_that_is_down_for_a_moment_is_asked_again(status: int) -> None:
    answers = iter([Reply(status), json_reply(200, {"value": "x"})])
    with serving(lambda _: next(answers)) as server:
        assert identity_token(LoginOptions(), "sts", github(server)) is not None


def test_gitlab_puts_it_into_a_variable() -> None:
    token = identity_token(GITLAB, "sts", {"AWS_ID_TOKEN": "e30.e30.x", "CI": "true"})
    assert token == IdentityToken("e30.e30.x", "$AWS_ID_TOKEN")


def test_a_job_whose_variable_is_not_set_is_told_what_to_write() -> None:
    with pytest.raises(ConfigurationError, match=r"\$AWS_ID_TOKEN") as caught:
        identity_token(GITLAB, "sts.amazonaws.com", {"CI": "true"})
    assert "id_tokens:\n  AWS_ID_TOKEN:\n    aud: sts.amazonaws.com" in caught.value.advice


def test_outside_of_ci_there_is_none() -> None:
    assert identity_token(GITLAB, "sts", {}) is None
    assert identity_token(LoginOptions(), "sts", {}) is None


def test_what_a_token_says_is_shown_without_its_signature() -> None:
    claims = {"iss": "https://gitlab.com", "sub": "project_path:a/b", "aud": "sts", "jti": "x"}
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    assert (
        IdentityToken(f"e30.{payload}.x", "").claims
        == "iss 'https://gitlab.com', sub 'project_path:a/b', aud 'sts'"
    )
    assert IdentityToken("nonsense", "").claims == IdentityToken("a.b.c", "").claims == ""
