"""What `benchmark.request` may be."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.benchmark_section import BenchmarkSection
from pipeline.compose_requests import requests_of
from pipeline.errors import ConfigurationError
from stages.servers.payloads import RequestFile

ROOT = Path("/project")


def test_one_file_is_found_beside_the_configuration() -> None:
    section = BenchmarkSection.model_validate({"request": "one.json"})
    assert requests_of(section, ROOT) == ROOT / "one.json"
    assert requests_of(BenchmarkSection(), ROOT) is None


def test_a_list_has_weights_and_expected_answers() -> None:
    files = [{"file": "a.html", "weight": 3}, {"file": "b.json", "expect": "c.json"}]
    assert requests_of(BenchmarkSection.model_validate({"request": files}), ROOT) == (
        RequestFile(path=ROOT / "a.html", weight=3),
        RequestFile(path=ROOT / "b.json", expect=ROOT / "c.json"),
    )


def test_an_expected_answer_beside_a_list_is_refused() -> None:
    section = BenchmarkSection.model_validate({"request": [{"file": "a.json"}], "expect": "b.json"})
    with pytest.raises(ConfigurationError, match="belongs to none of them") as raised:
        requests_of(section, ROOT)
    assert "{file: request.json, expect: answer.json}" in raised.value.advice


@pytest.mark.parametrize("wrong", [[], [{"file": "a.json", "weight": 0}], [{"weight": 1}]])
def test_a_list_without_sense_is_refused(wrong: list[object]) -> None:
    with pytest.raises(ValidationError):
        BenchmarkSection.model_validate({"request": wrong})
