"""The example, by one run of the command, in all clouds at once."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import boto3
import pytest
from azure.containerregistry import ContainerRegistryClient
from azure.identity import DefaultAzureCredential
from google.cloud.artifactregistry_v1 import ArtifactRegistryClient

from pipeline.artifacts import Artifacts
from pipeline.model import BuiltImage, ManifestUpdate, PushedImage
from pipeline.record import Record, Status
from tests.support import counted_hashes, example
from tests.support.clouds import acr, artifact_registry, ecr
from tests.support.clouds.all_clouds import EVIDENCE, Clouds
from tests.support.clouds.aws import REGIONS
from tests.support.clouds.crane import Crane
from tests.support.clouds.google import PROJECT
from tests.support.git_server import GitServer
from tests.support.git_server import Repository as ServedRepository
from tests.support.registry import Registry


@pytest.mark.long
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
        **example.UNHURRIED,
        "PIPELINE_REGISTRIES": json.dumps(list(clouds.registries.values())),
        "PIPELINE_SCAN__DATABASE__REPOSITORIES": vulnerability_database,
        "PIPELINE_UPDATE__REPOSITORY": gitops.url,
        "GITOPS_USERNAME": git_server.username,
        "GITOPS_PASSWORD": git_server.password,
    }
    record = run(tmp_path / "digits", settings, tmp_path / "hashes.txt")
    assert [(stage.name, stage.status) for stage in record.stages] == [
        (name, Status.PASSED) for name in ("test", "build", "scan", "benchmark", "push", "update")
    ]
    made = Artifacts(*record.made())
    built, pushed = made[BuiltImage], made[PushedImage]
    assert (built.tag, pushed.digest, pushed.failures) == (commit, built.digest, ())
    assert [each.repository for each in pushed.references] == list(clouds.repositories.values())
    assert {blob.how for each in pushed.references for blob in each.blobs} == {"uploaded"}
    assert_verified(pushed)
    assert_each_sdk_finds(clouds, built)
    assert_crane_reads(crane, clouds, built, tmp_path / "digits" / "model")
    assert made[ManifestUpdate].commit == gitops.head()
    image = f"image: {clouds.repositories[ecr.HOST]}:{commit}@{built.digest}"
    assert image in example.rendered(kubectl, gitops, tmp_path)
    assert_hashed_once(built, tmp_path / "hashes.txt")


def run(folder: Path, settings: Mapping[str, str], hashes: Path) -> Record:
    """Run the command as a user does, and return the record that it prints."""
    done = subprocess.run(
        [sys.executable, "-I", counted_hashes.__file__, str(hashes), "run", "--json"],
        cwd=folder,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Record.model_validate_json(done.stdout)


def assert_verified(pushed: PushedImage) -> None:
    """The record says of each registry who was asked what it holds."""
    for reference in pushed.references:
        assert reference.evidence is not None
        assert reference.evidence.asked.endswith(EVIDENCE[reference.repository.host])
        assert (reference.evidence.manifests_compared, reference.tag_existed) == (1, False)


def assert_hashed_once(image: BuiltImage, hashes: Path) -> None:
    """Each file once, to make its layer known in the build; the layer then, and once more for all uploads."""
    (layer,) = image.model_layers
    counted = counted_hashes.counted(hashes)
    assert counted[layer.descriptor.digest.encoded] == 2
    assert [counted[file.digest.encoded] for file in layer.files] == [1, 1]


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
