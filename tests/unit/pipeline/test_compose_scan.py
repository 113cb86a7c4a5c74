"""What `scan:` in pipeline.yaml makes of the stage."""

from pathlib import Path

import pytest

from pipeline.cascade import read_config
from pipeline.compose_scan import scan
from stages.scan import Scan
from stages.scanners.hadolint import Hadolint
from stages.scanners.known_exploited import KnownExploited
from stages.scanners.program import Choice
from stages.scanners.trivy import Trivy

SHA256 = "0f" * 32


def composed(folder: Path, text: str = "{}") -> Scan:
    path = folder / "pipeline.yaml"
    path.write_text(f"image: digits\nbuild: {{context: app}}\nscan: {text}\n")
    return scan(read_config(path, environment={}))


def trivy(stage: Scan) -> Trivy:
    assert isinstance(stage.scanner, Trivy)
    return stage.scanner


def hadolint(stage: Scan) -> Hadolint:
    (found,) = (one for one in stage.additions if isinstance(one, Hadolint))
    return found


def test_by_default_trivy_looks_up_packages_and_hadolint_reads_where_it_is_installed(tmp_path: Path) -> None:
    stage = composed(tmp_path)
    assert (trivy(stage).program, trivy(stage).sha256, trivy(stage).look_for) == (None, None, frozenset())
    linter = Hadolint(dockerfile=tmp_path / "app" / "Dockerfile", root=tmp_path)
    assert hadolint(stage) == linter
    assert not any(isinstance(one, KnownExploited) for one in stage.additions)


def test_programs_may_be_pinned(tmp_path: Path) -> None:
    stage = composed(
        tmp_path, f"{{trivy: {{program: bin/trivy, sha256: {SHA256}}}, hadolint: {{sha256: {SHA256}}}}}"
    )
    assert (trivy(stage).program, trivy(stage).sha256) == (str(tmp_path / "bin/trivy"), SHA256)
    assert (hadolint(stage).choice, hadolint(stage).required) == (Choice(sha256=SHA256), True)


@pytest.mark.parametrize(
    ("said", "program", "required", "off"),
    [
        ("auto", None, False, False),
        ("true", None, True, False),
        ("false", None, False, True),
        ("hadolint-2", "hadolint-2", True, False),
        ("./hadolint", "hadolint", True, False),
    ],
)
def test_which_linter(tmp_path: Path, said: str, program: str | None, required: bool, off: bool) -> None:
    made = hadolint(composed(tmp_path, f"{{hadolint: {said}}}"))
    wanted = str(tmp_path / "hadolint") if said.startswith("./") else program
    assert (made.choice.program, made.required, made.switched_off) == (wanted, required, off)


def test_what_else_is_looked_for(tmp_path: Path) -> None:
    stage = composed(
        tmp_path, "{look_for: [secrets, licenses, misconfigurations], known_exploited: kev.json}"
    )
    assert trivy(stage).look_for == {"secrets", "licenses", "misconfigurations"}
    listed = next(one for one in stage.additions if isinstance(one, KnownExploited))
    assert listed.source == str(tmp_path / "kev.json")
    address = "https://feeds.example.com/kev.json"
    elsewhere = composed(tmp_path, f"{{known_exploited: '{address}'}}")
    assert address in {one.source for one in elsewhere.additions if isinstance(one, KnownExploited)}
