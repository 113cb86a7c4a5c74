"""Pull and merge requests: the real clients, a real repository over HTTP, with its branches."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

import pytest

from pipeline.desk import Desk
from pipeline.errors import ConfigurationError, RemoteError, TemporaryRemoteError
from pipeline.model import Problem
from pipeline.reference import Digest, Repository, Tag
from stages.gitops import forge as forges
from stages.gitops.forge import Options, Place
from stages.gitops.git import GitBranch
from stages.gitops.github import GitHub
from stages.gitops.gitlab import GitLab
from stages.gitops.interface import Landing
from stages.gitops.message import message, order_trailers
from stages.gitops.pull_request import PullRequestBranch, Subject
from stages.manifests.editing import EditedFile, edit
from stages.manifests.interface import NewImage, Target
from stages.manifests.tree import Tree
from stages.oci.order_key import OrderKey
from tests.support.forge import PATH, Change, Forge, running_forge
from tests.support.git_server import GitServer, running_git_server
from tests.support.git_server import Repository as ServedRepository
from tests.support.registry import free_port

pytestmark = pytest.mark.integration

IMAGE = Repository("registry.example.com/team/digits")
BRANCH = "model-image-pipeline/digits"
MANIFEST = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: digits
spec:
  template:
    spec:
      containers:
        - name: digits
          image: registry.example.com/team/digits:none-yet  # written by the pipeline
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    with running_git_server(tmp_path_factory.mktemp("git")) as running:
        yield running


@pytest.fixture
def repository(server: GitServer, tmp_path: Path, request: pytest.FixtureRequest) -> ServedRepository:
    content = tmp_path / "content"
    content.mkdir()
    (content / "digits.yaml").write_text(MANIFEST)
    return server.create(f"deploy-{abs(hash(request.node.nodeid))}", content=content)


@pytest.fixture
def host(repository: ServedRepository) -> Iterator[Forge]:
    with running_forge(repository) as running:
        yield running


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    folder = tmp_path / "desk"
    folder.mkdir()
    return Desk(folder=folder, cache=tmp_path)


@pytest.fixture(params=["github", "gitlab"])
def api(request: pytest.FixtureRequest, host: Forge) -> forges.Forge:
    place = Place(scheme="http", host=f"127.0.0.1:{host.port}", path=PATH)
    if request.param == "github":
        return GitHub(place=place, token=host.token)
    return GitLab(place=place, token=host.token)


def _digest(text: str) -> Digest:
    return Digest.of(text.encode())


@pytest.fixture
def way(server: GitServer, repository: ServedRepository, api: forges.Forge) -> PullRequestBranch:
    return PullRequestBranch(
        base=GitBranch(url=server.with_password(repository.url), branch="main", time_limit_s=60),
        forge=api,
        options=Options(branch=BRANCH, labels=("deploy", "digits"), reviewers=("ada",)),
        subject=_subject("one"),
    )


def _subject(text: str, *, reopens: bool = False) -> Subject:
    return Subject(
        digest=_digest(text),
        references=(f"{IMAGE}:{text}@{_digest(text)}",),
        evidence=(("test", f"Evidence of {text}"),),
        reopens=reopens,
    )


def _land(way: PullRequestBranch, text: str, desk: Desk) -> Landing:
    image = NewImage(repository=IMAGE, tag=Tag(text), digest=_digest(text))

    def apply(tree: Tree) -> tuple[EditedFile, ...]:
        return edit(tree, [(Target(path="digits.yaml"), image)])

    message = f"digits: deploy {text}\n\nRoll it out.\n\nDigest: {_digest(text)}\n"
    return replace_subject(way, text).land(apply, message, desk)


def replace_subject(way: PullRequestBranch, text: str) -> PullRequestBranch:
    return replace(way, subject=replace(_subject(text), reopens=way.subject.reopens))


def test_opens_a_request_and_leaves_the_base_alone(
    way: PullRequestBranch, repository: ServedRepository, host: Forge, desk: Desk
) -> None:
    before = repository.head()
    landing = _land(way, "one", desk)
    (change,) = host.changes
    assert landing.request is not None
    assert landing.request.made
    assert (landing.request.number, landing.request.state) == (1, "open")
    assert landing.request.url.endswith("/1")
    assert repository.head() == before
    assert landing.commit == host.head(BRANCH)
    assert f"digits:one@{_digest('one')}" in repository.git("show", f"{BRANCH}:digits.yaml")
    assert (change.title, change.base) == ("digits: deploy one", "main")
    assert "Evidence of one" in change.body
    assert "```diff" in change.body
    assert sorted(change.labels) == ["deploy", "digits"]
    assert change.reviewers == ["ada"]


def test_the_same_digest_again_changes_nothing(way: PullRequestBranch, host: Forge, desk: Desk) -> None:
    first = _land(way, "one", desk)
    host.writes.clear()
    second = _land(way, "one", desk)
    assert second.commit == first.commit == host.head(BRANCH)
    assert second.request is not None
    assert not second.request.made
    assert host.writes == []


def test_another_digest_updates_the_request(
    way: PullRequestBranch, repository: ServedRepository, host: Forge, desk: Desk
) -> None:
    _land(way, "one", desk)
    host.change(1).labels.append("checked by hand")
    _land(way, "two", desk)
    (change,) = host.changes
    assert change.title == "digits: deploy two"
    assert "Evidence of two" in change.body
    assert "checked by hand" in change.labels
    assert _digest("two") in repository.git("show", f"{BRANCH}:digits.yaml")
    assert repository.git("rev-list", "--count", f"main..{BRANCH}") == "1"


def test_is_built_anew_where_the_base_has_moved_on(
    way: PullRequestBranch, repository: ServedRepository, tmp_path: Path, desk: Desk
) -> None:
    _land(way, "one", desk)
    (tmp_path / "content" / "other.yaml").write_text("a: 1\n")
    moved = repository.commit(tmp_path / "content", "Another application")
    _land(way, "one", desk)
    assert repository.git("rev-parse", f"{BRANCH}^") == moved


def test_after_a_merge_the_next_digest_gets_a_request_of_its_own(
    way: PullRequestBranch, repository: ServedRepository, host: Forge, desk: Desk
) -> None:
    _land(way, "one", desk)
    host.merge(1)
    same = _land(way, "one", desk)
    assert (same.commit, same.files) == (None, ())
    landing = _land(way, "two", desk)
    assert landing.request is not None
    assert landing.request.number == 2
    assert [change.state for change in host.changes] == ["merged", "open"]
    assert f"digits:one@{_digest('one')}" in repository.read("digits.yaml")


def test_what_people_have_closed_stays_closed_until_it_is_asked_for(
    way: PullRequestBranch, host: Forge, desk: Desk
) -> None:
    _land(way, "one", desk)
    host.close(1)
    declined = _land(way, "one", desk)
    assert declined.commit is None
    assert "closed" in declined.note
    assert len(host.changes) == 1
    assert _land(way, "two", desk).request is not None
    host.close(2)
    again = _land(replace(way, subject=_subject("two", reopens=True)), "two", desk)
    assert again.request is not None
    assert again.request.number == 3


def test_a_commit_of_somebody_else_on_the_branch_is_not_lost(
    way: PullRequestBranch, repository: ServedRepository, host: Forge, desk: Desk
) -> None:
    _land(way, "one", desk)
    tree = repository.git("rev-parse", f"{BRANCH}^{{tree}}")
    theirs = repository.git("commit-tree", tree, "-p", BRANCH, "-m", "More replicas, by hand")
    repository.git("update-ref", f"refs/heads/{BRANCH}", theirs)
    with pytest.raises(RemoteError, match="not the pipeline's") as caught:
        _land(way, "two", desk)
    assert theirs[:12] in caught.value.message
    assert "delete the branch" in caught.value.advice
    assert host.head(BRANCH) == theirs


def test_a_request_of_a_fork_with_the_same_branch_is_left_alone(
    way: PullRequestBranch, host: Forge, desk: Desk
) -> None:
    theirs = Change(1, BRANCH, "main", "mine", "from a fork", fork=True)
    host.changes.append(theirs)
    merging = replace(way, options=replace(way.options, auto_merge=True))
    landing = _land(merging, "one", desk)
    assert landing.request is not None
    assert landing.request.number == 2
    assert (theirs.title, theirs.merges_itself, theirs.labels) == ("mine", False, [])
    host.changes.append(Change(3, BRANCH, "main", "mine", "from a fork again", fork=True))
    again = _land(merging, "two", desk)
    assert again.request is not None
    assert (again.request.number, again.request.made) == (2, False)


def test_a_request_that_is_merged_at_this_very_moment_is_not_reported_as_waiting(
    way: PullRequestBranch, repository: ServedRepository, host: Forge, desk: Desk
) -> None:
    _land(way, "one", desk)
    host.merge_on_edit = True
    landing = _land(way, "two", desk)  # is merged with what was pushed, right after that
    assert (landing.commit, landing.request) == (None, None)
    assert _digest("two") in repository.read("digits.yaml")
    assert [change.state for change in host.changes] == ["merged"]


def test_environments_that_were_given_one_branch_do_not_replace_each_other(
    way: PullRequestBranch, host: Forge, desk: Desk
) -> None:
    image = NewImage(repository=IMAGE, tag=Tag("one"), digest=_digest("one"))

    def apply(tree: Tree) -> tuple[EditedFile, ...]:
        return edit(tree, [(Target(path="digits.yaml"), image)])

    key = OrderKey.at(datetime.now(UTC), "1" * 40)
    said = {
        place: message(f"digits: deploy to {place}", "x", order_trailers([(Target(path=place), image)], key))
        for place in ("apps/dev", "apps/prod")
    }
    head = way.land(apply, said["apps/dev"], desk).commit
    with pytest.raises(RemoteError, match="holds a change of apps/dev") as caught:
        way.land(apply, said["apps/prod"], desk)
    assert "`branch:` of its own" in caught.value.advice
    assert host.head(BRANCH) == head


def test_gives_way_to_a_newer_build_that_waits(
    way: PullRequestBranch, repository: ServedRepository, host: Forge, desk: Desk
) -> None:
    newer = _land(way, "newer", desk)

    def older(tree: Tree) -> tuple[EditedFile, ...]:
        if b"digits:newer@" in tree.read("digits.yaml"):
            return ()
        image = NewImage(repository=IMAGE, tag=Tag("older"), digest=_digest("older"))
        return edit(tree, [(Target(path="digits.yaml"), image)])

    landing = replace_subject(way, "older").land(older, f"x\n\nDigest: {_digest('older')}\n", desk)
    assert landing.commit is None
    assert host.head(BRANCH) == newer.commit
    assert host.change(1).title == "digits: deploy newer"


def test_writers_at_once_make_one_request(way: PullRequestBranch, host: Forge, tmp_path: Path) -> None:
    def deliver(number: int) -> Landing:
        folder = tmp_path / f"desk-{number}"
        folder.mkdir()
        return _land(way, f"build-{number}", Desk(folder=folder, cache=tmp_path))

    with ThreadPoolExecutor(4) as threads:
        landings = list(threads.map(deliver, range(4)))
    assert [change.state for change in host.changes] == ["open"]
    assert host.head(BRANCH) in {landing.commit for landing in landings}


def test_has_the_host_merge_where_it_may(way: PullRequestBranch, host: Forge, desk: Desk) -> None:
    merging = replace(way, options=replace(way.options, auto_merge=True))
    assert _land(merging, "one", desk).note == ""
    assert host.change(1).merges_itself


def test_only_the_commit_that_was_judged_is_merged_by_itself(
    way: PullRequestBranch, host: Forge, desk: Desk
) -> None:
    _land(way, "one", desk)
    asked = way.forge.newest(BRANCH, "main")
    assert asked is not None
    assert "does not merge it by itself" in way.forge.merge_when_ready(asked, "1" * 40)
    assert not host.change(1).merges_itself


def test_says_where_the_host_does_not_merge(way: PullRequestBranch, host: Forge, desk: Desk) -> None:
    host.allows_auto_merge = False
    landing = _land(replace(way, options=replace(way.options, auto_merge=True)), "one", desk)
    assert "does not merge it by itself" in landing.note
    assert landing.request is not None


def test_a_draft_stays_what_people_made_of_it(way: PullRequestBranch, host: Forge, desk: Desk) -> None:
    _land(replace(way, options=replace(way.options, draft=True)), "one", desk)
    change = host.change(1)
    assert change.draft
    change.title = change.title.removeprefix("Draft: ")
    _land(replace(way, options=replace(way.options, draft=True)), "two", desk)
    assert host.change(1).title == "digits: deploy two"


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (HTTPStatus.UNAUTHORIZED, "does not accept the token"),
        (HTTPStatus.FORBIDDEN, "forbids it"),
        (HTTPStatus.NOT_FOUND, "no such repository"),
        (HTTPStatus.UNPROCESSABLE_ENTITY, "refuses"),
    ],
)
def test_says_what_the_host_refuses(
    way: PullRequestBranch, host: Forge, desk: Desk, status: HTTPStatus, word: str
) -> None:
    host.refusals += [status] * 3
    with pytest.raises(RemoteError, match=word) as caught:
        _land(way, "one", desk)
    assert PATH in caught.value.message
    assert caught.value.advice
    assert host.token not in f"{caught.value.message}{caught.value.advice}"


def test_goes_on_after_an_answer_that_passes(way: PullRequestBranch, host: Forge, desk: Desk) -> None:
    host.refusals.append(HTTPStatus.BAD_GATEWAY)
    landing = _land(way, "one", desk)
    assert landing.request is not None


def test_a_host_that_is_not_there_is_an_error_for_people(way: PullRequestBranch, desk: Desk) -> None:
    gone = Place(scheme="http", host=f"127.0.0.1:{free_port()}", path=PATH)
    for api in (GitHub(place=gone, token="x"), GitLab(place=gone, token="x")):
        with pytest.raises(TemporaryRemoteError, match="cannot be reached"):
            _land(replace(way, forge=api, base=replace(way.base, time_limit_s=0.1)), "one", desk)


def test_an_unknown_reviewer_is_named(way: PullRequestBranch, desk: Desk) -> None:
    asking = replace(way, options=replace(way.options, reviewers=("nobody",)))
    with pytest.raises((ConfigurationError, RemoteError), match="nobody"):
        _land(asking, "one", desk)


def test_the_check_logs_in(way: PullRequestBranch, host: Forge, desk: Desk) -> None:
    assert all(check.passed for check in way.check(desk))
    host.may_push = False
    (failed,) = [check for check in way.check(desk) if not check.passed]
    assert failed.problem is Problem.REMOTE
    assert "may read" in failed.found


def test_the_check_says_that_there_is_no_token(way: PullRequestBranch, desk: Desk) -> None:
    place = Place(scheme="http", host="127.0.0.1", path=PATH)
    for api in (GitHub(place=place, token=None), GitLab(place=place, token=None)):
        check = replace(way, forge=api).check(desk)[-1]
        assert check.problem is Problem.CONFIGURATION
        assert "GITOPS_PASSWORD" in check.advice
