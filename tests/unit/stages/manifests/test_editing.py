"""What the golden folders cannot show: several targets at once, what changed, and the diff."""

from pathlib import Path

import pytest

from pipeline.errors import ConfigurationError, ManifestRefused
from pipeline.model import FieldChange
from pipeline.reference import Digest, Repository, Tag
from stages.manifests import yaml_editing
from stages.manifests.cursor import Cursor
from stages.manifests.editing import edit
from stages.manifests.interface import NewImage, Target
from stages.manifests.tree import Folder
from stages.manifests.yaml_editing import AddKey, SetScalar, YamlFile

DIGEST = Digest(f"sha256:{'ab' * 32}")


def _new(name: str) -> NewImage:
    return NewImage(repository=Repository(name), tag=Tag("v2"), digest=DIGEST)


def test_two_images_of_one_file_change_together(tmp_path: Path) -> None:
    text = "images:\n- name: r.example.com/a\n  newTag: v1\n- name: r.example.com/b\n  newTag: v1"
    (tmp_path / "kustomization.yaml").write_text(text)
    wishes = [(Target(path="."), _new("r.example.com/a")), (Target(path="."), _new("r.example.com/b"))]

    (edited,) = edit(Folder(tmp_path), wishes)

    assert edited.before.decode() == text
    assert edited.fields == (
        FieldChange(line=3, field="images[0].newTag", old="v1", new="v2"),
        FieldChange(line=4, field="images[0].digest", old=None, new=DIGEST),
        FieldChange(line=6, field="images[1].newTag", old="v1", new="v2"),
        FieldChange(line=7, field="images[1].digest", old=None, new=DIGEST),
    )
    assert edited.change().diff == (
        "--- a/kustomization.yaml\n+++ b/kustomization.yaml\n@@ -1,5 +1,7 @@\n images:\n"
        f" - name: r.example.com/a\n-  newTag: v1\n+  newTag: v2\n+  digest: {DIGEST}\n"
        " - name: r.example.com/b\n-  newTag: v1\n\\ No newline at end of file\n"
        f"+  newTag: v2\n+  digest: {DIGEST}\n\\ No newline at end of file\n"
    )


def test_nothing_is_written_to_the_folder(tmp_path: Path) -> None:
    file = tmp_path / "kustomization.yaml"
    file.write_text("images: [{name: r.example.com/a}]\n")
    assert edit(Folder(tmp_path), [(Target(path="kustomization.yaml"), _new("r.example.com/a"))])
    assert file.read_text() == "images: [{name: r.example.com/a}]\n"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 'x\n  y'\nb: 1\n", "v1"),  # a quoted value of several lines
        ("? a\n: x\nb: 1\n", "v1"),
        ("a:\n  # why\n  x\nb: 1\n", "v1"),
        ("# \u00e9 \U0001f600\na: x\nb: 1\n", "v1"),
        ("%YAML 1.1\n---\na: &k x\nb: 1\n...\n", "1.20"),
        ('{"a":"x","b":1}', "v1"),
    ],
)
def test_odd_ways_to_write_a_value_are_edited_alone(text: str, value: str) -> None:
    file = YamlFile.parse("f.yaml", text.encode())
    at = Cursor.at_root(file.documents[0]).get("a")
    assert at is not None
    after, _ = yaml_editing.apply(file, [SetScalar(at, value)])
    again = Cursor.at_root(YamlFile.parse("f.yaml", after).documents[0])
    assert (again.text("a"), again.text("b")) == (value, "1")


def test_an_edit_that_would_change_something_else_is_not_made() -> None:
    """A key that is there would stand twice: the comparison sees what the splice did not."""
    file = YamlFile.parse("f.yaml", b"? a\n: x")
    root = Cursor.at_root(file.documents[0])
    with pytest.raises(ConfigurationError, match="cannot be changed alone"):
        yaml_editing.apply(file, [AddKey(root, "b: [", "v1")])


@pytest.mark.parametrize("mark", ["file", "folder"])
def test_another_repository_inside_the_folder_is_refused(tmp_path: Path, mark: str) -> None:
    inner = tmp_path / "apps" / "inner"
    inner.mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    (inner / "pod.yaml").write_text("a: 1\n")
    (inner / ".git").write_text("gitdir: x") if mark == "file" else (inner / ".git").mkdir()
    with pytest.raises(ManifestRefused, match="is in the submodule apps/inner"):
        edit(Folder(tmp_path), [(Target(path="apps/inner/pod.yaml"), _new("r.example.com/a"))])


def test_a_second_target_sees_what_the_first_one_has_changed(tmp_path: Path) -> None:
    (tmp_path / "pod.yaml").write_text(
        "kind: Pod\napiVersion: v1\nspec: {containers: [{image: r.io/a:v1}]}\n"
    )
    wishes = [(Target(path="pod.yaml"), _new("r.io/a")), (Target(path="."), _new("r.io/a"))]
    (edited,) = edit(Folder(tmp_path), wishes)
    assert len(edited.fields) == 1


def test_candidates_are_listed_as_they_come_in_the_file_and_not_without_end(tmp_path: Path) -> None:
    images = "".join(f"  - {{name: c{count}, image: r.io/b:v{count}}}\n" for count in range(20))
    text = f"kind: Pod\napiVersion: v1\nspec:\n  containers:\n{images}  initContainers: [{{image: x}}]\n"
    (tmp_path / "pod.yaml").write_text(text)
    with pytest.raises(ManifestRefused) as caught:
        edit(Folder(tmp_path), [(Target(path="pod.yaml"), _new("r.io/a"))])
    lines = [int(part.split()[0]) for part in caught.value.message.split("pod.yaml:")[1:]]
    assert lines == list(range(5, 17))
    assert caught.value.message.endswith("; and 9 more")
