import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.desk import Desk
from pipeline.errors import ConfigurationError, StageFailed
from pipeline.model import Problem
from stages.models.file import FolderFiles
from stages.models.interface import Files, SourceFile
from stages.models.patterns import Selected
from tests.support.unprivileged import unprivileged

ROOT = Path(__file__).parents[4]
LONG_AGO_NS = 1_600_000_000_123_456_789


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model = tmp_path / "model"
    (model / "part").mkdir(parents=True)
    (model / "weights.bin").write_bytes(bytes(range(256)) * 8192)  # two pieces
    (model / "part/empty").touch()
    return model


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(folder=tmp_path, cache=tmp_path)


def listed(folder: Path, desk: Desk, path: str = "weights.bin") -> SourceFile:
    return next(file for file in FolderFiles(folder=folder).list(desk) if file.path == path)


def read(folder: Path, file: SourceFile, offset: int = 0) -> bytes:
    return b"".join(FolderFiles(folder=folder).read(file, offset))


def test_it_lists_all_files_with_their_sizes(folder: Path, desk: Desk) -> None:
    files: Files = FolderFiles(folder=folder)
    found = {file.path: (file.size_bytes, file.digest) for file in files.list(desk)}
    assert found == {"weights.bin": (2 << 20, None), "part/empty": (0, None)}
    assert files.local_folder == folder


def test_it_is_named_by_its_whole_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    assert FolderFiles(folder=Path(folder.name)).name == str(folder.resolve())


@pytest.mark.parametrize("offset", [0, 1, 1 << 20, (2 << 20) - 1, 2 << 20])
def test_it_reads_from_any_byte_on(folder: Path, desk: Desk, offset: int) -> None:
    content = (folder / "weights.bin").read_bytes()
    assert read(folder, listed(folder, desk), offset) == content[offset:]


def test_its_pieces_are_small(folder: Path, desk: Desk) -> None:
    pieces = FolderFiles(folder=folder).read(listed(folder, desk))
    assert [len(piece) for piece in pieces] == [1 << 20, 1 << 20]


