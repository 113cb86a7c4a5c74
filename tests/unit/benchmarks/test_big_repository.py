"""The repository that is measured has as many files and commits as it says."""

from pathlib import Path

from benchmarks.big_repository import APPLICATION_FILES, Size, fill, image, overlay
from tests.support.git_server import run_git


def test_it_has_its_files_and_commits_and_is_the_same_every_time(tmp_path: Path) -> None:
    heads = []
    for name in ("one", "two"):
        run_git("init", "--quiet", "--bare", "--initial-branch=main", str(tmp_path / name))
        fill(tmp_path / name, Size(files=3 * APPLICATION_FILES, commits=7), "main")
        heads.append(run_git("--git-dir", str(tmp_path / name), "rev-parse", "main"))
    git = ("--git-dir", str(tmp_path / "one"))
    assert len(run_git(*git, "ls-tree", "-r", "--name-only", "main").splitlines()) == 60
    assert run_git(*git, "rev-list", "--count", "main") == "7"
    text = run_git(*git, "show", f"main:{overlay(2)}/kustomization.yaml")
    assert f"- name: {image(2)}\n" in text
    assert heads[0] == heads[1]
