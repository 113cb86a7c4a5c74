import re
from pathlib import Path

import pytest

from pipeline.ci.gitlab import OUTPUTS_FILE, SUMMARY_FILE, GitLab
from pipeline.ci.interface import OUTPUTS, Proposal

SECTION = re.compile(r"section_(?:start|end):\d+:[a-zA-Z0-9_.-]+(?:\[[^\]]*\])?\r\x1b\[0K")
DOTENV = re.compile(r"[A-Za-z0-9_]+=[\x20-\x7e]*")


def gitlab(**environment: str) -> GitLab:
    return GitLab(environment=environment)


def test_a_section_opens_folded_and_closes_under_the_same_name() -> None:
    opened, closed = gitlab().begin_group("build", "build"), gitlab().end_group("build")
    assert SECTION.search(opened)
    assert SECTION.search(closed)
    assert "[collapsed=true]" in opened
    assert [re.findall(r":(pipeline_\w+)", text) for text in (opened, closed)] == [["pipeline_build"]] * 2


def test_a_hostile_title_opens_no_other_section() -> None:
    nasty = "x\r\x1b[0K\nsection_end:1:pipeline_x\r\x1b[0K"
    opened = gitlab().begin_group(nasty, nasty)
    assert len(SECTION.findall(opened)) == 1
    assert "\n" not in opened


@pytest.mark.parametrize(
    "text", ["section_start:1:a\r\x1b[0K", "x section_end:1:a\r\x1b[0Ksection_start:2:b\r\x1b[0K"]
)
def test_a_neutral_text_has_no_section(text: str) -> None:
    assert SECTION.search(text)
    assert not SECTION.search(gitlab().neutral(text))


def test_the_dotenv_report_keeps_to_what_gitlab_takes(tmp_path: Path) -> None:
    values = dict.fromkeys(OUTPUTS, "x")
    values |= {"tags": "a\nVERDICT=passed\r\nb", "image": "ü" + "y" * 3000, "commit": "a " * 2000}
    gitlab().write_outputs(values, tmp_path / "ci")
    text = (tmp_path / "ci" / OUTPUTS_FILE).read_text()
    assert len(text.encode()) < 5000
    lines = text.removesuffix("\n").split("\n")
    assert len(lines) == 8
    assert all(DOTENV.fullmatch(line) for line in lines)
    assert "TAGS=a VERDICT=passed b" in lines
    assert "IMAGE=" in lines  # half a name would name something else
    assert "PULL_REQUEST=x" in lines


def test_the_record_is_named_as_artifacts_name_it(tmp_path: Path) -> None:
    host = gitlab(CI_PROJECT_DIR="/builds/team/digits")
    host.write_outputs({"record": "/builds/team/digits/.pipeline/runs/1/record.json"}, tmp_path)
    assert (tmp_path / OUTPUTS_FILE).read_text() == "RECORD=.pipeline/runs/1/record.json\n"


def test_outputs_and_summary_of_an_earlier_run_do_not_stay(tmp_path: Path) -> None:
    for word in ("first", "second"):
        gitlab().write_outputs({"verdict": word}, tmp_path)
        gitlab().write_summary(word, tmp_path)
    assert (tmp_path / OUTPUTS_FILE).read_text() == "VERDICT=second\n"
    assert (tmp_path / SUMMARY_FILE).read_text() == "second\n"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"CI_PIPELINE_SOURCE": "push"}, None),
        ({"CI_PIPELINE_SOURCE": "merge_request_event"}, (None, False)),
        ({"CI_PIPELINE_SOURCE": "merge_request_event", "CI_MERGE_REQUEST_IID": "7"}, (7, False)),
        ({"CI_PIPELINE_SOURCE": "parent_pipeline", "CI_MERGE_REQUEST_IID": "7"}, (7, False)),
        ({"CI_MERGE_REQUEST_REF_PATH": "refs/merge-requests/1/head"}, (None, False)),
        ({"CI_PIPELINE_SOURCE": "external_pull_request_event"}, (None, False)),
        ({"CI_EXTERNAL_PULL_REQUEST_IID": "3"}, (3, False)),
        (
            {
                "CI_MERGE_REQUEST_IID": "7",
                "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "2",
                "CI_MERGE_REQUEST_PROJECT_ID": "1",
            },
            (7, True),
        ),
    ],
)  # fmt: skip
def test_a_merge_request_is_known(
    environment: dict[str, str], expected: tuple[int | None, bool] | None
) -> None:
    found = gitlab(**environment).proposal
    assert (found and (found.number, found.from_fork)) == expected


def test_people_read_what_it_is() -> None:
    assert str(Proposal(noun="merge request", number=7)) == "merge request #7"
    assert str(Proposal(noun="merge request", number=7, from_fork=True)) == "merge request #7 from a fork"
