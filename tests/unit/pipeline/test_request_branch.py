"""The branch on which a change waits for people: each environment has one of its own."""

from pathlib import Path

import pytest

from pipeline.cascade import read_config
from pipeline.compose_gitops import destination
from pipeline.errors import ConfigurationError

BEGIN = """\
image: team/digits
registries: [registry.example.com/models]
update:
  repository: https://git.example.com/team/deploy.git
  pull_request: {}
environments:
"""


def branch(folder: Path, dev: str, prod: str) -> list[str]:
    path = folder / "pipeline.yaml"
    path.write_text(f"{BEGIN}  dev: {{update: {dev}}}\n  prod: {{update: {prod}}}\n")
    found = [destination(read_config(path, (), {}, deployed_to=name)).request for name in ("dev", "prod")]
    return [each.branch for each in found if each is not None]


@pytest.mark.parametrize(
    ("dev", "prod"),
    [
        ("{targets: [{path: apps/dev}]}", "{targets: [{path: apps/prod}]}"),
        ("{branch: dev, targets: [{path: apps}]}", "{branch: prod, targets: [{path: apps}]}"),
        ("{targets: [{path: a.yaml, name: dev}]}", "{targets: [{path: a.yaml, name: prod}]}"),
        ("{targets: [{path: a.yaml, field: dev.image}]}", "{targets: [{path: a.yaml, field: prod.image}]}"),
    ],
)
def test_no_two_environments_wait_on_one_branch(tmp_path: Path, dev: str, prod: str) -> None:
    one, other = branch(tmp_path, dev, prod)
    assert one != other


def test_the_branch_says_where_it_goes_and_what_changes(tmp_path: Path) -> None:
    _, name = branch(tmp_path, "{}", "{branch: release, targets: [{path: ./apps/digits/}]}")
    assert name == "model-image-pipeline/release/digits/apps-digits"


@pytest.mark.parametrize("url", ["ssh://git@git.example.com:team/deploy.git", "https://git.example.com:x/a"])
def test_an_address_whose_port_is_none_is_refused_where_it_stands(tmp_path: Path, url: str) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(f"image: digits\nupdate: {{repository: '{url}'}}\n")
    with pytest.raises(ConfigurationError, match=r"git@HOST:TEAM/NAME.git"):
        read_config(path, ())


@pytest.mark.parametrize("name", ["", "-x", "*", "a b", "a..b", "refs/heads/main", "a/", "a.lock", "a:b"])
@pytest.mark.parametrize("where", ["branch: {}", "pull_request: {{branch: {}}}"])
def test_a_branch_that_git_would_not_take_is_refused_where_it_stands(
    tmp_path: Path, name: str, where: str
) -> None:
    path = tmp_path / "pipeline.yaml"
    said = where.format(f"'{name}'")
    path.write_text(f"image: digits\nupdate: {{repository: /srv/a.git, {said}}}\n")
    with pytest.raises(ConfigurationError, match="expected the name of a branch"):
        read_config(path, ())
    path.write_text(path.read_text().replace(f"'{name}'", "release/2026-11.x_é@home"))
    read_config(path, ())
