"""pipeline.yaml as a model: what is refused, with the line where it stands."""

import pytest

from pipeline.config import Config
from pipeline.errors import ConfigurationError
from pipeline.yaml_source import parse, validate


def refusal(text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        validate(Config, parse(f"image: digits\n{text}", "p.yaml"))
    return caught.value.message


REGISTRY = "expected a registry such as registry.example.com:5000/team (the path in lower case)"
REPOSITORY = "expected a repository such as registry.example.com/team/model, without tag or digest"
NAME = "expected the name of an image such as team/model, in lower case, without tag"
ELSEWHERE = (
    "mount_from: docker.io/team/old is in none of the registries that are pushed to (ghcr.io), and a "
    "registry mounts only what it has itself"
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "registries:\n- ghcr.io/team\n- GHCR.io/Team",
            f"p.yaml:4: registries[1]: 'GHCR.io/Team' - {REGISTRY}",
        ),
        ("registries: https://ghcr.io", f"p.yaml:2: registries: 'https://ghcr.io' - {REGISTRY}"),
        (
            "push:\n  mount_from:\n  - ghcr.io/team/old:1.0",
            f"p.yaml:4: push.mount_from[0]: 'ghcr.io/team/old:1.0' - {REPOSITORY}",
        ),
        (
            "registries: [ghcr.io/team]\npush: {mount_from: docker.io/team/old}",
            f"p.yaml:3: push: {{'mount_from': 'docker.io/team/old'}} - {ELSEWHERE}",
        ),
        ("benchmark:\n  port: true", "p.yaml:3: benchmark.port: True - expected a number"),
        ("benchmark:", "p.yaml:2: benchmark: nothing stands there - expected a mapping (key: value)"),
        ("benchmark:\n  protocol:", "p.yaml:3: benchmark.protocol: nothing stands there - expected text"),
        ("benchmark: {rate_rps: false}", "p.yaml:2: benchmark.rate_rps: False - expected a number"),
        ("test: {timeout_s: true}", "p.yaml:2: test.timeout_s: True - expected a number"),
        ("benchmark: {warmup_s: .inf}", "p.yaml:2: benchmark.warmup_s: inf - expected a finite number"),
        ("benchmark: {cpus: .inf}", "p.yaml:2: benchmark.cpus: inf - expected a finite number"),
        (
            "scan: {trivy: {sha256: abc}}",
            "p.yaml:2: scan.trivy.sha256: 'abc' - String should match pattern '^[0-9A-Fa-f]{64}$'",
        ),
        ("scan: {trivy: true}", "p.yaml:2: scan.trivy: True - expected text; put it in quotes"),
        ("scan: {hadolint: [a]}", "p.yaml:2: scan.hadolint: ['a'] - expected text; put it in quotes"),
        (
            "scan: {look_for: [secret]}",
            "p.yaml:2: scan.look_for[0]: 'secret' - expected 'secrets', 'licenses' or 'misconfigurations'",
        ),
        (
            "scan: {database: {maximum_age_days: .inf}}",
            "p.yaml:2: scan.database.maximum_age_days: inf - expected a finite number",
        ),
        (
            "test: {timeout_s: 1e300}",
            "p.yaml:2: test.timeout_s: '1e300' - expected less than or equal to 1000000",
        ),
        (
            "test:\n  environment:\n    A=B: x",
            "p.yaml:4: test.environment.A=B: 'A=B' - the name of a variable is not empty and holds no '='",
        ),
        (
            'test:\n  environment: {A: "x\\0y"}',
            "p.yaml:3: test.environment.A: 'x\\x00y' - the value of a variable cannot hold the character NUL",
        ),
        (
            "registries: [{url: ghcr.io/x, creat: true}]",
            "p.yaml:2: registries[0].creat: True - unknown key; did you mean 'create'?",
        ),
        (
            "tag: v1\ntags: [v1]",
            "p.yaml:3: tags: ['v1'] - say either `tag:` or `tags:`; the first of `tags` is what `tag` is",
        ),
        ("registries: [{create: true}]", "p.yaml:2: registries[0].url: this key is required and not there"),
        (
            "registries:\n- ghcr.io/x\n- {url: ghcr.io/x, login: {rol: x}}",
            "p.yaml:4: registries[1].login.rol: 'x' - unknown key; did you mean 'role'?",
        ),
        (
            "build: {compression: zip}",
            "p.yaml:2: build.compression: 'zip' - expected 'gzip', 'zstd' or 'uncompressed'",
        ),
        ("build:\n  level: 10", "p.yaml:3: build.level: 10 - expected 1 to 9 for gzip"),
        ("build: {compression: zstd, level: 0}", "p.yaml:2: build.level: 0 - expected 1 to 19 for zstd"),
        (
            "build: {level: 3, compression: uncompressed}",
            "p.yaml:2: build.level: 3 - layers that are not compressed have no level; leave it out",
        ),
        ("build: {level: true}", "p.yaml:2: build.level: True - expected a number"),
        ("build: {level: best}", "p.yaml:2: build.level: 'best' - expected a whole number"),
        (
            "model:\n  source: model\n  image: weights",
            "p.yaml:4: model.image: 'weights' - this is of no use without `delivery: image`",
        ),
        (
            "model: {source: model, delivery: image, base: 'busy box'}",
            "p.yaml:2: model.base: 'busy box' - expected an image such as busybox:1.37",
        ),
        (
            "model: {source: model, delivery: image, image: 'Weights:1'}",
            f"p.yaml:2: model.image: 'Weights:1' - {NAME}",
        ),
        ("model: {delivery: image}", "p.yaml:2: model.source: this key is required and not there"),
        (
            "model: {source: model, delivery: modelcar}",
            "p.yaml:2: model.delivery: 'modelcar' - expected 'layers' or 'image'",
        ),
        (
            'benchmark: {environment: {"": x}}',
            "p.yaml:2: benchmark.environment.: '' - the name of a variable is not empty and holds no '='",
        ),
    ],
)
def test_what_does_not_fit_is_named_with_its_line(text: str, message: str) -> None:
    assert refusal(text) == message


