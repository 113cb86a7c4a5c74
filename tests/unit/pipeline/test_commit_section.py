"""What pipeline.yaml says of commits is checked when it is read, and reaches the stage."""

from pathlib import Path

import pytest

from pipeline.cascade import read_config
from pipeline.compose_gitops import destination
from pipeline.errors import ConfigurationError
from stages.gitops.access import Access
from stages.gitops.fast_import import Author
from stages.gitops.github_app import GitHubApp
from stages.gitops.signing import Signing

BEGIN = "image: digits\nupdate:\n"


def written(folder: Path, text: str) -> Path:
    (folder / "pipeline.yaml").write_text(BEGIN + text)
    return folder / "pipeline.yaml"


def test_keys_names_and_words_reach_the_stage(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "  message: 'deploy {image}'\n  trailers: {Signed-off-by: Robot <r@example.com>}\n"
        "  committer: {name: Robot, email: r@example.com}\n  signing: {format: ssh, key: keys/sign}\n"
        "  ssh_key: keys/deploy\n  known_hosts: hosts\n"
        "  github_app: {app_id: 7, installation_id: 42, private_key: keys/app.pem}\n",
    )
    configuration = read_config(path, ())
    commits = destination(configuration).commits
    assert commits.committer == Author(name="Robot", email="r@example.com")
    assert commits.wording.template == "deploy {image}"
    assert commits.wording.trailers == {"Signed-off-by": "Robot <r@example.com>"}
    assert commits.signing == Signing(format="ssh", key=str(tmp_path / "keys/sign"))
    app = GitHubApp(app_id="7", installation_id=42, private_key=tmp_path / "keys/app.pem")
    assert commits.access == Access(
        ssh_key=tmp_path / "keys/deploy", known_hosts=tmp_path / "hosts", github_app=app
    )
    assert configuration.secrets() == ()  # they are files, whose names may be shown


def test_an_app_that_proposes_changes_asks_for_that_too(tmp_path: Path) -> None:
    path = written(tmp_path, "  pull_request: {}\n  github_app: {app_id: 7, installation_id: 42}\n")
    app = destination(read_config(path, ())).commits.access.github_app
    assert app is not None
    assert app.permissions == {"contents": "write", "pull_requests": "write"}


def test_a_key_of_the_keyring_is_no_file(tmp_path: Path) -> None:
    path = written(tmp_path, "  signing: {format: openpgp, key: robot@example.com}\n")
    signing = destination(read_config(path, ())).commits.signing
    assert signing == Signing(format="openpgp", key="robot@example.com")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("  message: 'deploy {imgae}'\n", "there is no {imgae}: a message may have {image}, {tag}"),
        ("  trailers: {Digest: x}\n", "the trailer Digest is written by the pipeline itself"),
        ("  author: {name: 'A <b>'}\n", "update.author.name"),
        ("  signing: {format: pgp}\n", "update.signing.format"),
    ],
)
def test_a_mistake_names_its_line(text: str, part: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_config(written(tmp_path, text), ())
    assert part in caught.value.message
    assert "pipeline.yaml:3" in caught.value.message
