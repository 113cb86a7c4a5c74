"""`pipeline edit`, as a user starts it: a diff, an exit code, and all files or none."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli import COMMANDS
from pipeline.edit import NewContent, Wish, write
from pipeline.errors import ConfigurationError
from pipeline.model import FileChange
from pipeline.parser import make_parser
from pipeline.plugins import edit_folder

NAME = "registry.example.com:5000/team/digits"
DIGEST = f"sha256:{'ab' * 32}"
POD = """\
# ours
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  containers:
    - {{name: server, image: '{image}'}}   # the model
    - {{name: agent, image: busybox}}"""


def edit(root: Path, *arguments: str, image: str = NAME) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-m", "pipeline", "edit", "--root", str(root), "--image", image, *arguments]
    return subprocess.run(command, capture_output=True, check=False)


def pod(folder: Path, name: str, image: str) -> Path:
    path = folder / f"{name}.yaml"
    path.write_bytes(POD.format(name=name, image=image).replace("\n", "\r\n").encode("utf-8-sig"))
    return path


def test_the_file_changes_and_the_diff_says_how(tmp_path: Path) -> None:
    root, copy = tmp_path / "root", tmp_path / "copy"
    root.mkdir()
    copy.mkdir()
    path = pod(root, "a", f"{NAME}:v1")
    path.chmod(0o640)
    before = path.read_bytes()
    (copy / "a.yaml").write_bytes(before)

    done = edit(root, "--path", "a.yaml", "--tag", "v2", "--digest", DIGEST)

    assert done.returncode == 0
    assert path.read_bytes() == before.replace(b"digits:v1", f"digits:v2@{DIGEST}".encode())
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [file.name for file in root.iterdir()] == ["a.yaml"]
    assert done.stderr.decode() == "changed: a.yaml (line 7)\n"
    applied = ["git", "apply", "--whitespace=nowarn"]
    subprocess.run(applied, cwd=copy, input=done.stdout, check=True)
    assert (copy / "a.yaml").read_bytes() == path.read_bytes()


def test_a_dry_run_prints_the_same_and_writes_nothing(tmp_path: Path) -> None:
    path = pod(tmp_path, "a", f"{NAME}:v1")
    before = path.read_bytes()
    dry = edit(tmp_path, "--path", ".", "--tag", "v2", "--dry-run")
    assert (dry.returncode, path.read_bytes()) == (0, before)
    assert dry.stderr == b"would change: a.yaml (line 7)\n"
    assert edit(tmp_path, "--path", ".", "--tag", "v2").stdout == dry.stdout


def test_unchanged_is_success_and_is_said(tmp_path: Path) -> None:
    path = pod(tmp_path, "a", f"{NAME}:v1")
    written = path.stat().st_mtime_ns
    done = edit(tmp_path, "--path", "a.yaml", "--tag", "v1")
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr == b"unchanged: a.yaml names this image already\n"
    assert path.stat().st_mtime_ns == written


def test_the_name_keeps_its_spelling(tmp_path: Path) -> None:
    path = pod(tmp_path, "a", "library/digits:v1")
    assert edit(tmp_path, "--path", "a.yaml", "--tag", "v2", image="digits").returncode == 0
    assert b"'library/digits:v2'" in path.read_bytes()


def test_a_file_behind_a_link_changes_and_the_link_stays(tmp_path: Path) -> None:
    path = pod(tmp_path, "a", f"{NAME}:v1")
    (tmp_path / "link.yaml").symlink_to("a.yaml")
    assert edit(tmp_path, "--path", "link.yaml", "--tag", "v2").returncode == 0
    assert (tmp_path / "link.yaml").is_symlink()
    assert b"digits:v2" in path.read_bytes()


def test_a_refusal_of_one_path_leaves_all_as_they_are(tmp_path: Path) -> None:
    path = pod(tmp_path, "a", f"{NAME}:v1")
    pod(tmp_path, "b", f"{NAME}:${{TAG}}")
    before = path.read_bytes()
    done = edit(tmp_path, "--path", "a.yaml", "--path", "b.yaml", "--tag", "v2")
    assert (done.returncode, done.stdout) == (8, b"")
    assert b"is filled in by a variable" in done.stderr
    assert path.read_bytes() == before


def test_several_paths_and_hints_reach_their_places(tmp_path: Path) -> None:
    for name in ("a", "b"):
        pod(tmp_path, name, f"{NAME}:v1")
    hints = ("--kind", "Pod", "--container", "server", "--form", "kubernetes")
    done = edit(tmp_path, "--path", "a.yaml", "--path", "b.yaml", "--tag", "v2", *hints)
    assert done.stderr.splitlines() == [b"changed: a.yaml (line 7)", b"changed: b.yaml (line 7)"]
    assert edit(tmp_path, "--path", ".", "--name", "c", "--tag", "v2").returncode == 8
    assert (
        edit(tmp_path, "--path", "a.yaml", "--field", "spec.containers[0].image", "--tag", "v3").returncode
        == 0
    )
    assert edit(tmp_path, "--path", "a.yaml", "--container", "agent", "--tag", "v3").returncode == 8


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--tag", ".v2"), "--tag: '.v2' is not a tag"),
        (("--tag", "v2", "--digest", "sha256:12"), "--digest: 'sha256:12' is not a digest"),
        (("--tag", "v2", "--image", f"{NAME}:v1"), "is more than a name"),
        (("--tag", "v2", "--image", "Team/Digits"), "is no name of an image"),
        (("--tag", "v2", "--parameter", "image"), "expected tag=NAME or digest=NAME"),
        (("--tag", "v2", "--root", "nowhere"), "--root nowhere is not a folder"),
        (("--tag", "v2", "--form", "chart"), "there is no form 'chart'"),
        (("--tag", "v2", "--field", "a..b"), "expected a key, found '.' at position 3"),
    ],
)
def test_a_wrong_flag_is_a_matter_of_configuration(
    tmp_path: Path, arguments: tuple[str, ...], problem: str
) -> None:
    pod(tmp_path, "a", f"{NAME}:v1")
    line = ["edit", "--root", str(tmp_path), "--path", "a.yaml", "--image", NAME, *arguments]
    with pytest.raises(ConfigurationError) as caught:
        edit_folder(Wish.of(make_parser(COMMANDS).parse_args(line)))
    assert problem in caught.value.message
    assert (caught.value.exit_code, bool(caught.value.advice)) == (2, True)


def _content(path: str, before: bytes) -> NewContent:
    return NewContent(before=before, after=b"new", change=FileChange(path=path, fields=(), diff=""))


def test_where_one_file_cannot_be_written_none_is(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "b").mkdir()
    with pytest.raises(ConfigurationError, match="nothing was changed"):
        write(tmp_path, [_content("a", b"old"), _content("missing/c", b"")])
    with pytest.raises(ConfigurationError, match="nothing was changed"):
        write(tmp_path, [_content("a", b"old"), _content("b", b"")])
    assert (tmp_path / "a").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