def overwrite(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def overwrite_and_set_the_time_back(file: Path) -> None:
    before = file.stat()
    overwrite(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace_by_one_of_the_same_size_and_time(file: Path) -> None:
    before = file.stat()
    file.unlink()
    file.write_bytes(bytes(before.st_size))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize(
    "change", [overwrite, overwrite_and_set_the_time_back, replace_by_one_of_the_same_size_and_time]
)
def test_another_content_has_another_identity(
    folder: Path, desk: Desk, change: Callable[[Path], None]
) -> None:
    before = listed(folder, desk)
    assert listed(folder, desk) == before
    time.sleep(0.05)  # longer than a tick of the file system's clock
    change(folder / "weights.bin")
    assert listed(folder, desk).identity != before.identity


def test_a_file_that_was_written_a_moment_ago_is_not_settled(folder: Path, desk: Desk) -> None:
    assert not listed(folder, desk).settled
    os.utime(folder / "weights.bin", ns=(LONG_AGO_NS, LONG_AGO_NS))
    assert not listed(folder, desk).settled  # the time was set just now: what is young is the change of it


def test_a_file_of_the_future_is_not_settled(folder: Path, desk: Desk) -> None:
    future_ns = time.time_ns() + 3600 * 10**9
    os.utime(folder / "weights.bin", ns=(future_ns, future_ns))
    assert not listed(folder, desk).settled


def grow(file: Path) -> None:
    with file.open("ab") as stream:
        stream.write(b"more")


def shrink(file: Path) -> None:
    os.truncate(file, 5)


def replace_by_link(file: Path) -> None:
    file.rename(file.with_name("moved"))
    file.symlink_to("moved")


def replace_by_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


CHANGES = (grow, shrink, overwrite, replace_by_link, replace_by_pipe, Path.unlink)


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changed_since_it_was_listed_is_refused(
    folder: Path, desk: Desk, change: Callable[[Path], None]
) -> None:
    file = listed(folder, desk)
    time.sleep(0.05)
    change(folder / "weights.bin")
    with pytest.raises(StageFailed, match=r"weights\.bin changed since"):
        read(folder, file)


@pytest.mark.parametrize("change", [grow, shrink, overwrite])
def test_a_file_that_changes_while_it_is_read_is_refused(
    folder: Path, desk: Desk, change: Callable[[Path], None]
) -> None:
    pieces = FolderFiles(folder=folder).read(listed(folder, desk))
    next(pieces)
    time.sleep(0.05)
    change(folder / "weights.bin")
    with pytest.raises(StageFailed, match=r"weights\.bin changed since"):
        list(pieces)


def test_links_are_refused_with_a_way_out(folder: Path, desk: Desk) -> None:
    (folder / "part/link").symlink_to("../weights.bin")
    with pytest.raises(ConfigurationError, match=r"link is a symbolic link to \.\./weights\.bin") as caught:
        FolderFiles(folder=folder).list(desk)
    assert f"cp -rL {folder}/part" in caught.value.advice
    assert "model.exclude" in caught.value.advice


def test_a_snapshot_of_the_hub_is_named_as_what_it_is(tmp_path: Path, desk: Desk) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = tmp_path / f"hub/models--team--digits-small/snapshots/{commit}/onnx"
    snapshot.mkdir(parents=True)
    (snapshot / "model.onnx").symlink_to("../../../blobs/0a1b")
    with pytest.raises(ConfigurationError, match=r"model\.onnx is a symbolic link") as caught:
        FolderFiles(folder=snapshot.parent).list(desk)
    assert f"`source: hf://team/digits-small@{commit}`" in caught.value.advice


def test_a_link_that_is_excluded_does_no_harm(folder: Path, desk: Desk) -> None:
    (folder / "latest").symlink_to("part")
    (folder / "part/socket.link").symlink_to("nowhere")
    files = Selected(files=FolderFiles(folder=folder), exclude=("latest/", "*.link"))
    assert {file.path for file in files.list(desk)} == {"weights.bin", "part/empty"}
    with pytest.raises(ConfigurationError, match="is a symbolic link"):
        replace(files, exclude=("latest",)).list(desk)


@pytest.mark.parametrize("name", [".pipeline", ".git"])
def test_what_git_and_we_keep_is_no_part_of_the_model(folder: Path, desk: Desk, name: str) -> None:
    before = FolderFiles(folder=folder).list(desk)
    for place in (folder, folder / "part"):
        (place / name / "runs").mkdir(parents=True)
        (place / name / "runs/record.json").write_text("{}")
        (place / name / "newest").symlink_to("runs")
    assert FolderFiles(folder=folder).list(desk) == before
    (folder / "part" / name).rename(folder / "moved")
    (folder / "part" / name).write_text("gitdir: elsewhere")  # a file, as in a submodule
    (folder / "moved/newest").unlink()
    assert {file.path for file in FolderFiles(folder=folder).list(desk)} == {
        *(file.path for file in before),
        "moved/runs/record.json",
    }


def test_names_that_only_begin_like_git_s_are_taken(folder: Path, desk: Desk) -> None:
    (folder / ".gitattributes").touch()
    assert ".gitattributes" in {file.path for file in FolderFiles(folder=folder).list(desk)}


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


@pytest.mark.parametrize(("make", "kind"), [(os.mkfifo, "p"), (make_socket, "s")])
def test_special_files_are_refused(desk: Desk, make: Callable[[Path], None], kind: str) -> None:
    with tempfile.TemporaryDirectory() as short:  # the path of a socket must be
        make(Path(short) / "special")
        with pytest.raises(ConfigurationError, match=rf"special is neither a file nor a folder \({kind}"):
            FolderFiles(folder=Path(short)).list(desk)


def test_devices_are_refused(desk: Desk) -> None:
    with pytest.raises(ConfigurationError, match=r"is neither a file nor a folder \(c"):
        FolderFiles(folder=Path("/dev/pts")).list(desk)


def test_a_sparse_file_is_read_as_what_it_seems(folder: Path, desk: Desk) -> None:
    os.truncate(folder / "part/empty", 3 << 20)
    assert read(folder, listed(folder, desk, "part/empty")) == bytes(3 << 20)


def test_a_file_that_vanishes_while_it_is_read_is_refused(folder: Path, desk: Desk) -> None:
    pieces = FolderFiles(folder=folder).read(listed(folder, desk))
    next(pieces)
    time.sleep(0.05)
    (folder / "weights.bin").unlink()
    with pytest.raises(StageFailed, match=r"weights\.bin changed since"):
        list(pieces)


@pytest.mark.parametrize("unreadable", ["weights.bin", "part"])
def test_what_may_not_be_read_is_named_with_its_cure(folder: Path, unreadable: str) -> None:
    (folder / unreadable).chmod(0)
    code = f"""
from pathlib import Path
from pipeline.desk import Desk
from pipeline.errors import ConfigurationError
from stages.models.file import FolderFiles
from stages.models.model import Model
folder = Path({str(folder)!r})
try:
    Model(files=FolderFiles(folder=folder), path="/m").layers(Desk(folder=folder.parent, cache=folder.parent))
except ConfigurationError as error:
    print(error.message, error.advice, sep="|")
"""
    said = unprivileged((sys.executable, "-c", code), ROOT).strip()
    (folder / unreadable).chmod(0o755)
    assert said == f"{folder / unreadable} cannot be read: Permission denied|Try `chmod -R u+rX {folder}`."


def test_names_that_are_not_text_are_refused(folder: Path, desk: Desk) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff")).touch()
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        FolderFiles(folder=folder).list(desk)


def nothing(_: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("make", "reason"),
    [(Path.mkdir, "holds no file"), (Path.touch, "is not a folder"), (nothing, "not exist")],
)
def test_a_folder_without_files_is_a_problem_of_the_configuration(
    tmp_path: Path, desk: Desk, make: Callable[[Path], None], reason: str
) -> None:
    make(tmp_path / "none")
    (check,) = FolderFiles(folder=tmp_path / "none").check(desk)
    assert check.problem is Problem.CONFIGURATION
    assert reason in check.found
    assert check.advice


def test_the_check_counts_the_files(folder: Path, desk: Desk) -> None:
    (check,) = FolderFiles(folder=folder).check(desk)
    assert check.passed
    assert check.found == "2 files, 2.1 MB"