def test_what_an_environment_variable_says_is_read_as_what_it_means() -> None:
    text = "{image: digits, registries: 'a.io/x, localhost:5000', benchmark: {port: '9000', warmup_s: '0'}}"
    config = validate(Config, parse(text, "p.yaml"))
    assert config.repositories == ("a.io/x/digits", "localhost:5000/digits")
    assert (config.benchmark.port, config.benchmark.warmup_s) == (9000, 0)


def test_a_registry_is_a_host_with_a_path_or_says_more() -> None:
    text = "{image: digits, registries: [a.io/x, {url: b.io/y/, create: true, login: {role: 'arn:aws:x'}}]}"
    config = validate(Config, parse(text, "p.yaml"))
    assert config.repositories == ("a.io/x/digits", "b.io/y/digits")
    ((repository, section),) = config.registry_sections.items()
    assert (repository, section.create, section.login.role) == ("b.io/y/digits", True, "arn:aws:x")


@pytest.mark.parametrize("registries", ["registries: [ghcr.io/new, localhost:5000]", ""])
def test_weights_are_mounted_from_other_repositories_of_the_same_registries(registries: str) -> None:
    text = f"image: digits\n{registries}\npush: {{mount_from: 'ghcr.io/team/old, localhost:5000/digits'}}"
    config = validate(Config, parse(text, "p.yaml"))
    assert config.push.mount_from == ("ghcr.io/team/old", "localhost:5000/digits")


def test_a_section_that_no_file_has_is_refused_where_its_setting_was_said() -> None:
    tree = parse("image: digits\nregistries: [ghcr.io/team]", "p.yaml")
    with pytest.raises(ConfigurationError, match=r"^--set push\.mount_from: push: "):
        validate(Config, tree.with_value(("push", "mount_from"), "docker.io/old", "--set push.mount_from"))


def test_the_weights_own_image_stands_beside_the_application() -> None:
    def config(model: str) -> Config:
        text = f"{{image: team/digits, registries: [a.io/x, b.io], model: {{source: model{model}}}}}"
        return validate(Config, parse(text, "p.yaml"))

    assert (config("").model_image, config("").model_repositories) == (None, ())
    own = config(", delivery: image")
    assert own.model_image == "team/digits-model"
    assert own.model_repositories == ("a.io/x/team/digits-model", "b.io/team/digits-model")
    assert config(", delivery: image, image: weights").model_repositories == (
        "a.io/x/weights",
        "b.io/weights",
    )
