"""The house has walls: who may import whom."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NOUNS = {"model", "interface", "errors", "reference"}
ALLOWED = {
    "policies": {f"pipeline.{name}" for name in (*NOUNS, "documented", "yaml_source")},
    "stages": {
        f"pipeline.{name}" for name in (*NOUNS, "artifacts", "desk", "git", "markup", "process", "redaction")
    },
}
COMPOSITION = ("pipeline.plugins", "pipeline.compose_")  # they alone know stages and policies by name
FILES = sorted(
    path for folder in ("pipeline", "stages", "policies") for path in (ROOT / folder).rglob("*.py")
)


def imports(path: Path) -> set[str]:
    """Return the modules that a file imports: `from pipeline import model` counts as pipeline.model."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            packages = {"pipeline", "stages", "policies"}
            found |= (
                {f"{node.module}.{a.name}" for a in node.names} if node.module in packages else {node.module}
            )
    return found


def forbidden(path: Path) -> set[str]:
    """Return the imports of a file that go through a wall."""
    name = path.relative_to(ROOT).as_posix()
    package = name.partition("/")[0]
    ours = {
        module for module in imports(path) if module.partition(".")[0] in {"pipeline", "stages", "policies"}
    }
    if package == "pipeline":
        inside = {module for module in ours if module.startswith("pipeline.")}
        roots = {module for module in inside if module.startswith(COMPOSITION)}
        if name.replace("/", ".").startswith(COMPOSITION):
            return roots & {"pipeline.plugins"}
        return (ours - inside - {"pipeline"}) | (set() if name.startswith("pipeline/commands/") else roots)
    own = {module for module in ours if module.split(".")[0] == package}
    return ours - own - ALLOWED[package]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_imports_only_what_it_may(path: Path) -> None:
    assert forbidden(path) == set()


def test_only_one_file_starts_programs() -> None:
    starters = {path.relative_to(ROOT).as_posix() for path in FILES if "subprocess" in imports(path)}
    assert starters == {"pipeline/process.py"}


def test_the_core_knows_no_stage_and_no_policy() -> None:
    core = [path for path in FILES if path.relative_to(ROOT).parts[0] == "pipeline"]
    knowing = {p.name for p in core if any(m.startswith(("stages", "policies")) for m in imports(p))}
    assert all(name == "plugins.py" or name.startswith("compose_") for name in knowing)


def test_no_class_is_mistaken_for_a_test() -> None:
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                assert not node.name.startswith("Test"), f"{path}: {node.name}"
