"""One delivery to all clouds at once: each asked by its own SDK, and read back by a client not ours."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import boto3
import pytest
from azure.containerregistry import ContainerRegistryClient
from azure.identity import DefaultAzureCredential
from google.cloud.artifactregistry_v1 import ArtifactRegistryClient

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import RemoteError
from pipeline.model import BuiltImage, ImageTag, ManifestUpdate, PushedImage
from pipeline.record import Record, Status
from pipeline.reference import Repository, Tag
from stages.push import Push
from stages.registries import recognise
from tests.support import counted_hashes, example
from tests.support.clouds import acr, artifact_registry, ecr
from tests.support.clouds.acr import NOBODY, Azure
from tests.support.clouds.artifact_registry import GoogleCloud
from tests.support.clouds.aws import REGIONS
from tests.support.clouds.crane import Crane
from tests.support.clouds.ecr import Amazon
from tests.support.clouds.front import Asked
from tests.support.clouds.google import PROJECT
from tests.support.clouds.hub_family import DOCKER_HUB, GHCR, PASSWORD, WRITER, Kin, Running
from tests.support.clouds.internet import Internet
from tests.support.git_server import GitServer
from tests.support.git_server import Repository as ServedRepository
from tests.support.registry import Registry
from tests.support.small_image import COMMIT

DOCKER_HUB_KEY = "https://index.docker.io/v1/"
EVIDENCE = {
    ecr.HOST: "Amazon ECR: DescribeImages",
    artifact_registry.HOST: "Google Artifact Registry: GetDockerImage",
    acr.HOST: "Azure Container Registry: manifest properties",
    DOCKER_HUB.host: "OCI distribution API",
    GHCR.host: "OCI distribution API",
}


@dataclass(frozen=True, slots=True)
class Clouds:
    """All of them, with a new repository in each, and a user who may push."""

    amazon: Amazon
    google_cloud: GoogleCloud
    azure: Azure
    registries: Mapping[str, str]
    """As `registries:` names them, by their hosts."""
    docker: Crane
    """What `docker login` has left on this machine."""

    @property
    def repositories(self) -> Mapping[str, Repository]:
        return {host: Repository(f"{registry}/digits") for host, registry in self.registries.items()}

    @property
    def stage(self) -> Push:
        return Push(
            repositories=tuple(self.repositories.values()),
            layout_folder=Path("/nowhere"),
            tag=Tag(COMMIT),
        )


@pytest.fixture
def clouds(  # noqa: PLR0913, PLR0917 - that is what all of them are
    internet: Internet,
    amazon: Amazon,
    google_cloud: GoogleCloud,
    microsoft_azure: Azure,
    hub_family: Mapping[Kin, Running],
    crane: Crane,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[Clouds]:
    name = uuid4().hex[:12]
    amazon.plane.client("ecr").create_repository(
        repositoryName=f"models/{name}/digits", imageTagMutability="IMMUTABLE"
    )
    location = artifact_registry.HOST.removesuffix("-docker.pkg.dev")
    google_cloud.google.make_repository(location, f"models-{name}", immutable=True)
    account = google_cloud.google.make_account()
    (tmp_path / "google.json").write_text(json.dumps(account.document))
    docker = Crane(tmp_path / "docker", {})
    docker.folder.mkdir()
    for key in (DOCKER_HUB_KEY, GHCR.host):
        docker.log_in(key, WRITER, PASSWORD)
        crane.log_in(key, WRITER, PASSWORD)
    environment = {
        **amazon.plane.administrator.environment,
        **microsoft_azure.add("AcrPush").environment,
        "GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "google.json"),
        "CLOUDSDK_CONFIG": str(tmp_path / "gcloud"),
        "NO_GCE_CHECK": "true",
    }
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    crane.log_in(ecr.HOST, "AWS", amazon.ecr.password())
    crane.log_in(artifact_registry.HOST, "oauth2accesstoken", google_cloud.google.mint(account))
    azure = recognise(acr.HOST).credentials()
    assert azure is not None
    crane.log_in(acr.HOST, NOBODY, azure.secret)
    paths = {
        ecr.HOST: f"models/{name}",
        artifact_registry.HOST: f"{PROJECT}/models-{name}",
        acr.HOST: f"models/{name}",
        DOCKER_HUB.host: f"team-{name}",
        GHCR.host: f"team/{name}",
    }
    internet.proxy.refused.clear()
    registries = {host: f"{host}/{path}" for host, path in paths.items()}
    yield Clouds(amazon, google_cloud, microsoft_azure, registries, docker)
    amazon.ecr.denied.clear()
    microsoft_azure.acr.expire_at = None
    google_cloud.google.repositories.clear()
    for asked in (amazon.registry, google_cloud.registry, microsoft_azure.registry):
        asked.asked.clear()
    for kin in hub_family.values():
        kin.rules.reset()
        kin.front.asked.clear()
        kin.store.asked.clear()
    assert internet.proxy.refused == []  # nothing was asked of anybody else


def test_one_delivery_reaches_all_and_each_is_verified_by_its_own_sdk_and_by_crane(
    clouds: Clouds, image: BuiltImage, desk: Desk, crane: Crane
) -> None:
    plan = clouds.stage.check(desk)
    pushed = clouds.stage.run(Artifacts(image), desk)
    assert all(check.passed for check in plan), plan
    assert [each.repository.host for each in pushed.references] == list(clouds.repositories)
    for reference in pushed.references:
        evidence = reference.evidence
        assert evidence is not None
        assert evidence.asked.endswith(EVIDENCE[reference.repository.host])
        assert (evidence.manifests_compared, evidence.blobs_found) == (1, 3)
        assert {blob.how for blob in reference.blobs} == {"uploaded"}
        copy = desk.folder / reference.repository.host
        assert crane("digest", f"{reference.repository}:{COMMIT}") == image.digest
        crane("pull", "--format=oci", f"{reference.repository}@{image.digest}", str(copy))
        weights = copy / "blobs" / "sha256" / image.model_layers[0].descriptor.digest.encoded
        assert weights.stat().st_size == image.model_size_bytes
    again = clouds.stage.run(Artifacts(image), desk)
    assert [(each.tag_existed, each.bytes_sent) for each in again.references] == [(True, 0)] * 5


@pytest.mark.timeout(900)
def test_one_run_delivers_the_example_to_all_with_the_weights_hashed_once(  # noqa: PLR0913, PLR0917 - real parts
    clouds: Clouds,
    prepared_example: Path,
    base_image: str,
    registry: Registry,
    vulnerability_database: str,
    git_server: GitServer,
    create_repository: Callable[[Path | None], ServedRepository],
    docker_config: Path,
    kubectl: str,
    crane: Crane,
    tmp_path: Path,
) -> None:
    commit = example.commit_copy(prepared_example, tmp_path / "digits")
    gitops = create_repository(example.gitops_tree(tmp_path, clouds.repositories[ecr.HOST]))
    clouds.docker.log_in(registry.address, registry.username, registry.password)
    if (docker_config / "cli-plugins").is_dir():
        (clouds.docker.folder / "cli-plugins").symlink_to(docker_config / "cli-plugins")
    settings = {
        "PIPELINE_BENCHMARK__RATE_RPS": "25",
        "PIPELINE_REGISTRIES": json.dumps(list(clouds.registries.values())),
        "PIPELINE_SCAN__DATABASE__REPOSITORIES": vulnerability_database,
        "PIPELINE_UPDATE__REPOSITORY": gitops.url,
        "GITOPS_USERNAME": git_server.username,
        "GITOPS_PASSWORD": git_server.password,
    }
    hashes = tmp_path / "hashes.txt"
    done = subprocess.run(
        [sys.executable, "-I", counted_hashes.__file__, str(hashes), "run", "--json"],
        cwd=tmp_path / "digits",
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    record = Record.model_validate_json(done.stdout)
    assert [(stage.name, stage.status) for stage in record.stages] == [
        (name, Status.PASSED) for name in ("test", "build", "scan", "benchmark", "push", "update")
    ]
    made = Artifacts(*record.made())
    built, pushed = made[BuiltImage], made[PushedImage]
    assert (built.tag, pushed.digest, pushed.failures) == (commit, built.digest, ())
    assert [each.repository for each in pushed.references] == list(clouds.repositories.values())
    for reference in pushed.references:
        assert reference.evidence is not None
        assert reference.evidence.asked.endswith(EVIDENCE[reference.repository.host])
    assert_each_sdk_finds(clouds, built)
    assert_crane_reads(crane, clouds, built, tmp_path / "digits" / "model")
    assert made[ManifestUpdate].commit == gitops.head()
    image = f"image: {clouds.repositories[ecr.HOST]}:{commit}@{built.digest}"
    assert image in example.rendered(kubectl, gitops, tmp_path)
    (layer,) = built.model_layers
    counted = counted_hashes.counted(hashes)
    assert counted[layer.descriptor.digest.encoded] == 2, "in the build, and once for all registries"
    assert [counted[file.digest.encoded] for file in layer.files] == [1, 1], "in the build alone"


def assert_each_sdk_finds(clouds: Clouds, image: BuiltImage) -> None:
    """Ask each cloud by its own SDK, and not by the pipeline, what it holds."""
    path = {host: repository.path for host, repository in clouds.repositories.items()}
    amazon = boto3.client("ecr", region_name=REGIONS[0])
    asked = {"repositoryName": path[ecr.HOST], "imageIds": [{"imageDigest": image.digest}]}
    (found,) = amazon.describe_images(**asked)["imageDetails"]
    assert (found["imageDigest"], found["imageTags"]) == (image.digest, [image.tag])

    location = artifact_registry.HOST.removesuffix("-docker.pkg.dev")
    _, name, _ = path[artifact_registry.HOST].split("/")
    folder = f"projects/{PROJECT}/locations/{location}/repositories/{name}/dockerImages"
    google = ArtifactRegistryClient(transport="rest")
    there = google.get_docker_image(name=f"{folder}/digits@{image.digest}")
    assert (there.name.rpartition("@")[2], list(there.tags)) == (image.digest, [image.tag])

    with ContainerRegistryClient(f"https://{acr.HOST}", DefaultAzureCredential()) as azure:
        properties = azure.get_manifest_properties(path[acr.HOST], image.digest)
    assert (properties.digest, properties.tags) == (image.digest, [image.tag])


def assert_crane_reads(crane: Crane, clouds: Clouds, image: BuiltImage, model: Path) -> None:
    """Read every byte back through every front with a client that is not ours, and compare the weights."""
    (layer,) = image.model_layers
    for repository in clouds.repositories.values():
        assert crane("digest", f"{repository}:{image.tag}") == image.digest
        crane("validate", "--fast", "--remote", f"{repository}@{image.digest}")
        copy = crane.folder / "copy"
        crane("pull", "--format=oci", f"{repository}@{image.digest}", str(copy))
        blobs = copy / "blobs" / "sha256"
        for blob in blobs.iterdir():
            with blob.open("rb") as content:
                assert hashlib.file_digest(content, "sha256").hexdigest() == blob.name
        assert (blobs / image.digest.encoded).exists()
        with tarfile.open(blobs / layer.descriptor.digest.encoded) as tar:
            for file in layer.files:
                member = tar.extractfile(f"{layer.path.lstrip('/')}/{file.path}")
                assert member is not None
                assert member.read() == (model / file.path).read_bytes()
        shutil.rmtree(copy)


def test_one_that_fails_in_mid_push_hides_no_other_and_a_second_run_brings_it_the_rest(
    clouds: Clouds, image: BuiltImage, desk: Desk, crane: Crane
) -> None:
    clouds.amazon.ecr.denied.add("ecr:PutImage")  # after the layers
    clouds.azure.acr.expire_at = "PUT /blobs/"  # and a token that ends meanwhile is no failure at all
    with pytest.raises(RemoteError, match="1 of 5 pushes failed") as caught:
        clouds.stage.run(Artifacts(image), desk)
    made = caught.value.made
    assert isinstance(made, PushedImage)
    (failure,) = made.failures
    assert failure.repository == clouds.repositories[ecr.HOST]
    assert "AWS does not allow ecr:PutImage" in failure.message
    assert "Allow ecr:PutImage in the IAM policy" in caught.value.advice
    assert [line.count("pushed as") for line in caught.value.message.splitlines()] == [0, 0, 1, 1, 1, 1]
    clouds.amazon.ecr.denied.clear()
    again = clouds.stage.run(Artifacts(image), desk)
    assert [each.bytes_sent for each in again.references] == [0] * 5  # the layers were there already
    assert [each.tag_existed for each in again.references] == [False, True, True, True, True]
    assert crane("digest", f"{clouds.repositories[ecr.HOST]}:{COMMIT}") == image.digest


def test_a_tag_that_moves_is_refused_in_the_plan_where_tags_are_immutable(
    clouds: Clouds, image: BuiltImage, desk: Desk, crane: Crane
) -> None:
    tags = (ImageTag(tag=Tag("v1")), ImageTag(tag=Tag("latest"), moves=True))
    checks = replace(clouds.stage, further_tags=tags).check(desk)[1:]
    refused = [check.subject.removeprefix("registry ") for check in checks if not check.passed]
    assert refused == [clouds.repositories[ecr.HOST], clouds.repositories[artifact_registry.HOST]]
    assert all("latest would move with every delivery" in check.found for check in checks[:2])
    mutable = tuple(clouds.repositories[host] for host in (acr.HOST, GHCR.host))
    stage = replace(clouds.stage, repositories=mutable, further_tags=tags)
    stage.run(Artifacts(image), desk)
    for repository in mutable:
        assert {crane("digest", f"{repository}:{tag}") for tag in (COMMIT, "v1", "latest")} == {image.digest}


def test_the_doctor_writes_to_all_and_leaves_nothing(clouds: Clouds, desk: Desk) -> None:
    def sent(asked: list[Asked]) -> list[str]:
        return [
            each.method for each in asked if each.method not in {"GET", "HEAD"} and "/blobs/" in each.path
        ]

    checks = clouds.stage.diagnose(desk, write=True)
    assert all(check.passed for check in checks), checks
    found = {check.subject.removeprefix("registry ").partition("/")[0]: check.found for check in checks}
    assert set(found) == set(clouds.repositories)
    took = {host: words.partition("took ")[2] for host, words in found.items()}
    assert {took[host] for host in (ecr.HOST, artifact_registry.HOST)} == {
        "1 kB, and the upload was cancelled"
    }
    assert took[acr.HOST].startswith("1 kB; to cancel it takes the right to delete"), "which AcrPush has not"
    assert "its tags are immutable" in found[ecr.HOST]
    assert "blobs are not mounted here" in found[ecr.HOST]
    for registry in (clouds.amazon.registry, clouds.google_cloud.registry):
        assert sent(registry.asked) == ["POST", "PATCH", "DELETE"]
