"""The component for GitLab: valid for GitLab's own schema, and documented as it is."""

import json
import os
import re
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from stages import DELIVERY

TOP = Path(__file__).parents[2]
TEMPLATE = (TOP / "templates" / "deliver.yml").read_text(encoding="utf-8")
GUIDE = (TOP / "docs" / "gitlab.md").read_text(encoding="utf-8")
HEADER, BODY = TEMPLATE.split("\n---\n", 1)
INPUTS: dict[str, dict[str, Any]] = yaml.safe_load(HEADER)["spec"]["inputs"]
CHOICES = list(product(INPUTS["engine"]["options"], INPUTS["cloud"]["options"]))
MEASURING = ("test", "build", "scan", "benchmark")
_INPUT = re.compile(r"\$\[\[ inputs\.([a-z-]+) \]\]")
_TOKENS = {"aws": {"AWS_ID_TOKEN"}, "google": {"GCP_ID_TOKEN"}, "azure": {"AZURE_ID_TOKEN"}, "none": set()}
_CHECK = """\
import sys
from check_jsonschema import main
sys.exit(main())
"""


def filled(**inputs: str) -> dict[str, Any]:
    """Return what GitLab sees with these inputs; it fills them into values and keys, not into text."""
    values = {name: given["default"] for name, given in INPUTS.items()} | inputs
    loaded: dict[str, Any] = _filled(yaml.safe_load(BODY), values)
    return loaded


def _filled(node: Any, values: dict[str, Any]) -> Any:
    if isinstance(node, dict):
        return {_filled(key, values): _filled(value, values) for key, value in node.items()}
    if isinstance(node, list):
        return [_filled(value, values) for value in node]
    return _INPUT.sub(lambda found: _text(values[found[1]]), node) if isinstance(node, str) else node


def jobs(**inputs: str) -> dict[str, Any]:
    """Return the jobs, with what they extend."""
    loaded = filled(**inputs)
    return {name: _extended(loaded, job) for name, job in loaded.items() if not name.startswith(".")}


def _extended(loaded: dict[str, Any], job: dict[str, Any]) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    for name in job.get("extends", ()):
        whole = _merged(whole, _extended(loaded, loaded[name]))
    return _merged(whole, job)


def _merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    both = {key for key in first.keys() & second.keys() if isinstance(first[key], dict)}
    return {**first, **second, **{key: _merged(first[key], second[key]) for key in both}}


def _text(value: object) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


def test_every_choice_is_a_pipeline_for_gitlab(tmp_path: Path) -> None:
    for engine, cloud in CHOICES:
        text = yaml.safe_dump(filled(engine=engine, cloud=cloud))
        (tmp_path / f"{engine}-{cloud}.yml").write_text(text, encoding="utf-8")
    options = ("--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci")
    command = [sys.executable, "-c", _CHECK, *options, *map(str, tmp_path.iterdir())]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(tmp_path.iterdir())) == 15


def test_no_input_stands_where_gitlab_fills_none() -> None:
    tags = [token.value for token in yaml.scan(BODY) if isinstance(token, yaml.TagToken)]
    assert tags == []  # what is behind `!reference`, say, stays as it stands there


@pytest.mark.parametrize(("engine", "cloud"), CHOICES)
def test_jobs_have_the_engine_and_the_tokens_that_were_chosen(engine: str, cloud: str) -> None:
    everything = set().union(*_TOKENS.values())
    for job in jobs(engine=engine, cloud=cloud).values():
        assert set(job.get("id_tokens", {})) == _TOKENS.get(cloud, everything)
        assert ("services" in job) == (engine == "dind")


def test_the_guide_names_every_input_as_it_is() -> None:
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| (.*) \|$", GUIDE, flags=re.MULTILINE))
    for name, given in INPUTS.items():
        default = _text(given["default"])
        shown = f"`{default}`" if default else ""
        assert rows.get(name) == f"{shown} | {given['description']}".strip()


def test_every_input_is_used_and_none_is_unknown() -> None:
    assert set(_INPUT.findall(BODY)) == set(INPUTS)


