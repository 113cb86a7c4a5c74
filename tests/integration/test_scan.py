"""The scan stage with the real Trivy and a real, small database served by a real registry."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import PipelineError, RemoteError, StageFailed, ToolMissing
from pipeline.model import (
    BuiltImage,
    Descriptor,
    ModelFile,
    ModelLayer,
    PlatformImage,
    Problem,
    ScanReport,
    Severity,
    Tool,
)
from pipeline.reference import Digest, Tag
from stages.oci.authentication import environment_name
from stages.oci.layout import Layout, to_document, to_json
from stages.scan import Scan
from stages.scanners.trivy import Trivy
from tests.support import vulnerability_database as databases
from tests.support.registry import Registry, free_port, running_registry

LAYER = "application/vnd.oci.image.layer.v1.tar"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"


def installed(name: str, version: str) -> dict[str, str]:
    """Return what pip leaves behind, as far as scanners read it."""
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    return {f"site-packages/{name}-{version}.dist-info/METADATA": metadata}


PYYAML, REQUESTS, HARMLESS = (
    installed("PyYAML", "5.3"),
    installed("requests", "2.32.3"),
    installed("attrs", "26.1.0"),
)
OLD_SCHEMA = """{"Version": 1, "UpdatedAt": "2026-11-01T00:00:00Z", "NextUpdate": "2026-11-02T00:00:00Z",
"DownloadedAt": "0001-01-01T00:00:00Z"}"""
Files = Mapping[str, str | bytes]


def tar(files: Files) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, text in files.items():
            content = text.encode() if isinstance(text, str) else text
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def platform_image(layout: Layout, name: str, layers: tuple[Files, ...], model: Descriptor) -> PlatformImage:
    """Write an image whose model layer is in its manifest and, as in real runs, not in the layout."""
    written = tuple(layout.write(tar(files), LAYER) for files in layers)
    diff_ids = [*(layer.digest for layer in written), model.digest]
    history = [{"created_by": "ENV A=b", "empty_layer": True}, *({"created_by": "RUN"} for _ in diff_ids)]
    system, architecture = name.split("/")
    config = layout.write(
        to_json(
            {
                "os": system,
                "architecture": architecture,
                "rootfs": {"type": "layers", "diff_ids": diff_ids},
                "history": history,
            }
        ),
        CONFIG,
    )
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": to_document(config),
        "layers": [to_document(layer) for layer in (*written, model)],
    }
    return PlatformImage(
        platform=name,
        manifest=layout.write(to_json(manifest), MANIFEST),
        config=config,
        application_layers=written,
    )


def image(folder: Path, platforms: Mapping[str, tuple[Files, ...]]) -> Artifacts:
    layout = Layout.create(folder / "layout")
    weights = Descriptor(media_type=LAYER, digest=Digest.of(b"weights"), size_bytes=10_000_000_000)
    file = ModelFile(path="model.bin", size_bytes=1, digest=Digest.of(b"file"))
    built = BuiltImage(
        name="model",
        tag=Tag("1"),
        digest=Digest.of(repr(sorted(platforms.items())).encode()),
        media_type=MANIFEST,
        layout=layout.path,
        platforms=tuple(platform_image(layout, name, layers, weights) for name, layers in platforms.items()),
        model_layers=(ModelLayer(descriptor=weights, source=str(folder), path="/models", files=(file,)),),
        revision="a" * 40,
        dirty=False,
        created=datetime(2026, 1, 1, tzinfo=UTC),
        builder=Tool(name="hand", version="1"),
    )
    return Artifacts(built)


@pytest.fixture
def said() -> list[str]:
    """What the stage said."""
    return []


@pytest.fixture
def desk(tmp_path: Path, said: list[str]) -> Desk:
    folder, cache = tmp_path / "run", tmp_path / "cache"
    folder.mkdir()
    cache.mkdir()
    return Desk(folder=folder, cache=cache, say=said.append)


@pytest.fixture
def planted(tmp_path: Path) -> Artifacts:
    return image(tmp_path, {"linux/amd64": (HARMLESS, PYYAML)})


@pytest.fixture
def trivy(vulnerability_database: str, docker_login: Path, desk: Desk) -> Trivy:
    return Trivy(databases=(vulnerability_database,), cache=desk.cache)


def age_cached_database(desk: Desk, **ages: timedelta) -> None:
    """Let the database in the cache be older; its file stays as it is."""
    path = desk.cache / "db" / "metadata.json"
    metadata = json.loads(path.read_text())
    for name, age in ages.items():
        metadata[name] = (datetime.now(UTC) - age).isoformat()
    path.write_text(json.dumps(metadata))


def ids(report: ScanReport) -> list[str]:
    return [found.id for found in report.vulnerabilities]


def test_finds_what_is_planted_and_nothing_else(planted: Artifacts, trivy: Trivy, desk: Desk) -> None:
    report = Scan(scanner=trivy).run(planted, desk)
    (found,) = report.vulnerabilities
    assert (found.id, found.package, found.installed_version) == ("CVE-2020-14343", "PyYAML", "5.3")
    assert (found.fixed_version, found.severity, found.severity_source) == ("5.4", Severity.CRITICAL, "ghsa")
    assert found.target.endswith("PyYAML-5.3.dist-info/METADATA")
    assert report.packages == 2
    assert report.digest == planted[BuiltImage].digest
    assert report.database.schema_version == 2
    assert report.database_age < timedelta(hours=1)
    assert desk.commands == ["database.log", "trivy-linux-amd64.log"]
    desk.clear()
    assert not (desk.folder / "application").exists()


def test_every_platform_is_scanned_and_a_finding_counts_once(
    tmp_path: Path, trivy: Trivy, desk: Desk
) -> None:
    bash = debian("12.5")
    have = image(tmp_path, {"linux/amd64": (PYYAML, bash), "linux/arm64": (PYYAML, bash, REQUESTS)})
    report = Scan(scanner=trivy).run(have, desk)
    assert {found.id: found.platforms for found in report.vulnerabilities} == {
        "CVE-2020-14343": (),
        "CVE-2024-47081": ("linux/arm64",),
        "TEMP-0841856-B18BAF": (),
    }
    assert len(report.vulnerabilities) == report.packages == 3


def test_nothing_in_the_folder_or_the_environment_hides_a_finding(
    planted: Artifacts, trivy: Trivy, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / ".trivyignore").write_text("CVE-2020-14343\n")
    (project / "trivy.yaml").write_text("severity: [LOW]\n")
    monkeypatch.chdir(project)
    monkeypatch.setenv("TRIVY_SEVERITY", "LOW")
    monkeypatch.setenv("TRIVY_SKIP_DIRS", "site-packages")
    assert ids(Scan(scanner=trivy).run(planted, desk)) == ["CVE-2020-14343"]


def test_second_run_asks_nobody_and_its_result_is_known_before(
    planted: Artifacts, trivy: Trivy, desk: Desk, said: list[str]
) -> None:
    scan = Scan(scanner=trivy)
    assert scan.identity(planted) is None
    first = scan.run(planted, desk)
    identity = scan.identity(planted)
    assert identity is not None
    said.clear()
    assert scan.run(planted, desk).vulnerabilities == first.vulnerabilities
    assert not any("fetching" in line for line in said)
    assert scan.identity(planted) == identity
    age_cached_database(desk, UpdatedAt=timedelta(hours=3))
    assert scan.identity(planted) not in {identity, None}
    assert Scan(scanner=replace(trivy, maximum_age=timedelta(hours=1))).identity(planted) is None


def test_pinned_digest_is_another_database(
    planted: Artifacts, trivy: Trivy, desk: Desk, registry: Registry, vulnerability_database: str
) -> None:
    Scan(scanner=trivy).run(planted, desk)
    repository = vulnerability_database.rpartition(":")[0].partition("/")[2]
    with registry.session() as session:
        answer = session.head(
            registry.url(f"{repository}/manifests/2"), headers={"Accept": MANIFEST}, timeout=10
        )
    pin = f"{registry.address}/{repository}@{answer.headers['Docker-Content-Digest']}"
    pinned = Scan(scanner=replace(trivy, databases=(pin,)))
    assert pinned.identity(planted) is None  # what is cached came by another name
    assert pinned.run(planted, desk).database.repository == pin
    age_cached_database(desk, NextUpdate=timedelta(days=2), DownloadedAt=timedelta(days=3))
    assert pinned.identity(planted) is not None  # there is never a newer one of that digest


def another_database(size_bytes: int) -> bytes:
    """Return a database that is whole and younger than a day, but not the one of this size that is pinned."""
    now = datetime.now(UTC)
    archives = (databases.archive(now - timedelta(seconds=ago)) for ago in range(60, 36_000, 7))
    return next(archive for archive in archives if len(archive) == size_bytes)


def test_a_pinned_database_whose_bytes_were_changed_is_refused(
    planted: Artifacts, trivy: Trivy, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A registry hands out what lies on its disk; whoever changes that must not change what is found."""
    with running_registry(tmp_path / "registry") as registry:
        for name in ("USERNAME", "PASSWORD"):
            value = getattr(registry, name.lower())
            monkeypatch.setenv(f"REGISTRY_{name}_{environment_name(registry.address)}", value)
        repository = databases.publish(registry).rpartition(":")[0]
        with registry.session() as session:
            url = registry.url(f"{databases.REPOSITORY}/manifests/2")
            answer = session.get(url, headers={"Accept": MANIFEST}, timeout=10)
        digest = answer.headers["Docker-Content-Digest"]
        pinned = Scan(scanner=replace(trivy, databases=(f"{repository}@{digest}",)))
        (layer,) = answer.json()["layers"]
        another = another_database(layer["size"])
        manifest = answer.content.replace(b"db.tar.gz", b"no.tar.gz")
        causes: list[str] = []
        for blob, content in ((layer["digest"], another), (digest, manifest)):
            (path,) = (tmp_path / "registry").glob(f"**/{blob.removeprefix('sha256:')}/data")
            whole = path.read_bytes()
            path.write_bytes(content)
            with pytest.raises(PipelineError, match="could not be fetched") as caught:
                pinned.run(planted, desk)
            causes.append(f"{caught.value.message} {caught.value.advice}")
            assert not (desk.cache / "db").exists()
            path.write_bytes(whole)
        assert "error verifying sha256 checksum" in causes[0]
        assert "holds is damaged" in causes[0]
        assert ids(pinned.run(planted, desk)) == ["CVE-2020-14343"]


