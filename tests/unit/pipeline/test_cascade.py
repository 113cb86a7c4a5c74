from pathlib import Path

import pytest

from pipeline.cache_section import CacheSection
from pipeline.cascade import read_config
from pipeline.compose_gitops import policies
from pipeline.errors import ConfigurationError

FILE = """\
image: digits
registries: [localhost:5001/models]
benchmark:
  port: 9000
update:
  repository: http://user:secret-word@git.example.com/gitops.git
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "pipeline.yaml"
    path.write_text(FILE)
    return path


def mistakes(path: Path, text: str, *assignments: str, **environment: str) -> str:
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        read_config(path, assignments, environment)
    return caught.value.message


def test_everything_has_a_default_but_the_name(path: Path) -> None:
    path.write_text("image: digits\n")
    values = read_config(path, environment={}).values
    assert (values.registries, values.policies, values.benchmark.protocol) == ((), "baseline", "v2")


def test_later_layers_win_and_say_so(path: Path) -> None:
    configuration = read_config(
        path,
        ["benchmark.port=9002"],
        {"PIPELINE_BENCHMARK__PORT": "9001", "PIPELINE_BENCHMARK__RATE_RPS": "50"},
    )
    settings = {setting.key: (setting.value, setting.origin) for setting in configuration.settings()}
    assert settings["benchmark.port"] == (9002, "--set benchmark.port")
    assert settings["benchmark.rate_rps"] == (50.0, "$PIPELINE_BENCHMARK__RATE_RPS")
    assert settings["image"] == ("digits", "pipeline.yaml:1")
    assert settings["benchmark.duration_s"] == (10.0, "default")


def test_a_password_in_a_url_is_not_among_the_settings(path: Path) -> None:
    settings = {setting.key: setting.value for setting in read_config(path, environment={}).settings()}
    assert settings["update.repository"] == "http://git.example.com/gitops.git"


def test_a_word_can_stand_for_a_list_and_json_for_anything(path: Path) -> None:
    environment = {
        "PIPELINE_REGISTRIES": "a.example/x, b.example/y",
        "PIPELINE_UPDATE__TARGETS": '[{"path": "apps"}]',
    }
    values = read_config(path, environment=environment).values
    assert values.registries == ("a.example/x", "b.example/y")
    assert values.repositories[1] == "b.example/y/digits"
    assert values.update.targets[0].path == "apps"


def test_an_empty_variable_is_none(path: Path) -> None:
    assert read_config(path, environment={"PIPELINE_TAG": ""}).values.tag is None


def test_all_mistakes_are_told_at_once_with_their_lines(path: Path) -> None:
    message = mistakes(path, "image: Digits\nregistres: []\nbenchmark:\n  prot: 1\n  port: none\n")
    assert "pipeline.yaml:1: image: 'Digits'" in message
    assert "pipeline.yaml:2: registres: [] - unknown key; did you mean 'registries'?" in message
    assert "pipeline.yaml:4: benchmark.prot: 1 - unknown key; did you mean 'protocol'?" in message
    assert "pipeline.yaml:5: benchmark.port: 'none' - expected a whole number" in message


def test_a_mistake_in_the_environment_names_the_variable(path: Path) -> None:
    message = mistakes(path, FILE, PIPELINE_BENCHMARK__PROT="1")
    assert "$PIPELINE_BENCHMARK__PROT: benchmark.prot" in message
    assert "did you mean 'protocol'" in message


def test_a_mistake_in_a_flag_names_the_flag(path: Path) -> None:
    assert "--set benchmark.port: benchmark.port: 'x'" in mistakes(path, FILE, "benchmark.port=x")
    assert "--set nothing: this sets nothing" in mistakes(path, FILE, "nothing")


def test_the_name_is_required(path: Path) -> None:
    assert "image: this key is required" in mistakes(path, "tag: x\n")


def test_what_is_no_yaml_is_told_with_line_and_column(path: Path) -> None:
    assert "pipeline.yaml:2:11: this is not YAML" in mistakes(path, "image: [digits\nregistries: x\n")
    assert "pipeline.yaml:1" in mistakes(path, "- image\n")


def test_a_missing_file_says_how_to_begin(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_config(tmp_path / "pipeline.yaml")
    assert str(tmp_path / "pipeline.yaml") in caught.value.message
    assert "image: my-model" in caught.value.advice


@pytest.mark.parametrize("registry", ["http://h.example/x", "H.example/X", "h.example:port/x", ""])
def test_a_registry_that_is_none_is_refused(path: Path, registry: str) -> None:
    assert "pipeline.yaml" in mistakes(path, f"image: digits\nregistries: ['{registry}']\n")


def test_variables_of_others_are_left_alone(path: Path) -> None:
    others = {"PIPELINE_WORKSPACE": "/x", "PIPELINE_SERVICE_HOST": "10.0.0.1", "PIPELINE_PORT_80_TCP": "tcp"}
    assert read_config(path, environment=others).values.image == "digits"


def test_a_near_miss_among_variables_is_a_mistake(path: Path) -> None:
    assert "did you mean 'image'" in mistakes(path, FILE, PIPELINE_IMAG="x")
    assert "did you mean 'benchmark'" in mistakes(path, FILE, PIPELINE_BENCHMRK__PORT="1")


def test_a_free_mapping_keeps_the_case_of_its_names(path: Path) -> None:
    values = read_config(path, environment={"PIPELINE_BUILD__ARGS__VERSION": "2"}).values
    assert values.build.args == {"VERSION": "2"}


def test_what_is_named_like_a_secret_is_masked_and_known(path: Path) -> None:
    path.write_text("image: digits\ntest: {environment: {SVC_PASSWORD: correct-horse, MODE: fast}}\n")
    configuration = read_config(path, environment={})
    settings = {setting.key: setting.value for setting in configuration.settings()}
    assert settings["test.environment.SVC_PASSWORD"] == "***"
    assert settings["test.environment.MODE"] == "fast"
    assert configuration.secrets() == ("correct-horse",)


def test_a_mistake_does_not_show_a_password(path: Path) -> None:
    message = mistakes(path, "image: digits\nupdate: {repo: 'https://ada:hunter2@git.example.com/x'}\n")
    assert "git.example.com" in message
    assert "hunter2" not in message


def test_one_underscore_too_few_is_told(path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_config(path, environment={"PIPELINE_BENCHMARK_PORT": "9000"})
    assert caught.value.advice == "Write PIPELINE_BENCHMARK__PORT."


ENVIRONMENTS = """
registries: [registry.example.com/team]
update:
  repository: https://git.example.com/gitops.git
  order: warn
