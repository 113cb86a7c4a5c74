import sys
from pathlib import Path

import pytest

from pipeline.desk import Desk
from pipeline.process import Command


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(folder=tmp_path, cache=tmp_path / "cache")


def test_what_a_command_says_is_logged_and_shown_without_its_secrets(desk: Desk) -> None:
    said: list[str] = []
    desk.say = said.append
    desk.redact.add("hunter2hunter2")
    code = "import os, sys; print('token', os.environ['TOKEN']); print('why', file=sys.stderr)"
    command = Command(arguments=(sys.executable, "-c", code), environment={"TOKEN": "hunter2hunter2"})
    outcome = desk.run(command, log="leak", live=True)
    log = (desk.folder / "leak.log").read_text()
    assert outcome.stdout == "token hunter2hunter2\n"  # data for the caller; whatever is shown is masked
    assert "token ***" in log
    assert "why" in log
    assert "exit code 0" in log
    assert "hunter2" not in log
    assert sorted(said) == ["token ***", "why"]
    assert desk.commands == ["leak.log"]


def test_the_last_thing_done_is_the_first_undone_and_a_failure_stops_nothing(desk: Desk) -> None:
    undone: list[int] = []

    def fails() -> None:
        raise OSError("gone already")

    desk.on_exit(lambda: undone.append(1))
    desk.on_exit(fails)
    desk.on_exit(lambda: undone.append(2))
    desk.clear()
    desk.clear()
    assert undone == [2, 1]


def test_a_part_of_the_work_is_undone_before_the_rest_and_only_once(desk: Desk) -> None:
    undone: list[str] = []
    desk.on_exit(lambda: undone.append("whole"))
    part = desk.part()
    part.on_exit(lambda: undone.append("part"))
    part.close()
    assert undone == ["part"]
    desk.clear()
    assert undone == ["part", "whole"]


def test_what_was_interrupted_while_it_was_undone_is_undone_at_the_end(desk: Desk) -> None:
    undone: list[str] = []

    def slow() -> None:
        undone.append("begun")
        if len(undone) == 1:
            raise KeyboardInterrupt

    part = desk.part()
    part.on_exit(slow)
    with pytest.raises(KeyboardInterrupt):
        part.close()
    desk.clear()
    assert undone == ["begun", "begun"]
