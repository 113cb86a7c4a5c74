"""Scanners of other distributions, which are really installed: a package and its dist-info on the path."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.cascade import read_config
from pipeline.compose_scan import scan
from pipeline.compose_scanners import GROUP
from pipeline.errors import ConfigurationError
from stages.scan import Scan
from stages.scanners.baseline import DeployedBaseline

SCANNER = """
    class Grype:
        name = "grype"

        def __init__(self, options):
            self.options = options

        def check(self, desk):
            return ()

        def disk_needs(self, desk):
            return ()

        def identity(self):
            return "grype 1"

        def scan(self, views, desk):
            raise NotImplementedError

    def half_made(options):
        return object()
"""
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a distribution whose module bears its name."""

    def install(name: str, source: str = SCANNER, **entries: str) -> None:
        site = tmp_path / name
        information = site / f"{name}-1.0.dist-info"
        information.mkdir(parents=True)
        (site / f"{name}.py").write_text(textwrap.dedent(source))
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = [f"{entry} = {value}" for entry, value in entries.items()]
        (information / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines, ""]))
        monkeypatch.syspath_prepend(str(site))

    return install


def composed(folder: Path, text: str = "{scanner: grype}") -> Scan:
    path = folder / "pipeline.yaml"
    path.write_text(f"image: digits\nscan: {text}\n")
    return scan(read_config(path, environment={}))


def test_the_scanner_of_another_distribution_takes_the_place_of_trivy(
    install: Install, tmp_path: Path
) -> None:
    install("grype_one", grype="grype_one:Grype")
    stage = composed(
        tmp_path,
        "{scanner: grype, look_for: secrets, timeout_s: 30, baseline: deployed, sbom: [],"
        " database: {maximum_age_days: 2, update: false, repositories: [localhost:5000/grype]}}",
    )
    assert stage.scanner.name == "grype"
    options = vars(stage.scanner)["options"]
    assert options.cache == tmp_path / ".pipeline" / "cache" / "scanner-grype"
    assert (options.look_for, options.lists, options.timeout_s) == ({"secrets"}, (), 30)
    assert (options.maximum_age, options.update) == (timedelta(days=2), False)
    assert options.databases == ("localhost:5000/grype",)
    (baseline,) = (one for one in stage.additions if isinstance(one, DeployedBaseline))
    assert baseline.scanner is stage.scanner


def test_a_name_that_nobody_brings_is_told(install: Install, tmp_path: Path) -> None:
    install("grype_two", grype="grype_two:Grype")
    with pytest.raises(ConfigurationError, match="there is no scanner 'gripe'; there are trivy, grype"):
        composed(tmp_path, "{scanner: gripe}")


@pytest.mark.parametrize(
    ("source", "value", "words"),
    [
        ("import no_such_module\n", "Grype", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("class Grype:\n    pass\n", "Grype", "TypeError"),
        (SCANNER, "half_made", "is no scanner: it has no `name`"),
    ],
)
def test_one_that_cannot_be_made_is_told_with_its_distribution(
    install: Install, tmp_path: Path, source: str, value: str, words: str
) -> None:
    name = f"grype_{len(source)}"
    install(name, source, grype=f"{name}:{value}")
    with pytest.raises(ConfigurationError, match=f"of {name} 1.0") as told:
        composed(tmp_path)
    assert words in told.value.message
    assert name in told.value.advice


def test_two_distributions_with_one_name_are_refused(install: Install, tmp_path: Path) -> None:
    install("grype_a", grype="grype_a:Grype")
    install("grype_b", grype="grype_b:Grype")
    with pytest.raises(ConfigurationError, match=r"is a scanner of grype_a 1\.0 and of grype_b 1\.0"):
        composed(tmp_path)
