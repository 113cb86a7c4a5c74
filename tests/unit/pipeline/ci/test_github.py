import json
from pathlib import Path

import pytest

from pipeline.ci import detect
from pipeline.ci.github import MOST_ANNOTATIONS, GitHub
from pipeline.ci.interface import Proposal
from pipeline.report.annotations import Annotation
from tests.support.workflow_commands import commands, outputs

NASTY = [
    "::add-mask::x",
    "  \t::set-output name=a::b",
    "\u00a0::error::no-break space",
    "\u2003\u3000::error::wide spaces",
    "harmless\r::warning::after a carriage return",
    "a\r\n::stop-commands::token",
    "a\x0b::error::vertical tab\x0c::error::form feed",
    "\x85::error::next line\u2028::error::line separator",
    "\x1b[31m::error::coloured",
    "text ##[error]old kind",
    "####[add-mask]x",
    ":::error::three colons",
    "::::",
    "##[##[nested",
    "::error file=a.py,line=1::%0A::add-mask::b",
]


def github(**environment: str) -> GitHub:
    return GitHub(environment=environment)


def event(tmp_path: Path, **content: object) -> str:
    path = tmp_path / "event.json"
    path.write_text(json.dumps(content))
    return str(path)


@pytest.mark.parametrize("text", NASTY)
def test_nothing_in_a_neutral_text_is_a_command(text: str) -> None:
    assert commands(github().neutral(text)) == []
    assert commands(github().neutral(f"before\n{text}\nafter\n{text}")) == []


def test_the_test_knows_commands() -> None:
    assert commands("a\n  ::error file=a%2Cb,line=1::one%0Atwo\n##[add-mask]x")[0].properties["file"] == "a,b"
    assert sum(bool(commands(text)) for text in NASTY) >= 10


@pytest.mark.parametrize("text", ["std::vector<int>", "a :: b", "# heading", "12:30:00", "", "\n\n"])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert github().neutral(text) == text


def test_an_annotation_is_one_command_whatever_it_says(tmp_path: Path) -> None:
    nasty = Annotation(
        level="error",
        title="a,line=9::b%0A",
        message="one\r\n::add-mask::x\n50%",
        file=str(tmp_path / "a,b:c%.py"),
        line=3,
    )
    (told,) = commands(github(GITHUB_WORKSPACE=str(tmp_path)).annotations([nasty]))
    assert told.name == "error"
    assert told.value == "one\r\n::add-mask::x\n50%"
    assert told.properties == {"file": "a,b:c%.py", "line": "3", "title": "a,line=9::b%0A"}


@pytest.mark.parametrize("checkout", [".", "source", "a/b"])
def test_an_annotation_names_the_file_as_the_repository_does(tmp_path: Path, checkout: str) -> None:
    (tmp_path / checkout / ".git").mkdir(parents=True)  # the reusable workflow's lies below the workspace
    file = str(tmp_path / checkout / "models" / "a" / "check.py")
    found = Annotation(level="error", title="t", message="m", file=file, line=3)
    (told,) = commands(github(GITHUB_WORKSPACE=str(tmp_path)).annotations([found]))
    assert told.properties["file"] == "models/a/check.py"


def test_of_many_annotations_the_first_are_shown_and_the_others_counted() -> None:
    found = [Annotation(level="error", title="t", message=f"m{n}") for n in range(13)]
    text = github().annotations([*found, Annotation(level="warning", title="t", message="w")])
    told = commands(text)
    assert [one.name for one in told] == ["error"] * MOST_ANNOTATIONS + ["warning"]
    assert "3 more errors are" in text


def test_outputs_cannot_be_forged(tmp_path: Path) -> None:
    path = tmp_path / "output"
    value = "a\nverdict<<x\npassed\nx\nEOF\n"
    for _ in range(2):
        github(GITHUB_OUTPUT=str(path)).write_outputs({"tags": value, "verdict": "failed"}, tmp_path)
    assert outputs(path.read_text()) == {"tags": value, "verdict": "failed"}
    delimiters = [line for line in path.read_text().split("\n") if "<<pipeline-" in line]
    assert len(set(delimiters)) == 4


