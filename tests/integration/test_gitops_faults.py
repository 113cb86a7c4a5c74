"""Servers that refuse, cannot do what others can, or go away in mid-word: nothing is lost, and it is said."""

import os
from pathlib import Path

import pytest

from pipeline.desk import Desk
from pipeline.errors import ConfigurationError, RemoteError
from stages.gitops.git import GitBranch
from stages.gitops.interface import Landing
from stages.manifests.editing import EditedFile
from stages.manifests.tree import Tree
from tests.integration.conftest import CreateRepository
from tests.support.cutting_relay import cutting_relay
from tests.support.git_server import GitServer
from tests.support.git_server import Repository as ServedRepository

FILE = "clusters/production/digits/values.yaml"


def edit(tree: Tree) -> tuple[EditedFile, ...]:
    before = tree.read(FILE)
    after = before.replace(b"old", b"new")
    return (EditedFile(path=FILE, before=before, after=after, fields=()),) if after != before else ()


def land(url: str, desk: Desk) -> Landing:
    return GitBranch(url=url, branch="main").land(edit, "digits: deploy\n", desk)


@pytest.fixture
def remote(create_repository: CreateRepository, tmp_path: Path) -> ServedRepository:
    folder = tmp_path / "content" / "clusters" / "production"
    for number in range(40):  # so that an answer has a middle
        (folder / f"app-{number}").mkdir(parents=True)
        (folder / f"app-{number}" / "values.yaml").write_text(f"tag: v{number}\n")
    (folder / "digits").mkdir()
    (folder / "digits" / "values.yaml").write_text("tag: old\n")
    return create_repository(tmp_path / "content")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    (tmp_path / "desk").mkdir()
    return Desk(folder=tmp_path / "desk", cache=tmp_path / "desk")


@pytest.fixture(autouse=True)
def credentials(git_server: GitServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITOPS_USERNAME", git_server.username)
    monkeypatch.setenv("GITOPS_PASSWORD", git_server.password)


def log(desk: Desk) -> str:
    return (desk.folder / "git.log").read_text()


def hook(remote: ServedRepository, name: str, script: str) -> None:
    path = remote.path / "hooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


# --- refusals ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "part"),
    [
        ("error: GH006: Protected branch update failed for refs/heads/main.", "`pull_request: {}`"),
        ("error: GH013: Repository rule violations found for refs/heads/main.", "`pull_request: {}`"),
        (
            "GitLab: You are not allowed to push code to protected branches on this project.",
            "`pull_request: {}`",
        ),
        ("Gitea: Not allowed to push to protected branch main", "`pull_request: {}`"),
        ("error: GH006: …\n- Commits must have verified signatures.", "`signing:`"),
        ("GitLab: Commit must be signed with a GPG key", "`signing:`"),
        ("GitLab: Commit message does not follow the pattern 'OPS-\\d+'", "`message:`"),
        ("GitLab: Author 'pipeline@localhost' is not a member of team", "`author:`"),
        ("production is frozen until Monday", "branch protection"),
    ],
)
def test_a_declined_push_is_final_quoted_and_says_what_to_do(
    said: str, part: str, remote: ServedRepository, desk: Desk
) -> None:
    head = remote.head()
    remote.reject_pushes(said)
    with pytest.raises(RemoteError) as caught:
        land(remote.url, desk)
    assert said.splitlines()[-1] in caught.value.message
    assert part in caught.value.advice
    assert (remote.head(), log(desk).count("$ git push")) == (head, 1)


# --- servers that cannot do everything -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "fetches"),
    [
        ({}, 1),
        ({"uploadpackfilter.combine.allow": "false"}, 2),
        ({"uploadpackfilter.tree.maxDepth": "0"}, 2),
        ({"uploadpackfilter.allow": "false"}, 3),
        ({"uploadpack.allowFilter": "false"}, 1),
    ],
)
def test_what_a_server_does_not_leave_out_is_fetched(
    settings: dict[str, str], fetches: int, remote: ServedRepository, desk: Desk
) -> None:
    for name, value in settings.items():
        remote.git("config", name, value)
    landing = land(remote.url, desk)
    assert (landing.commit, remote.read(FILE)) == (remote.head(), "tag: new")
    assert log(desk).count("$ git fetch --no-tags") == fetches
    remote.git("fsck", "--strict")


