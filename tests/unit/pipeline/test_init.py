import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import PROJECT
from pipeline.init_forms import PLACEHOLDER
from tests.support.git_server import run_git

ROOT = Path(__file__).parents[3]
PROGRAMS = Path(sys.executable).parent
FULL = """\
image: team/tiny
registries:
  - ghcr.io/acme
  - registry.example.com/acme
  - url: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/acme
  - url: europe-docker.pkg.dev/acme/models
    login: {provider: projects/1/locations/global/workloadIdentityPools/a/providers/b}
  - acmemodels.azurecr.io/models
model: {source: "hf://acme/tiny"}
build: {secrets: [{id: pip, environment: PIP_TOKEN}]}
update:
  repository: https://github.com/acme/gitops.git
  targets: [{path: apps/tiny}]
  pull_request: {}
"""
CONFIGURATIONS = {
    "smallest": "image: tiny\n",
    "ghcr": "image: tiny\nregistries: [ghcr.io/acme]\n",
    "gitlab": "image: tiny\nregistries: [registry.gitlab.com/acme/models]\n",
    "ecr": "image: tiny\nregistries: [123456789012.dkr.ecr.eu-west-1.amazonaws.com/acme]\n",
    "ssh": "image: tiny\nupdate: {repository: 'git@example.com:a/b.git', targets: [{path: a}], "
    "signing: {format: ssh}}\n",
    "cached and signed": "image: tiny\nregistries: [ghcr.io/acme]\nbuild: {cache: gha}\nattest: keyless\n",
    "full": FULL,
}


