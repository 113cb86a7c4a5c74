"""What stands where parts alone are held: the order of builds is judged by it."""

from pathlib import Path
from typing import Any, cast

import pytest

from pipeline.errors import ConfigurationError
from pipeline.reference import Digest, Repository, Tag
from stages.manifests.editing import edit, standing
from stages.manifests.interface import NewImage, Target
from stages.manifests.marker import Marker
from stages.manifests.tree import Folder

REPOSITORY = Repository("r.example.com/digits")
OLD = f"sha256:{'11' * 32}"
IMAGE = NewImage(repository=REPOSITORY, tag=Tag("v2"), digest=Digest(f"sha256:{'ab' * 32}"))
OVERRIDE = ".argocd-source-digits.yaml"
PARAMETERS = f"helm:\n  parameters:\n  - {{name: i.tag, value: v1}}\n  - {{name: i.digest, value: '{OLD}'}}\n"
MARKED = '{a: 1,\n  b: v1 # {"$imagepolicy": "n:p:tag"}\n}\n'


@pytest.mark.parametrize(
    ("path", "text", "target", "expected"),
    [
        (OVERRIDE, PARAMETERS, {"tag_parameter": "i.tag"}, f"{REPOSITORY}:v1@{OLD}"),
        (OVERRIDE, PARAMETERS, {"tag_parameter": "other"}, f"{REPOSITORY}:none-yet"),
        (OVERRIDE, f"kustomize: {{images: [a:1, '{REPOSITORY}:v1']}}", {}, f"{REPOSITORY}:v1"),
        (OVERRIDE, "kustomize: {images: [a:1, 'm=b:1']}", {"image": "m"}, "b:1"),
        (OVERRIDE, "kustomize: {images: [a:1, b:1]}", {}, f"{REPOSITORY}:none-yet"),
        ("values.yaml", MARKED, {"marker": "n:p"}, f"{REPOSITORY}:v1"),
        ("values.yaml", f"image: {{repository: {REPOSITORY}}}", {}, str(REPOSITORY)),
    ],
)
def test_what_stands_is_a_whole_reference(
    path: str, text: str, target: dict[str, str], expected: str, tmp_path: Path
) -> None:
    (tmp_path / path).write_text(text)
    (found,) = standing(Folder(tmp_path), Target(path=path, **cast("Any", target)), IMAGE)
    assert found.reference == expected


def test_a_tag_alone_does_not_replace_a_digest_in_an_override(tmp_path: Path) -> None:
    (tmp_path / OVERRIDE).write_text(f"kustomize: {{images: ['a@{OLD}', '{REPOSITORY}@{OLD}']}}")
    tag_alone = NewImage(repository=REPOSITORY, tag=Tag("v2"))
    with pytest.raises(ConfigurationError, match="is pinned by a digest, and only a tag is given"):
        edit(Folder(tmp_path), [(Target(path=OVERRIDE), tag_alone)])


def test_marked_values_of_several_documents_change_together(tmp_path: Path) -> None:
    text = (
        f"image: {REPOSITORY}:v1 # " + '{"$imagepolicy": "n:p"}\n---\ntag: v0 # {"$imagepolicy": "n:p:tag"}\n'
    )
    (tmp_path / "values.yaml").write_text(text)
    (file,) = edit(Folder(tmp_path), [(Target(path="values.yaml", marker="n:p"), IMAGE)])
    assert file.after.decode() == text.replace(":v1", f":v2@{IMAGE.digest}").replace("v0", "v2")


def test_marked_values_in_the_items_of_a_list_change_once(tmp_path: Path) -> None:
    text = 'kind: List\nitems:\n- {kind: A,\n  t: v1 # {"$imagepolicy": "n:p:tag"}\n  }\n'
    (tmp_path / "all.yaml").write_text(text)
    (file,) = edit(Folder(tmp_path), [(Target(path="all.yaml", marker="n:p"), IMAGE)])
    assert file.after.decode() == text.replace("v1", "v2")


@pytest.mark.parametrize(
    ("text", "policy", "part"),
    [
        ("n:p", "n:p", ""),
        ("n:p:tag", "n:p", "tag"),
        ("n:p:digest", "n:p", "digest"),
        ("n:tag", "n:tag", ""),
        ("n:p:other", "n:p:other", ""),
    ],
)
def test_a_marker_is_a_policy_and_a_part(text: str, policy: str, part: str) -> None:
    assert Marker.parse(text) == Marker(policy, part)
