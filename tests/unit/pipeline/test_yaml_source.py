"""YAML with places: what is read, and how every mistake is answered."""

from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from pipeline.errors import ConfigurationError
from pipeline.yaml_source import load, parse, validate


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Protocol(StrEnum):
    V2 = "v2"
    HTTP = "http"


class Benchmark(Strict):
    port: int = 80
    protocol: Protocol = Protocol.V2
    rate: float = 1


class Folder(Strict):
    kind: Literal["folder"]
    path: str


class Levels(Strict):
    kind: Literal["levels"]
    levels: dict[str, int] = {}
    until: date | None = None


class Settings(Strict):
    image: str
    registries: tuple[str, ...] = ()
    benchmark: Benchmark | None = None
    targets: tuple[Annotated[Folder | Levels, Field(discriminator="kind")], ...] = ()


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        validate(Settings, parse(text, "p.yaml"))
    assert caught.value.advice
    lines = caught.value.message.splitlines()
    return [line.strip() for line in (lines[1:] if len(lines) > 1 else lines)]


def test_good_data() -> None:
    text = "image: digits\nbenchmark: {port: 8080}\ntargets:\n- {kind: levels, until: 2027-01-31}\n"
    settings = validate(Settings, parse(text, "p.yaml"))
    assert settings.benchmark == Benchmark(port=8080)
    assert settings.targets == (Levels(kind="levels", until=date(2027, 1, 31)),)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "p.yaml: image: this key is required and not there"),
        (
            "image: x\nbenchmark:\n  prot: v2",
            "p.yaml:3: benchmark.prot: 'v2' - unknown key; did you mean 'protocol'?",
        ),
        (
            "image: x\nbenchmark:\n  zzz: 1",
            "p.yaml:3: benchmark.zzz: 1 - unknown key; known are port, protocol, rate",
        ),
        ("image: x\nimaeg: y", "p.yaml:2: imaeg: 'y' - unknown key; did you mean 'image'?"),
        ("image: 1.20", "p.yaml:1: image: 1.2 - expected text; put it in quotes"),
        ("image: x\nbenchmark:\n  port: web", "p.yaml:3: benchmark.port: 'web' - expected a whole number"),
        (
            "image: x\nbenchmark: {protocol: v3}",
            "p.yaml:2: benchmark.protocol: 'v3' - expected 'v2' or 'http'",
        ),
        ("image: x\nbenchmark: fast", "p.yaml:2: benchmark: 'fast' - expected a mapping (key: value)"),
        ("image: x\nregistries: one", "p.yaml:2: registries: 'one' - expected a list"),
        ("image: x\nregistries:\n- a\n- 5", "p.yaml:4: registries[1]: 5 - expected text; put it in quotes"),
        (
            "image: x\ntargets:\n- path: a",
            "p.yaml:3: targets[0]: {'path': 'a'} - the key 'kind' is required and not there",
        ),
        (
            "image: x\ntargets:\n- kind: foldre",
            "p.yaml:3: targets[0]: {'kind': 'foldre'} - unknown kind; did you mean 'folder'?",
        ),
        (
            "image: x\ntargets:\n- kind: folder",
            "p.yaml:3: targets[0].path: this key is required and not there",
        ),
        (
            "image: x\ntargets:\n- kind: folder\n  path: a\n  pth: b",
            "p.yaml:5: targets[0].pth: 'b' - unknown key; did you mean 'path'?",
        ),
        (
            "image: x\ntargets:\n- kind: levels\n  levels:\n    a: b",
            "p.yaml:5: targets[0].levels.a: 'b' - expected a whole number",
        ),
        (
            "image: x\ntargets: [{kind: levels, until: soon}]",
            "p.yaml:2: targets[0].until: 'soon' - expected a date such as 2027-01-31",
        ),
        ("- a", "p.yaml:1: ['a'] - expected a mapping (key: value)"),
    ],
)
def test_one_mistake(text: str, problem: str) -> None:
    assert problems(text) == [problem]


