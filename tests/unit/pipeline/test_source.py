import subprocess
from pathlib import Path

import pytest

from pipeline.errors import ConfigurationError
from pipeline.source import read_source, without_password


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "commit.gpgsign=false")
    command = ("git", "-C", str(folder), *identity, *arguments)
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "serve.py").write_text("one\n")
    (tmp_path / ".gitignore").write_text("*.bin\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    return tmp_path


def test_a_clean_commit(repository: Path) -> None:
    (repository / "weights.bin").write_bytes(b"ignored by git")
    source = read_source(repository / "model")
    assert source.root == repository / "model"
    assert source.commit == source.version == git(repository, "rev-parse", "HEAD")
    assert (source.branch, source.dirty, source.repository_url) == ("main", False, None)


def test_every_kind_of_difference_is_dirt_anywhere_in_the_repository(repository: Path) -> None:
    (repository / "new file.txt").write_text("x")
    git(repository, "mv", "model/serve.py", "model/served.py")
    source = read_source(repository / "model")
    assert set(source.changes) == {"new file.txt", "model/serve.py", "model/served.py"}
    assert source.version == f"{source.commit}-dirty"


def test_other_content_is_another_difference(repository: Path) -> None:
    digests = set()
    for text in ("two\n", "three\n", "two\n"):
        (repository / "model" / "serve.py").write_text(text)
        digests.add(read_source(repository).changes_digest)
    (repository / "model" / "serve.py").unlink()
    digests.add(read_source(repository).changes_digest)
    assert len(digests) == 3
    assert None not in digests


def test_a_job_that_checked_a_commit_out_knows_its_branch(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(repository, "checkout", "--quiet", "--detach")
    for name in ("GITHUB_HEAD_REF", "GITHUB_REF_NAME", "CI_COMMIT_REF_NAME"):
        monkeypatch.delenv(name, raising=False)
    assert read_source(repository).branch is None
    monkeypatch.setenv("CI_COMMIT_REF_NAME", "feature")
    assert read_source(repository).branch == "feature"


def test_a_password_in_the_remotes_address_is_dropped(repository: Path) -> None:
    git(repository, "remote", "add", "origin", "https://ada:secret@git.example.com:8443/team/model.git")
    assert read_source(repository).repository_url == "https://git.example.com:8443/team/model.git"


@pytest.mark.parametrize("url", ["git@git.example.com:team/model.git", "/srv/model.git", "ssh://git@host/x"])
def test_addresses_without_password_stay_as_they_are(url: str) -> None:
    assert without_password(url) == url


def test_no_repository_and_no_commit_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is in no git repository"):
        read_source(tmp_path)
    git(tmp_path, "init", "--quiet")
    with pytest.raises(ConfigurationError, match="has no commit yet"):
        read_source(tmp_path)
