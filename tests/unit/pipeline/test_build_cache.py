import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.cascade import Configuration, read_config
from pipeline.ci.branches import base_branches, git_tag
from pipeline.compose_build import external_cache
from pipeline.errors import ConfigurationError
from pipeline.model import Source
from stages.buildkit.github_cache import GitHubCache
from stages.buildkit.registry_cache import RegistryCache

FILE = "image: digits\nregistries: [r.example.com/team]\n"


def configuration(folder: Path, text: str, *assignments: str) -> Configuration:
    path = folder / "pipeline.yaml"
    path.write_text(text)
    return read_config(path, assignments, {})


def source(root: Path, branch: str | None) -> Source:
    return Source(root=root, commit="0" * 40, committed_at=datetime(2026, 1, 1, tzinfo=UTC), branch=branch)


def registry_cache(
    folder: Path, text: str, *assignments: str, branch: str | None = "main", **environment: str
) -> RegistryCache:
    found = external_cache(configuration(folder, text, *assignments), source(folder, branch), environment)
    assert isinstance(found, RegistryCache)
    return found


def test_there_is_none_unless_it_is_asked_for(tmp_path: Path) -> None:
    assert external_cache(configuration(tmp_path, FILE), source(tmp_path, "main"), {}) is None


def test_the_short_form_puts_it_beside_the_image(tmp_path: Path) -> None:
    cache = registry_cache(tmp_path, f"{FILE}build: {{cache: registry}}\n")
    assert cache.repository == "r.example.com/team/digits-cache"
    assert (cache.tag, cache.read, cache.mode) == ("main", ("main",), "max")


def test_a_named_repository_may_hold_the_caches_of_several_images(tmp_path: Path) -> None:
    section = "build: {cache: {store: r.example.com/team/cache, mode: min}, target: runtime}\n"
    cache = registry_cache(tmp_path, FILE + section)
    assert cache.repository == "r.example.com/team/cache"
    assert cache.mode == "min"
    assert str(cache.tag).startswith("digits-main-runtime-")


def test_a_branch_reads_its_base_and_writes_its_own(tmp_path: Path) -> None:
    cache = registry_cache(
        tmp_path,
        FILE,
        "build.cache=registry",
        branch="topic",
        GITHUB_BASE_REF="next",
        CI_DEFAULT_BRANCH="main",
    )
    assert (cache.tag, cache.read) == ("topic", ("topic", "next", "main"))


def test_a_tag_and_a_detached_commit_write_nothing(tmp_path: Path) -> None:
    text = f"{FILE}build: {{cache: registry}}\n"
    detached = registry_cache(tmp_path, text, branch=None, CI_DEFAULT_BRANCH="main")
    assert (detached.tag, detached.read) == (None, ("main",))


def test_its_tags_move_where_those_of_the_image_do_not(tmp_path: Path) -> None:
    host = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
    text = (
        "image: digits\nregistries:\n"
        f"  - {{url: {host}/team, create: true, immutable: true, login: {{role: deliver}}}}\n"
        "build: {cache: registry}\n"
    )
    cache = registry_cache(tmp_path, text)
    options = cache.registries.options_of(cache.repository)
    assert (options.create, options.immutable, options.login.role) == (True, False, "deliver")


def test_github_keeps_one_for_each_image_and_target(tmp_path: Path) -> None:
    chosen = configuration(tmp_path, FILE, "build.cache=gha", "build.target=runtime")
    cache = external_cache(chosen, source(tmp_path, "main"), {"GITHUB_ACTIONS": "true"})
    assert isinstance(cache, GitHubCache)
    assert cache.scope == "digits-runtime"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("build: {cache: regsitry}\n", "'regsitry' - expected registry"),
        ("build: {cache: team/cache}\n", "expected registry"),
        ("build: {cache: 'r.example.com/team/cache:main'}\n", "without a tag"),
        ("build: {cache: {store: gha, mode: most}}\n", "expected 'max' or 'min'"),
        ("build: {cache: {stoer: gha}}\n", "did you mean 'store'"),
    ],
)
def test_what_is_no_cache_is_told(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=r"pipeline\.yaml:3") as error:
        configuration(tmp_path, FILE + text)
    assert words in str(error.value)


def test_images_and_caches_do_not_share_a_repository(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="where images go"):
        registry_cache(tmp_path, FILE, "build.cache=r.example.com/team/digits")
    with pytest.raises(ConfigurationError, match="no `registries`"):
        registry_cache(tmp_path, "image: digits\n", "build.cache=registry")


def test_the_base_is_what_ci_tells(tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"repository": {"default_branch": "trunk"}}))
    job = {"GITHUB_EVENT_PATH": str(event), "GITHUB_BASE_REF": ""}
    assert base_branches(job) == ("trunk",)
    assert base_branches({"CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main", "CI_DEFAULT_BRANCH": "main"}) == (
        "main",
    )
    for content in ("", "[]", '{"repository": null}', '{"repository": {"default_branch": 1}}'):
        event.write_text(content)
        assert base_branches(job) == ()
    assert base_branches({"GITHUB_EVENT_PATH": str(tmp_path / "none")}) == ()
    assert git_tag({"CI_COMMIT_TAG": "v1"}) == "v1"
    assert git_tag({"GITHUB_REF_TYPE": "branch", "GITHUB_REF_NAME": "v1"}) is None
