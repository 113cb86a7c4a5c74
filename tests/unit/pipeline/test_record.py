import os
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.errors import ConfigurationError, DiskFull
from pipeline.model import Skipped
from pipeline.record import FILE_NAME, Record, Runs, StageRecord, Status, read_record, write_text
from tests.unit.pipeline.conftest import REPORT


def record(run: str, **stage: object) -> Record:
    entry = StageRecord(name="measure", gives="SuiteReport", artifact=REPORT.model_dump(mode="json"))
    entry = entry.model_copy(update={"status": Status.PASSED, "identity": "x", **stage})
    return Record(run=run, started_at=datetime(2026, 1, 2, tzinfo=UTC), stages=(entry,))


def keep(runs: Runs, kept: Record) -> None:
    write_text(runs.create(kept.run) / FILE_NAME, kept.model_dump_json())


def test_artifacts_come_back_as_their_own_types(tmp_path: Path) -> None:
    skipped = Skipped(stage="measure", gives="SuiteReport", reason="at night")
    for artifact in (REPORT, skipped):
        write_text(
            tmp_path / "r.json", record("1", artifact=artifact.model_dump(mode="json")).model_dump_json()
        )
        assert read_record(tmp_path / "r.json").made() == (artifact,)


def test_a_reader_sees_the_old_or_the_new_file_and_never_a_part(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    texts = [letter * 300_000 for letter in "ab"]
    write_text(path, texts[0])
    done = threading.Event()

    def rewrite() -> None:
        for number in range(60):
            write_text(path, texts[number % 2])
        done.set()

    writer = threading.Thread(target=rewrite)
    writer.start()
    while not done.is_set():
        assert path.read_text() in texts
    writer.join()
    assert os.listdir(tmp_path) == ["record.json"]  # noqa: PTH208 - nothing temporary is left


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskFull, match="cannot write"):
        write_text(tmp_path / "file" / "record.json", "x")
    with pytest.raises(DiskFull, match="cannot write below") as caught:
        Runs(tmp_path / "file").create("1")
    assert "permissions" in caught.value.advice


def test_a_broken_record_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    with pytest.raises(ConfigurationError, match="cannot read"):
        read_record(path)
    path.write_text('{"run": 1')
    with pytest.raises(ConfigurationError, match="is no record of a run"):
        read_record(path)


def test_the_newest_settled_result_is_reused(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    keep(runs, record("1"))
    keep(runs, record("2", status=Status.REFUSED))
    keep(runs, record("3", status=Status.FAILED))
    keep(runs, record("4", identity="y"))
    assert runs.reusable("measure", "x") == ("2", REPORT)
    assert runs.reusable("make", "x") is None


def test_a_record_that_cannot_be_read_only_is_not_reused(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    keep(runs, record("1"))
    (runs.create("2") / FILE_NAME).write_text("{}")
    assert runs.reusable("measure", "x") == ("1", REPORT)


def test_the_folder_hides_itself_from_git_and_numbers_what_has_one_name(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    assert [runs.create("1").name, runs.create("1").name] == ["1", "1-2"]
    assert (tmp_path / ".pipeline" / ".gitignore").read_text() == "*\n"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"schema_version":1', '"schema_version":99'),
        ('"exit_code":0', '"exit_code":0,"unknown":1'),
        ('"gives":"SuiteReport"', '"gives":"Unheard"'),
    ],
)
def test_a_record_of_another_version_is_a_clear_error_and_not_reused(
    tmp_path: Path, old: str, new: str
) -> None:
    runs = Runs(tmp_path)
    text = record("1").model_dump_json()
    assert old in text
    path = runs.create("1") / FILE_NAME
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigurationError):
        read_record(path)
    assert runs.reusable("measure", "x") is None