def init(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIPELINE_")}
    command = [sys.executable, "-I", "-m", "pipeline", "init", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    run_git("init", "--quiet", "--initial-branch=main", str(tmp_path))
    return tmp_path


def written(folder: Path, configuration: str, host: str) -> tuple[dict[Any, Any], str, str]:
    """Return what was written, as data and text, and what was printed."""
    (folder / "pipeline.yaml").write_text(configuration)
    done = init(folder, host)
    assert done.returncode == 0, done.stderr
    path = folder / (".github/workflows/deliver.yml" if host == "github" else ".gitlab-ci.yml")
    text = path.read_text()
    return yaml.safe_load(text), text, done.stdout


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_workflow_is_without_fault(repository: Path, name: str) -> None:
    document, text, _ = written(repository, CONFIGURATIONS[name], "github")
    path = str(repository / ".github/workflows/deliver.yml")
    for command in (
        ["actionlint", "-shellcheck=", "-pyflakes=", path],
        ["zizmor", "--offline", "--no-config", "--persona=regular", path],
        ["check-jsonschema", "--builtin-schema", "vendor.github-workflows", path],
    ):
        done = subprocess.run(
            [str(PROGRAMS / command[0]), *command[1:]],
            cwd=repository,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert document["permissions"] == {}
    assert not re.search(r"^\s*(- )?run:", text, flags=re.MULTILINE)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_workflow_says_what_the_action_understands(repository: Path, name: str) -> None:
    document, _, _ = written(repository, CONFIGURATIONS[name], "github")
    inputs = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))["inputs"]
    known = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    steps = [step for job in document["jobs"].values() for step in job["steps"]]
    ours = [step for step in steps if step["uses"].startswith(PROJECT)]
    assert len(ours) == 2
    for step in ours:
        assert step["uses"] == f"{PROJECT}@{PLACEHOLDER}"
        assert step["with"].keys() <= inputs.keys()
        assert all(f"\n{extra} = [" in known for extra in step["with"]["extras"].split(","))


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_pipeline_says_what_the_template_understands(repository: Path, name: str) -> None:
    document, _, _ = written(repository, CONFIGURATIONS[name], "gitlab")
    template = (ROOT / "templates" / "deliver.yml").read_text(encoding="utf-8")
    inputs = next(yaml.safe_load_all(template))["spec"]["inputs"]
    (include,) = document["include"]
    assert include["component"] == f"$CI_SERVER_FQDN/{PROJECT}/deliver@{PLACEHOLDER}"
    assert include["inputs"].keys() <= inputs.keys()
    assert include["inputs"].get("cloud", "none") in inputs["cloud"]["options"]
    assert include["inputs"]["ref"] == PLACEHOLDER


def test_a_pull_request_reaches_no_secret_of_the_delivery(repository: Path) -> None:
    document, _, _ = written(repository, FULL, "github")
    check, deliver = document["jobs"]["check"], document["jobs"]["deliver"]
    assert check["permissions"] == {"contents": "read", "pull-requests": "write"}
    assert check["steps"][-1]["env"].keys() == {"GITHUB_TOKEN", "HF_TOKEN", "PIP_TOKEN"}
    assert deliver["permissions"] == {"contents": "read", "id-token": "write", "packages": "write"}
    assert deliver["steps"][-1]["env"] == {
        "REGISTRY_USERNAME_GHCR_IO": "${{ github.actor }}",
        "REGISTRY_PASSWORD_GHCR_IO": "${{ github.token }}",
        "REGISTRY_USERNAME_REGISTRY_EXAMPLE_COM": "${{ vars.REGISTRY_USERNAME_REGISTRY_EXAMPLE_COM }}",
        "REGISTRY_PASSWORD_REGISTRY_EXAMPLE_COM": "${{ secrets.REGISTRY_PASSWORD_REGISTRY_EXAMPLE_COM }}",
        "HF_TOKEN": "${{ secrets.HF_TOKEN }}",
        "PIP_TOKEN": "${{ secrets.PIP_TOKEN }}",
        "GITOPS_PASSWORD": "${{ secrets.GITOPS_PASSWORD }}",
        "GITOPS_USERNAME": "${{ vars.GITOPS_USERNAME }}",
    }
    assert check["if"] == "github.event_name == 'pull_request'"
    assert deliver["steps"][-1]["with"]["extras"] == "aws,google,azure,huggingface,github"


def test_the_cache_and_the_signature_get_what_they_need(repository: Path) -> None:
    document, _, _ = written(repository, CONFIGURATIONS["cached and signed"], "github")
    jobs = document["jobs"]
    assert [job["steps"][-1]["with"]["build-cache"] for job in jobs.values()] == ["gha", "gha"]
    assert [job["permissions"].get("id-token") for job in jobs.values()] == [None, "write"]
    document, _, told = written(repository, CONFIGURATIONS["cached and signed"], "gitlab")
    assert document["include"][0]["inputs"]["signing"] == "keyless"
    assert "cosign 3 in the image of the jobs" in told


@pytest.mark.parametrize(
    ("key", "secrets"),
    [
        ("cosign.key", {"COSIGN_PASSWORD"}),
        ("env://SIGNING_KEY", {"COSIGN_PASSWORD", "SIGNING_KEY"}),
        ("awskms:///alias/images", set()),
    ],
)
def test_a_signing_key_reaches_the_delivery_alone(repository: Path, key: str, secrets: set[str]) -> None:
    document, text, told = written(repository, f"image: tiny\nattest: {{key: '{key}'}}\n", "github")
    check, deliver = (document["jobs"][name]["steps"][-1] for name in ("check", "deliver"))
    assert deliver.get("env", {}).keys() == secrets
    assert check["env"].keys() == {"GITHUB_TOKEN"}
    assert text.count("secrets.") == len(secrets)
    assert "update.repository" in told


def test_what_is_not_used_is_not_asked_for(repository: Path) -> None:
    document, text, told = written(repository, CONFIGURATIONS["smallest"], "github")
    assert document["jobs"]["deliver"]["permissions"] == {"contents": "read"}
    assert "secrets." not in text
    assert "secret " not in told
    assert "update.repository" in told


def test_what_is_to_be_done_is_printed(repository: Path) -> None:
    _, _, told = written(repository, FULL, "github")
    for line in (
        "replace 0000000… by the commit",
        "secret REGISTRY_PASSWORD_REGISTRY_EXAMPLE_COM",
        "variable REGISTRY_USERNAME_REGISTRY_EXAMPLE_COM",
        "secret GITOPS_PASSWORD",
        "aws: trust the identity tokens of the subject repo:TEAM/REPOSITORY:environment:production",
        "let the jobs read the weights of hf://acme/tiny",
    ):
        assert line in told
    assert "GHCR_IO" not in told
    _, _, told = written(repository, FULL, "gitlab")
    assert "CI/CD variable GITOPS_PASSWORD, masked and protected" in told
    for name in ("HF_TOKEN", "PIP_TOKEN", "GITLAB_TOKEN"):  # jobs for merge requests see no protected one
        assert f"CI/CD variable {name}, masked; not protected" in told
    (repository / ".gitlab-ci.yml").unlink()
    _, _, told = written(repository, CONFIGURATIONS["ssh"], "gitlab")
    assert "CI/CD variable GITOPS_SSH_KEY" in told
    assert "CI/CD variable GITOPS_SIGNING_KEY" in told


def test_gitlab_gets_identities_and_its_own_registry(repository: Path) -> None:
    document, _, told = written(repository, FULL, "gitlab")
    inputs = document["include"][0]["inputs"]
    provider = "projects/1/locations/global/workloadIdentityPools/a/providers/b"
    assert (inputs["cloud"], inputs["google-audience"]) == ("all", f"https://iam.googleapis.com/{provider}")
    assert "id_token_variable: AWS_ID_TOKEN" in told
    (repository / ".gitlab-ci.yml").unlink()
    document, _, told = written(repository, CONFIGURATIONS["gitlab"], "gitlab")
    assert document["variables"]["REGISTRY_PASSWORD_REGISTRY_GITLAB_COM"] == "$CI_REGISTRY_PASSWORD"
    assert "REGISTRY_PASSWORD" not in told


@pytest.mark.parametrize("host", ["github", "gitlab"])
def test_nothing_is_overwritten_unasked(repository: Path, host: str) -> None:
    _, text, _ = written(repository, CONFIGURATIONS["ghcr"], host)
    path = repository / (".github/workflows/deliver.yml" if host == "github" else ".gitlab-ci.yml")
    path.write_text("mine")
    done = init(repository, host)
    assert (done.returncode, path.read_text()) == (2, "mine")
    assert "--force" in done.stderr
    assert init(repository, host, "--force").returncode == 0
    assert path.read_text() == text


def test_a_model_in_a_folder_has_a_workflow_of_its_own(repository: Path) -> None:
    folder = repository / "models" / "a b"
    folder.mkdir(parents=True)
    (folder / "pipeline.yaml").write_text("image: team/a\n")
    assert init(folder, "github").returncode == 0
    document = yaml.safe_load((repository / ".github/workflows/deliver-a.yml").read_text())
    assert document["jobs"]["deliver"]["steps"][-1]["with"]["config"] == "models/a b/pipeline.yaml"
    assert document[True]["push"]["paths"] == ["models/a b/**"]  # `on` is true to YAML 1.1


def test_a_workflow_of_one_model_runs_for_all_that_the_model_reads(repository: Path) -> None:
    texts = {
        "models/a": "image: a\ndepends_on: ../b\npolicies: ../../[our] rules.yaml\n",
        "models/b": "image: b\ndepends_on: [../../shared]\n",
        "models/c": "image: c\nbuild: {context: ../..}\n",
    }
    (repository / "[our] rules.yaml").write_text("extends: baseline\n")
    for folder, text in texts.items():
        (repository / folder).mkdir(parents=True)
        (repository / folder / "pipeline.yaml").write_text(text)
    run_git("-C", str(repository), "add", "--all")
    for name in "ac":
        assert init(repository, "github", "-c", f"models/{name}/pipeline.yaml").returncode == 0
    events = yaml.safe_load((repository / ".github/workflows/deliver-a.yml").read_text())[True]
    wanted = ["models/a/**", "models/b/**", r"\[our\] rules.yaml", "shared/**"]
    assert sorted(events["push"]["paths"]) == sorted(wanted)
    assert events["pull_request"] == {"paths": events["push"]["paths"]}
    events = yaml.safe_load((repository / ".github/workflows/deliver-c.yml").read_text())[True]
    assert "paths" not in events["push"]


def test_what_the_tests_need_is_nobody_elses_to_know(repository: Path) -> None:
    for configuration, expected in (("image: tiny\n", True), ("image: tiny\nskip: {test: none}\n", False)):
        for host, words in (("github", "a step before the action"), ("gitlab", "the input `prepare`")):
            _, _, told = written(repository, configuration, host)
            assert (f"{words} that installs what your tests need" in told) is expected
            for path in (".github/workflows/deliver.yml", ".gitlab-ci.yml"):
                (repository / path).unlink(missing_ok=True)


MODELS = {
    "models/a": "image: team/a\nregistries: [ghcr.io/acme]\n"
    "update: {repository: 'https://github.com/acme/gitops.git', targets: [{path: a}]}\n",
    "models/b": "image: team/b\nregistries: [123456789012.dkr.ecr.eu-west-1.amazonaws.com/acme]\n",
}


@pytest.fixture
def monorepo(repository: Path) -> Path:
    run_git("-C", str(repository), "remote", "add", "origin", "git@github.com:acme/models.git")
    run_git("-C", str(repository), "symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/trunk")
    for folder, text in MODELS.items():
        (repository / folder).mkdir(parents=True)
        (repository / folder / "pipeline.yaml").write_text(text)  # nobody has added them to git yet
    return repository


def lint(folder: Path, *command: str) -> None:
    done = subprocess.run(
        [str(PROGRAMS / command[0]), *command[1:]], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_at_the_top_of_several_models_one_workflow_delivers_what_changed(monorepo: Path) -> None:
    done = init(monorepo, "github")
    assert done.returncode == 0, done.stderr
    path = monorepo / ".github/workflows/deliver.yml"
    lint(monorepo, "actionlint", "-shellcheck=", "-pyflakes=", str(path))
    lint(monorepo, "zizmor", "--offline", "--no-config", "--persona=regular", str(path))
    lint(monorepo, "check-jsonschema", "--builtin-schema", "vendor.github-workflows", str(path))
    document = yaml.safe_load(path.read_text())
    called = yaml.safe_load((ROOT / ".github/workflows/deliver.yml").read_text())[True]["workflow_call"]
    (job,) = document["jobs"].values()
    assert job["uses"] == f"{PROJECT}/.github/workflows/deliver.yml@{PLACEHOLDER}"
    assert job["with"] == {"extras": "aws,github"}
    assert job["secrets"].keys() == {"GITOPS_PASSWORD", "GITOPS_USERNAME"} <= called["secrets"].keys()
    assert job["with"].keys() <= called["inputs"].keys()
    assert document[True]["push"]["branches"] == ["trunk"]
    assert "the subject repo:acme/models:ref:refs/heads/trunk" in done.stdout


def test_at_the_top_of_several_models_a_child_pipeline_delivers_what_changed(monorepo: Path) -> None:
    done = init(monorepo, "gitlab")
    assert done.returncode == 0, done.stderr
    path = monorepo / ".gitlab-ci.yml"
    lint(monorepo, "check-jsonschema", "--builtin-schema", "vendor.gitlab-ci", str(path))
    document = yaml.safe_load(path.read_text())
    syntax = "\n".join(document["changed"]["script"])
    assert subprocess.run(["bash", "-n"], input=syntax, text=True, check=False).returncode == 0
    header, child = yaml.safe_load_all((monorepo / ".gitlab/deliver.yml").read_text())
    inputs = next(yaml.safe_load_all((ROOT / "templates/deliver.yml").read_text()))["spec"]["inputs"]
    (include,) = child["include"]
    where = {key: value for key, value in include.items() if key != "inputs"}
    assert where == {"project": PROJECT, "ref": PLACEHOLDER, "file": "/templates/deliver.yml"}
    assert "$" not in json.dumps(where)  # older GitLabs know no variable there
    assert include["inputs"].keys() <= inputs.keys()
    assert header["spec"]["inputs"].keys() == {"working-directory", "name"}
    own = {name for name, value in include["inputs"].items() if "$[[ inputs." in value}
    assert own == {"working-directory", "name", "environment"}  # one of all: the newer bars the older
    assert "--template /.gitlab/deliver.yml" in syntax
    assert "the subject project_path:acme/models:ref_type:branch:ref:trunk" in done.stdout


def test_one_workflow_hands_the_cache_on_to_all_models_or_none(monorepo: Path) -> None:
    for folder, text in MODELS.items():
        (monorepo / folder / "pipeline.yaml").write_text(f"{text}build: {{cache: gha}}\n")
    assert init(monorepo, "github").returncode == 0
    document = yaml.safe_load((monorepo / ".github/workflows/deliver.yml").read_text())
    assert document["jobs"]["models"]["with"]["build-cache"] == "gha"
    (monorepo / "models/b/pipeline.yaml").write_text(MODELS["models/b"])
    done = init(monorepo, "github", "--force")
    assert (done.returncode, "models/b/pipeline.yaml has not" in " ".join(done.stderr.split())) == (2, True)


def test_the_workflow_for_all_models_takes_the_password_of_a_key(monorepo: Path) -> None:
    for folder, text in MODELS.items():
        (monorepo / folder / "pipeline.yaml").write_text(f"{text}attest: {{key: cosign.key}}\n")
    done = init(monorepo, "github")
    assert done.returncode == 0, done.stderr
    (job,) = yaml.safe_load((monorepo / ".github/workflows/deliver.yml").read_text())["jobs"].values()
    assert job["secrets"]["COSIGN_PASSWORD"] == "${{ secrets.COSIGN_PASSWORD }}"
    assert "secret COSIGN_PASSWORD" in done.stdout
    assert "the input `prepare` that installs what your tests need" in done.stdout


def test_what_the_workflow_for_all_models_does_not_take_is_refused(monorepo: Path) -> None:
    (monorepo / "models/b/pipeline.yaml").write_text("image: team/b\nmodel: {source: 'hf://acme/tiny'}\n")
    done = init(monorepo, "github")
    assert (done.returncode, list(monorepo.glob(".github"))) == (2, [])
    assert "models/b/pipeline.yaml needs HF_TOKEN" in " ".join(done.stderr.split())
    assert init(monorepo, "github", "-c", "models/b/pipeline.yaml").returncode == 0
    assert (monorepo / ".github/workflows/deliver-b.yml").exists()


@pytest.mark.parametrize(
    "url", ["https://user:x@github.com/acme/models.git", "ssh://git@example.com:22/acme/models/"]
)
def test_the_trusted_subject_is_that_of_origin(repository: Path, url: str) -> None:
    run_git("-C", str(repository), "remote", "add", "origin", url)
    _, _, told = written(repository, CONFIGURATIONS["ecr"], "github")
    assert "the subject repo:acme/models:environment:production" in told


def test_a_folder_that_a_host_would_run_is_refused(repository: Path) -> None:
    folder = repository / "${{ github.token }}"
    folder.mkdir()
    (folder / "pipeline.yaml").write_text("image: team/a\n")
    for host in ("github", "gitlab"):
        assert init(folder, host).returncode == 2


def test_outside_of_a_repository_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text("image: tiny\n")
    assert init(tmp_path, "github").returncode == 2
