import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.errors import ConfigurationError
from pipeline.handover import KEY, SEAL, hand_over, require_seal, seal, sealed, take_key, take_lists
from pipeline.model import Sbom
from pipeline.record import Record, Runs, StageRecord, Status
from pipeline.reference import Digest
from tests.unit.policies import evidence

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


def scanned(*lists: str) -> Record:
    """Return the record of a run whose scan names these lists of contents."""
    sboms = tuple(
        Sbom(
            format="spdx",
            platform="linux/amd64",
            subject=Digest.of(b"image"),
            path=Path(path),
            digest=Digest.of(b"{}"),
            components=1,
        )
        for path in lists
    )
    report = evidence.scan().model_copy(update={"sboms": sboms})
    scan = StageRecord(
        name="scan", gives="ScanReport", status=Status.PASSED, artifact=report.model_dump(mode="json")
    )
    return Record(run="a", pipeline_version="1", stages=(scan,), started_at=datetime(2026, 1, 2, tzinfo=UTC))


def test_lists_of_contents_go_along_to_the_next_machine(tmp_path: Path) -> None:
    here, there = Runs(tmp_path / "here"), Runs(tmp_path / "there")
    record = scanned("sbom/a.spdx.json", "sbom/gone.spdx.json")
    for path, text in ((here.path("a"), "{}"), (here.cache / "sbom" / "a.spdx.json", "the list")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    seal(here.path("a"), None)
    folder = hand_over(here, record, lambda _image, _folder: None)
    take_lists(folder, record, there.cache)
    assert [path.name for path in (there.cache / "sbom").iterdir()] == ["a.spdx.json"]
    assert (there.cache / "sbom" / "a.spdx.json").read_text() == "the list"


@pytest.mark.parametrize("path", ["../secret", "sbom/../../secret", "/etc/passwd"])
def test_a_record_from_elsewhere_gets_no_other_path_written(tmp_path: Path, path: str) -> None:
    folder, cache = tmp_path / "handover", tmp_path / "cache"
    (folder / "sbom").mkdir(parents=True)
    (tmp_path / "secret").write_text("x")
    take_lists(folder, scanned(path), cache)
    assert not cache.exists()
