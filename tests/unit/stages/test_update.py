"""Which image a target gets, and what the commit says; without a GitOps repository, as a preview."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.model import Problem, Pushed, PushedImage, PushedReference, Source
from pipeline.reference import Digest, Repository, Tag
from stages.gitops.destination import Destination
from stages.gitops.message import commit_message
from stages.manifests.interface import NewImage, Target
from stages.oci.order_key import OrderKey
from stages.update import Update

HOST = "registry.example.com/team"
COMMIT = "4f9c1d2e8a7b6c5d4e3f2a1b0c9d8e7f6a5b4c3d"
CODE, WEIGHTS = Digest.of(b"code"), Digest.of(b"weights")
APPLICATION = f"{HOST}/digits:v2@{CODE}"
MODEL = f"{HOST}/digits-model:w2@{WEIGHTS}"
MANIFEST = """\
apiVersion: v1
kind: Pod
spec:
  containers:
    - image: {application}
  volumes:
    - image: {{reference: "{model}"}}
"""


def reference(repository: str, tag: str, digest: Digest) -> PushedReference:
    return PushedReference(
        repository=Repository(repository), tag=Tag(tag), digest=digest, tag_existed=False, duration_s=1.0
    )


def pushed(*hosts: str) -> PushedImage:
    weights = tuple(reference(f"{host}/digits-model", "w2", WEIGHTS) for host in hosts)
    return PushedImage(
        name="digits",
        tag=Tag("v2"),
        digest=CODE,
        references=tuple(reference(f"{host}/digits", "v2", CODE) for host in hosts),
        model_image=Pushed(name="digits-model", tag=Tag("w2"), digest=WEIGHTS, references=weights),
    )


def source(root: Path) -> Source:
    return Source(root=root, commit=COMMIT, committed_at=datetime(2026, 1, 2, tzinfo=UTC))


def update(*targets: Target, hosts: tuple[str, ...] = (HOST,)) -> Update:
    return Update(
        destination=Destination(
            image="digits",
            repositories=tuple(Repository(f"{host}/digits") for host in hosts),
            model_image="digits-model",
            model_repositories=tuple(Repository(f"{host}/digits-model") for host in hosts),
            targets=targets,
        )
    )


def edited(tmp_path: Path, stage: Update, image: PushedImage, *, dry_run: bool = False) -> str:
    """Return the lines that the preview of a manifest adds."""
    desk = Desk(folder=tmp_path, cache=tmp_path, dry_run=dry_run)
    made = stage.run(Artifacts(source(tmp_path), image), desk)
    return "\n".join(line for file in made.files for line in file.diff.splitlines() if line.startswith("+"))


@pytest.mark.parametrize("dry_run", [False, True])
def test_each_target_gets_the_image_that_it_names(tmp_path: Path, dry_run: bool) -> None:
    old = MANIFEST.format(application=f"{HOST}/digits:v1", model=f"{HOST}/digits-model:w1")
    (tmp_path / "pod.yaml").write_text(old)
    stage = update(Target(path="pod.yaml"), Target(path="pod.yaml", image=f"{HOST}/digits-model"))
    image = pushed(HOST)
    if dry_run:  # nothing was pushed: what would have been is shown
        weights = Pushed(name="digits-model", tag=Tag("w2"), digest=WEIGHTS)
        image = image.model_copy(update={"references": (), "model_image": weights})
    lines = edited(tmp_path, stage, image, dry_run=dry_run)
    assert f"image: {APPLICATION}" in lines
    assert f'reference: "{MODEL}"' in lines


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("digits-model", MODEL),  # a name that is completed by a registry later
        ("b.example.com/digits-model", f"b.example.com/digits-model:w2@{WEIGHTS}"),
        ("old/weights", f"{HOST}/digits:v2@{CODE}"),  # any other name is of an image to replace
    ],
)
def test_the_name_decides_for_image_and_registry(tmp_path: Path, named: str, expected: str) -> None:
    hosts = (HOST, "b.example.com")
    (tmp_path / "pod.yaml").write_text(MANIFEST.format(application="other", model=f"{named}:w1"))
    stage = update(Target(path="pod.yaml", image=named), hosts=hosts)
    assert f'reference: "{expected}"' in edited(tmp_path, stage, pushed(*hosts))


@pytest.mark.parametrize(
    ("got", "lacking"),
    [
        ((HOST, "b.example.com"), ""),
        ((HOST,), ""),  # no target names the other one
        (
            ("b.example.com",),
            f"No manifest was updated: pod.yaml gets {HOST}/digits, which did not get the image.",
        ),
        ((), "No manifest was updated."),
    ],
)
def test_after_a_push_that_failed_it_lacks_only_what_its_targets_name(
    got: tuple[str, ...], lacking: str
) -> None:
    targets = Target(path="pod.yaml"), Target(path="pod.yaml", image=f"{HOST}/digits-model")
    assert update(*targets, hosts=(HOST, "b.example.com")).lacking(pushed(*got)) == lacking


def test_weights_that_a_target_names_are_lacking_too() -> None:
    image = pushed(HOST)
    without = image.model_copy(update={"model_image": None})
    stage = update(Target(path="a"), Target(path="b", image=f"{HOST}/digits-model"))
    assert (
        stage.lacking(without)
        == f"No manifest was updated: b gets {HOST}/digits-model, which did not get the image."
    )


def test_what_another_stage_has_made_is_never_enough() -> None:
    assert update(Target(path="a")).lacking(source(Path())) == "No manifest was updated."


def test_the_check_tells_which_target_gets_which_image(tmp_path: Path) -> None:
    (tmp_path / "pod.yaml").write_text(
        MANIFEST.format(application=f"{HOST}/digits:v1", model=f"{HOST}/digits-model:w1")
    )
    both = update(Target(path="pod.yaml"), Target(path="pod.yaml", image=f"{HOST}/digits-model"))
    desk = Desk(folder=tmp_path, cache=tmp_path)
    found = [check.found for check in replace(both, root=tmp_path).check(desk)]
    assert found == [f"pod.yaml:5 gets {HOST}/digits", f"pod.yaml:7 gets {HOST}/digits-model"]


def test_an_application_is_not_rolled_out_without_the_weights_it_was_measured_with(tmp_path: Path) -> None:
    (tmp_path / "pod.yaml").write_text(MANIFEST.format(application=f"{HOST}/digits:v1", model="other:w1"))
    stage = replace(update(Target(path="pod.yaml")), root=tmp_path)
    missing, found = stage.check(Desk(folder=tmp_path, cache=tmp_path))
    assert missing.problem is Problem.CONFIGURATION
    assert f"no target names {HOST}/digits-model" in missing.found
    assert f"image: {HOST}/digits-model" in missing.advice
    assert found.passed


def test_weights_that_a_manifest_does_not_name_are_to_be_written_there_once(tmp_path: Path) -> None:
    (tmp_path / "pod.yaml").write_text(MANIFEST.format(application=f"{HOST}/digits:v1", model="other:w1"))
    both = update(Target(path="pod.yaml"), Target(path="pod.yaml", image=f"{HOST}/digits-model"))
    _, missing = replace(both, root=tmp_path).check(Desk(folder=tmp_path, cache=tmp_path))
    assert f"names no image {HOST}/digits-model" in missing.found
    assert missing.advice.startswith(f"Write {HOST}/digits-model into the manifest once")


def test_the_commit_names_both_images(tmp_path: Path) -> None:
    image = pushed(HOST)
    wishes = (
        (Target(path="a"), NewImage(repository=Repository(f"{HOST}/digits"), tag=image.tag, digest=CODE)),
        (
            Target(path="b"),
            NewImage(repository=Repository(f"{HOST}/digits-model"), tag=Tag("w2"), digest=WEIGHTS),
        ),
    )
    weights = f"the weights in digits-model (sha256:{WEIGHTS.short})"
    message = commit_message(source(tmp_path), image, wishes, OrderKey.of(source(tmp_path), "run-1"))
    assert message.splitlines() == [
        f"digits: deploy {COMMIT[:12]} (sha256:{CODE.short})",
        "",
        f"Roll out digits as it was built from commit {COMMIT}, with {weights}.",
        "",
        f"Image: {APPLICATION}",
        f"Image: {MODEL}",
        "Manifest: a",
        "Manifest: b",
        f"Order-Key: 2026-01-02T00:00:00Z {COMMIT}",
        "Tag: v2",
        f"Digest: {CODE}",
        f"Model-Image: digits-model:w2@{WEIGHTS}",
        f"Source-Commit: {COMMIT}",
        "Pipeline-Run: run-1",
    ]
