"""Questions that are asked once: by a real program that counts how often it was run."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.process import Command
from stages.asking import ask

COUNTING = 'printf x >> "$1"; exit "$(cat "$2")"'


@pytest.fixture
def question(tmp_path: Path) -> Command:
    (tmp_path / "code").write_text("0")
    return Command(arguments=("sh", "-c", COUNTING, "sh", str(tmp_path / "asked"), str(tmp_path / "code")))


def times_asked(folder: Path) -> int:
    return (folder / "asked").stat().st_size


def test_a_good_answer_is_not_asked_for_again(question: Command, tmp_path: Path) -> None:
    assert ask(question) == ask(question)
    assert times_asked(tmp_path) == 1


def test_who_asks_meanwhile_gets_the_same_answer(question: Command, tmp_path: Path) -> None:
    with ThreadPoolExecutor(max_workers=4) as threads:
        answers = list(threads.map(ask, [question] * 4))
    assert answers == [answers[0]] * 4
    assert times_asked(tmp_path) == 1


def test_a_refusal_is_asked_again(question: Command, tmp_path: Path) -> None:
    (tmp_path / "code").write_text("1")
    assert not ask(question).succeeded
    (tmp_path / "code").write_text("0")
    assert ask(question).succeeded
    assert times_asked(tmp_path) == 2


def test_another_environment_is_another_question(
    question: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(question)
    monkeypatch.setenv("DOCKER_HOST", "unix:///elsewhere.sock")
    ask(question)
    assert times_asked(tmp_path) == 2
