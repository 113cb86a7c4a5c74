"""What may differ between two renderings: the image, what is made of it, and nothing else."""

import copy

import pytest

from pipeline.reference import Digest, Repository, Tag
from stages.manifests.comparison import Comparison, Intent, compare
from stages.manifests.interface import NewImage

NAME = "registry.example.com/team/digits"
OLD, NEW = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
IMAGE = NewImage(repository=Repository(NAME), tag=Tag("v2"), digest=Digest(NEW))
INTENTS = (Intent(frozenset({Repository(NAME), Repository("docker.io/library/digits")}), IMAGE),)

Document = dict[str, object]


def deployment(image: str, label: str = "one", argument: object = "run", name: str = "digits") -> Document:
    container = {"name": "app", "image": image, "args": [argument]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/version": label}},
        "spec": {"replicas": 2, "template": {"spec": {"containers": [container]}}},
    }


def compared(before: Document, after: Document) -> Comparison:
    return compare([before], [after], INTENTS, [("v1", "v2"), (OLD, NEW)])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (f"{NAME}:v1", f"{NAME}:v2@{NEW}"),
        (f"{NAME}:v1@{OLD}", f"{NAME}:v2@{NEW}"),
        (f"{NAME}@{OLD}", f"{NAME}@{NEW}"),
        (f"{NAME}:v1", f"{NAME}:v2"),
        ("digits", f"{NAME}:v2@{NEW}"),
        ("docker.io/library/digits:dev", f"{NAME}:v2@{NEW}"),
        (f"oci://{NAME}:v1", f"oci://{NAME}@{NEW}"),
    ],
)
def test_the_intended_image_may_stand_there(old: str, new: str) -> None:
    found = compared(deployment(old), deployment(new))
    assert (len(found.images), len(found.changed), found.documents) == (1, 1, 1)
    assert not found.derived
    assert not found.foreign


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (f"{NAME}:v1", f"{NAME}:v3"),
        (f"{NAME}:v1", f"{NAME}:v2-alpine"),
        (f"{NAME}:v1-alpine", f"{NAME}:v2-alpine"),
        (f"{NAME}@{OLD}", f"{NAME}@sha256:{'3' * 64}"),
        (f"{NAME}:v1", NAME),
        ("registry.example.com/team/other:v1", "registry.example.com/team/other:v2"),
        ("registry.example.com/team/other:v1", f"{NAME}:v2@{NEW}"),
    ],
)
def test_another_image_may_not(old: str, new: str) -> None:
    found = compared(deployment(old), deployment(new))
    assert [str(one) for one in found.foreign] == [
        f"Deployment/digits spec.template.spec.containers[0].image: {old} -> {new}"
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("v1", "v2"),
        ("1", f"v2@{NEW}"),
        ("--version=v1", "--version=v2"),
        (f"image {NAME}:v1", f"image {NAME}:v2@{NEW}"),
        ("v1 of api v1", "v2 of api v1"),
        ("a\nversion: v1\nb", "a\nversion: v2\nb"),
        ("1" * 12, "2" * 12),
    ],
)
def test_what_is_made_of_tag_or_digest_follows(old: str, new: str) -> None:
    before, after = deployment(f"{NAME}:v1", argument=old), deployment(f"{NAME}:v2", argument=new)
    found = compare([before], [after], INTENTS, [("v1", "v2"), ("1", "v2"), (OLD, NEW)])
    assert [one.now for one in found.derived] == [new]
    assert not found.foreign


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("run", "stop"),
        ("v1", "v3"),
        ("v1", "v2 --debug"),
        ("a\nv1", "v2"),
        ("v1", None),
        ("app-production", "app-developing"),
        (2, 3),
        (True, False),
        ([1], [1, 2]),
    ],
)
def test_what_has_nothing_to_do_with_the_image_is_foreign(old: object, new: object) -> None:
    found = compared(deployment(f"{NAME}:v1", argument=old), deployment(f"{NAME}:v2", argument=new))
    assert len(found.foreign) == 1
    assert not found.derived


def test_a_name_that_holds_the_tag_is_still_the_same_document() -> None:
    before, after = deployment(f"{NAME}:v1", name="migrate-v1"), deployment(f"{NAME}:v2", name="migrate-v2")
    found = compared(before, after)
    assert [str(one) for one in found.derived] == [
        "Deployment/migrate-v1 metadata.name: migrate-v1 -> migrate-v2"
    ]
    assert not found.foreign


def test_a_document_that_comes_or_goes_is_foreign() -> None:
    one, other = deployment(f"{NAME}:v1"), deployment(f"{NAME}:v1", name="other")
    assert len(compare([one], [one, other], INTENTS).foreign) == 1
    assert len(compare([one, other], [one], INTENTS).foreign) == 1


def test_order_of_documents_does_not_count() -> None:
    one, other = deployment(f"{NAME}:v1"), {**deployment(f"{NAME}:v1"), "kind": "StatefulSet"}
    found = compare([one, other], [copy.deepcopy(other), copy.deepcopy(one)], INTENTS)
    assert not found.changed
    assert not found.foreign


def test_checksums_and_generated_names_follow_what_they_are_made_of() -> None:
    def documents(tag: str, checksum: str, suffix: str) -> list[object]:
        pods = deployment(f"{NAME}:{tag}", argument=f"settings-{suffix}")
        pods["metadata"] = {"name": "digits", "annotations": {"checksum/config": checksum}}
        settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"settings-{suffix}"}}
        return [pods, settings]

    before, after = documents("v1", "a" * 64, "5k7b2dgh9t"), documents("v2", "b" * 64, "m8c4ffk2tb")
    found = compare(before, after, INTENTS, [("v1", "v2")])
    assert len(found.derived) == 3
    assert not found.foreign


def test_a_label_that_kubernetes_would_refuse_is_told_apart() -> None:
    before, after = deployment(f"{NAME}:v1", label="v1"), deployment(f"{NAME}:v2", label=f"v2@{NEW}")
    assert [one.now for one in compared(before, after).bad_labels] == [f"v2@{NEW}"]
    plain = deployment(f"{NAME}:v2", label="v2")
    assert not compared(before, plain).bad_labels
    assert not compared(after, after).bad_labels


def test_a_label_that_is_new_with_the_tag_follows() -> None:
    before, after = deployment(f"{NAME}:v1"), deployment(f"{NAME}:v2", label="v2")
    before["metadata"] = {"name": "digits", "labels": {}}
    found = compared(before, after)
    assert [str(one) for one in found.derived] == [
        'Deployment/digits metadata.labels["app.kubernetes.io/version"]: (nothing) -> v2'
    ]
