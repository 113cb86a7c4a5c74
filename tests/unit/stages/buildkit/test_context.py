import sys
import threading
from pathlib import Path

import pytest

from stages.buildkit.context import fingerprint, write_dockerfile
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
    before = fingerprint(context, left_out(context))
    assert fingerprint(context, left_out(context)) == before
    (context / "sub/module.py").write_text("other text")
    assert fingerprint(context, left_out(context)) != before


def test_a_new_name_and_mode_change_the_fingerprint(context: Path) -> None:
    before = fingerprint(context, left_out(context))
    (context / "app.py").rename(context / "main.py")
    renamed = fingerprint(context, left_out(context))
    (context / "main.py").chmod(0o755)
    assert len({before, renamed, fingerprint(context, left_out(context))}) == 3


@pytest.mark.parametrize("name", ["model/weights.bin", ".git/HEAD", ".pipeline/runs/1/record.json"])
def test_what_is_left_out_does_not_count(context: Path, name: str) -> None:
    before = fingerprint(context, left_out(context))
    (context / name).write_text("a longer text than before")
    assert fingerprint(context, left_out(context)) == before


def test_what_no_build_sees_does_not_count(context: Path) -> None:
    ignored = "sub\n**/__pycache__\n*.log\n!keep.log\n"
    before = fingerprint(context, left_out(context), ignored)
    for name in ("sub/module.py", "__pycache__/app.pyc", "a.log"):
        (context / name).parent.mkdir(exist_ok=True)
        (context / name).write_text("new text")
    assert fingerprint(context, left_out(context), ignored) == before
    (context / "keep.log").write_text("new text")
    assert fingerprint(context, left_out(context), ignored) != before


def test_the_same_context_at_another_place_has_the_same_fingerprint(context: Path, tmp_path: Path) -> None:
    before = fingerprint(context, left_out(context))
    moved = context.rename(tmp_path / "moved")
    assert fingerprint(moved, left_out(moved)) == before


def test_a_broken_link_is_no_error(context: Path) -> None:
    before = fingerprint(context, [])
    (context / "link").symlink_to("nowhere")
    assert fingerprint(context, []) != before


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
            assert fingerprint(context, [])
    finally:
        stopped.set()
        thread.join()


@pytest.mark.parametrize("mode", [0o000, 0o444])
def test_a_folder_that_nobody_may_read_counts_as_empty(context: Path, mode: int) -> None:
    code = f"""
from pathlib import Path
from stages.buildkit.context import fingerprint
print(fingerprint(Path({str(context)!r}), []))
"""
    (context / "sub").chmod(mode)
    found = unprivileged((sys.executable, "-c", code), ROOT).strip()
    (context / "sub").chmod(0o755)
    (context / "sub/module.py").unlink()
    assert found == fingerprint(context, [])


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