def test_a_mirror_stands_in_for_a_repository_that_does_not_answer(
    planted: Artifacts, trivy: Trivy, desk: Desk, vulnerability_database: str
) -> None:
    nowhere = f"localhost:{free_port()}/trivy-db:2"
    mirrored = replace(trivy, databases=(nowhere, vulnerability_database))
    report = Scan(scanner=mirrored).run(planted, desk)
    assert ids(report) == ["CVE-2020-14343"]
    assert report.database.repository == vulnerability_database


def test_password_from_the_environment(
    planted: Artifacts, trivy: Trivy, desk: Desk, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(desk.folder / "nobody"))
    monkeypatch.setenv("REGISTRY_USERNAME", registry.username)
    monkeypatch.setenv("REGISTRY_PASSWORD", registry.password)
    with pytest.raises(RemoteError, match="could not be fetched") as caught:  # it is not said for whom it is
        Scan(scanner=trivy).run(planted, desk)
    assert "docker login" in caught.value.advice
    meant = Scan(scanner=replace(trivy, registries=(registry.address,)))
    assert ids(meant.run(planted, desk)) == ["CVE-2020-14343"]
    logs = "".join(path.read_text() for path in desk.folder.glob("*.log"))
    assert registry.password not in logs
    shutil.rmtree(desk.cache)
    for name in ("USERNAME", "PASSWORD"):
        value = getattr(registry, name.lower())
        monkeypatch.delenv(f"REGISTRY_{name}")
        monkeypatch.setenv(f"REGISTRY_{name}_{environment_name(registry.address)}", value)
    assert ids(Scan(scanner=trivy).run(planted, desk)) == ["CVE-2020-14343"]


