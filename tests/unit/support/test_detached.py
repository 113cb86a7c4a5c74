"""Processes that are found again by their record."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support import detached
from tests.support.errors import SetupError


def test_a_running_process_is_found_again_and_stopped(tmp_path: Path) -> None:
    process = detached.start(["sleep", "60"], log=tmp_path / "log", lifetime_s=60)
    process.save(tmp_path / "record.json")
    assert detached.load(tmp_path / "record.json") == process
    process.stop()
    assert detached.load(tmp_path / "record.json") is None


@pytest.mark.parametrize("changed", [{"started_at": 1.0}, {"command": ["sleep", "60"]}])
def test_a_stranger_with_the_recorded_pid_is_left_alone(tmp_path: Path, changed: dict[str, object]) -> None:
    process = detached.start(["sleep", "60"], log=tmp_path / "log", lifetime_s=60)
    try:
        process.save(tmp_path / "record.json")
        record = json.loads((tmp_path / "record.json").read_text()) | changed
        (tmp_path / "record.json").write_text(json.dumps(record))
        assert detached.load(tmp_path / "record.json") is None
    finally:
        process.stop()


def test_a_process_ends_by_itself(tmp_path: Path) -> None:
    process = detached.start(["sleep", "60"], log=tmp_path / "log", lifetime_s=1)
    with pytest.raises(SetupError, match="the sleeper ended at once"):
        detached.wait_until_ready("the sleeper", lambda: False, process=process, log=tmp_path / "log")


@pytest.mark.parametrize("content", ["", "{}", '{"pid": 1, "started_at": "x", "command": []}'])
def test_a_broken_record_is_no_process(tmp_path: Path, content: str) -> None:
    (tmp_path / "record.json").write_text(content)
    assert detached.load(tmp_path / "record.json") is None
