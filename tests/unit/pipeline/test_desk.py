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