def test_stale_database_is_an_error(
    planted: Artifacts, trivy: Trivy, desk: Desk, registry: Registry, repository_name: str
) -> None:
    old = databases.publish(registry, repository_name, updated_at=datetime.now(UTC) - timedelta(days=30))
    scan = Scan(scanner=replace(trivy, databases=(old,)))
    with pytest.raises(StageFailed, match="30 days ago; at most 7 days are allowed") as caught:
        scan.run(planted, desk)
    assert "maximum_age_days" in caught.value.advice
    assert scan.identity(planted) is None
    lenient = replace(trivy, databases=(old,), maximum_age=timedelta(days=60))
    report = Scan(scanner=lenient).run(planted, desk)
    assert report.database_age > timedelta(days=29)
    # the mirror is mended: the next run must notice, however soon it comes
    databases.publish(registry, repository_name)
    assert scan.run(planted, desk).database_age < timedelta(hours=1)


def test_unreachable_registry_is_an_error(planted: Artifacts, trivy: Trivy, desk: Desk) -> None:
    nowhere = f"localhost:{free_port()}/trivy-db:2"
    with pytest.raises(RemoteError, match="could not be fetched") as caught:
        Scan(scanner=replace(trivy, databases=(nowhere,))).run(planted, desk)
    assert "mirror" in caught.value.advice


