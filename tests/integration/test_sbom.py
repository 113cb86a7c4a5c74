"""Lists of contents by the real Trivy: valid, the same every time, and as good as the layers."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from jsonschema import Draft7Validator
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.model import BuiltImage, ModelFile, ScanReport
from pipeline.reference import Digest
from stages.models.file import FolderFiles
from stages.scan import Scan
from stages.scanners.sbom import Sboms, Shelf
from stages.scanners.trivy import Trivy
from tests.integration.test_scan import HARMLESS, PYYAML, REQUESTS, image

DEBIAN = {
    "etc/os-release": 'ID=debian\nVERSION_ID="12"\n',
    "etc/debian_version": "12.1\n",
    "var/lib/dpkg/status": (
        "Package: tar\nStatus: install ok installed\nVersion: 1.34+dfsg-1.2+deb12u1\nArchitecture: all\n\n"
        "Package: libc6\nStatus: install ok installed\nSource: glibc\nVersion: 2.36-9\nArchitecture: all\n\n"
    ),
}
CARD = """---
license: apache-2.0
datasets: [mnist]
base_model: example/base
pipeline_tag: image-classification
---
# A model
"""


@pytest.fixture(autouse=True)
def addresses_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let URIs alone be IRIs: what knows all of those costs each `pipeline` of the tests a second."""
    checkers = Draft7Validator.FORMAT_CHECKER.checkers
    monkeypatch.setitem(checkers, "iri-reference", checkers["uri-reference"])


