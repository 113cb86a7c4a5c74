"""Who is let in: deploy keys over real SSH, a GitHub App, GitLab's job token; and signatures that verify."""

import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from pipeline.desk import Desk
from pipeline.errors import ConfigurationError, RemoteError
from pipeline.model import Problem
from stages.gitops.access import Access
from stages.gitops.git import GitBranch
from stages.gitops.github_app import GitHubApp
from stages.gitops.interface import Landing
from stages.gitops.repository import Author
from stages.gitops.signing import Signing
from stages.gitops.wording import Wording
from stages.manifests.editing import EditedFile
from stages.manifests.tree import Tree
from tests.integration.conftest import CreateRepository
from tests.support.git_server import GitServer, run_git
from tests.support.git_server import Repository as ServedRepository
from tests.support.github_tokens import running_token_api
from tests.support.ssh_server import SshServer, make_key, running_ssh_server

FILE = "apps/digits/values.yaml"


def edit(tree: Tree) -> tuple[EditedFile, ...]:
    before = tree.read(FILE)
    after = before.replace(b"old", b"new")
    return (EditedFile(path=FILE, before=before, after=after, fields=()),) if after != before else ()


def land(branch: GitBranch, desk: Desk) -> Landing:
    return branch.land(edit, "digits: deploy\n\nRoll out.\n\nImage: digits@x\n", desk)


@pytest.fixture
def remote(create_repository: CreateRepository, tmp_path: Path) -> ServedRepository:
    folder = tmp_path / "content" / "apps" / "digits"
    folder.mkdir(parents=True)
    (folder / "values.yaml").write_text("tag: old\n")
    return create_repository(tmp_path / "content")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    (tmp_path / "desk").mkdir()
    return Desk(folder=tmp_path / "desk", cache=tmp_path / "desk")


