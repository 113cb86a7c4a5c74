import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.errors import ConfigurationError
from pipeline.handover import KEY, SEAL, require_seal, seal, sealed, take_key
from pipeline.record import Record, Runs, Status

SECRET = "a key of sixteen and more"


@pytest.fixture
def record(tmp_path: Path) -> Path:
    path = tmp_path / "record.json"
    path.write_text(json.dumps({"run": "a", "stages": [1, 2]}))
    return path


@pytest.mark.parametrize("key", [None, SECRET])
def test_a_record_as_it_was_left_fits_its_seal_however_it_is_laid_out(record: Path, key: str | None) -> None:
    seal(record, key)
    record.write_text(json.dumps({"stages": [1, 2], "run": "a"}, indent=4))
    require_seal(record, key)


@pytest.mark.parametrize(
    ("made_with", "read_with", "message"),
    [
        (None, SECRET, "is not signed, and"),
        (SECRET, None, "this job has no"),
        (SECRET, SECRET + "!", "is not signed with this"),
    ],
)
def test_another_key_is_refused(
    record: Path, made_with: str | None, read_with: str | None, message: str
) -> None:
    seal(record, made_with)
    with pytest.raises(ConfigurationError, match=message):
        require_seal(record, read_with)


def test_who_lacks_the_key_cannot_seal_a_change(record: Path) -> None:
    seal(record, SECRET)
    signature = json.loads(record.with_name(SEAL).read_text())["hmac"]
    record.write_text(json.dumps({"run": "b"}))
    seal(record, None)
    forged = json.loads(record.with_name(SEAL).read_text())
    record.with_name(SEAL).write_text(json.dumps({**forged, "hmac": signature}))
    with pytest.raises(ConfigurationError, match="is not signed with this"):
        require_seal(record, SECRET)


def test_the_key_leaves_the_environment() -> None:
    environment = {KEY: f"{SECRET}\n", "OTHER": "x"}
    assert take_key(environment) == SECRET
    assert environment == {"OTHER": "x"}
    assert take_key(environment) is None
    with pytest.raises(ConfigurationError, match="less than 16"):
        take_key({KEY: "short"})


def test_a_record_to_promote_fits_the_key_and_its_seal_where_there_is_one(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    path = tmp_path / "record.json"
    began = datetime(2026, 11, 22, tzinfo=UTC)
    path.write_text(Record(run="1", started_at=began, status=Status.PASSED).model_dump_json())
    assert sealed(runs, str(path), None).run == sealed(runs, str(tmp_path), None).run == "1"
    with pytest.raises(ConfigurationError, match=r"there is no .*record\.seal\.json"):
        sealed(runs, str(path), SECRET)
    seal(path, SECRET)
    assert sealed(runs, str(path), SECRET).run == "1"
    path.write_text(path.read_text().replace("passed", "failed"))
    with pytest.raises(ConfigurationError, match="not what the run wrote"):
        sealed(runs, str(path), SECRET)
