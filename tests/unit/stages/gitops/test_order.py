"""What stands in a manifest against what is delivered: older, newer, the same, the first, or unknown."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.errors import ConfigurationError, RemoteError
from pipeline.reference import Digest, Reference, Repository, Tag
from stages.gitops.message import message, order_trailers, written
from stages.gitops.order import OrderedEdit, Rule, wrote
from stages.gitops.wishes import Wish
from stages.manifests.interface import NewImage, Target
from stages.manifests.tree import Folder
from stages.oci.order_key import OrderKey
from stages.registries.deployed import Deployed

REPOSITORY = Repository("registry.example.com/team/digits")
OLD, NEW = Digest.of(b"old"), Digest.of(b"new")
MOMENT = datetime(2026, 11, 22, 14, 30, tzinfo=UTC)
Find = Callable[[Reference], Deployed]


def key(hours: int = 0) -> OrderKey:
    return OrderKey.at(MOMENT + timedelta(hours=hours), f"{abs(hours)}" * 40)


def nobody_is_asked(reference: Reference) -> Deployed:
    raise AssertionError(f"asked for {reference}")


def answers(found: Deployed) -> Find:
    return lambda _: found


def wish(path: str = "pod.yaml", image: str | None = None) -> Wish:
    return Target(path=path, image=image), NewImage(repository=REPOSITORY, tag=Tag("new"), digest=NEW)


def manifest(folder: Path, *images: str, name: str = "pod.yaml") -> Folder:
    containers = "".join(f"    - image: {image}\n" for image in images)
    (folder / name).write_text(f"apiVersion: v1\nkind: Pod\nspec:\n  containers:\n{containers}")
    return Folder(folder)


def ordered(find: Find, *wishes: Wish) -> OrderedEdit:
    rule = Rule(key=key(), find=find, known=frozenset({REPOSITORY}))
    return OrderedEdit(wishes or (wish(),), rule)


@pytest.mark.parametrize(
    ("hours", "order", "changed"), [(-1, "older", True), (1, "newer", False), (0, "older", True)]
)
def test_the_keys_decide(tmp_path: Path, hours: int, order: str, changed: bool) -> None:
    edit = ordered(answers(Deployed(OLD, key(hours))))
    files = edit(manifest(tmp_path, f"{REPOSITORY}:z@{OLD}"))
    assert ([found.order for found in edit.weighed], bool(files)) == ([order], changed)
    assert bool(edit.superseded) is not changed


def test_a_superseded_delivery_says_which_build_stands_where(tmp_path: Path) -> None:
    edit = ordered(answers(Deployed(OLD, key(1))))
    edit(manifest(tmp_path, f"{REPOSITORY}:z@{OLD}"))
    assert edit.told() == (
        f"superseded: pod.yaml:5 names {REPOSITORY}:z@{OLD}, which is of commit 111111111111 of 2026-11-22 "
        "15:30:00 UTC; this build is of commit 000000000000 of 2026-11-22 14:30:00 UTC, so nothing was "
        "written"
    )


def test_the_text_of_a_tag_orders_nothing(tmp_path: Path) -> None:
    edit = ordered(answers(Deployed(OLD, key(-1))))
    assert edit(manifest(tmp_path, f"{REPOSITORY}:v999@{OLD}"))


@pytest.mark.parametrize("level", ["enforce", "warn", "ignore"])
def test_the_same_digest_is_left_alone_whatever_its_tag(tmp_path: Path, level: str) -> None:
    edit = ordered(nobody_is_asked)
    edit.rule = replace(edit.rule, level=level, forced=True)  # type: ignore[arg-type]  # one of the levels
    assert edit(manifest(tmp_path, f"{REPOSITORY}:other@{NEW}")) == ()
    assert [found.order for found in edit.weighed] == ["same"]


@pytest.mark.parametrize(
    ("image", "target_image", "note"),
    [
        (f"{REPOSITORY}:none-yet", None, "nothing of that name was ever pushed"),
        (f"{REPOSITORY}:none@sha256:{'0' * 64}", None, "nothing of that name was ever pushed"),
        ("nginx:1.27", "nginx", "another image stood there"),
    ],
)
def test_a_first_delivery_replaces_a_placeholder_or_another_image(
    tmp_path: Path, image: str, target_image: str | None, note: str
) -> None:
    edit = ordered(answers(Deployed(None)), wish(image=target_image))
    assert edit(manifest(tmp_path, image))
    assert [found.order for found in edit.weighed] == ["first"]
    assert note in edit.notes[0]


UNKNOWN = [
    (f"{REPOSITORY}:v1@{OLD}", Deployed(OLD), "carries no order key"),
    (f"{REPOSITORY}:v1", Deployed(OLD), "carries no order key"),
    (f"{REPOSITORY}:v1@{OLD}", Deployed(None), "is not in its registry any more"),
]


@pytest.mark.parametrize(("image", "found", "why"), UNKNOWN)
def test_what_nobody_can_compare_is_refused_unless_told(
    tmp_path: Path, image: str, found: Deployed, why: str
) -> None:
    edit, tree = ordered(answers(found)), manifest(tmp_path, image)
    with pytest.raises(ConfigurationError, match=why) as caught:
        edit(tree)
    assert "pod.yaml:5" in caught.value.message
    assert "`pipeline run --force`" in caught.value.advice
    edit.rule = replace(edit.rule, level="warn")
    assert edit(tree)
    assert why in edit.notes[0]
    edit.rule = replace(edit.rule, level="enforce", refuses=False)
    assert edit(tree)


def test_a_registry_that_does_not_answer_is_no_mistake_of_the_configuration(tmp_path: Path) -> None:
    edit = ordered(answers(Deployed(OLD, problem=RemoteError("it is down"))))
    tree = manifest(tmp_path, f"{REPOSITORY}:v1@{OLD}")
    with pytest.raises(RemoteError, match="which cannot be compared: it is down") as caught:
        edit(tree)
    assert caught.value.advice.startswith("Run again when the registry gives it out.")
    edit.rule = replace(edit.rule, level="warn")
    assert edit(tree)


def test_force_and_ignore_ask_nobody_and_write(tmp_path: Path) -> None:
    tree = manifest(tmp_path, f"{REPOSITORY}:v1@{OLD}")
    edit = ordered(nobody_is_asked)
    for rule in (replace(edit.rule, forced=True), replace(edit.rule, level="ignore")):
        assert OrderedEdit((wish(),), rule)(tree)


def test_one_newer_manifest_holds_the_whole_delivery_back(tmp_path: Path) -> None:
    other = Digest.of(b"other")
    manifest(tmp_path, f"{REPOSITORY}:v1@{OLD}", name="a.yaml")
    tree = manifest(tmp_path, f"{REPOSITORY}:v2@{other}", name="b.yaml")

    def find(reference: Reference) -> Deployed:
        return Deployed(reference.digest, key(1 if reference.digest == other else -1))

    edit = ordered(find, wish("a.yaml"), wish("b.yaml"))
    assert edit(tree) == ()
    assert [found.order for found in edit.weighed] == ["older", "newer"]


def test_the_weights_own_image_is_ordered_by_commits_alone(tmp_path: Path) -> None:
    weights = Repository("registry.example.com/team/digits-model")
    image = NewImage(repository=weights, tag=Tag("w2"), digest=NEW)
    edit = ordered(nobody_is_asked, (Target(path="pod.yaml"), image))
    edit.rule = replace(edit.rule, unkeyed=frozenset({weights}))
    assert edit(manifest(tmp_path, f"{weights}:w1@{OLD}"))


@pytest.mark.parametrize("path", ["apps/a  b/", "./apps/a  b", "apps//a  b"])
def test_a_target_is_found_again_however_its_path_is_written(path: str) -> None:
    found = written(message("Roll back", "Why.", order_trailers([wish("apps/a  b")], key())))
    assert found is not None
    assert wrote(found, Target(path=path), Reference.parse(f"{REPOSITORY}@{NEW}"))
    assert not wrote(found, Target(path="apps"), Reference.parse(f"{REPOSITORY}@{NEW}"))


def test_what_a_commit_says_is_read_again() -> None:
    rolled_back = replace(key(2), run="run-7")
    trailers = (*order_trailers([wish("apps/a b")], rolled_back, "rollback"), "Pipeline-Run: run-7")
    for text in (
        message("Roll back", "Why.\n\nOrder-Key: this is prose", trailers),
        # as a squash merge quotes it
        "Squashed (#7)\n\n* Roll back\n\n" + "\n".join(f"  {line}" for line in trailers),
    ):
        found = written(text)
        assert found is not None
        assert (found.key, found.occasion, found.manifests) == (
            rolled_back,
            "rollback",
            frozenset({"apps/a b"}),
        )
        assert found.images == {f"{REPOSITORY}:new@{NEW}"}
    assert written("Somebody else's commit\n\nImage: x\n") is None