def test_missing_repository_is_an_error(
    planted: Artifacts, trivy: Trivy, desk: Desk, registry: Registry
) -> None:
    with pytest.raises(RemoteError) as caught:
        Scan(scanner=replace(trivy, databases=(f"{registry.address}/no/such-db:2",))).run(planted, desk)
    assert "scan.database.repositories" in caught.value.advice


def test_database_that_cannot_be_refreshed_but_is_fresh_is_used_and_said(
    planted: Artifacts, trivy: Trivy, desk: Desk, registry: Registry, repository_name: str
) -> None:
    said: list[str] = []
    desk.say = said.append
    own = replace(trivy, databases=(databases.publish(registry, repository_name),))
    Scan(scanner=own).run(planted, desk)
    databases.publish(registry, repository_name, damaged=True)
    age_cached_database(
        desk, UpdatedAt=timedelta(days=2), NextUpdate=timedelta(days=1), DownloadedAt=timedelta(days=2)
    )
    assert Scan(scanner=own).identity(planted) is None
    assert ids(Scan(scanner=own).run(planted, desk)) == ["CVE-2020-14343"]
    assert any("could not be refreshed, using the one of 2 days ago" in line for line in said)
    age_cached_database(desk, UpdatedAt=timedelta(days=8))
    with pytest.raises(PipelineError, match="could not be fetched"):
        Scan(scanner=own).run(planted, desk)


def test_corrupt_database_in_the_repository_is_an_error(
    planted: Artifacts, trivy: Trivy, desk: Desk, registry: Registry, repository_name: str
) -> None:
    bad = databases.publish(registry, repository_name, damaged=True)
    with pytest.raises(StageFailed, match="could not be fetched") as caught:
        Scan(scanner=replace(trivy, databases=(bad,))).run(planted, desk)
    assert "damaged" in caught.value.advice


def test_corrupt_database_in_the_cache_is_fetched_again_or_an_error(
    planted: Artifacts, trivy: Trivy, desk: Desk, said: list[str]
) -> None:
    Scan(scanner=trivy).run(planted, desk)
    database = desk.cache / "db" / "trivy.db"
    database.write_bytes(database.read_bytes()[:3000])
    with pytest.raises(StageFailed, match="was changed"):
        Scan(scanner=replace(trivy, update=False)).run(planted, desk)
    (desk.cache / "db-origin.json").unlink()  # as if it had been brought by hand
    with pytest.raises(StageFailed, match="it is damaged"):
        Scan(scanner=replace(trivy, update=False)).run(planted, desk)
    said.clear()
    assert ids(Scan(scanner=trivy).run(planted, desk)) == ["CVE-2020-14343"]
    assert any("fetching" in line for line in said)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ('{"Version": 1}', "damaged"),
        ("{", "damaged"),
        (OLD_SCHEMA, "schema version 1"),
        (None, "there is no vulnerability database"),
    ],
)
def test_wrong_metadata_is_an_error(
    planted: Artifacts, trivy: Trivy, desk: Desk, metadata: str | None, message: str
) -> None:
    Scan(scanner=trivy).run(planted, desk)
    path = desk.cache / "db" / "metadata.json"
    if metadata is None:
        path.unlink()
    else:
        path.write_text(metadata)
    with pytest.raises(StageFailed, match=message):
        Scan(scanner=replace(trivy, update=False)).run(planted, desk)


