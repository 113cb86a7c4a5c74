"""The words of rules about model files: those that the scanner has, and no others."""

import ast
from pathlib import Path

import pytest

from pipeline.errors import ConfigurationError
from policies import load_policies
from policies.model_words import CODES, FORMATS

ROOT = Path(__file__).parents[3]
ACCEPTED = "path: a, reason: r, owner: o, expires: 2027-01-31"
SCANNER = ROOT / "stages" / "scanners" / "model_files"


def _texts() -> tuple[set[str], set[str]]:
    """Return the codes that the scanner reports at sight, and every text in it."""
    codes: set[str] = set()
    texts: set[str] = set()
    for path in SCANNER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.add(node.value)
            elif isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                place = {"unsafe": 0, "malformed": 0, "Stop": 1}.get(name)
                if place is not None and len(node.args) > place:
                    code = node.args[place]
                    codes |= {str(code.value)} if isinstance(code, ast.Constant) else set()
    return codes, texts


def test_every_code_of_the_scanner_is_known_and_no_other() -> None:
    codes, texts = _texts()
    assert len(codes) > 50
    assert codes <= set(CODES)
    assert set(CODES) <= texts
    assert set(FORMATS) <= texts


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("model_files, findings: [unsfae]", "no finding of this name; did you mean 'unsafe'?"),
        ("model_files, findings: ['pikle-*']", "no finding of this name"),
        ("model_files, refused_formats: [pickel]", "no format of this name; did you mean 'pickle'?"),
        ("model, formats: [safetensor]", "no format of this name; did you mean 'safetensors'?"),
        (
            f"model_files, exceptions: [{{{ACCEPTED}, code: pickle-imports}}]",
            "did you mean 'pickle-import'?",
        ),
    ],
)
def test_a_misspelt_word_is_told(rule: str, told: str, tmp_path: Path) -> None:
    """It would refuse nothing, or accept nothing, and nobody would know."""
    (tmp_path / "ours.yaml").write_text(f"rules:\n- {{rule: {rule}}}\n")
    with pytest.raises(ConfigurationError) as caught:
        load_policies("./ours.yaml", tmp_path)
    assert told in str(caught.value)


def test_patterns_are_words_too(tmp_path: Path) -> None:
    rule = "{rule: model_files, findings: ['pickle-*', unread], refused_formats: ['torch*', 'tensorflow-*']}"
    (tmp_path / "ours.yaml").write_text(f"rules:\n- {rule}\n")
    assert len(load_policies("./ours.yaml", tmp_path)) == 1