environments:
  dev:
    update:
      targets: [{path: apps/dev}]
  prod:
    registries: [prod.example.com/team]
    policies: production
    update:
      branch: release
      order: enforce
      targets:
      - path: apps/prod
"""


def test_an_environment_says_what_differs_there(tmp_path: Path) -> None:
    file = tmp_path / "pipeline.yaml"
    file.write_text(f"image: digits\n{ENVIRONMENTS}")
    dev, prod = (read_config(file, environment={}, deployed_to=name) for name in ("dev", "prod"))
    for values in (dev.values, prod.values):
        assert values.update.repository == "https://git.example.com/gitops.git"
    assert (dev.values.update.branch, dev.values.update.order, dev.values.policies) == (
        "main",
        "warn",
        "baseline",
    )
    assert [target.path for target in dev.values.update.targets] == ["apps/dev"]
    assert prod.values.repositories == ("prod.example.com/team/digits",)
    assert (prod.values.update.branch, prod.values.update.order) == ("release", "enforce")
    assert prod.values.policies == "production"
    assert {setting.key: setting.origin for setting in prod.settings()}["update.branch"] == "pipeline.yaml:15"


def test_variables_and_flags_come_after_an_environment(tmp_path: Path) -> None:
    file = tmp_path / "pipeline.yaml"
    file.write_text(f"image: digits\n{ENVIRONMENTS}")
    found = read_config(
        file, ["update.branch=hotfix"], {"PIPELINE_UPDATE__ORDER": "ignore"}, deployed_to="prod"
    )
    assert (found.values.update.branch, found.values.update.order) == ("hotfix", "ignore")


def test_an_unknown_environment_is_told_the_known_ones(tmp_path: Path) -> None:
    file = tmp_path / "pipeline.yaml"
    file.write_text(f"image: digits\n{ENVIRONMENTS}")
    with pytest.raises(ConfigurationError, match="no environment called 'production'") as caught:
        read_config(file, environment={}, deployed_to="production")
    assert "It has: dev, prod." in caught.value.advice


def test_a_mistake_inside_an_environment_is_found_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "pipeline.yaml"
    file.write_text("image: digits\nenvironments:\n  dev:\n    update:\n      brunch: main\n")
    with pytest.raises(ConfigurationError, match=r"pipeline\.yaml:5.*brunch"):
        read_config(file, environment={})


@pytest.mark.parametrize("said", ["build.cache=gha", "build.cache={store: gha, mode: min}"])
def test_another_store_for_the_cache_leaves_its_mode_alone(path: Path, said: str) -> None:
    path.write_text("image: digits\nbuild: {cache: {store: registry, mode: min}}\n")
    cache = read_config(path, [said], {}).values.build.cache
    assert isinstance(cache, CacheSection)
    assert (cache.store, cache.mode) == ("gha", "min")
    assert read_config(path, [], {"PIPELINE_BUILD__CACHE": "null"}).values.build.cache is None
    path.write_text("image: digits\nbuild: {cache: registry}\n")
    assert read_config(path, ["build.cache=gha"], {}).values.build.cache == "gha"


def test_a_stage_is_not_left_out_without_a_word(path: Path) -> None:
    found = mistakes(path, "image: digits\nskip:\n  benchmark:\n")
    assert found == "pipeline.yaml:3: skip.benchmark: a stage is left out only with a reason"
    path.write_text("image: digits\nskip: {benchmark: no GPU}\n")
    assert read_config(path, ["skip.benchmark=null"], {}).values.skipped == {}


@pytest.mark.parametrize(
    ("said", "assignments", "expected"),
    [
        ("policies: basline\n", [], "pipeline.yaml:2: policies: 'basline' is no pack"),
        ("policies: ./ours.yaml\n", [], "pipeline.yaml:2: there is no file "),
        ("", ["policies=basline"], "--set policies: policies: 'basline' is no pack"),
    ],
)
def test_policies_that_are_not_there_are_told_with_their_line(
    path: Path, said: str, assignments: list[str], expected: str
) -> None:
    path.write_text(f"image: digits\n{said}")
    with pytest.raises(ConfigurationError) as caught:
        policies(read_config(path, assignments, {}))
    assert caught.value.message.startswith(expected)
