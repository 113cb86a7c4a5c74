"""`delivery: image`: the weights as an image of their own, from the commit to their clients."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from pipeline.artifacts import Artifacts
from pipeline.model import BuiltImage, ManifestUpdate, Pushed, PushedImage, ScanReport
from pipeline.record import Status
from tests.support.git_server import run_git
from tests.support.project import Project, answers_half, docker, remote_digest

BIG_BYTES = 9_000_000  # such a file has a layer of its own
SERVICE = """\
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: tiny}
spec:
  predictor:
    model:
      modelFormat: {name: custom}
      storageUri: oci://IMAGE-model:none  # the weights
"""
VOLUME = """\
      volumes:
        - name: weights
          image: {reference: "IMAGE-model:none"}
"""


@pytest.fixture
def project(project: Project, tmp_path: Path) -> Project:
    """Let a Deployment and KServe mount the weights where the server looks for them."""
    server = project.folder / "serve.py"
    server.write_text(server.read_text().replace("/models/tiny/", "/mnt/models/"))
    (project.folder / "model" / "big.bin").write_bytes(os.urandom(BIG_BYTES))
    project.commit()
    repository = f"{project.registry.address}/{project.name}/tiny"
    apps = tmp_path / "gitops" / "apps" / "tiny"
    with (apps / "deployment.yaml").open("a") as manifest:
        manifest.write(VOLUME.replace("IMAGE", repository))
    (apps / "service.yaml").write_text(SERVICE.replace("IMAGE", repository))
    project.gitops.commit(tmp_path / "gitops", "mount the weights")
    mounts = ({"path": f"apps/tiny/{name}.yaml", "image": f"{repository}-model"} for name in MOUNTING)
    project.set(model__delivery="image", update__targets=[{"path": "apps/tiny"}, *mounts])
    return project


MOUNTING = ("deployment", "service")


def delivered(project: Project) -> tuple[BuiltImage, PushedImage, Pushed]:
    made = Artifacts(*project.record().made())
    pushed = made[PushedImage]
    assert pushed.model_image is not None
    return made[BuiltImage], pushed, pushed.model_image


def test_both_digests_land_in_one_commit_and_the_images_run_together(
    project: Project, skopeo: str, tmp_path: Path, kubectl: str, docker_login: Path
) -> None:
    before = project.gitops.head()
    done = project.pipeline("run")
    assert done.returncode == 0, done.stdout
    built, pushed, weights = delivered(project)
    application, model = (str(one.references[0]) for one in (pushed, weights))
    assert remote_digest(skopeo, project, application.partition("@")[0]) == built.digest
    assert built.model_image is not None
    found = remote_digest(skopeo, project, model.partition("@")[0])
    assert found == weights.digest == built.model_image.digest
    assert (weights.tag, built.model_layers) == (weights.digest.short, ())
    for line in (f"image   {application}", f"model   {model}"):
        assert line in done.stdout

    assert project.gitops.git("rev-list", "--count", f"{before}..main") == "1"
    message = project.gitops.git("show", "--no-patch", "--format=%B", "main")
    assert f"Image: {application}" in message
    assert f"Image: {model}" in message
    service = yaml.safe_load(project.gitops.read("apps/tiny/service.yaml"))
    name = weights.references[0].repository
    assert service["spec"]["predictor"]["model"]["storageUri"] == f"oci://{name}@{weights.digest}"
    assert project.gitops.read("apps/tiny/service.yaml").endswith("  # the weights")
    checkout = tmp_path / "checkout"
    run_git("clone", "--quiet", project.gitops.url, str(checkout))
    rendered = subprocess.run(
        [kubectl, "kustomize", str(checkout / "apps/tiny")], check=True, capture_output=True, text=True
    ).stdout
    assert f"image: {application}" in rendered
    assert f"reference: {model}" in rendered

    docker("pull", "--quiet", model)
    assert contents(model, tmp_path) == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (project.folder / "model").iterdir()
    }
    assert answers_half(
        application, "--mount", f"type=image,source={model},target=/mnt/models,image-subpath=models"
    )


def contents(reference: str, folder: Path) -> dict[str, str]:
    """Return the digests of the files that an image has below /models, and see that it has nothing else."""
    container = docker("create", reference, "nothing-to-run")
    try:
        docker("cp", f"{container}:/models", str(folder / "copied"))
    finally:
        docker("rm", container)
    copied = folder / "copied"
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in copied.iterdir()}


def test_a_change_of_code_leaves_the_model_image_as_it_is(project: Project) -> None:
    project.set(skip={"scan": "only what is pushed matters here", "benchmark": "so it does"})
    project.passes("run")
    first, _, weights = delivered(project)
    project.write("serve.py", (project.folder / "serve.py").read_text() + "\n# a comment\n")
    done = project.pipeline("run")
    assert done.returncode == 0, done.stdout
    second, pushed, again = delivered(project)
    assert first.digest != second.digest
    assert (again.digest, again.tag) == (weights.digest, weights.tag)
    assert again.references[0].tag_existed
    assert again.references[0].bytes_sent == 0
    assert again.references[0].bytes_saved > BIG_BYTES
    assert pushed.references[0].bytes_sent < 20_000
    update = Artifacts(*project.record().made())[ManifestUpdate]
    assert [file.path for file in update.files] == ["apps/tiny/kustomization.yaml"]


def test_a_modelcar_has_a_shell_and_what_it_begins_with_is_scanned(
    project: Project, base_image: str, docker_login: Path
) -> None:
    project.set(
        model__base=base_image,
        skip__benchmark="nothing runs without a base",
        policies=[{"rule": "base_image", "allowed": ["scratch", base_image]}],
    )
    project.write("Dockerfile", "FROM scratch\nCOPY serve.py /serve.py\nUSER 10001\n")
    done = project.pipeline("run")
    assert done.returncode == 0, done.stdout
    built, _, weights = delivered(project)
    assert built.model_image is not None
    assert built.model_image.base is not None
    assert built.model_image.base.name == base_image
    assert Artifacts(*project.record().made())[ScanReport].packages > 10

    # what KServe's init container runs, in the place of the image's own command
    check = '[ -d /models ] && [ "$(ls -A /models)" ] && cat /models/weight.txt'
    weight = docker("run", "--rm", str(weights.references[0]), "sh", "-c", check)
    assert float(weight) == 0.5

    project.passes("run")
    assert delivered(project)[2].digest == weights.digest
    assert project.record().stages[1].status is Status.REUSED
    project.set(policies=[{"rule": "base_image", "allowed": ["scratch"]}])
    refused = project.pipeline("run")
    assert refused.returncode == 3
    assert f"model image: the base image is {base_image}; allowed are scratch" in refused.stdout


def test_without_a_registry_both_images_are_in_the_folder(
    project: Project, skopeo: str, tmp_path: Path
) -> None:
    for name in ("PIPELINE_REGISTRIES", "PIPELINE_UPDATE__REPOSITORY"):
        del project.environment[name]
    project.set(update__targets=[], skip__benchmark="measured elsewhere")
    done = project.pipeline("run")
    assert done.returncode == 0, done.stdout
    _, pushed, weights = delivered(project)
    assert pushed.layout == weights.layout
    for image in (pushed, weights):
        copy = ["copy", f"oci:{image.layout}:{image.tag}", f"dir:{tmp_path / image.digest.short}"]
        subprocess.run([skopeo, *copy], check=True, capture_output=True)
        assert f"oci:{image.layout}:{image.tag}" in done.stdout


def test_a_dry_run_shows_both(project: Project) -> None:
    project.set(skip={"scan": "only what is shown matters here", "benchmark": "so it does"})
    done = project.pipeline("run", "--dry-run")
    assert done.returncode == 0, done.stdout
    built = Artifacts(*project.record().made())[BuiltImage]
    assert built.model_image is not None
    assert f"-model:{built.model_image.tag}@{built.model_image.digest}" in done.stdout
    assert f"+    digest: {built.digest}" in done.stdout
    assert project.tags() == []