def test_no_job_outside_the_deliveries_reaches_an_environment() -> None:
    reaching = {name for name, job in jobs().items() if "environment" in job}
    assert reaching == {"deliver", "deliver:push", "deliver:update"}
    for name in reaching:
        assert jobs()[name]["rules"][0] == {"if": "$CI_MERGE_REQUEST_IID", "when": "never"}


def test_each_stage_waits_for_the_one_before_and_the_first_for_earlier_stages() -> None:
    chain = [f"deliver:{stage}" for stage in ("test", "build", "scan", "benchmark", "push", "update")]
    assert "needs" not in jobs()[chain[0]]
    assert [jobs()[name]["needs"] for name in chain[1:]] == [[name] for name in chain[:-1]]


def stages_of(job: dict[str, Any], begin: str) -> list[str]:
    """Return the stages that a job runs, of a delivery with all of them; after the last one."""
    names = [kind.name for kind in DELIVERY]
    (command,) = [line for line in job["script"] if isinstance(line, str) and line.startswith("deliver run ")]
    said = dict(re.findall(r"--(from|until) (\w+)", command))
    first = names.index(said.get("from", begin))
    return names[first : names.index(said.get("until", names[-1])) + 1]


@pytest.mark.parametrize(
    ("shape", "chain"),
    [
        ("one-job", ("deliver",)),
        ("job-per-stage", tuple(f"deliver:{one}" for one in (*MEASURING, "push", "update"))),
        ("job-per-stage", tuple(f"deliver:{one}" for one in (*MEASURING, "preview"))),
    ],
)
def test_the_jobs_together_run_every_stage_of_a_delivery_once(shape: str, chain: tuple[str, ...]) -> None:
    names = [kind.name for kind in DELIVERY]
    done: list[str] = []
    for name in chain:
        done += stages_of(jobs(shape=shape)[name], names[len(done)])
    assert done == names


def test_the_token_that_signs_is_given_to_the_jobs_that_sign_alone() -> None:
    having = {name for name, job in jobs(signing="keyless").items() if "SIGSTORE_ID_TOKEN" in str(job)}
    assert having == {"deliver", "deliver:update"}
    assert jobs(signing="keyless", cloud="aws")["deliver"]["id_tokens"].keys() == {
        "AWS_ID_TOKEN",
        "SIGSTORE_ID_TOKEN",
    }
    assert "SIGSTORE_ID_TOKEN" not in str(jobs())


def test_a_job_that_ends_early_does_not_tell_the_results_of_the_one_before(tmp_path: Path) -> None:
    came_along = tmp_path / "models" / "a b" / ".pipeline" / "ci" / "outputs.env"
    came_along.parent.mkdir(parents=True)
    came_along.write_text("VERDICT=passed\n")
    for job in jobs().values():
        (setup, *_) = job["script"]
        assert setup == jobs()["deliver:test"]["script"][0]
    variables = {"CI_PROJECT_DIR": str(tmp_path), "DELIVER_FOLDER": "models/a b"}
    subprocess.run(["bash", "-e", "-c", setup[0]], env={"PATH": os.environ["PATH"], **variables}, check=True)
    assert not came_along.parent.exists()


def test_two_inclusions_share_no_name_and_do_not_wait_for_each_other() -> None:
    one, other = filled(name="deliver models/a"), filled(name="deliver models/b")
    assert not one.keys() & other.keys()
    groups = {
        job["resource_group"] for each in (one, other) for job in each.values() if "resource_group" in job
    }
    assert groups == {"production/deliver models/a", "production/deliver models/b"}


def test_no_variable_is_taken_for_a_setting_of_the_pipeline() -> None:
    for job in jobs().values():
        assert not [name for name in job["variables"] if name.startswith("PIPELINE_")]


def test_examples_of_the_guide_give_inputs_that_there_are() -> None:
    for block in re.findall(r"```yaml\n(.*?)```", GUIDE, flags=re.DOTALL):
        for include in (yaml.safe_load(block) or {}).get("include", ()):
            assert include["inputs"].keys() <= INPUTS.keys()