def test_all_mistakes_at_once_in_the_order_of_the_file() -> None:
    text = "registries: one\nbenchmark:\n  rate: much\n  port: web\nimage: 3\n"
    assert [line.partition(": ")[0] for line in problems(text)] == [
        "p.yaml:1",
        "p.yaml:3",
        "p.yaml:4",
        "p.yaml:5",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "p.yaml:2:1: this is not YAML"),
        ("a: b: c", "p.yaml:1:5: this is not YAML: mapping values are not allowed"),
        ("a:\n\t- b", "p.yaml:2:1: this is not YAML"),
        (
            "a: !secret x",
            "p.yaml:1:4: this is not YAML: could not determine a constructor for the tag '!secret'",
        ),
        ("a: 1\nb: 2\na: 3", "p.yaml:3: the key 'a' stands here twice; first at p.yaml:1"),
        ("b:\n  - {a: 1, a: 2}", "p.yaml:2: the key 'a' stands here twice"),
        ("a: &x [*x]", "p.yaml:1: the alias of a[0] contains itself"),
        ("a: 2027-02-30", "p.yaml:1: a: '2027-02-30' - day is out of range"),
        ('!!int ""', "p.yaml:1: '' - "),
        ('a: !!int ""', "p.yaml:1: a: '' - "),
        ('b:\n  a: !!float ""', "p.yaml:2: b.a: '' - "),
        ("a: 1\nb: !!bool foo", "p.yaml:2: b: 'foo' - this is no bool"),
        ("a: [!!timestamp foo]", "p.yaml:1: a[0]: 'foo' - this is no timestamp"),
        ("!!timestamp foo: 1", "p.yaml:1: 'foo' - this is no timestamp"),
        ("2027-02-30: 1", "p.yaml:1: '2027-02-30' - day is out of range"),
        ("? [a]\n: b", "p.yaml:1: a key has to be a single word"),
        ("a: 1\n---\nb: 2", "p.yaml:2:1: this is not YAML"),
        ("a: \x01", "p.yaml: this is not YAML"),
    ],
)
def test_broken_yaml(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(text, "p.yaml")
    assert caught.value.message.startswith(message)


def test_words_that_yaml_takes_for_truth_are_good_keys() -> None:
    assert parse("on: 1\nno: 2\nnull: 3", "p").value == {"on": 1, "no": 2, "null": 3}


def test_merged_keys_and_aliases() -> None:
    tree = parse("a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\nc: *a\n", "p")
    assert tree.value == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}, "c": {"x": 1, "y": 2}}
    assert tree.origin(("b", "y")) == "p:4"


def test_values_from_elsewhere_lie_over_the_file() -> None:
    tree = parse("image: x\nbenchmark: {port: 1}\nregistries: [a, b]\n", "p.yaml")
    tree = tree.with_value(("benchmark", "port"), "web", "PIPELINE_BENCHMARK_PORT")
    tree = tree.with_value(("benchmark", "rate"), 5, "--rate").with_value(
        ("registries",), ["c"], "--registry"
    )
    assert tree.value == {"image": "x", "benchmark": {"port": "web", "rate": 5}, "registries": ["c"]}
    assert tree.origin(("registries", 0)) == "--registry"
    assert tree.origin(("image",)) == "p.yaml:1"
    with pytest.raises(ConfigurationError) as caught:
        validate(Settings, tree)
    assert caught.value.message == "PIPELINE_BENCHMARK_PORT: benchmark.port: 'web' - expected a whole number"


def test_a_value_cannot_go_below_a_word() -> None:
    with pytest.raises(
        ConfigurationError, match=r"--x sets benchmark.port, but p.yaml:1 says benchmark: 'fast'"
    ):
        parse("benchmark: fast", "p.yaml").with_value(("benchmark", "port"), 1, "--x")


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_bytes(b"\xef\xbb\xbfimage: digits\n")
    assert load(path, "p.yaml").value == {"image": "digits"}
    path.write_bytes(b"image: \xff\n")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load(path)
    with pytest.raises(ConfigurationError, match="there is no file"):
        load(tmp_path / "none.yaml")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load(tmp_path)
