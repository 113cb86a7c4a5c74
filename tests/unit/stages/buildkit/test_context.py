import sys
import threading
from pathlib import Path

import pytest

from stages.buildkit.context import survey, write_dockerfile
from tests.support.unprivileged import unprivileged

ROOT = Path(__file__).parents[4]


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    for name in ("app.py", "sub/module.py", "model/weights.bin", ".git/HEAD", ".pipeline/runs/1/record.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    return folder


def left_out(context: Path) -> list[Path]:
    return [context / ".pipeline", context / "model"]


def test_a_changed_file_changes_the_fingerprint(context: Path) -> None:
    before = survey(context, left_out(context))
    assert survey(context, left_out(context)) == before
    (context / "sub/module.py").write_text("other text")
    assert survey(context, left_out(context)).fingerprint != before.fingerprint


def test_a_new_name_and_mode_change_the_fingerprint(context: Path) -> None:
    before = survey(context, left_out(context))
    (context / "app.py").rename(context / "main.py")
    renamed = survey(context, left_out(context))
    (context / "main.py").chmod(0o755)
    assert len({before.fingerprint, renamed.fingerprint, survey(context, left_out(context)).fingerprint}) == 3


@pytest.mark.parametrize("name", ["model/weights.bin", ".git/HEAD", ".pipeline/runs/1/record.json"])
def test_what_is_left_out_does_not_count(context: Path, name: str) -> None:
    before = survey(context, left_out(context))
    (context / name).write_text("a longer text than before")
    assert survey(context, left_out(context)) == before


def test_the_size_is_that_of_the_files_that_count(context: Path) -> None:
    names = ("app.py", "sub/module.py", "Dockerfile")
    expected = sum((context / name).stat().st_size for name in names)
    assert survey(context, left_out(context)).size_bytes == expected


def test_a_broken_link_is_no_error(context: Path) -> None:
    (context / "link").symlink_to("nowhere")
    assert survey(context, []).size_bytes > 0


def test_files_that_vanish_meanwhile_are_no_error(context: Path) -> None:
    stopped = threading.Event()

    def come_and_go() -> None:
        while not stopped.is_set():
            for number in range(50):
                (context / f"{number}.tmp").touch()
                (context / f"{number}").mkdir()
            for number in range(50):
                (context / f"{number}.tmp").unlink()
                (context / f"{number}").rmdir()

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        for _ in range(200):
            assert survey(context, []).size_bytes > 0
    finally:
        stopped.set()
        thread.join()


@pytest.mark.parametrize("mode", [0o000, 0o444])
def test_a_folder_that_nobody_may_read_is_no_error(context: Path, mode: int) -> None:
    (context / "sub").chmod(mode)
    code = f"""
from pathlib import Path
from stages.buildkit.context import survey
print(survey(Path({str(context)!r}), [Path({str(context / "model")!r})]).size_bytes)
"""
    names = ("app.py", "Dockerfile", ".pipeline/runs/1/record.json")
    expected = sum((context / name).stat().st_size for name in names)
    assert int(unprivileged((sys.executable, "-c", code), ROOT)) == expected
    (context / "sub").chmod(0o755)


def ignored(copy: Path) -> list[str]:
    return copy.with_name(f"{copy.name}.dockerignore").read_text().splitlines()


def test_the_copy_leaves_out_weights_and_records(context: Path, tmp_path: Path) -> None:
    copy = write_dockerfile(context / "Dockerfile", context, left_out(context), tmp_path / "copy")
    assert copy.read_text() == (context / "Dockerfile").read_text()
    assert copy.name == "Dockerfile"
    assert ignored(copy) == ["/.pipeline", "/model"]


def test_the_users_own_list_stays_in_force(context: Path, tmp_path: Path) -> None:
    (context / ".dockerignore").write_text("*.log\n!keep.log")
    copy = write_dockerfile(context / "Dockerfile", context, left_out(context), tmp_path / "copy")
    assert ignored(copy) == ["*.log", "!keep.log", "/.pipeline", "/model"]


def test_the_bytes_of_the_users_own_list_stay_as_they_are(context: Path, tmp_path: Path) -> None:
    (context / ".dockerignore").write_bytes(b"caf\xe9\n")
    copy = write_dockerfile(context / "Dockerfile", context, left_out(context), tmp_path / "copy")
    assert copy.with_name("Dockerfile.dockerignore").read_bytes() == b"caf\xe9\n/.pipeline\n/model\n"


def test_the_list_beside_the_dockerfile_wins(context: Path, tmp_path: Path) -> None:
    (context / ".dockerignore").write_text("*.log\n")
    (context / "Dockerfile.dockerignore").write_text("*.tmp\n")
    copy = write_dockerfile(context / "Dockerfile", context, [], tmp_path / "copy")
    assert ignored(copy) == ["*.tmp"]


def test_a_folder_elsewhere_and_odd_names_are_written_right(context: Path, tmp_path: Path) -> None:
    outside, odd = tmp_path / "weights", context / "model [v1]*"
    copy = write_dockerfile(context / "Dockerfile", context, [outside, odd], tmp_path / "copy")
    assert ignored(copy) == [r"/model \[v1\]\*"]