@pytest.mark.parametrize("protocol", ["0", "2"])
def test_a_server_without_shallow_clones_sends_its_history(
    protocol: str, remote: ServedRepository, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "protocol.version")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", protocol)
    remote.hide_shallow()
    assert land(remote.url, desk).commit == remote.head()
    fetched = [line for line in log(desk).splitlines() if line.startswith("$ git fetch")]
    assert ["--depth=1" in line for line in fetched] == [True, False]


# --- connections that break ----------------------------------------------------------------------------


@pytest.mark.parametrize("after_bytes", [700, 1500, 3000])
def test_a_connection_that_breaks_in_mid_fetch_is_tried_again(
    after_bytes: int, git_server: GitServer, remote: ServedRepository, desk: Desk
) -> None:
    with cutting_relay(git_server.port) as relay:
        relay.cuts.append(after_bytes)
        landing = land(remote.url.replace(str(git_server.port), str(relay.port)), desk)
        assert relay.broken == 1
    assert (landing.commit, landing.attempts) == (remote.head(), 2)


def test_a_server_that_dies_before_it_has_written_is_tried_again(
    remote: ServedRepository, desk: Desk
) -> None:
    hook(remote, "pre-receive", 'mkdir "$GIT_DIR/died" 2>/dev/null && kill -9 $PPID; exit 0')
    landing = land(remote.url, desk)
    assert (landing.commit, landing.attempts) == (remote.head(), 2)
    assert remote.git("rev-list", "--count", "main") == "2"


def test_a_push_that_has_arrived_without_an_answer_is_not_made_twice(
    remote: ServedRepository, desk: Desk
) -> None:
    hook(remote, "post-update", "kill -9 $PPID")
    landing = land(remote.url, desk)
    assert landing.commit == remote.head()
    assert remote.git("rev-list", "--count", "main") == "2"


def test_a_server_that_keeps_dying_is_given_up_and_said_so(remote: ServedRepository, desk: Desk) -> None:
    head = remote.head()
    hook(remote, "pre-receive", "kill -9 $PPID")
    with pytest.raises(RemoteError, match="cannot be reached"):
        land(remote.url, desk)
    assert remote.head() == head


# --- what stands in a repository -----------------------------------------------------------------------


def test_names_modes_and_bytes_of_any_kind_survive(
    create_repository: CreateRepository, desk: Desk, tmp_path: Path
) -> None:
    strange = ["two\nlines\r.yaml", "next\x85line\u2028.yaml", "\x0c\x1c\x07.yaml"]
    names = ['a "quoted"\tname.yaml', "näme with space.yaml", "back\\slash.yaml", "plain.sh", *strange]
    folder = tmp_path / "content"
    folder.mkdir()
    before = b"\xef\xbb\xbftag: old\r\nbytes: \xff\x00\r\n"
    for name in names:
        (folder / name).write_bytes(before)
    (folder / "plain.sh").chmod(0o755)
    served = create_repository(folder)
    after = before.replace(b"old", b"new")

    def everything(tree: Tree) -> tuple[EditedFile, ...]:
        assert {tree.read(name) for name in names} <= {before, after}
        assert set(tree.names("")) == set(names)
        return tuple(EditedFile(path=name, before=before, after=after, fields=()) for name in names)

    GitBranch(url=served.url, branch="main").land(everything, "all of them\n", desk)

    served.git("--work-tree", str(folder), "checkout", "--force", "main")
    assert [(folder / name).read_bytes() for name in names] == [after] * len(names)
    assert served.git("diff", "--summary", "main^", "main") == ""  # no mode has changed
    assert len(served.git("diff", "--name-only", "-z", "main^", "main").strip("\0").split("\0")) == len(names)
    served.git("fsck", "--strict")


def test_a_file_whose_name_is_no_text_is_refused_and_not_written_beside(
    create_repository: CreateRepository, desk: Desk, tmp_path: Path
) -> None:
    folder = tmp_path / "content"
    folder.mkdir()
    (folder / os.fsdecode(b"caf\xe9.yaml")).write_bytes(b"tag: old\n")
    served = create_repository(folder)
    head = served.head()

    def listed(tree: Tree) -> tuple[EditedFile, ...]:
        (name,) = tree.names("")
        return (EditedFile(path=name, before=tree.read(name), after=b"tag: new\n", fields=()),)

    with pytest.raises(ConfigurationError, match="not UTF-8"):
        GitBranch(url=served.url, branch="main").land(listed, "x\n", desk)
    assert served.head() == head
