"""What is new since the image that is deployed: real Trivy, registry and GitOps repository."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.model import BuiltImage, ScanReport
from pipeline.reference import Repository
from stages.attestations.bundle import Bundle
from stages.attestations.cosign import Cosign
from stages.attestations.shelf import opened
from stages.attestations.signing import Services, Signing, Trust
from stages.attestations.statement import Statement
from stages.attestations.types import CYCLONEDX
from stages.attestations.verification import Verifier
from stages.gitops.destination import Destination
from stages.manifests.interface import Target
from stages.oci.referrers import Referrers
from stages.push import Push
from stages.registries.connections import Registries
from stages.scan import Scan
from stages.scanners.baseline import DeployedBaseline
from stages.scanners.sbom import Sboms, Shelf
from stages.scanners.sbom_cyclonedx import MEDIA_TYPE
from stages.scanners.trivy import Trivy
from tests.integration.conftest import CreateRepository
from tests.integration.test_scan import PYYAML, REQUESTS
from tests.support.cosign import PASSWORD, KeyPair, ensure_cosign, make_key
from tests.support.git_server import Repository as GitRepository
from tests.support.registry import Registry
from tests.support.small_image import make_image

KUSTOMIZATION = "images:\n  - name: small\n    newName: {name}\n    newTag: one\n    digest: {digest}\n"
WEIGHTS = b"w" * 3_000_000


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights.bin").write_bytes(WEIGHTS)
    return tmp_path / "model"


@pytest.fixture
def repository(registry: Registry, repository_name: str) -> Repository:
    return Repository(f"{registry.address}/{repository_name}")


def made(folder: Path, name: str, files: Mapping[str, str], model: Path) -> BuiltImage:
    platforms = ("linux/amd64", "linux/arm64")
    content = {path: text.encode() for path, text in files.items()}
    return make_image(folder / name, content, model=model, tag=name, platforms=platforms)


def desk(folder: Path, name: str, cache: str = "cache") -> Desk:
    (folder / name).mkdir()
    (folder / cache).mkdir(exist_ok=True)
    return Desk(folder=folder / name, cache=folder / cache)


@pytest.fixture
def old(tmp_path: Path, model: Path, repository: Repository, docker_login: Path) -> BuiltImage:
    """An image in the registry, with a flaw that stays and one that goes."""
    image = made(tmp_path, "old", {**PYYAML, **REQUESTS}, model)
    push = Push(repositories=(repository,), layout_folder=tmp_path / "delivered")
    push.run(Artifacts(image), desk(tmp_path, "push"))
    return image


@pytest.fixture
def gitops(
    tmp_path: Path, old: BuiltImage, repository: Repository, create_repository: CreateRepository
) -> GitRepository:
    """A GitOps repository that names it."""
    (tmp_path / "gitops").mkdir()
    text = KUSTOMIZATION.format(name=repository, digest=old.digest)
    (tmp_path / "gitops" / "kustomization.yaml").write_text(text)
    return create_repository(tmp_path / "gitops")


@pytest.fixture
def stage(tmp_path: Path, repository: Repository, vulnerability_database: str, gitops: GitRepository) -> Scan:
    """A scan that tells what is new."""
    shelf = Shelf(tmp_path / "cache")
    trivy = Trivy(databases=(vulnerability_database,), cache=tmp_path / "trivy", lists=("cyclonedx",))
    destination = Destination(
        image="small", repositories=(repository,), repository=gitops.url, targets=(Target(path=""),)
    )
    baseline = DeployedBaseline(
        scanner=trivy,
        destination=destination,
        registries=Registries(repositories=(repository,)),
        shelf=shelf,
    )
    sboms = Sboms(shelf=shelf, formats=("cyclonedx",))
    return Scan(scanner=trivy, sboms=sboms, additions=(baseline,))


def new_and_gone(report: ScanReport) -> tuple[list[str], list[str]]:
    assert report.baseline is not None, report.baseline_missing
    assert report.new_vulnerabilities is not None
    assert report.gone_vulnerabilities is not None
    return [one.id for one in report.new_vulnerabilities], [one.id for one in report.gone_vulnerabilities]


JINJA = {
    "site-packages/jinja2-3.1.2.dist-info/METADATA": "Metadata-Version: 2.1\nName: jinja2\nVersion: 3.1.2\n"
}


def test_new_and_gone_findings_from_the_application_layers_alone_and_later_from_their_list(
    tmp_path: Path, stage: Scan, old: BuiltImage, model: Path
) -> None:
    new = made(tmp_path, "new", {**PYYAML, **JINJA}, model)
    said: list[str] = []
    here = replace(desk(tmp_path, "first"), say=said.append)
    first = stage.run(Artifacts(new), here)
    appeared, gone = new_and_gone(first)
    assert {"CVE-2024-22195", "CVE-2024-34064", "CVE-2024-56326"} <= set(appeared)
    assert "CVE-2020-14343" not in appeared  # it was there before
    assert gone == ["CVE-2024-47081"]
    assert first.baseline is not None
    assert (first.baseline.how, first.baseline.database) == ("scan", "")
    assert first.baseline.reference.endswith(str(old.digest))
    assert first.baseline.size_bytes == old.size_bytes
    assert not (here.folder / "deployed").exists()
    pulled = [line for line in said if line.startswith("pulling")]
    layers = [layer for one in old.platforms for layer in one.application_layers]
    assert pulled == [
        f"pulling {layer.size_bytes / 1e6:.1f} MB of the deployed image's application layers"
        for layer in layers
    ]  # and none of the weights
    second = stage.run(Artifacts(new), desk(tmp_path, "second"))
    assert second.baseline is not None
    assert second.baseline.how == "sbom"
    assert new_and_gone(second) == (appeared, gone)
    same = stage.run(Artifacts(old), desk(tmp_path, "same"))
    assert same.baseline is not None
    assert same.baseline.how == "same digest"
    assert new_and_gone(same) == ([], [])


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeyPair:
    ensure_cosign()
    monkeypatch.setenv("COSIGN_PASSWORD", PASSWORD)
    return make_key(tmp_path / "keys")


def believing(stage: Scan, key: KeyPair) -> Scan:
    """Return the stage that believes this key."""

    def verifier(desk: Desk) -> Verifier:
        trust = Trust(key=str(key.public), transparency_log=False)
        return Verifier(trust=Cosign().with_key(trust, desk), cosign=Cosign(), desk=desk)

    (addition,) = stage.additions
    assert isinstance(addition, DeployedBaseline)
    return replace(stage, additions=(replace(addition, verifier=verifier),))


def test_an_attested_list_of_the_deployed_image_is_enough(  # noqa: PLR0913, PLR0917 - the parts of a delivery
    tmp_path: Path, stage: Scan, old: BuiltImage, model: Path, repository: Repository, keys: KeyPair
) -> None:
    lay(listed(tmp_path, stage, old), old, repository, desk(tmp_path, "attach"), keys)
    new = made(tmp_path, "new", {**PYYAML, **JINJA}, model)
    told = believing(stage, keys).run(Artifacts(new), desk(tmp_path, "run"))
    assert told.baseline is not None, told.baseline_missing
    assert told.baseline.how == "sbom"
    assert new_and_gone(told)[1] == ["CVE-2024-47081"]
    assert not list((tmp_path / "cache" / "sbom").glob("*-deployed.*"))  # another's list is not kept as ours


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed by another"])
def test_a_list_of_somebody_else_hides_no_new_finding(  # noqa: PLR0913, PLR0917 - the parts of a delivery
    tmp_path: Path,
    stage: Scan,
    old: BuiltImage,
    model: Path,
    repository: Repository,
    keys: KeyPair,
    signed: bool,
) -> None:
    new = made(tmp_path, "new", {**PYYAML, **JINJA}, model)
    poison = listed(tmp_path, stage, new)  # says that the deployed image had all of this
    other = make_key(tmp_path / "other") if signed else None
    lay(poison, old, repository, desk(tmp_path, "attach"), other)
    told = believing(stage, keys).run(Artifacts(new), desk(tmp_path, "run"))
    assert told.baseline is not None, told.baseline_missing
    assert told.baseline.how == "scan"
    assert "CVE-2024-22195" in new_and_gone(told)[0]


def listed(folder: Path, stage: Scan, image: BuiltImage) -> tuple[bytes, ...]:
    """Return the list of each platform of an image."""
    shelf = Shelf(folder / "elsewhere")
    plain = Scan(scanner=stage.scanner, sboms=Sboms(shelf=shelf, formats=("cyclonedx",)))
    report = plain.run(Artifacts(image), desk(folder, "builder", "elsewhere"))
    return tuple((folder / "elsewhere" / one.path).read_bytes() for one in report.sboms)


def lay(
    lists: tuple[bytes, ...], image: BuiltImage, repository: Repository, here: Desk, key: KeyPair | None
) -> None:
    """Lay lists beside the platforms of an image: as they are, or signed."""
    with opened(Registries(repositories=(repository,)), repository, here, write=True) as shelf:
        for content, platform in zip(lists, image.platforms, strict=True):
            if key is None:
                Referrers(client=shelf.client).push(platform.manifest, MEDIA_TYPE, content, MEDIA_TYPE)
                continue
            said = Statement(
                predicate_type=CYCLONEDX,
                name="small",
                subjects=(platform.manifest.digest,),
                predicate=json.loads(content),
            )
            signing = Signing(key=str(key.private), services=Services(transparency_log=False))
            shelf.put(platform.manifest, Bundle.parse(Cosign().sign(said.content(), signing, here)))


@pytest.mark.parametrize(
    ("manifest", "why"),
    [
        ("images:\n  - {name: small, newName: NAME, newTag: one}\n", "without a digest"),
        ("resources: []\n", "no `images:` entry"),
        (KUSTOMIZATION.format(name="NAME", digest=f"sha256:{'1' * 64}"), "does not have it any more"),
    ],
    ids=["no digest", "no image", "gone from the registry"],
)
def test_why_nothing_is_known_is_said_and_is_no_error(  # noqa: PLR0913, PLR0917 - the parts of a delivery
    tmp_path: Path,
    stage: Scan,
    gitops: GitRepository,
    model: Path,
    repository: Repository,
    manifest: str,
    why: str,
) -> None:
    (tmp_path / "gitops" / "kustomization.yaml").write_text(manifest.replace("NAME", repository))
    gitops.commit(tmp_path / "gitops", "Change")
    report = stage.run(Artifacts(made(tmp_path, "new", PYYAML, model)), desk(tmp_path, "run"))
    assert report.baseline is None
    assert why in report.baseline_missing
    assert report.new_vulnerabilities is None
    assert [one.id for one in report.vulnerabilities] == ["CVE-2020-14343"]
