import base64
import json
from pathlib import Path

import pytest

from pipeline.desk import Desk
from pipeline.errors import StageFailed
from pipeline.model import Problem
from stages.buildkit.builder import Builder, Engine
from stages.buildkit.cache_tags import cache_tag
from stages.buildkit.docker_login import logged_in
from stages.buildkit.external_cache import CacheUse, in_words
from stages.buildkit.failure import explain, may_be_the_caches
from stages.buildkit.github_cache import GitHubCache
from stages.buildkit.steps import Steps
from stages.oci.authentication import Credentials

TOKEN = "a-token-of-the-runner"
JOB = {
    "GITHUB_ACTIONS": "true",
    "ACTIONS_RUNTIME_TOKEN": TOKEN,
    "ACTIONS_RESULTS_URL": "https://example.com/",
}
CONTAINER = Builder(name="own", driver="docker-container", buildkit_version="v0.25.1")
CLASSIC = Builder(
    name="default",
    driver="docker",
    buildkit_version="unknown",
    engine=Engine(version="28.5.2", image_store="classic", data_root=Path("/nowhere"), context=None),
)
PASSWORD = Credentials(username="ci", secret="correct-horse", origin="a test")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(folder=tmp_path, cache=tmp_path)


@pytest.mark.parametrize(
    ("branch", "begins"),
    [
        ("main", "main"),
        ("v1.2_x", "v1.2_x"),
        ("feature/x", "feature-x-"),
        ("-rf", "rf-"),
        ("日本", ""),
        ("$(touch owned)`;\n", "touch-owned-"),
        ("b" * 300, "bbb"),
        ("\udce4", ""),
    ],
)
def test_every_branch_has_a_tag(branch: str, begins: str) -> None:
    assert cache_tag(branch).startswith(begins)


def test_what_is_not_the_same_build_has_another_tag() -> None:
    tags = {
        cache_tag("feature/x"),
        cache_tag("feature-x"),
        cache_tag("main", target="runtime"),
        cache_tag("main-runtime"),
        cache_tag("main", platforms=("linux/amd64",)),
        cache_tag("main", platforms=("linux/arm64",)),
        cache_tag("main", platforms=("linux/amd64", "linux/arm64")),
        cache_tag("main", image="digits"),
        cache_tag("main", image="letters"),
    }
    assert len(tags) == 9


def read(*lines: str) -> Steps:
    steps = Steps()
    for line in lines:
        steps.read(line)
    return steps


def test_steps_are_counted_as_buildkit_tells_them() -> None:
    layer = "sha256:" + "0" * 64
    steps = read(
        "#1 [internal] load build definition from Dockerfile",
        "#1 CACHED",
        "#2 [linux/amd64 base 1/3] FROM docker.io/library/python:3.12@sha256:0",
        "#2 CACHED",
        "#3 [linux/amd64 base 2/3] RUN pip install",
        "#3 CACHED",
        "#4 [3/3] COPY app.py /",
        f"#4 {layer} 125B / 125B done",
        "#4 DONE 0.0s",
        "#5 [stage-1 2/4] RUN echo CACHED",
        "#5 0.104 CACHED",
        f"#5 0.105 extracting {layer}",
        "#5 DONE 0.1s",
        "#6 [stage-1 3/4] RUN true",
        f"#6 extracting {layer} 0.1s done",
        "#12 [stage-1 4/4] RUN true",
        "#12 DONE 0.1s",
    )
    assert (len(steps.all), len(steps.cached)) == (5, 3)
    assert steps.notes == ()


def test_what_went_wrong_with_the_cache_is_told() -> None:
    steps = read(
        "#4 importing cache manifest from registry.example.com/a-cache:main",
        "#4 ERROR: failed to configure registry cache importer: not found",
        "#7 [2/2] RUN false",
        "#7 ERROR: process did not complete successfully",
        "#9 exporting cache to registry",
        "#9 writing layer",
        "#9 ERROR: error writing manifest: 400 Bad Request",
    )
    assert steps.notes == (
        "not read: failed to configure registry cache importer: not found",
        "not written: error writing manifest: 400 Bad Request",
    )


@pytest.mark.parametrize(
    ("line", "again"),
    [
        ("ERROR: failed to solve: failed to configure gha cache exporter: token is malformed", True),
        ("ERROR: failed to build: Cache export is not supported for the docker driver.", True),
        ("ERROR: failed to solve: failed to copy: httpReadSeeker: failed open: not found", True),
        ('ERROR: process "/bin/sh -c false" did not complete successfully: exit code: 1', False),
        ("ERROR: failed to solve: dockerfile parse error on line 3: unknown instruction: RNU", False),
        ('ERROR: failed to solve: target stage "nowhere" could not be found', False),
    ],
)
def test_what_may_be_the_caches_fault_is_tried_without_it(line: str, again: bool) -> None:
    error = explain((line,), Path("Dockerfile"))
    assert isinstance(error, StageFailed)
    assert may_be_the_caches(error) is again


