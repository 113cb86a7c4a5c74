"""Where model files of an image are looked for: the weights, and the layers of the application."""

import bz2
import gzip
import lzma
import os
import zlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import StageFailed
from pipeline.model import BuiltImage, ModelFilesReport, ScanReport, Tool, VulnerabilityDatabase
from pipeline.reference import Digest
from stages.scanners.model_files.addition import MOST_REPORTED, ModelFiles, reported
from stages.scanners.model_files.result import Fact, Result
from stages.scanners.model_files.weights import Looked
from tests.support.hostile_archives import torch_archive, zipped
from tests.support.hostile_pickles import HARMLESS, MODERN, SYSTEM
from tests.support.protobuf_bytes import message, number, text
from tests.support.small_image import make_image

NOW = datetime(2026, 11, 20, tzinfo=UTC)
READ = message(text(1, "n"), text(2, "ReadFile"))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    folder = tmp_path / "stage"
    folder.mkdir()
    return Desk(folder=folder, cache=tmp_path / "cache")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "good.pkl").write_bytes(HARMLESS)
    (folder / "predict.py").write_text("import os\n")
    return folder


def looked(image: BuiltImage, desk: Desk) -> ModelFilesReport:
    database = VulnerabilityDatabase(repository="r", schema_version=2, updated_at=NOW)
    report = ScanReport(
        digest=image.digest,
        scanner=Tool(name="t", version="1"),
        scanned_at=NOW,
        database=database,
        packages=0,
    )
    made = ModelFiles().added(report, Artifacts(image), desk).model_files
    assert made is not None
    return made


def test_the_weights_are_looked_into_once(tmp_path: Path, model: Path, desk: Desk) -> None:
    (model / "bad.pkl").write_bytes(MODERN)
    image = make_image(tmp_path / "image", {}, model=model)
    report = looked(image, desk)
    assert [(file.path, file.format, file.reused) for file in report.files] == [
        ("bad.pkl", "pickle", False),
        ("good.pkl", "pickle", False),
        ("predict.py", "python", False),
    ]
    assert [(found.path, found.code) for found in report.findings] == [("bad.pkl", "pickle-import")]
    (model / "bad.pkl").unlink()  # nobody reads it again
    again = looked(image, desk)
    assert all(file.reused for file in again.files)
    assert again.findings == report.findings


def test_a_file_that_changed_since_the_build_is_no_evidence(tmp_path: Path, model: Path, desk: Desk) -> None:
    (model / "good.pkl").write_bytes(MODERN)
    image = make_image(tmp_path / "image", {}, model=model)
    before = (model / "good.pkl").stat()
    (model / "good.pkl").write_bytes(HARMLESS.ljust(len(MODERN), b"."))
    os.utime(model / "good.pkl", ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(StageFailed, match=r"good\.pkl changed"):
        looked(image, desk)


def test_model_files_in_the_application_are_found_by_name_and_by_content(tmp_path: Path, desk: Desk) -> None:
    files = {
        "app/model.pkl": b"cos\nsystem\n(S'true'\ntR.",
        "app/hidden.dat": MODERN,
        "app/weights": torch_archive(MODERN),
        "app/serve.py": b"import pickle\n",
        "usr/lib/python3.11/site-packages/joblib/test/data/old.pkl": MODERN,
        "app/notes.bin": bytes(5000),
    }
    image = make_image(tmp_path / "image", files, platforms=("linux/amd64", "linux/arm64"))
    report = looked(image, desk)
    assert {file.path for file in report.files} == {"/app/model.pkl", "/app/hidden.dat", "/app/weights"}
    assert {(found.path, found.code) for found in report.findings} == {
        ("/app/model.pkl", "pickle-import"),
        ("/app/hidden.dat", "pickle-import"),
        ("/app/weights", "pickle-import"),
    }
    assert all(file.reused for file in looked(image, desk).files)
    assert list(desk.folder.iterdir()) == []


DISGUISED = {
    "app/model.gz": gzip.compress(MODERN),
    "app/model.sav": zlib.compress(MODERN),  # as joblib compresses
    "app/model.bz": bz2.compress(MODERN),
    "app/model.alone": lzma.compress(MODERN, lzma.FORMAT_ALONE),
    "app/model.xz": lzma.compress(SYSTEM),
    "app/old": SYSTEM,
    "app/list": b"(lp0\n" + SYSTEM[:-1] + b"a.",
    "app/number": b"\x80\x04K\x01" + SYSTEM,
    "app/pytorch_model.bin": zipped(("archive/data/0", bytes(64)), ("archive/data.pkl", MODERN)),
    "app/graph.pb": message(number(1, 1), text(2, message(text(2, message(text(1, READ)))))),
}
"""Model files that neither their names nor their first bytes give away."""
HARMLESS_FILES = {
    "usr/share/words": b"cat\ndog\n" * 50,
    "usr/share/changelog.gz": gzip.compress(b"cat\ndog\n" * 50),
    "usr/share/x.jar": zipped(("META-INF/MANIFEST.MF", b"x"), ("a.pkl", MODERN)),
    "usr/share/noise": b"\x80\x03\xfe\xff" * 500,
    "usr/share/text.gz": b"\x1f\x8b no gzip",
    "etc/config.ini": b"[section]\nkey=value\n",
}


@pytest.mark.parametrize("path", DISGUISED)
def test_a_model_file_without_a_mark_is_found_by_what_it_turns_out_to_be(
    path: str, tmp_path: Path, desk: Desk
) -> None:
    report = looked(make_image(tmp_path / "image", {path: DISGUISED[path], **HARMLESS_FILES}), desk)
    assert [file.path for file in report.files] == [f"/{path}"]
    assert {found.kind for found in report.findings} == {"unsafe"}


def test_a_path_is_told_as_it_is_in_the_image(tmp_path: Path, desk: Desk) -> None:
    names = ("./.cache/model.pkl", "app/site-packages/../model.pkl", "app/mod\udce9le.pkl")
    image = make_image(tmp_path / "image", dict.fromkeys(names, HARMLESS))
    paths = {file.path for file in looked(image, desk).files}
    assert paths == {"/.cache/model.pkl", "/app/model.pkl", "/app/mod\\xe9le.pkl"}
    assert all(file.reused for file in looked(image, desk).files)


def test_the_identity_depends_on_the_weights(tmp_path: Path, model: Path) -> None:
    one = make_image(tmp_path / "one", {}, model=model)
    (model / "good.pkl").write_bytes(MODERN)
    two = make_image(tmp_path / "two", {}, model=model)
    assert ModelFiles().identity(Artifacts(one)) != ModelFiles().identity(Artifacts(two))


def test_of_very_many_findings_the_last_one_says_that_there_are_more() -> None:
    code = "pickle-unlisted-import"
    fact = Fact(member="", format="pickle", kind="unsafe", code=code, subject="a.B", message="x")
    many = tuple(
        Looked(
            path=f"{number}.pkl",
            digest=Digest.of(b""),
            size_bytes=1,
            result=Result(format="pickle", facts=(fact,) * 100),
            reused=False,
        )
        for number in range(30)
    )
    findings = reported(many).findings
    assert len(findings) == MOST_REPORTED
    assert {(one.kind, one.code) for one in findings[:-1]} == {("unsafe", code)}
    assert (findings[-1].kind, findings[-1].code) == ("unread", "too-many-findings")
    assert "1001 more findings" in findings[-1].message