def test_without_the_files_nothing_is_written(tmp_path: Path) -> None:
    host = github(GITHUB_OUTPUT="", GITHUB_STEP_SUMMARY="")
    host.write_outputs({"digest": "x"}, tmp_path)
    host.write_summary("x", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_summary_stays_within_a_mebibyte_and_says_that_it_was_cut(tmp_path: Path) -> None:
    path = tmp_path / "summary"
    github(GITHUB_STEP_SUMMARY=str(path)).write_summary("ünïcode\n" * 200_000, tmp_path)
    assert path.stat().st_size <= 1024 * 1024
    note, _, *rest = path.read_text().splitlines()
    assert note.startswith("_The summary is too long")  # nothing that is cut can hide it
    assert set(rest) == {"ünïcode"}


@pytest.mark.parametrize("already", [1024 * 512, 1024 * 1024 - 1024, 1024 * 1024 - 1])
def test_the_summaries_of_one_step_stay_within_a_mebibyte_together(tmp_path: Path, already: int) -> None:
    path = tmp_path / "summary"
    path.write_text("x" * already)
    github(GITHUB_STEP_SUMMARY=str(path)).write_summary("ours\n" * 200_000, tmp_path)
    assert path.stat().st_size <= 1024 * 1024
    assert ("ours" in path.read_text()) is (already == 1024 * 512)


def test_a_summary_follows_what_the_step_wrote_before(tmp_path: Path) -> None:
    path = tmp_path / "summary"
    path.write_text("before\n")
    github(GITHUB_STEP_SUMMARY=str(path)).write_summary("ours", tmp_path)
    assert path.read_text() == "before\nours\n"


@pytest.mark.parametrize(
    ("environment", "content", "expected"),
    [
        ({"GITHUB_EVENT_NAME": "push", "GITHUB_REF": "refs/heads/main"}, {}, None),
        ({"GITHUB_EVENT_NAME": "workflow_dispatch", "GITHUB_REF": "refs/tags/v1"}, {}, None),
        ({"GITHUB_EVENT_NAME": "schedule"}, {"workflow_run": None}, None),
        ({"GITHUB_EVENT_NAME": "issue_comment"}, {"issue": {"number": 4}}, None),
        ({"GITHUB_EVENT_NAME": "pull_request", "GITHUB_REF": "refs/pull/7/merge"}, {}, (7, False)),
        ({"GITHUB_EVENT_NAME": "pull_request_target", "GITHUB_REF": "refs/heads/main"}, {}, (None, False)),
        ({"GITHUB_EVENT_NAME": "pull_request_review"}, {"pull_request": {"number": 8}}, (8, True)),
        ({"GITHUB_EVENT_NAME": "push", "GITHUB_REF": "refs/pull/9/head"}, {}, (9, False)),
        ({"GITHUB_EVENT_NAME": "merge_group"}, {}, (None, False)),
        ({"GITHUB_REF": "refs/heads/gh-readonly-queue/main/p"}, {}, (None, False)),
        ({}, {"issue": {"number": 4, "pull_request": {"url": "x"}}}, (4, True)),
        (
            {"GITHUB_EVENT_NAME": "workflow_run"},
            {
                "workflow_run": {
                    "event": "pull_request",
                    "head_repository": {"full_name": "eve/x"},
                    "repository": {"full_name": "ada/x"},
                }
            },
            (None, True),
        ),
    ],
)  # fmt: skip
def test_a_change_that_nobody_accepted_is_known_by_any_event(
    tmp_path: Path,
    environment: dict[str, str],
    content: dict[str, object],
    expected: tuple[int | None, bool] | None,
) -> None:
    found = github(**environment, GITHUB_EVENT_PATH=event(tmp_path, **content)).proposal
    assert (found and (found.number, found.from_fork)) == expected


@pytest.mark.parametrize(
    ("head", "fork"),
    [
        ({"repo": {"full_name": "ada/x"}}, False),
        ({"repo": {"full_name": "eve/x"}}, True),
        ({"repo": None}, True),
    ],
)
def test_a_fork_is_known(tmp_path: Path, head: dict[str, object], *, fork: bool) -> None:
    asked = {"number": 5, "head": head, "base": {"repo": {"full_name": "ada/x"}}}
    path = event(tmp_path, pull_request=asked)
    found = github(GITHUB_EVENT_NAME="pull_request", GITHUB_EVENT_PATH=path).proposal
    assert found == Proposal(noun="pull request", number=5, from_fork=fork)


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{", '{"pull_request": 3, "issue": [], "workflow_run": "x"}']
)
def test_a_broken_event_file_is_no_reason_to_publish(tmp_path: Path, text: str) -> None:
    path = tmp_path / "event.json"
    path.write_text(text)
    environment = {"GITHUB_EVENT_PATH": str(path)}
    assert github(**environment).proposal is None
    assert github(**environment, GITHUB_EVENT_NAME="pull_request").proposal is not None


def test_hosts_are_known_by_their_own_variable() -> None:
    assert detect({"GITHUB_ACTIONS": "true"}).name == "GitHub"
    assert detect({"GITLAB_CI": "true"}).name == "GitLab"
    assert detect({"CI": "true", "GITHUB_ACTIONS": "", "GITHUB_EVENT_NAME": "pull_request"}).proposal is None
