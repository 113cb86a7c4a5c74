"""What the README shows works: its settings, its rules, its exit codes, its targets."""

import re
from pathlib import Path

import pytest

from pipeline import errors
from pipeline.cascade import read_config
from pipeline.errors import PipelineError
from policies import load_policies

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("block", [block for block in BLOCKS if "image:" in block and "rule:" not in block])
def test_settings_are_settings(block: str, tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(block)
    assert read_config(path, environment={}).values.image == "digits"


def test_rules_are_rules(tmp_path: Path) -> None:
    (block,) = [block for block in BLOCKS if "rule:" in block]
    (tmp_path / "policies.yaml").write_text(block)
    names = [policy.name for policy in load_policies("./policies.yaml", tmp_path)]
    assert names[-2:] == ["performance", "image"]
    assert "vulnerabilities" in names


def test_exit_codes_are_all_there() -> None:
    table = {int(code) for code in re.findall(r"^\| (\d+) \|", README, flags=re.MULTILINE)}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    codes = {
        kind.exit_code for kind in kinds if issubclass(kind, PipelineError) and kind is not PipelineError
    }
    assert table == {0, *codes}


def test_targets_are_in_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"`?make ([a-z-]+)", README)) - {"is"}
    assert {"demo", "test", "demo-clean"} <= named
    assert all(re.search(rf"^{name}:", makefile, flags=re.MULTILINE) for name in named)
