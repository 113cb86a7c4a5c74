"""What is looked at before a benchmark: a mistake is answered with place, value and what to do."""

import pytest

from pipeline.model import Problem
from stages.load.open_loop import OpenLoop
from stages.servers import PROTOCOLS
from stages.servers.checks import (
    check_found,
    check_limits,
    check_load,
    check_platforms,
    check_protocol,
    parse_memory,
)
from stages.servers.engine import EngineFacts
from stages.servers.limits import Limits


def facts(cpus: int = 4) -> EngineFacts:
    return EngineFacts(
        version="28.5.2", platform="linux/amd64", cpus=cpus, host="unix:///var/run/docker.sock"
    )


def test_an_unknown_protocol_is_answered_with_the_nearest_name() -> None:
    check = check_protocol("v3", PROTOCOLS, ())
    assert check.problem is Problem.CONFIGURATION
    assert check.advice.startswith("Did you mean v2?")
    assert check_protocol("v2", PROTOCOLS, ()).passed


def test_an_option_that_the_protocol_does_not_know_is_named() -> None:
    assert check_protocol("http", PROTOCOLS, ["path"]).passed
    check = check_protocol("http", PROTOCOLS, ["path", "pth"])
    assert check.found == "`benchmark.options` has pth, which the protocol http does not know"
    assert check.advice.startswith("It knows method, path, ready_path, status, template.")
    assert check_protocol("v2", PROTOCOLS, ["path"]).advice.startswith("It has none.")


@pytest.mark.parametrize(
    ("memory", "cpus", "environment", "words"),
    [
        ("lots", None, {}, "'lots' is no amount of memory"),
        ("1m", None, {}, "less than the 6 MiB"),
        (None, 5.0, {}, "the engine has 4"),
        (None, None, {"KEY": "two\nlines"}, "'KEY'"),
        (None, None, {"A KEY": "x"}, "'A KEY'"),
        (None, None, {"#KEY": "x"}, "'#KEY'"),
    ],
)
def test_limits_that_an_engine_would_refuse(
    memory: str | None, cpus: float | None, environment: dict[str, str], words: str
) -> None:
    check = check_limits(memory, cpus, environment, facts())
    assert check.problem is Problem.CONFIGURATION
    assert words in check.found


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(cpus=8, found="cpu limit 8 of it"), "the engine has 4 processors: cpu limit 8 of it"),
        (Limits(cpus=0.005, found="cpu request 5m of it"), "0.01 processors and 6 MiB at least: cpu"),
        (Limits(memory_bytes=4096, found="memory limit 4Ki of it"), "6 MiB at least: memory limit 4Ki"),
    ],
)
def test_limits_of_a_manifest_that_an_engine_would_refuse(limits: Limits, words: str) -> None:
    check = check_found(limits, facts())
    assert check.problem is Problem.CONFIGURATION
    assert words in check.found
    assert "benchmark.cpus" in check.advice


def test_limits_of_a_manifest_that_an_engine_accepts() -> None:
    assert check_found(Limits(cpus=4, memory_bytes=2**30), facts()).passed
    assert check_found(Limits(memory_bytes=2**30), facts()).passed


def test_limits_that_an_engine_accepts() -> None:
    assert check_limits("512m", 2, {"KEY": "value = with # signs"}, facts()).passed
    assert check_limits(None, None, {}, facts(cpus=0)).passed


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("512m", 512 * 1024**2), ("512Mi", 512 * 1024**2), ("1.5GiB", 3 * 512 * 1024**2), ("7340032", 7340032)],
)
def test_amounts_of_memory(text: str, size_bytes: int) -> None:
    assert parse_memory(text) == size_bytes


@pytest.mark.parametrize("platforms", [(), ("linux/arm64", "linux/amd64"), ("linux/amd64/v2",)])
def test_an_image_that_the_engine_can_run_passes(platforms: tuple[str, ...]) -> None:
    assert check_platforms(platforms, facts()).passed


def test_an_image_for_other_platforms_is_named_before_it_is_built() -> None:
    check = check_platforms(("linux/arm64", "linux/s390x"), facts())
    assert check.problem is Problem.CONFIGURATION
    assert check.found == (
        "`build.platforms` is linux/arm64, linux/s390x, but the engine here runs linux/amd64"
    )
    assert check.advice.startswith("Add linux/amd64 to `build.platforms`")


@pytest.mark.parametrize(
    ("rate_rps", "duration_s", "words"),
    [(20, 5, ""), (20, 4.9, "98 answers"), (0.5, 10, "5 answers")],
)
def test_a_load_of_too_few_requests_is_named(rate_rps: float, duration_s: float, words: str) -> None:
    check = check_load(OpenLoop(rate_rps=rate_rps, duration_s=duration_s))
    assert check.passed is (not words)
    assert words in check.found
    assert check.passed or f"to {100 / rate_rps:g} or more" in check.advice
