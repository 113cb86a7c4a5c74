"""What the guides for CI show can be pasted: every snippet is something that its host, or we, understand."""

import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from pipeline import PROJECT, init_monorepo
from pipeline.cascade import read_config
from pipeline.cli import COMMANDS
from pipeline.handover import KEY, SHORTEST_KEY
from pipeline.init_forms import PLACEHOLDER, Needs
from pipeline.parser import make_parser

ROOT = Path(__file__).parents[2]
GUIDES = {
    name: (ROOT / "docs" / f"{name}.md").read_text() for name in ("github", "gitlab", "monorepo", "resume")
}
TEMPLATE = next(yaml.safe_load_all((ROOT / "templates" / "deliver.yml").read_text()))["spec"]["inputs"]
SNIPPETS = [
    (name, kind, text)
    for name, guide in GUIDES.items()
    for kind, text in re.findall(r"```(\w+)\n(.*?)```", guide, flags=re.DOTALL)
]
SKELETON = f"""\
name: skeleton
on: push
permissions: {{}}
jobs:
  skeleton:
    name: skeleton
    runs-on: ubuntu-24.04
    permissions:
      security-events: write # where findings are uploaded
    steps:
      - id: deliver
        uses: {PROJECT}@{PLACEHOLDER}
"""
CALLER = f"""\
  deliver:
    permissions: {{}}
    uses: {PROJECT}/.github/workflows/deliver.yml@{PLACEHOLDER}
"""
_COMPARISON = re.compile(r"""\$\w+ (?:[=!]= (?:"[^"]*"|\$\w+)|[=!]~ /.+/)""")
_CHECK = "import sys; from check_jsonschema import main; sys.exit(main())"


def lint(*command: str | Path) -> None:
    program = str(Path(sys.executable).with_name(str(command[0])))
    done = subprocess.run([program, *map(str, command[1:])], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def require_workflow(path: Path) -> None:
    lint("actionlint", "-shellcheck=", "-pyflakes=", path)
    lint("zizmor", "--offline", "--quiet", "--no-config", path)
    lint("check-jsonschema", "--builtin-schema", "vendor.github-workflows", path)


def require_gitlab(path: Path) -> None:
    options = ("--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci")
    done = subprocess.run(
        [sys.executable, "-c", _CHECK, *options, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def require_part_of_gitlab(text: str, folder: Path) -> None:
    """Require that a snippet is a pipeline, inputs of the component, or a part of pipeline.yaml."""
    *_, document = yaml.safe_load_all(text)
    if document.keys() & {"include", "variables", "workflow"}:
        (folder / "ci.yml").write_text(yaml.safe_dump(document))
        require_gitlab(folder / "ci.yml")
        for include in document.get("include", ()):
            assert include["inputs"].keys() <= TEMPLATE.keys()
    elif document.keys() <= {"inputs", *TEMPLATE}:
        assert document.get("inputs", document).keys() <= TEMPLATE.keys()
    else:
        (folder / "pipeline.yaml").write_text(f"image: team/digits\n{text}")
        read_config(folder / "pipeline.yaml", environment={})


@pytest.mark.parametrize(
    ("guide", "kind", "text"), SNIPPETS, ids=lambda value: value if len(value) < 9 else ""
)
def test_a_snippet_can_be_pasted(guide: str, kind: str, text: str, tmp_path: Path) -> None:
    if kind == "yaml" and (guide == "github" or "\non:\n" in text):
        whole = text if "\njobs:" in text else SKELETON + text + (CALLER if "needs: deliver" in text else "")
        (tmp_path / "workflow.yml").write_text(whole)
        require_workflow(tmp_path / "workflow.yml")
    elif kind == "yaml" and "depends_on" in text:
        (tmp_path / "pipeline.yaml").write_text(text)
        read_config(tmp_path / "pipeline.yaml", environment={})
    elif kind == "yaml":
        require_part_of_gitlab(text, tmp_path)
    elif kind == "toml":
        assert tomllib.loads(text)["runners"]
    elif kind == "console":
        lines = [line.removeprefix("$ ").partition("  #")[0] for line in text.splitlines()]
        commands = [shlex.split(line) for line in lines if line.startswith("pipeline ")]
        assert commands
        for command in commands:
            make_parser(COMMANDS).parse_args(command[1:])
        for line in lines:
            assert line.startswith("pipeline ") or json.loads(line)
    else:
        assert kind == "mermaid"


def test_conditions_for_a_delivery_are_expressions_of_gitlab(tmp_path: Path) -> None:
    conditions = re.findall(r"^deliver-if: (.*?)(?: +#.*)?$", GUIDES["gitlab"], flags=re.MULTILINE)
    assert len(conditions) == 3
    for condition in conditions:
        assert all(_COMPARISON.fullmatch(part) for part in re.split(r" (?:&&|\|\|) ", condition)), condition
    job = {"script": ["true"], "rules": [{"if": condition} for condition in conditions]}
    (tmp_path / "ci.yml").write_text(yaml.safe_dump({"deliver": job}))
    require_gitlab(tmp_path / "ci.yml")


def test_the_monorepo_guide_shows_what_init_writes() -> None:
    needs = Needs(
        image="team/a",
        folder="models/a",
        file="pipeline.yaml",
        registries=(),
        clouds=(),
        extras=(),
        weights="",
        reading=(),
        writing=("GITOPS_PASSWORD",),
    )
    written = (
        init_monorepo.github([needs])[0],
        init_monorepo.gitlab([needs])[0],
        init_monorepo.gitlab_child([needs]),
    )
    for text in written:
        assert text.partition("\n")[2] in GUIDES["monorepo"]  # without who wrote it


@pytest.mark.parametrize("guide", ["github", "gitlab"])
def test_the_key_of_records_is_explained(guide: str) -> None:
    assert f"`{KEY}`" in GUIDES[guide]
    assert f"{SHORTEST_KEY} characters or more with `openssl rand -hex 32`" in GUIDES[guide].replace(
        "\n", " "
    )


def test_one_repository_of_the_action_is_named_everywhere() -> None:
    texts = [*GUIDES.values(), *(path.read_text() for path in (ROOT / "examples" / "github").glob("*.yml"))]
    ours = [used for text in texts for used in re.findall(r"uses: (\S*model-image-pipeline\S*)", text)]
    assert len(ours) >= 10
    for used in ours:
        assert re.fullmatch(rf"{PROJECT}(/\.github/workflows/deliver\.yml)?@{PLACEHOLDER}", used)
        assert "OWNER" not in used