def test_a_refused_base_is_not_the_caches_fault() -> None:
    assert not may_be_the_caches(StageFailed("Dockerfile:1: the base image is for linux/arm64"))


def test_less_of_a_cache_is_first_not_read_and_then_not_written() -> None:
    use = CacheUse(read={"here": {"type": "registry"}}, written={"here": {"type": "registry"}})
    unread = use.less("a layer is lost")
    assert (unread.read, unread.written) == ({}, use.written)
    unwritten = unread.less("no such driver")
    assert not unwritten.active
    assert unwritten.notes == (
        "not read: the build failed with it: a layer is lost",
        "not written: the build failed: no such driver",
    )


def test_the_login_is_there_for_one_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "docker"
    (own / "contexts").mkdir(parents=True)
    written = {
        "auths": {
            "other.example.com": {"auth": "b3RoZXI6c2VjcmV0"},
            "r.example.com": {"auth": "b2xkOm9sZA=="},
        },
        "credsStore": "keychain",
        "currentContext": "remote",
    }
    (own / "config.json").write_text(json.dumps(written))
    monkeypatch.setenv("DOCKER_CONFIG", str(own))
    with logged_in(("r.example.com", PASSWORD)) as folder:
        assert folder is not None
        assert folder.stat().st_mode & 0o077 == 0
        assert (folder / "config.json").stat().st_mode & 0o077 == 0
        assert (folder / "contexts").resolve() == own / "contexts"
        lent = json.loads((folder / "config.json").read_text())
    assert not folder.exists()
    assert lent["credHelpers"] == {"r.example.com": ""}
    assert base64.b64decode(lent["auths"]["r.example.com"]["auth"]) == b"ci:correct-horse"
    assert lent["auths"]["other.example.com"] == written["auths"]["other.example.com"]  # type: ignore[index]
    assert (lent["credsStore"], lent["currentContext"]) == ("keychain", "remote")
    assert json.loads((own / "config.json").read_text()) == written


def test_an_identity_token_is_no_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "none"))
    credentials = Credentials(username="0000", secret="refresh-token", origin="a test", identity_token=True)
    with logged_in(("docker.io", credentials)) as folder:
        assert folder is not None
        auths = json.loads((folder / "config.json").read_text())["auths"]
    entry = auths["https://index.docker.io/v1/"]
    assert entry["identitytoken"] == "refresh-token"
    assert base64.b64decode(entry["auth"]) == b"0000:"
    with logged_in(None) as nothing:
        assert nothing is None


def test_github_without_a_token_is_a_mistake_on_github_alone(desk: Desk) -> None:
    for environment in ({"GITHUB_ACTIONS": "true"}, {**JOB, "ACTIONS_RUNTIME_TOKEN": ""}):
        check = GitHubCache(scope="digits", environment=environment).check(CONTAINER, desk)
        assert check.problem is Problem.CONFIGURATION
        assert "build-cache: gha" in check.advice
    elsewhere = GitHubCache(scope="digits", environment={}).check(CONTAINER, desk)
    assert elsewhere.passed
    assert "out of reach" in elsewhere.found


def test_github_is_read_and_written_by_scope(desk: Desk) -> None:
    cache = GitHubCache(scope="digits", environment=JOB, mode="min")
    use = cache.use(CONTAINER, desk)
    (source,), (target,) = use.read.values(), use.written.values()
    assert source == {"type": "gha", "scope": "digits"}
    assert target == {"type": "gha", "scope": "digits", "mode": "min", "ignore-error": "true"}
    assert desk.redact(TOKEN) == "***"
    assert cache.check(CONTAINER, desk).found == (
        "read from GitHub's cache service; written to GitHub's cache service"
    )


def test_nothing_is_written_to_github_where_nothing_leaves_the_machine(tmp_path: Path) -> None:
    desk = Desk(folder=tmp_path, cache=tmp_path, dry_run=True)
    use = GitHubCache(scope="digits", environment=JOB).use(CONTAINER, desk)
    assert use.read
    assert not use.written
    assert "a dry run or a pull request writes nothing" in in_words(use)


def test_what_cannot_speak_to_github_says_so(desk: Desk) -> None:
    classic = GitHubCache(scope="digits", environment=JOB).use(CLASSIC, desk)
    assert not classic.active
    assert "docker/setup-buildx-action" in classic.notes[0]
