"""Packs that extend packs, and packs that installed packages bring."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.artifacts import Artifacts
from pipeline.errors import ConfigurationError
from pipeline.interface import Case
from pipeline.judgement import verdict
from pipeline.model import Level, Severity
from pipeline.yaml_source import parse
from policies import load_policies
from policies.pack import GROUP, find, installed, read
from tests.unit.policies.evidence import image, scan, suite, vulnerability

Write = Callable[..., None]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def put(**files: str) -> None:
        for name, text in files.items():
            (tmp_path / f"{name}.yaml").write_text(text)

    return put


def ids(choice: str, folder: Path) -> list[str]:
    return [one.id for one in read(find(choice, folder)).rules]


def test_a_pack_adds_to_what_it_extends_and_changes_it(tmp_path: Path, write: Write) -> None:
    write(
        base="rules: [{rule: suite}, {rule: image}, {rule: image, id: size, maximum_size: 1GiB}]",
        ours="""
extends: ./base.yaml
without: [{id: image, reason: root is fine here}]
rules:
  - {rule: image, replaces: size, level: warn, maximum_size: 2GiB}
  - {rule: secrets}
""",
    )
    assert ids("./ours.yaml", tmp_path) == ["suite", "image", "secrets"]
    first, second, third = load_policies("./ours.yaml", tmp_path)
    assert first.judge(suite()).origin == "base.yaml:1"
    assert second.judge(image()).level is Level.WARN
    assert third.judge(scan()).origin == "./ours.yaml:6"


def test_a_pack_in_the_configuration(tmp_path: Path) -> None:
    tree = parse(
        "image: x\npolicies:\n  extends: baseline\n  rules:\n    - {rule: secrets}\n", "pipeline.yaml"
    )
    policies = load_policies({}, tmp_path, tree)
    assert policies[-1].judge(scan()).origin == "pipeline.yaml:5"
    assert policies[0].judge(suite()).origin == "pack baseline:3"


def test_exceptions_of_a_pack_hold_for_all_its_rules(tmp_path: Path, write: Write) -> None:
    entry = "{id: CVE-1, package: PyYAML, reason: r, owner: o, expires: 2026-11-30}"
    write(ours=f"extends: production\nexceptions: [{entry}]\n")
    unfixed = vulnerability("CVE-1", Severity.CRITICAL, fixed=None)
    unfixed = unfixed.model_copy(update={"installed_version": "6.0"})
    report = scan(vulnerability("CVE-1", Severity.CRITICAL), unfixed)
    before, after = (
        [
            verdict(one, report, Case(have=Artifacts(report), now=now)).passed
            for one in load_policies("./ours.yaml", tmp_path)
            if "vulnerabilities" in one.name
        ]
        for now in (report.scanned_at, report.scanned_at.replace(month=12))
    )
    assert (before, after) == ([True, True], [False, False])


def test_an_exception_of_a_pack_that_nothing_needs_is_told_once(tmp_path: Path, write: Write) -> None:
    entry = "{id: CVE-9, package: x, reason: r, owner: anna, expires: 2099-11-30}"
    write(ours=f"extends: production\nexceptions: [{entry}]\n")
    verdicts = [
        one.judge(scan()) for one in load_policies("./ours.yaml", tmp_path) if "vulnerabilities" in one.name
    ]
    assert [note for one in verdicts for note in one.notes] == [
        "the exception for CVE-9 in x (by anna) covers nothing: remove it, or correct what it names"
    ]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"ours": "extends: ./ours.yaml"},
            r"ours.yaml:1: extends: './ours.yaml' comes back to where it began: ours.yaml -> ours.yaml",
        ),
        (
            {"ours": "\nextends: ./b.yaml", "b": "rules: [{rule: suite}]\nextends: ./ours.yaml"},
            r"b.yaml:2: extends: './ours.yaml' comes back .*: ours.yaml -> b.yaml -> ours.yaml",
        ),
        ({"ours": "\nextends: prodction"}, r"ours.yaml:2: extends: policies: 'prodction' is no pack"),
        ({"ours": "extends: ./none.yaml"}, r"ours.yaml:1: extends: there is no file .*none.yaml"),
        (
            {"ours": "extends: baseline\nwithout: [{id: suit, reason: r}]"},
            r"ours.yaml:2: 'suit' - no entry of the extended pack has this id; did you mean 'suite'\?",
        ),
        (
            {"ours": "extends: baseline\nrules:\n- rule: image\n  replaces: nothing"},
            r"ours.yaml:4: 'nothing' - no entry of the extended pack has this id; there are",
        ),
        ({"ours": "without: [{id: suite, reason: r}]\nrules: [{rule: image}]"}, "no pack is extended"),
        ({"ours": "extends: baseline\nwithout: [{id: suite}]"}, r"without\[0\].reason: this key is required"),
        ({"ours": "description: nothing"}, "there is no rule in it"),
        ({"ours": "extends: baseline\nvex: [none.json]"}, "vex: none.json cannot be read"),
    ],
)
def test_mistakes_name_file_and_line(
    files: dict[str, str], message: str, tmp_path: Path, write: Write
) -> None:
    write(**files)
    with pytest.raises(ConfigurationError, match=message):
        load_policies("./ours.yaml", tmp_path)


def test_a_list_of_rules_replaces_nothing() -> None:
    with pytest.raises(ConfigurationError, match="a list of rules extends no pack"):
        load_policies([{"rule": "suite", "replaces": "suite"}], Path())


@pytest.fixture
def package(tmp_path: Path) -> Callable[[str], None]:
    """Return what lays down an installed distribution with one entry point, and takes it away again."""

    def make(name: str) -> None:
        (tmp_path / "acme_policies").mkdir()
        (tmp_path / "acme_policies" / f"{name}.yaml").write_text("description: a\nextends: baseline\n")
        (tmp_path / "acme_policies" / "__init__.py").touch()
        info = tmp_path / "acme_policies-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-policies\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = acme_policies\n")

    return make


@pytest.mark.parametrize("name", ["strict", "production"])
def test_a_pack_of_an_installed_package(
    name: str, package: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(name)
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        if name == "production":
            with pytest.raises(ConfigurationError, match="has the name of one of the pipeline itself"):
                installed()
            return
        assert installed() == ("strict",)
        assert ids("strict", Path()) == ids("baseline", Path())
        with pytest.raises(ConfigurationError) as caught:
            load_policies("stric", Path())
        assert caught.value.advice.startswith("Did you mean 'strict'?")
    finally:
        sys.modules.pop("acme_policies", None)
