"""The one comment on a pull or merge request: the real clients, and the APIs over a real repository."""

from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest

from pipeline.ci.github_comment import comment
from pipeline.ci.gitlab_note import note
from pipeline.ci.interface import Proposal
from tests.support.forge import PATH, Forge, running_forge
from tests.support.git_server import Repository, run_git

pytestmark = pytest.mark.integration

PULL = Proposal(noun="pull request", number=1)
MERGE = Proposal(noun="merge request", number=1)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Forge]:
    path = tmp_path / "deploy.git"
    run_git("init", "--quiet", "--bare", "--initial-branch=main", str(path))
    repository = Repository(path, str(path))
    (tmp_path / "content").mkdir()
    (tmp_path / "content/a").write_text("a")
    base = repository.commit(tmp_path / "content", "Begin")
    tree = repository.git("rev-parse", "HEAD^{tree}")
    change = repository.git("commit-tree", tree, "-p", base, "-m", "change")
    repository.git("update-ref", "refs/heads/topic", change)
    with running_forge(repository) as running:
        running.open("topic", "main", "Change", "", draft=False)
        yield running


class Speaker:
    """Comments as a job on one of the hosts does."""

    def __init__(self, forge: Forge, kind: str) -> None:
        self.forge = forge
        self.kind = kind

    def say(
        self, text: str, *, key: str = "k", token: str | None = None, proposal: Proposal | None = None
    ) -> str:
        given = self.forge.token if token is None else token
        if self.kind == "github":
            environment = {
                "GITHUB_TOKEN": given,
                "GITHUB_REPOSITORY": PATH,
                "GITHUB_API_URL": self.forge.github,
            }
            return comment(environment, proposal or PULL, text, key)
        environment = {"GITLAB_TOKEN": given, "CI_PROJECT_PATH": PATH, "CI_SERVER_URL": self.forge.url}
        return note(environment, proposal or MERGE, text, key)


@pytest.fixture(params=["github", "gitlab"])
def speaker(request: pytest.FixtureRequest, host: Forge) -> Speaker:
    return Speaker(host, request.param)


def test_there_is_one_comment_which_says_the_newest(speaker: Speaker) -> None:
    first, second = speaker.say("first"), speaker.say("second")
    assert first == second
    assert first.startswith(f"comment {speaker.forge.url}/{PATH}/")
    (only,) = speaker.forge.comments
    assert "second" in only.body
    assert "first" not in only.body


def test_nothing_is_written_where_it_says_so_already(speaker: Speaker) -> None:
    speaker.say("same\n")
    writes = list(speaker.forge.writes)
    speaker.say("same\n")
    assert speaker.forge.writes == writes


def test_two_models_of_one_repository_have_a_comment_each(speaker: Speaker) -> None:
    for key in ("a", "b", "a"):
        speaker.say(f"of {key}", key=key)
    assert sorted(one.body.splitlines()[-1] for one in speaker.forge.comments) == ["of a", "of b"]


@pytest.mark.parametrize("user", ["github-actions[bot]", "ada"])
def test_what_others_wrote_with_our_marker_stays_theirs(speaker: Speaker, user: str) -> None:
    speaker.forge.user = user
    speaker.say("ours")
    ours = speaker.forge.comments.pop()
    forged = speaker.forge.say(1, "grace", f"{ours.body} forged")
    before = forged.body
    speaker.say("ours again")
    assert forged.body == before
    assert [one.author for one in speaker.forge.comments] == ["grace", user]


def test_a_token_that_may_not_leaves_it_to_the_summary(speaker: Speaker) -> None:
    speaker.forge.may_comment = False
    told = speaker.say("x")
    assert told.endswith("the token may not; the summary has it")
    assert "\n" not in told
    assert speaker.forge.comments == []


def test_a_wrong_token_and_a_broken_host_do_not_fail_the_run(speaker: Speaker) -> None:
    assert "the token may not" in speaker.say("x", token="wrong")
    speaker.forge.refusals = [HTTPStatus.BAD_GATEWAY] * 20
    assert "HTTP 502" in speaker.say("x")


def test_a_host_that_is_not_there_does_not_fail_the_run(host: Forge) -> None:
    environment = {"GITHUB_TOKEN": "t", "GITHUB_REPOSITORY": PATH, "GITHUB_API_URL": "http://127.0.0.1:1"}
    assert "cannot be reached" in comment(environment, PULL, "x", "k")
    here = {"GITLAB_TOKEN": "t", "CI_PROJECT_PATH": PATH, "CI_SERVER_URL": "http://127.0.0.1:1"}
    assert "cannot be reached" in note(here, MERGE, "x", "k")


def test_without_a_token_or_a_number_nobody_is_asked(speaker: Speaker) -> None:
    assert speaker.say("x", token="") == ""
    assert speaker.say("x", proposal=Proposal(noun="pull request")) == ""
    assert speaker.forge.writes == []