@pytest.fixture
def have(tmp_path: Path) -> Artifacts:
    """An image of two platforms, with packages of Debian and Python, and a model with a card."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "README.md").write_text(CARD)
    made = image(
        tmp_path, {"linux/amd64": (DEBIAN, PYYAML, HARMLESS), "linux/arm64": (DEBIAN, PYYAML, REQUESTS)}
    )
    built = made[BuiltImage]
    (layer,) = built.model_layers
    card = ModelFile(path="README.md", size_bytes=len(CARD), digest=Digest.of(CARD.encode()))
    with_card = layer.model_copy(update={"files": (*layer.files, card)})
    return Artifacts(built.model_copy(update={"model_layers": (with_card,)}))


@pytest.fixture
def scan(vulnerability_database: str, docker_login: Path, tmp_path: Path) -> Scan:
    """A scan that makes both kinds of lists."""
    trivy = Trivy(
        databases=(vulnerability_database,), cache=tmp_path / "cache" / "trivy", lists=("cyclonedx", "spdx")
    )
    sboms = Sboms(shelf=Shelf(tmp_path / "cache"), files=FolderFiles(folder=tmp_path / "model"))
    return Scan(scanner=trivy, sboms=sboms)


def desk(folder: Path, name: str) -> Desk:
    (folder / name).mkdir()
    return Desk(folder=folder / name, cache=folder / "cache")


def files(report: ScanReport, cache: Path) -> dict[tuple[str, str], bytes]:
    return {(one.platform, one.format): (cache / one.path).read_bytes() for one in report.sboms}


def test_the_lists_are_valid_complete_and_the_same_every_time(
    have: Artifacts, scan: Scan, tmp_path: Path
) -> None:
    report = scan.run(have, desk(tmp_path, "first"))
    first = files(report, tmp_path / "cache")
    assert list(first) == [
        (platform, form) for platform in ("linux/amd64", "linux/arm64") for form in ("cyclonedx", "spdx")
    ]
    assert all(
        not one.reused and Digest.of(first[one.platform, one.format]) == one.digest for one in report.sboms
    )
    for (platform, form), content in first.items():
        (tmp_path / "sbom.spdx.json").write_bytes(content)
        if form == "cyclonedx":
            version = SchemaVersion.from_version(json.loads(content)["specVersion"])
            assert JsonStrictValidator(version).validate_str(content.decode()) is None
        else:
            assert validate_full_spdx_document(parse_file(str(tmp_path / "sbom.spdx.json"))) == []
        kept = (
            tmp_path
            / "first"
            / f"sbom-{platform.replace('/', '-')}.{'cdx' if form == 'cyclonedx' else form}.json"
        )
        assert kept.read_bytes() == content
        assert str(tmp_path).encode() not in content
    assert report.model_card is not None
    assert (report.model_card.license, report.model_card.datasets) == ("Apache-2.0", ("mnist",))
    assert not list((tmp_path / "first").glob("trivy-*[!g]"))  # only logs are left of what Trivy wrote
    for path in (tmp_path / "cache" / "sbom").iterdir():
        path.unlink()
    assert not scan.usable(report)
    assert files(scan.run(have, desk(tmp_path, "again")), tmp_path / "cache") == first


def test_the_model_is_a_component_with_its_files_and_what_its_card_says(
    have: Artifacts, scan: Scan, tmp_path: Path
) -> None:
    report = scan.run(have, desk(tmp_path, "run"))
    written = files(report, tmp_path / "cache")
    manifest = have[BuiltImage].platforms[0].manifest.digest
    cyclonedx: dict[str, Any] = json.loads(written["linux/amd64", "cyclonedx"])
    subject = cyclonedx["metadata"]["component"]
    assert subject["purl"] == f"pkg:oci/model@sha256%3A{manifest.encoded}?arch=amd64"
    assert subject["hashes"] == [{"alg": "SHA-256", "content": manifest.encoded}]
    assert cyclonedx["metadata"]["timestamp"] == "2026-01-01T00:00:00Z"
    (model,) = (one for one in cyclonedx["components"] if one["type"] == "machine-learning-model")
    assert model["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert model["modelCard"]["modelParameters"] == {
        "task": "image-classification",
        "datasets": [{"type": "dataset", "name": "mnist"}],
    }
    assert model["pedigree"]["ancestors"][0]["name"] == "example/base"
    assert [(one["name"], one["hashes"][0]["content"]) for one in model["components"]] == [
        ("README.md", Digest.of(CARD.encode()).encoded),
        ("model.bin", Digest.of(b"file").encoded),
    ]
    assert model["components"][1]["evidence"]["occurrences"] == [{"location": "/models/model.bin"}]
    assert {"PyYAML", "attrs", "tar"} < {one["name"] for one in cyclonedx["components"]}
    spdx: dict[str, Any] = json.loads(written["linux/amd64", "spdx"])
    named = {one["name"]: one["SPDXID"] for one in spdx["packages"]}
    contains = {
        (one["spdxElementId"], one["relatedSpdxElement"])
        for one in spdx["relationships"]
        if one["relationshipType"] == "CONTAINS"
    }
    assert (named["model"], named["model-model"]) in contains
    assert (named["model-model"], named["model.bin"]) in contains
    assert (
        next(one for one in spdx["packages"] if one["name"] == "model-model")["licenseDeclared"]
        == "Apache-2.0"
    )


def test_a_list_is_looked_up_as_if_it_were_the_layers(have: Artifacts, scan: Scan, tmp_path: Path) -> None:
    first = scan.run(have, desk(tmp_path, "first"))
    assert {one.id for one in first.vulnerabilities} >= {"CVE-2020-14343", "CVE-2024-47081", "CVE-2005-2541"}
    second = scan.run(have, desk(tmp_path, "second"))
    log = (tmp_path / "second" / "trivy-linux-amd64.log").read_text()
    assert " sbom " in log
    assert " image " not in log
    assert second.vulnerabilities == first.vulnerabilities
    assert (second.packages, second.unjudged) == (first.packages, first.unjudged)
    assert [one.reused for one in second.sboms] == [True] * 4
    assert scan.usable(second)
    assert isinstance(scan.scanner, Trivy)
    curious = replace(scan, scanner=replace(scan.scanner, look_for=frozenset({"secrets"})))
    third = curious.run(have, desk(tmp_path, "third"))
    assert " image " in (tmp_path / "third" / "trivy-linux-amd64.log").read_text()  # no list has secrets
    assert third.secrets == ()
    assert files(third, tmp_path / "cache") == files(first, tmp_path / "cache")


@pytest.mark.parametrize(
    "system",
    [
        {},
        {"etc/os-release": "ID=debian\nVERSION_ID=99\n", "etc/debian_version": "99.1\n"},
        {"etc/os-release": "ID=debian\nVERSION_ID=7\n", "etc/debian_version": "7.1\n"},
    ],
    ids=["no distribution", "unknown release", "out of support"],
)
@pytest.mark.parametrize("status", ["", DEBIAN["var/lib/dpkg/status"]], ids=["no packages", "packages"])
def test_what_cannot_be_judged_is_the_same_by_the_list(
    scan: Scan, tmp_path: Path, system: dict[str, str], status: str
) -> None:
    packages = {"var/lib/dpkg/status": status} if status and system else {}
    have = image(tmp_path, {"linux/amd64": ({**system, **packages, **PYYAML},)})
    first = scan.run(have, desk(tmp_path, "first"))
    second = scan.run(have, desk(tmp_path, "second"))
    assert first.unjudged
    assert second.unjudged == first.unjudged
    assert second.vulnerabilities == first.vulnerabilities