def test_without_network_the_cache_has_to_do(planted: Artifacts, trivy: Trivy, desk: Desk) -> None:
    offline = replace(trivy, update=False)
    assert offline.check(desk)[1].problem is Problem.TOOL
    with pytest.raises(StageFailed, match="there is no vulnerability database"):
        Scan(scanner=offline).run(planted, desk)
    Scan(scanner=trivy).run(planted, desk)
    assert ids(Scan(scanner=offline).run(planted, desk)) == ["CVE-2020-14343"]
    assert "updated 0 hours ago" in offline.check(desk)[1].found


def test_time_limit(planted: Artifacts, trivy: Trivy, desk: Desk) -> None:
    Scan(scanner=trivy).run(planted, desk)
    with pytest.raises(StageFailed, match="longer than") as caught:
        Scan(scanner=replace(trivy, timeout_s=0.001)).run(planted, desk)
    assert "scan.timeout_s" in caught.value.advice


def test_damaged_layer_is_an_error(planted: Artifacts, trivy: Trivy, desk: Desk) -> None:
    built = planted[BuiltImage]
    layer = built.platforms[0].application_layers[1]
    path = Layout(built.layout).blob_path(layer.digest)
    path.write_bytes(path.read_bytes()[:-1024])
    with pytest.raises(StageFailed, match="missing or incomplete"):
        Scan(scanner=trivy).run(planted, desk)


def debian(version: str) -> Files:
    """Return a distribution with one package, of which the database knows a flaw in Debian 12."""
    package = "Package: bash\nStatus: install ok installed\nVersion: 5.0-4\nArchitecture: amd64\n\n"
    return {
        "etc/os-release": "ID=debian\n",
        "etc/debian_version": f"{version}\n",
        "var/lib/dpkg/status": package,
    }


NO_DEBIAN = {**debian("99.0"), "etc/debian_version": "", "etc/os-release": "ID=other\n"}
NO_LIST = {"etc/os-release": "ID=debian\n", "etc/debian_version": "12.5\n"}
NO_ADVISORIES = {"etc/fedora-release": "Fedora release 40 (x)\n"}


@pytest.mark.parametrize(
    ("files", "unjudged"),
    [
        (debian("99.0"), ("debian 99.0", "no release that the scanner knows")),
        (debian("trixie/sid"), ("debian trixie/sid", "no release that the scanner knows")),
        (debian("9.13"), ("debian 9.13", "no security updates any more")),
        (NO_DEBIAN, ("unknown distribution", "go unseen")),
        (NO_LIST, ("debian 12.5", "lost its list")),
        (NO_ADVISORIES, ("fedora 40", "no distribution that the scanner has advisories for")),
        ({"server": "static"}, ("unknown distribution", "go unseen")),
    ],
)
def test_a_distribution_that_cannot_be_looked_up_is_not_clean(
    tmp_path: Path, trivy: Trivy, desk: Desk, files: Files, unjudged: tuple[str, str]
) -> None:
    report = Scan(scanner=trivy).run(image(tmp_path, {"linux/amd64": (files,)}), desk)
    (found,) = report.unjudged
    assert (report.vulnerabilities, found.subject) == ((), unjudged[0])
    assert unjudged[1] in found.reason


def test_a_distribution_that_can_be_looked_up(tmp_path: Path, trivy: Trivy, desk: Desk) -> None:
    report = Scan(scanner=trivy).run(image(tmp_path, {"linux/amd64": (debian("12.5"),)}), desk)
    assert (ids(report), report.unjudged) == (["TEMP-0841856-B18BAF"], ())


