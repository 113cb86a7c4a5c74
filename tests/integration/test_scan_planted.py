"""An image that is really built, with weaknesses planted in it: all of them are found, and nothing else.

On both image stores, with the real Trivy, hadolint, and a small database in a registry; and whatever is wrong
with program or database ends the scan, since then nothing is known about the image.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import PipelineError, RemoteError, StageFailed, ToolMissing
from pipeline.model import BuiltImage, ScanReport, Severity, Source, SuiteReport
from stages.build import Build
from stages.models.file import FolderFiles
from stages.models.model import Model
from stages.scan import Scan
from stages.scanners.hadolint import Hadolint
from stages.scanners.known_exploited import KnownExploited
from stages.scanners.program import Choice
from stages.scanners.trivy import Trivy
from tests.support import vulnerability_database as databases
from tests.support.engine import Engine
from tests.support.registry import Registry

# Put together here, so that nobody's scanner finds them in this file.
TOKEN = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
KEY_ID = "AKIA" + "2E0A8F3B244C9986"
PEM = "\n".join(
    ("-----BEGIN RSA " + "PRIVATE KEY-----", *("Q2hhbmdlTWU" * 5,) * 4, "-----END RSA PRIVATE KEY-----")
)
DOCKERFILE = f"""FROM scratch
ADD root/ /
# hadolint ignore=DL3064
ENV GITHUB_TOKEN={TOKEN}
USER 0
"""
METADATA = "Metadata-Version: 2.4\nName: {}\nVersion: {}\n{}"
PACKAGES = "Package: bash\nStatus: install ok installed\nVersion: 5.0-4\nArchitecture: amd64\n\n"
COPYRIGHT = "Format: 1.0\n\nFiles: *\nLicense: GPL-3+\n"
POD = "kind: Pod\nspec: {containers: [{name: a, image: a, securityContext: {privileged: true}}]}\n"
PLANTED = {
    "etc/os-release": "ID=debian\n",
    "etc/debian_version": "12.5\n",
    "var/lib/dpkg/status": PACKAGES,
    "usr/share/doc/bash/copyright": COPYRIGHT,
    "site-packages/PyYAML-5.3.dist-info/METADATA": METADATA.format("PyYAML", "5.3", "License: MIT\n"),
    "srv/settings.py": f'REGION = "eu-central-1"\nAWS_ACCESS_KEY_ID = "{KEY_ID}"\n',
    "srv/id_rsa": f"{PEM}\n",
}
HARMLESS = {
    "site-packages/attrs-26.1.0.dist-info/METADATA": METADATA.format(
        "attrs", "26.1.0", "License-Expression: MIT\n"
    ),
    "site-packages/own-1.0.dist-info/METADATA": METADATA.format("own", "1.0", ""),
    "srv/app.py": 'import os\nTOKEN = os.environ["GITHUB_TOKEN"]\nKEY_ID = "AKIA…"\n',
    "srv/pod.yaml": POD,
}
KNOWN_EXPLOITED = {
    "catalogVersion": "2026.11.20",
    "dateReleased": "2026-11-20T16:00:24Z",
    "vulnerabilities": [
        {"cveID": "CVE-2020-14343", "dateAdded": "2025-01-02"},
        {"cveID": "CVE-2024-47081", "dateAdded": "2025-01-03"},
    ],
}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    folder = tmp_path / "desk"
    folder.mkdir()
    lent = Desk(folder=folder, cache=tmp_path / "cache")
    yield lent
    lent.clear()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    for name, text in {**PLANTED, **HARMLESS}.items():
        path = root / "serving" / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "serving" / "Dockerfile").write_text(DOCKERFILE)
    (root / "model").mkdir()
    (root / "model" / "weights.txt").write_text(TOKEN)  # the layers of the weights are not Trivy's
    (root / "known.json").write_text(json.dumps(KNOWN_EXPLOITED))
    return root


@pytest.fixture
def built(any_engine: Engine, desk: Desk, project: Path) -> Artifacts:
    del any_engine  # the one that docker reaches
    source = Source(root=project, commit="a" * 40, committed_at=datetime(2026, 1, 2, tzinfo=UTC))
    suite = SuiteReport(command=("true",), exit_code=0, duration_s=0.1)
    stage = Build(
        image="digits",
        context=project / "serving",
        dockerfile=project / "serving" / "Dockerfile",
        model=Model(files=FolderFiles(folder=project / "model"), path="/models/digits"),
    )
    return Artifacts(source, suite, stage.run(Artifacts(source, suite), desk))


@pytest.fixture
def trivy(vulnerability_database: str, docker_login: Path, tmp_path: Path) -> Trivy:
    del docker_login
    return Trivy(
        databases=(vulnerability_database,),
        cache=tmp_path / "trivy",
        look_for=frozenset({"secrets", "licenses", "misconfigurations"}),
    )


def test_all_that_is_planted_is_found_and_nothing_else(
    built: Artifacts, trivy: Trivy, desk: Desk, project: Path
) -> None:
    listed = KnownExploited(source=str(project / "known.json"), cache=desk.cache)
    linter = Hadolint(dockerfile=project / "serving" / "Dockerfile", root=project, required=True)
    scan = Scan(scanner=trivy, additions=(listed, linter))
    report = scan.run(built, desk)
    require_vulnerabilities(report)
    assert report.secrets is not None
    assert [(one.rule, one.path, one.line) for one in report.secrets] == [
        ("github-pat", "", None),
        ("aws-access-key-id", "/srv/settings.py", 2),
        ("private-key", "/srv/id_rsa", 2),
    ]
    assert report.licenses is not None
    assert [(one.package, one.license) for one in report.licenses] == [
        ("PyYAML", "MIT"),
        ("attrs", "MIT"),
        ("bash", "GPL-3.0-or-later"),
        ("own", ""),
    ]
    assert report.misconfigurations is not None
    assert [(one.id, one.severity, one.path) for one in report.misconfigurations] == [
        ("DS-0031", Severity.CRITICAL, ""),
        ("DS-0002", Severity.HIGH, ""),
        ("DS-0005", Severity.LOW, ""),  # ADD where COPY would do
        ("DS-0026", Severity.LOW, ""),  # no HEALTHCHECK
    ]
    assert report.dockerfile is not None
    assert [(one.line, one.code) for one in report.dockerfile.findings] == [(2, "DL3020"), (5, "DL3002")]
    assert report.dockerfile.path == "serving/Dockerfile"
    require_no_secret(report, desk)
    assert scan.run(built, desk).model_dump(exclude={"scanned_at"}) == report.model_dump(
        exclude={"scanned_at"}
    )
    assert scan.identity(built) not in {Scan(scanner=trivy).identity(built), None}
    plain = Scan(scanner=replace(trivy, look_for=frozenset())).run(built, desk)
    assert (plain.secrets, plain.licenses, plain.misconfigurations) == (None, None, None)


def require_vulnerabilities(report: ScanReport) -> None:
    yaml, bash = report.vulnerabilities
    assert (yaml.id, yaml.package, yaml.installed_version, yaml.fixed_version) == (
        "CVE-2020-14343",
        "PyYAML",
        "5.3",
        "5.4",
    )
    assert (yaml.severity, yaml.severity_source) == (Severity.CRITICAL, "ghsa")
    assert (yaml.cvss_score, yaml.cvss_vector) == (9.8, "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H")
    assert (yaml.published_at or datetime.min).date() == date(2021, 2, 9)
    assert "https://nvd.nist.gov/vuln/detail/CVE-2020-14343" in yaml.references
    assert yaml.target == "site-packages/PyYAML-5.3.dist-info/METADATA"
    assert (yaml.known_exploited, yaml.platforms) == (date(2025, 1, 2), ())
    assert report.known_exploited_list == "catalog 2026.11.20 of 2026-11-20, 2 vulnerabilities"
    assert (bash.id, bash.package, bash.fixed_version) == ("TEMP-0841856-B18BAF", "bash", None)
    assert (bash.target, bash.cvss_score, bash.known_exploited) == ("image (debian 12.5)", None, None)
    assert (report.packages, report.unjudged) == (4, ())


def require_no_secret(report: ScanReport, desk: Desk) -> None:
    """Look through the report and all that the stage left in its folder, but for the image itself."""
    desk.clear()
    left = [path for path in desk.folder.rglob("*") if path.is_file() and "layout" not in path.parts]
    assert {path.suffix for path in left} >= {".log"}
    texts = [report.model_dump_json(), *(path.read_text(errors="replace") for path in left)]
    for secret in (TOKEN, KEY_ID, PEM.splitlines()[2]):
        assert not [text for text in texts if secret in text]


def test_a_scan_that_could_not_look_is_an_error(
    built: Artifacts,
    trivy: Trivy,
    desk: Desk,
    registry: Registry,
    repository_name: str,
) -> None:
    """Program by program and database by database; none of them is taken for a clean image."""
    month_ago = datetime.now(UTC) - timedelta(days=30)
    old = databases.publish(registry, f"{repository_name}/old", updated_at=month_ago)
    damaged = databases.publish(registry, f"{repository_name}/damaged", damaged=True)
    other = databases.publish(registry, f"{repository_name}/other", schema_version=1)
    nowhere = f"{registry.address}/{repository_name}/none:2"
    wrong: list[tuple[Trivy, type[PipelineError], int, str]] = [
        (replace(trivy, databases=(old,)), StageFailed, 1, "30 days ago; at most 7 days are allowed"),
        (replace(trivy, databases=(nowhere,)), RemoteError, 5, "could not be fetched"),
        (replace(trivy, databases=(damaged,)), StageFailed, 1, "could not be fetched"),
        (replace(trivy, databases=(other,)), StageFailed, 1, "schema version 1; 2 is needed"),
        (
            replace(trivy, update=False, cache=desk.cache / "empty"),
            StageFailed,
            1,
            "there is no vulnerability",
        ),
        (replace(trivy, program="/bin/true"), ToolMissing, 4, "does not answer `--version` as Trivy does"),
        (replace(trivy, sha256="0" * 64), ToolMissing, 4, "scan.trivy.sha256 says 0000"),
        (replace(trivy, timeout_s=0.01, update=False), StageFailed, 1, "longer than 0.01 s"),
    ]
    Scan(scanner=trivy).run(built, desk)  # the database is there for the last one
    for scanner, error, exit_code, message in reversed(wrong):
        with pytest.raises(error, match=message) as caught:
            Scan(scanner=scanner).run(built, desk)
        assert (caught.value.exit_code, bool(caught.value.advice)) == (exit_code, True)
    assert built[BuiltImage].layout.is_dir()


def test_the_checksum_that_pip_wrote_down_is_compared(trivy: Trivy, desk: Desk) -> None:
    assert "; checksum as installed)" in trivy.check(desk)[0].found
    assert Choice(program=trivy.program) == Choice()
