import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import ConfigurationError
from pipeline.model import Source
from pipeline.source import read_source, without_password
from tests.support.unprivileged import unprivileged


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


@pytest.mark.parametrize(
    "job",
    [
        {"GITHUB_REF_TYPE": "tag", "GITHUB_REF_NAME": "main"},
        {"CI_COMMIT_TAG": "main", "CI_COMMIT_REF_NAME": "main"},
    ],
)
def test_a_git_tag_is_no_branch_whatever_it_is_called(
    repository: Path, monkeypatch: pytest.MonkeyPatch, job: dict[str, str]
) -> None:
    git(repository, "checkout", "--quiet", "--detach")
    for name in ("GITHUB_HEAD_REF", "GITHUB_REF_NAME", "CI_COMMIT_REF_NAME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in job.items():
        monkeypatch.setenv(name, value)
    assert read_source(repository).branch is None


def test_a_password_in_the_remotes_address_is_dropped(repository: Path) -> None:
    git(repository, "remote", "add", "origin", "https://ada:secret@git.example.com:8443/team/model.git")
    assert read_source(repository).repository_url == "https://git.example.com:8443/team/model.git"


def digest_of_changes(repository: Path) -> str:
    digest = read_source(repository).changes_digest
    assert digest is not None
    return digest


def differing(repository: Path, file: Path) -> set[str]:
    """Return the digests for three contents of a file, the third of which is the first again."""
    digests = []
    for text in ("two\n", "three\n", "two\n"):
        file.write_text(text)
        digests.append(digest_of_changes(repository))
    assert digests[0] == digests[2]
    return set(digests)


@pytest.fixture
def submodule(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A submodule of the repository that has a submodule itself."""
    allow = ("-c", "protocol.file.allow=always")
    inner, outer = (tmp_path_factory.mktemp(name) for name in ("inner", "outer"))
    for origin in (inner, outer):
        git(origin, "init", "--quiet")
        (origin / "file.txt").write_text("one\n")
        git(origin, "add", ".")
        if origin == outer:
            git(origin, *allow, "submodule", "--quiet", "add", str(inner), "inner")
        git(origin, "commit", "--quiet", "--message", "first")
    git(repository, *allow, "submodule", "--quiet", "add", str(outer), "sub")
    git(repository, *allow, "submodule", "--quiet", "update", "--init", "--recursive")
    git(repository, "commit", "--quiet", "--message", "second")
    return repository / "sub"


@pytest.mark.parametrize("name", ["file.txt", "new.txt", "inner/file.txt", "inner/new.txt"])
def test_other_content_of_a_submodule_is_another_difference(
    repository: Path, submodule: Path, name: str
) -> None:
    git(repository, "config", "diff.ignoreSubmodules", "all")
    assert read_source(repository).changes == ()
    assert len(differing(repository, submodule / name)) == 2


def test_another_commit_of_a_submodule_is_another_difference(repository: Path, submodule: Path) -> None:
    digests = set()
    for message in ("two", "three"):
        git(submodule, "commit", "--quiet", "--allow-empty", "--message", message)
        digests.add(digest_of_changes(repository))
    assert len(digests) == 2


@pytest.mark.parametrize("with_commit", [True, False])
def test_a_repository_inside_ours_counts_too(repository: Path, with_commit: bool) -> None:
    inside = repository / "inside"
    inside.mkdir()
    git(inside, "init", "--quiet")
    (inside / "file.txt").write_text("one\n")
    if with_commit:
        git(inside, "add", ".")
        git(inside, "commit", "--quiet", "--message", "first")
    assert len(differing(repository, inside / "file.txt")) == 2


@pytest.mark.parametrize(
    "name",
    [b"caf\xe9.txt", "café.txt".encode(), b'quote".txt', b"line\nend\t.txt", b"a -> b", b"back\\slash"],
)
def test_odd_names_are_no_obstacle(repository: Path, name: bytes) -> None:
    assert len(differing(repository, repository / os.fsdecode(name))) == 2
    source = read_source(repository)
    assert source.changes == (name.decode(errors="backslashreplace"),)
    assert Source.model_validate_json(source.model_dump_json()) == source


def test_a_folder_with_an_odd_name_is_no_obstacle(repository: Path, tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    git(folder, "init", "--quiet")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "first")
    assert len(differing(folder, folder / "file.txt")) == 2


def test_what_nobody_may_read_is_never_the_same_twice(repository: Path) -> None:
    (repository / "secret.txt").write_text("x")
    (repository / "secret.txt").chmod(0)
    code = f"""
from pathlib import Path
from pipeline.source import read_source
print(*(read_source(Path({str(repository)!r})).changes_digest for _ in range(2)))
"""
    answer = unprivileged((sys.executable, "-c", code), repository)
    one, other = answer.split()
    assert one != other


@pytest.mark.parametrize("variable", ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"])
def test_what_git_sets_for_its_hooks_does_not_choose_the_commit(
    repository: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    expected = read_source(repository)
    other = tmp_path_factory.mktemp("other")
    git(other, "init", "--quiet")
    git(other, "commit", "--quiet", "--allow-empty", "--message", "another")
    (other / "new.txt").write_text("x")
    where = {"GIT_DIR": ".git", "GIT_WORK_TREE": ".", "GIT_INDEX_FILE": ".git/index"}[variable]
    monkeypatch.setenv(variable, str(other / where))
    assert read_source(repository) == expected


def test_settings_of_the_user_do_not_change_what_git_answers(
    repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    signer = tmp_path_factory.mktemp("signer") / "gpg"  # signs, and talks when asked to verify
    signature = "-----BEGIN PGP SIGNATURE-----\\n\\nx\\n-----END PGP SIGNATURE-----\\n"
    signer.write_text(
        '#!/bin/sh\ncase "$*" in *--verify*) echo "gpg: no key" >&2; exit 1;; esac\n'
        f"cat >/dev/null\necho '[GNUPG:] SIG_CREATED ' >&2\nprintf '%b' '{signature}'\n"
    )
    signer.chmod(0o755)
    git(repository, "config", "gpg.program", str(signer))
    git(repository, "commit", "--quiet", "--allow-empty", "--message", "signed", "--gpg-sign=x")
    expected = read_source(repository)
    git(repository, "config", "log.showSignature", "true")
    git(repository, "config", "core.quotePath", "false")
    assert read_source(repository) == expected
    assert len(differing(repository, repository / "café.txt")) == 2


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://token@host/x", "https://host/x"),
        ("https://ada:p@ss@host/x", "https://host/x"),
        ("HTTPS://ada:secret@host", "HTTPS://host"),
        ("http://ada:secret@[x", "http://[x"),
        ("http://[x", "http://[x"),
        ("ssh://ada:secret@host/x", "ssh://ada@host/x"),
        ("ssh://:secret@host/x", "ssh://host/x"),
        ("https://host/x@y", "https://host/x@y"),
    ],
)
def test_a_password_is_dropped_from_every_address(url: str, shown: str) -> None:
    assert without_password(url) == shown


@pytest.mark.parametrize("url", ["git@git.example.com:team/model.git", "/srv/model.git", "ssh://git@host/x"])
def test_addresses_without_password_stay_as_they_are(url: str) -> None:
    assert without_password(url) == url


def test_no_repository_and_no_commit_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is in no git repository"):
        read_source(tmp_path)
    git(tmp_path, "init", "--quiet")
    with pytest.raises(ConfigurationError, match="has no commit yet"):
        read_source(tmp_path)
