from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from pipeline.cascade import FILE_NAME, read_config
from pipeline.errors import ConfigurationError
from pipeline.model import Source
from pipeline.plugins import compose
from pipeline.source import read_source, read_version
from pipeline.tags import moves, render
from stages.build import Build
from stages.push import Push

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LATE = datetime(2026, 11, 22, 23, 30, tzinfo=timezone(timedelta(hours=-2)))  # the next day in UTC


def a_source(branch: str | None = "main", changes: tuple[str, ...] = ()) -> Source:
    return Source(root=Path(), commit=COMMIT, committed_at=LATE, branch=branch, changes=changes)


def rendered(*templates: str, branch: str | None = "main", changes: tuple[str, ...] = ()) -> list[str]:
    facts = {"version": lambda: "v1.2+cu121", "model_version": lambda: "models/7"}
    return [str(tag) for tag in render(templates, a_source(branch, changes), facts)]


def test_every_variable_has_its_value() -> None:
    templates = (
        "{commit}",
        "{short_commit}-{date}",
        "{version}",
        "b-{branch}",
        "m-{model_version}",
        "latest",
    )
    assert rendered(*templates) == [
        COMMIT,
        "0123456789ab-20261123",
        "v1.2-cu121",
        "b-main (moves)",
        "m-models-7 (moves)",
        "latest (moves)",
    ]


@pytest.mark.parametrize(
    ("templates", "message"),
    [
        ("'{commit}', '{brunch}'", "tags[1]: '{brunch}' - there is no {brunch}: a tag may have {commit}, {"),
        ("'{commit.real}'", "tags[0]: '{commit.real}' - there is no {commit.real}"),
        ("'{commit}/x'", "tags[0]: '{commit}/x' - expected a tag (letters, digits,"),
        ("'{branch}', '{commit}'", "tags: ['{branch}', '{commit}'] - the first tag names the image in mani"),
        ("'{date}'", "tags: ['{date}'] - the first tag names the image in manifests, so it may not move"),
        ("latest", "the first tag names the image in manifests, so it may not move: begin with {commit}"),
    ],
)
def test_a_template_that_gives_no_tag_is_found_with_its_line(
    tmp_path: Path, templates: str, message: str
) -> None:
    (tmp_path / FILE_NAME).write_text(f"image: digits\ntags: [{templates}]\n")
    with pytest.raises(ConfigurationError) as caught:
        read_config(tmp_path / FILE_NAME, [])
    assert f"{FILE_NAME}:2: " in caught.value.message
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("branch", "tag"),
    [
        ("feature/größe", "feature-gr-e"),
        ("-rf", "rf"),
        ("../../etc", "etc"),
        ("$(reboot);`x`\n::set-output", "reboot-x-set-output"),
        ("a" * 128, "a" * 128),
    ],
)
def test_a_branch_may_be_called_anything(branch: str, tag: str) -> None:
    assert rendered("{commit}", "{branch}", branch=branch)[1] == f"{tag} (moves)"


@pytest.mark.parametrize(
    ("branch", "message"),
    [
        (None, "{branch} has no value"),
        ("a" * 129, "has 129 characters, and a tag at most 128"),
        ("...", "becomes '', which is no tag"),
        (COMMIT, "is called like a commit, whose tag it could move"),
        (COMMIT[:7], "is called like a commit"),
        (f"#{COMMIT}", "is called like a commit"),  # what no tag begins with is left out
        (f"ü.{COMMIT[:12]}", "is called like a commit"),
    ],
)
def test_a_branch_that_gives_no_tag_is_refused(branch: str | None, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message.replace("{", r"\{")):
        rendered("{commit}", "{branch}", branch=branch)


def test_a_job_for_a_git_tag_has_its_name_where_a_branch_would_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI_COMMIT_TAG", "v1.2")
    assert rendered("{commit}", "{branch}", branch=None) == [COMMIT, "v1.2 (moves)"]
    assert rendered("{commit}", "{branch}") == [COMMIT, "main (moves)"]
    monkeypatch.setenv("CI_COMMIT_TAG", COMMIT[:8])
    with pytest.raises(ConfigurationError, match="called like a commit"):
        rendered("{commit}", "{branch}", branch=None)


def test_tags_of_a_changed_work_tree_say_so_and_move() -> None:
    tags = rendered("{version}", "latest", changes=("app.py",))
    assert tags == ["v1.2-cu121-dirty (moves)", "latest-dirty (moves)"]


def test_the_first_tag_never_moves_and_no_tag_comes_twice() -> None:
    assert rendered("v7", "v7", "{branch}", "main") == ["v7", "main (moves)"]
    templates = ("{branch}-{short_commit}", "{branch}-{date}", "{model_version}", "x")
    assert [moves(text) for text in templates] == [False, True, True, True]


def test_two_deliveries_of_one_day_are_no_conflict() -> None:
    assert rendered("{commit}", "{date}") == [COMMIT, "20261123 (moves)"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / FILE_NAME).write_text(
        "image: digits\nregistries: [localhost:1]\ntags: ['{version}', '{model_version}', '{branch}']\n"
        "model: {source: 'hf://team/digits', revision: main}\n"
    )
    git(tmp_path, "init", "--quiet", "--initial-branch=trunk")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "x")
    return tmp_path


def git(folder: Path, *arguments: str) -> None:
    settings = ("-c", "user.name=Ada", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *settings, *arguments], cwd=folder, check=True)


def test_a_version_is_what_git_describes(project: Path) -> None:
    with pytest.raises(ConfigurationError, match="no git tag leads to this commit") as caught:
        read_version(project)
    assert "fetch-depth: 0" in caught.value.advice
    git(project, "tag", "v1.0")
    assert read_version(project) == "v1.0"
    git(project, "commit", "--quiet", "--allow-empty", "-m", "y")
    commit = read_source(project).commit
    assert read_version(project) == f"v1.0-1-g{commit[:12]}"


def test_build_and_push_get_the_tags(project: Path) -> None:
    git(project, "tag", "v1.0")
    plan = compose(read_config(project / FILE_NAME, []), read_source(project))
    (build,) = (stage for stage in plan.stages if isinstance(stage, Build))
    (push,) = (stage for stage in plan.stages if isinstance(stage, Push))
    assert (build.tag, push.tag) == ("v1.0", "v1.0")
    assert [str(tag) for tag in push.further_tags] == ["main (moves)", "trunk (moves)"]


def test_a_model_without_a_version_has_none_to_render(project: Path) -> None:
    git(project, "tag", "v1.0")
    text = (project / FILE_NAME).read_text().replace(", revision: main", "")
    (project / FILE_NAME).write_text(text)
    with pytest.raises(ConfigurationError, match=r"\{model_version\} has no value"):
        compose(read_config(project / FILE_NAME, []), read_source(project))


def test_the_date_is_the_commits_so_that_a_later_run_gives_the_same_tag() -> None:
    assert rendered("{date}") == [f"{LATE.astimezone(UTC):%Y%m%d}"]