def test_a_package_of_debian_is_found_under_what_it_was_built_from(
    tmp_path: Path, trivy: Trivy, desk: Desk
) -> None:
    package = "Package: bash-static\nSource: bash\nStatus: install ok installed\nVersion: 5.0-4\n"
    files = {**debian("12.5"), "var/lib/dpkg/status": f"{package}Architecture: amd64\n\n"}
    (found,) = Scan(scanner=trivy).run(image(tmp_path, {"linux/amd64": (files,)}), desk).vulnerabilities
    assert (found.package, found.source_package) == ("bash-static", "bash")


def jar() -> bytes:
    """Return a library that does not say what it is."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(zipfile.ZipInfo("META-INF/MANIFEST.MF"), "Manifest-Version: 1.0\n")
    return packed.getvalue()


def test_a_jar_needs_its_index(
    tmp_path: Path, trivy: Trivy, desk: Desk, registry: Registry, repository_name: str
) -> None:
    have = image(tmp_path, {"linux/amd64": ({"app/library.jar": jar()},)})
    nowhere = Scan(scanner=replace(trivy, java_databases=(f"{registry.address}/no/such-index:1",)))
    with pytest.raises(
        RemoteError, match=r"the image has JAR files, and the index .* not be fetched"
    ) as asked:
        nowhere.run(have, desk)
    assert "correct `scan.database.java_repositories`" in asked.value.advice
    offline = Scan(scanner=replace(trivy, update=False))
    with pytest.raises(StageFailed, match=r"has JAR files, and .*java-db holds no index") as caught:
        offline.run(have, desk)
    assert "scan.database.update: true" in caught.value.advice
    without = offline.identity(have)
    index = databases.publish_java(registry, repository_name, {("org.example", "library", "1.0"): jar()})
    mirrored = (f"localhost:{free_port()}/java-index:1", index)  # the first one does not answer
    assert Scan(scanner=replace(trivy, java_databases=mirrored)).run(have, desk).packages == 1
    assert offline.run(have, desk).packages == 1  # it is in the cache now
    assert offline.identity(have) not in {without, None}


def test_a_login_for_the_database_is_not_shown_to_another_host(
    trivy: Trivy, desk: Desk, registry: Registry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A program in Trivy's place tells which login reaches the scan, which may fetch the index of JARs."""
    monkeypatch.setenv("TRIVY_USERNAME", registry.username)
    monkeypatch.setenv("TRIVY_PASSWORD", registry.password)
    have = image(tmp_path, {"linux/amd64": (HARMLESS,)})
    Scan(scanner=trivy).run(have, desk)
    program = tmp_path / "trivy"
    program.write_text(
        '#!/bin/sh\necho Version: 0.70.0\necho "as $TRIVY_USERNAME" >&2\ntest $1 = --version\n'
    )
    program.chmod(0o755)
    users = {"elsewhere.example.com/index:1": "as", trivy.databases[0]: f"as {registry.username}"}
    for index, user in users.items():
        with pytest.raises(StageFailed) as caught:
            Scan(scanner=replace(trivy, program=str(program), java_databases=(index,))).run(have, desk)
        assert caught.value.tail.strip() == user


def test_wrong_programs_are_refused(planted: Artifacts, trivy: Trivy, desk: Desk, tmp_path: Path) -> None:
    def script(name: str, body: str) -> str:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        return str(path)

    programs = {
        str(tmp_path / "nothing"): "is no program",
        script("other", "echo hello"): "does not answer",
        script("old", "echo Version: 0.59.1"): r"is Trivy 0.59.1; at least 0.60",
    }
    for program, message in programs.items():
        wrong = replace(trivy, program=program)
        assert wrong.check(desk)[0].problem is Problem.TOOL
        with pytest.raises(ToolMissing, match=message) as caught:
            Scan(scanner=wrong).run(planted, desk)
        assert "pip install 'model-image-pipeline[trivy]'" in caught.value.advice
