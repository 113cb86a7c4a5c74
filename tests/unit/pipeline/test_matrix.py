import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.git_server import run_git

ROOT = Path(__file__).parents[3]
FOREIGN = ("GITHUB_", "CI", "GITLAB_", "PIPELINE_")


def matrix(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    command = [sys.executable, "-I", "-m", "pipeline", "matrix", *arguments]
    done = subprocess.run(
        command, cwd=folder, env={**environment, **variables}, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
    return done


def names(folder: Path, *arguments: str, **variables: str) -> list[str]:
    done = matrix(folder, "--json", *arguments, **variables)
    assert done.returncode == 0, done.stderr
    return [entry["folder"] for entry in json.loads(done.stdout)]


def commit(folder: Path, **files: str | None) -> str:
    """Write files (`__` is a slash, `_o_` a dot), commit them, and return the commit."""
    for name, text in files.items():
        write(folder, name.replace("__", "/").replace("_o_", "."), text)
    return commit_all(folder)


def commit_all(folder: Path) -> str:
    run_git("-C", str(folder), "add", "--all")
    run_git("-C", str(folder), "commit", "--quiet", "--allow-empty", "--message", "change")
    return run_git("-C", str(folder), "rev-parse", "HEAD").strip()


def write(folder: Path, name: str, text: str | None) -> None:
    path = folder / name
    if text is None:
        path.unlink()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def monorepo(tmp_path: Path) -> Path:
    run_git("init", "--quiet", "--initial-branch=main", str(tmp_path))
    write(tmp_path, "models/a/pipeline.yaml", "image: team/a\n")
    write(tmp_path, "models/a/serve.py", "")
    write(tmp_path, "models/b/pipeline.yaml", "image: team/b\ndepends_on: [../../shared/text]\n")
    write(tmp_path, "models/c/pipeline.yaml", "image: team/c\ndepends_on: ../b\n")
    write(tmp_path, "models/d/pipeline.yaml", "image: team/d\n")
    write(tmp_path, "shared/text/clean.py", "")
    write(tmp_path, "README.md", "")
    commit_all(tmp_path)
    return tmp_path


def test_without_a_base_all_models_are_delivered(monorepo: Path) -> None:
    done = matrix(monorepo)
    assert done.stdout.count("\n") == 1
    entries = json.loads(done.stdout)["include"]
    ids = [entry.pop("id") for entry in entries]
    assert entries == [
        {"config": f"models/{x}/pipeline.yaml", "name": f"team/{x}", "folder": f"models/{x}"} for x in "abcd"
    ]
    assert [one[:9] for one in ids] == [f"models-{x}-" for x in "abcd"]
    assert "nothing to compare with" in done.stderr


def test_every_model_has_an_id_of_its_own_that_is_plain(tmp_path: Path) -> None:
    folders = ("a/b", "a-b", "a b", ".", f"{'x' * 60}/y", f"{'x' * 60}/z", "ä")
    run_git("init", "--quiet", "--initial-branch=main", str(tmp_path))
    for folder in folders:
        write(tmp_path, f"{folder}/pipeline.yaml", "image: a\n")
    commit_all(tmp_path)
    ids = [entry["id"] for entry in json.loads(matrix(tmp_path).stdout)["include"]]
    assert len(set(ids)) == len(folders)
    assert all(re.fullmatch(r"[A-Za-z0-9-]+", one) and len(one) <= 49 for one in ids)


def test_a_change_concerns_its_own_model(monorepo: Path) -> None:
    base = commit(monorepo)
    commit(monorepo, models__a__serve_o_py="print()")
    assert names(monorepo, "--base", base) == ["models/a"]
    assert names(monorepo, "--base", base, "models/b") == []
    assert names(monorepo / "models" / "a", "--base", base, ".") == ["models/a"]
    assert json.loads(matrix(monorepo, "--base", base).stdout)["include"][0]["name"] == "team/a"


def test_a_change_of_nothing_of_a_model_concerns_none(monorepo: Path) -> None:
    base = commit(monorepo)
    commit(monorepo, README_o_md="x", models__abc__x_o_py="models/ab is not models/a")
    assert matrix(monorepo, "--base", base).stdout == '{"include":[]}\n'


def test_what_depends_on_a_concerned_model_is_concerned_too(monorepo: Path) -> None:
    base = commit(monorepo)
    commit(monorepo, shared__text__clean_o_py="x")
    found = json.loads(matrix(monorepo, "--json", "--base", base).stdout)
    assert [(entry["folder"], entry["because"]) for entry in found] == [
        ("models/b", "shared/text/clean.py changed"),
        ("models/c", "depends on models/b"),
    ]


@pytest.mark.parametrize(
    ("said", "path"),
    [
        ("model: {source: ../../weights/d}", "weights/d/model.bin"),
        ("build: {context: ../..}", "anything.txt"),
        ("build: {context: ../../images, dockerfile: d.Dockerfile}", "images/d.Dockerfile"),
        ("build: {dockerfile: ../../images/d.Dockerfile}", "images/d.Dockerfile"),
        ("build: {secrets: [{id: a, file: ../../secret}]}", "secret"),
        ("policies: ../../policies.yaml", "policies.yaml"),
        ("environments: {prod: {policies: ../../policies.yaml}}", "policies.yaml"),
        ("benchmark: {request: ../../request.json}", "request.json"),
        ("benchmark: {request: [{file: a.json}, {file: ../../request.json}]}", "request.json"),
        ("benchmark: {request: [{file: a.json, expect: ../../answer.json}]}", "answer.json"),
        ("benchmark: {request: a.json, expect: ../../answer.json}", "answer.json"),
        ("scan: {known_exploited: ../../kev.json}", "kev.json"),
        ("policies: {extends: ../../policies.yaml}", "policies.yaml"),
        ("policies: {extends: baseline, vex: [../../our.vex.json]}", "our.vex.json"),
        ("policies: [{rule: any_of, rules: [{rule: vulnerabilities, vex: [../../v.json]}]}]", "v.json"),
        ("environments: {prod: {policies: {extends: production, vex: [../../v.json]}}}", "v.json"),
        ("registries: [{url: r.example.com/x, lifecycle: ../../life.json}]", "life.json"),
    ],
)
def test_what_the_configuration_reads_concerns_the_model(monorepo: Path, said: str, path: str) -> None:
    base = commit(monorepo, models__d__pipeline_o_yaml=f"image: team/d\n{said}\n")
    write(monorepo, path, "changed")
    commit_all(monorepo)
    assert "models/d" in names(monorepo, "--base", base)
    assert "models/a" not in names(monorepo, "--base", base)


@pytest.mark.parametrize("path", ["rules/team.yaml", "rules/company/all.yaml", "rules/company/vex/a.json"])
def test_what_a_pack_extends_or_names_concerns_the_model(monorepo: Path, path: str) -> None:
    write(monorepo, "rules/team.yaml", "extends: company/all.yaml\n")
    write(monorepo, "rules/company/all.yaml", "extends: ../team.yaml\nvex: [vex/a.json]\n")
    write(monorepo, "models/d/pipeline.yaml", "image: team/d\npolicies: ../../rules/team.yaml\n")
    base = commit_all(monorepo)
    write(monorepo, path, "changed: yes")
    commit_all(monorepo)
    assert names(monorepo, "--base", base) == ["models/d"]


def test_remote_weights_and_places_outside_are_no_files_of_the_repository(monorepo: Path) -> None:
    write(
        monorepo, "models/d/pipeline.yaml", "image: team/d\nmodel: {source: 's3://x'}\ndepends_on: [../../..]"
    )
    base = commit_all(monorepo)
    commit(monorepo, README_o_md="x")
    assert names(monorepo, "--base", base) == []


def test_a_removed_file_concerns_and_a_removed_model_does_not(monorepo: Path) -> None:
    base = commit(monorepo)
    commit(monorepo, models__a__serve_o_py=None, models__d__pipeline_o_yaml=None)
    assert names(monorepo, "--base", base) == ["models/a"]


def test_a_broken_file_is_left_to_its_own_run(monorepo: Path) -> None:
    base = commit(monorepo)
    commit(monorepo, models__d__pipeline_o_yaml="image: [")
    done = matrix(monorepo, "--base", base)
    assert json.loads(done.stdout)["include"][0]["name"] == "models/d"


def test_models_of_one_name_are_told_apart(monorepo: Path) -> None:
    commit(monorepo, models__d__pipeline_o_yaml="image: team/a")
    found = json.loads(matrix(monorepo).stdout)["include"]
    assert {entry["name"] for entry in found} >= {"team/a (models/a)", "team/a (models/d)", "team/b"}


def test_a_branch_is_compared_where_it_was_left(monorepo: Path) -> None:
    run_git("-C", str(monorepo), "checkout", "--quiet", "-b", "topic")
    commit(monorepo, models__a__serve_o_py="x")
    run_git("-C", str(monorepo), "checkout", "--quiet", "main")
    commit(monorepo, models__d__new_o_py="x")
    run_git("-C", str(monorepo), "checkout", "--quiet", "topic")
    assert names(monorepo, "--base", "main") == ["models/a"]
    run_git("-C", str(monorepo), "update-ref", "refs/remotes/origin/main", "main")
    github = {"GITHUB_ACTIONS": "true", "GITHUB_BASE_REF": "main"}
    assert names(monorepo, **github) == ["models/a"]


def test_the_result_of_a_merge_is_compared_with_the_branch_that_is_in_it(monorepo: Path) -> None:
    start = commit(monorepo)
    run_git("-C", str(monorepo), "checkout", "--quiet", "-b", "topic")
    commit(monorepo, models__a__serve_o_py="x")
    run_git("-C", str(monorepo), "checkout", "--quiet", "main")
    target = commit(monorepo, models__d__new_o_py="x")
    run_git("-C", str(monorepo), "merge", "--quiet", "--no-ff", "-m", "merge", "topic")
    merged = {"CI_MERGE_REQUEST_DIFF_BASE_SHA": start, "CI_MERGE_REQUEST_TARGET_BRANCH_SHA": target}
    assert names(monorepo, **merged) == ["models/a"]


def test_a_push_is_compared_with_what_stood_there_before(monorepo: Path, tmp_path: Path) -> None:
    before = commit(monorepo)
    event = monorepo / ".git" / "event.json"
    event.write_text(json.dumps({"before": before}))
    commit(monorepo, models__a__serve_o_py="x")
    github = {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_PATH": str(event)}
    assert names(monorepo, **github) == ["models/a"]
    assert names(monorepo, CI_COMMIT_BEFORE_SHA=before) == ["models/a"]
    assert names(monorepo, CI_MERGE_REQUEST_DIFF_BASE_SHA=before, CI_COMMIT_BEFORE_SHA="0" * 40) == [
        "models/a"
    ]


def test_a_forced_push_counts_what_it_took_back(monorepo: Path) -> None:
    start = commit(monorepo)
    before = commit(monorepo, models__d__new_o_py="x")
    run_git("-C", str(monorepo), "checkout", "--quiet", start)
    commit(monorepo, models__a__serve_o_py="x")
    assert names(monorepo, CI_COMMIT_BEFORE_SHA=before) == ["models/a", "models/d"]


@pytest.mark.parametrize("before", ["", "0" * 40, "1" * 40, "--output=x", "$(touch x)"])
def test_a_base_that_is_not_there_counts_everything(monorepo: Path, before: str) -> None:
    event = monorepo / ".git" / "event.json"
    event.write_text(json.dumps({"before": before}))
    assert len(names(monorepo, GITHUB_ACTIONS="true", GITHUB_EVENT_PATH=str(event))) == 4
    assert len(names(monorepo, CI_COMMIT_BEFORE_SHA=before)) == 4
    assert not (monorepo / "x").exists()


@pytest.mark.parametrize("text", ["", "[]", '{"before": 1}', '{"merge_group": {"base_sha": null}}', "{"])
def test_an_event_that_says_nothing_counts_everything(monorepo: Path, text: str) -> None:
    event = monorepo / ".git" / "event.json"
    event.write_text(text)
    assert len(names(monorepo, GITHUB_ACTIONS="true", GITHUB_EVENT_PATH=str(event))) == 4


def test_an_asked_base_that_is_not_there_is_an_error(monorepo: Path) -> None:
    done = matrix(monorepo, "--base", "nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no such commit" in done.stderr
    assert "fetch-depth" in done.stderr
    assert matrix(monorepo, "--base=--all").returncode == 2


def test_outside_of_a_repository_is_an_error(tmp_path: Path, monorepo: Path) -> None:
    assert matrix(Path("/")).returncode == 2
    assert matrix(monorepo, "/").returncode == 2


HOSTILE = (
    "$(touch x)",
    "`touch x`",
    "a\"]}' ; touch x #",
    "${{ github.token }}",
    "##[set-output name=a]b",
    "-x",
    "ünï cödé",
)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_data_for_github(monorepo: Path, name: str) -> None:
    base = commit(monorepo)
    write(monorepo, f"{name}/pipeline.yaml", "image: '::set-output name=x::y'")
    commit_all(monorepo)
    done = matrix(monorepo, "--base", base)
    (entry,) = json.loads(done.stdout)["include"]
    assert entry["config"].removeprefix("./") == f"{name}/pipeline.yaml"
    assert not entry["config"].startswith("-")
    assert done.stdout.startswith('{"include":[')
    assert (done.stdout.count("\n"), "##[" in done.stdout) == (1, False)
    assert done.stdout.isascii()


@pytest.mark.parametrize("name", [b"new\nline", b"latin-\xe9", b"bell\x07"])
def test_names_that_are_no_text_are_refused(monorepo: Path, name: bytes) -> None:
    folder = Path(os.fsdecode(os.fsencode(monorepo) + b"/" + name))
    folder.mkdir()
    (folder / "pipeline.yaml").write_text("image: x")
    commit_all(monorepo)
    for form in ([], ["--json"], ["--gitlab"]):
        done = matrix(monorepo, *form)
        assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.parametrize("name", HOSTILE[:5])
def test_names_that_gitlab_would_read_are_refused(monorepo: Path, name: str) -> None:
    write(monorepo, f"{name}/pipeline.yaml", "image: x")
    commit_all(monorepo)
    done = matrix(monorepo, "--gitlab")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Rename" in done.stderr


def test_a_child_pipeline_has_a_job_for_each_model(monorepo: Path) -> None:
    base = commit(monorepo)
    commit(monorepo, models__a__serve_o_py="x")
    child = yaml.safe_load(matrix(monorepo, "--gitlab", "--base", base).stdout)
    inputs = {"working-directory": "models/a", "name": "deliver models/a"}
    assert child == {"include": [{"local": "/templates/deliver.yml", "inputs": inputs}]}
    other = matrix(monorepo, "--gitlab", "--base", base, "--template", "/.gitlab/deliver.yml").stdout
    assert yaml.safe_load(other)["include"][0]["local"] == "/.gitlab/deliver.yml"


def test_a_child_pipeline_is_never_empty(monorepo: Path) -> None:
    child = yaml.safe_load(matrix(monorepo, "--gitlab", "--base", "HEAD").stdout)
    assert [job["script"] for job in child.values()] == [["true"]]


def test_the_template_knows_what_a_child_pipeline_gives_it(monorepo: Path) -> None:
    child = yaml.safe_load(matrix(monorepo, "--gitlab").stdout)
    spec = next(yaml.safe_load_all((ROOT / "templates" / "deliver.yml").read_text(encoding="utf-8")))
    given = {name for include in child["include"] for name in include["inputs"]}
    assert given
    assert given <= spec["spec"]["inputs"].keys()


def test_a_folder_that_is_not_there_is_no_empty_matrix(monorepo: Path) -> None:
    done = matrix(monorepo, "modles")
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no folder modles here" in done.stderr