@pytest.fixture(scope="module")
def ssh_server() -> Iterator[SshServer]:
    with tempfile.TemporaryDirectory() as folder, running_ssh_server(Path(folder)) as running:
        yield running


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """No login of the machine's own."""
    for name in (
        "GITOPS_PASSWORD",
        "GITOPS_USERNAME",
        "GITOPS_SSH_KEY",
        "GITOPS_SIGNING_KEY",
        "SSH_AUTH_SOCK",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")


def kept(desk: Desk) -> str:
    """Return everything that is left on the desk."""
    return "".join(path.read_text() for path in desk.folder.rglob("*") if path.is_file())


# --- SSH -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["variable", "file"])
def test_a_deploy_key_pushes_over_ssh_and_is_gone_afterwards(
    how: str,
    ssh_server: SshServer,
    remote: ServedRepository,
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = (
        desk.folder.parent / "deploy key"
    )  # as a CI system writes it: for everybody, and without the last line's end
    key.write_text(ssh_server.writer.read_text().rstrip().replace("\n", "\r\n"))
    key.chmod(0o644)
    if how == "variable":
        monkeypatch.setenv("GITOPS_SSH_KEY", key.read_text())
    access = Access(ssh_key=key if how == "file" else None, known_hosts=ssh_server.known_hosts)
    branch = GitBranch(url=ssh_server.url(remote.path), branch="main", access=access)

    checks = branch.check(desk)
    landing = land(branch, desk)

    assert [check.found for check in checks if not check.passed] == []
    assert landing.commit == remote.head()
    assert remote.read(FILE) == "tag: new"
    secret = ssh_server.writer.read_text().splitlines()[2]
    assert secret not in kept(desk)
    assert sorted(path.suffix for path in desk.folder.iterdir()) == [".log", ".log"]


def test_no_key_lies_in_a_runs_folder_which_may_be_kept_after_a_kill(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_key(tmp_path / "deploy")
    monkeypatch.setenv("GITOPS_SSH_KEY", (tmp_path / "deploy").read_text())
    monkeypatch.setenv("GITOPS_SIGNING_KEY", (tmp_path / "deploy").read_text())
    branch = GitBranch(url="git@git.example.com:a", branch="main", signing=Signing(format="ssh"))
    with branch.opened(desk) as repository:
        key = shlex.split(repository.address.ssh_command or "")
        assert Path(key[key.index("-i") + 1]).is_file()
        assert "PRIVATE KEY" not in kept(desk)


def test_an_unknown_host_is_never_spoken_to_and_the_line_is_named(
    ssh_server: SshServer, remote: ServedRepository, desk: Desk, tmp_path: Path
) -> None:
    (tmp_path / "known_hosts").write_text("")
    access = Access(ssh_key=ssh_server.writer, known_hosts=tmp_path / "known_hosts")
    branch = GitBranch(url=ssh_server.url(remote.path), branch="main", access=access)
    with pytest.raises(RemoteError, match="host key is not known") as caught:
        land(branch, desk)
    assert f"ssh-keyscan -p {ssh_server.port} 127.0.0.1" in caught.value.advice
    assert (tmp_path / "known_hosts").read_text() == ""
    assert branch.check(desk)[-1].problem is Problem.REMOTE


def test_a_host_whose_key_changed_is_refused(
    ssh_server: SshServer, remote: ServedRepository, desk: Desk, tmp_path: Path
) -> None:
    other = make_key(tmp_path / "other").split()
    (tmp_path / "known_hosts").write_text(f"[127.0.0.1]:{ssh_server.port} {other[0]} {other[1]}\n")
    access = Access(ssh_key=ssh_server.writer, known_hosts=tmp_path / "known_hosts")
    with pytest.raises(RemoteError, match="host key is not known"):
        land(GitBranch(url=ssh_server.url(remote.path), branch="main", access=access), desk)


def test_a_key_that_may_only_read_is_found_by_the_check(
    ssh_server: SshServer, remote: ServedRepository, desk: Desk
) -> None:
    access = Access(ssh_key=ssh_server.reader, known_hosts=ssh_server.known_hosts)
    branch = GitBranch(url=ssh_server.url(remote.path), branch="main", access=access)
    check = branch.check(desk)[-1]
    assert check.problem is Problem.REMOTE
    assert "marked as read only" in check.found
    assert "GITOPS_SSH_KEY" in check.advice


def test_a_key_that_the_server_does_not_know_is_refused(
    ssh_server: SshServer, remote: ServedRepository, desk: Desk
) -> None:
    access = Access(ssh_key=ssh_server.stranger, known_hosts=ssh_server.known_hosts)
    with pytest.raises(RemoteError, match="does not accept the credentials"):
        land(GitBranch(url=ssh_server.url(remote.path), branch="main", access=access), desk)


@pytest.mark.parametrize(
    ("kind", "part"),
    [("public", "is no private SSH key"), ("passphrase", "has a passphrase"), ("missing", "cannot be read")],
)
def test_a_key_that_cannot_be_used_is_said_so_before_any_work(
    kind: str, part: str, ssh_server: SshServer, remote: ServedRepository, desk: Desk
) -> None:
    key = desk.folder.parent / "deploy_key"
    make_key(key, passphrase="correct horse" if kind == "passphrase" else "")
    chosen = {"public": key.with_suffix(".pub"), "passphrase": key, "missing": key.with_name("none")}[kind]
    access = Access(ssh_key=chosen, known_hosts=ssh_server.known_hosts)
    check = GitBranch(url=ssh_server.url(remote.path), branch="main", access=access).check(desk)[-1]
    assert (check.problem, part in check.found) == (Problem.CONFIGURATION, True)


# --- tokens --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def app_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def test_a_github_app_gets_a_token_that_pushes(
    app_key: rsa.RSAPrivateKey,
    git_server: GitServer,
    remote: ServedRepository,
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pem = app_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()
    monkeypatch.setenv("GITOPS_GITHUB_APP_KEY", pem)
    with running_token_api(app_key.public_key(), token=git_server.password, installation=42) as api:
        app = GitHubApp(app_id="1234", installation_id=42, api_url=api.url)
        landing = land(GitBranch(url=remote.url, branch="main", access=Access(github_app=app)), desk)
        assert landing.commit == remote.head()
        assert api.asked == [{"permissions": {"contents": "write"}}]
        assert git_server.password not in kept(desk)
        assert pem.splitlines()[1] not in kept(desk)

        wrong = GitHubApp(app_id="1234", installation_id=7, api_url=api.url)
        with pytest.raises(RemoteError, match="HTTP 404") as caught:
            land(GitBranch(url=remote.url, branch="main", access=Access(github_app=wrong)), desk)
        assert "installation_id" in caught.value.advice


def test_a_github_apps_key_that_is_none_is_said_so(remote: ServedRepository, desk: Desk) -> None:
    app = GitHubApp(app_id="1234", installation_id=42)
    with pytest.raises(ConfigurationError, match="no private key") as caught:
        land(GitBranch(url=remote.url, branch="main", access=Access(github_app=app)), desk)
    assert "GITOPS_GITHUB_APP_KEY" in caught.value.advice


def test_gitlabs_job_token_pushes_to_the_jobs_own_server(
    git_server: GitServer, remote: ServedRepository, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI_JOB_TOKEN", git_server.password)
    monkeypatch.setenv("CI_SERVER_HOST", "127.0.0.1")
    monkeypatch.setenv("CI_SERVER_PORT", str(git_server.port))
    monkeypatch.setenv("CI_SERVER_PROTOCOL", "http")
    assert land(GitBranch(url=remote.url, branch="main"), desk).commit == remote.head()
    assert git_server.password not in kept(desk)


# --- signatures ----------------------------------------------------------------------------------------


def test_a_commit_signed_with_an_ssh_key_verifies(
    remote: ServedRepository, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = make_key(tmp_path / "signer")
    monkeypatch.setenv("GITOPS_SIGNING_KEY", (tmp_path / "signer").read_text())
    robot = Author(name="Robot", email="robot@example.com")
    branch = GitBranch(
        url=str(remote.path),
        branch="main",
        author=Author(name="Änne", email="aenne@example.com"),
        committer=robot,
        signing=Signing(format="ssh"),
        wording=Wording(trailers={"Signed-off-by": "Robot <robot@example.com>"}),
    )
    assert [check.found for check in branch.check(desk) if not check.passed] == []

    commit = land(branch, desk).commit

    allowed = tmp_path / "allowed"
    allowed.write_text(f"robot@example.com {public}\n")
    verify = ("-c", f"gpg.ssh.allowedSignersFile={allowed}", "verify-commit", str(commit))
    run_git("--git-dir", str(remote.path), *verify)  # fails where it does not verify
    said = remote.git("log", "-1", "--format=%an <%ae> %cn <%ce> %(trailers:key=Signed-off-by)")
    assert said == (
        "Änne <aenne@example.com> Robot <robot@example.com> Signed-off-by: Robot <robot@example.com>"
    )
    assert remote.git("diff", "--stat", "--name-only", "main^", "main") == FILE
    assert (tmp_path / "signer").read_text().splitlines()[2] not in kept(desk)


def test_a_commit_signed_with_openpgp_verifies_and_leaves_no_agent(
    remote: ServedRepository, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory(prefix="gpg-") as home:
        monkeypatch.setenv("GNUPGHOME", home)
        try:
            key = _openpgp_key(Path(home))
            monkeypatch.setenv("GITOPS_SIGNING_KEY", key)
            monkeypatch.setenv("GNUPGHOME", f"{home}/none")  # the user's own keyring is not needed
            branch = GitBranch(url=str(remote.path), branch="main", signing=Signing(format="openpgp"))
            commit = land(branch, desk).commit
            monkeypatch.setenv("GNUPGHOME", home)
            run_git("--git-dir", str(remote.path), "verify-commit", str(commit))
        finally:
            subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False, capture_output=True)
    assert key.splitlines()[3] not in kept(desk)


def _openpgp_key(home: Path) -> str:
    home.chmod(0o700)
    gpg = ("gpg", "--batch", "--no-tty", "--passphrase", "")
    make = (*gpg, "--quick-generate-key", "Robot <robot@example.com>", "ed25519", "sign", "never")
    subprocess.run(make, check=True, capture_output=True)
    export = (*gpg, "--export-secret-keys", "--armor", "robot@example.com")
    return subprocess.run(export, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    "signing", [Signing(format="ssh"), Signing(format="openpgp", key="nobody@example.com")]
)
def test_a_key_that_signs_nothing_is_found_by_the_check(
    signing: Signing, remote: ServedRepository, desk: Desk
) -> None:
    check = GitBranch(url=str(remote.path), branch="main", signing=signing).check(desk)[-1]
    assert check.problem is Problem.CONFIGURATION
    assert check.advice
