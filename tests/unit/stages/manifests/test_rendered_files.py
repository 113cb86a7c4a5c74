"""Which files a kustomization or a chart is rendered from: those that belong to it, and no others."""

from pathlib import Path

import pytest

from stages.manifests.rendered_files import NotHere, Reader
from stages.manifests.tree import Folder

KUSTOMIZATION = """\
resources: [a.yaml, ../base]
components: [../part]
patches:
- path: patch.yaml
- patch: |-
    - op: remove
      path: /x
patchesStrategicMerge:
- |-
  kind: Deployment
replacements: [{path: replacement.yaml}]
configurations: [names.yaml]
openapi: {path: schema.json}
configMapGenerator:
- name: x
  files: [plain.txt, key=named.txt]
  envs: [one.env]
- name: y
  literals: [a=b]
secretGenerator: [{name: z, env: two.env}]
"""


def write(root: Path, files: dict[str, str]) -> Folder:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return Folder(root)


def counting(root: Path) -> tuple[Folder, list[tuple[str, ...]]]:
    """Return a folder, and a list of what it is asked to fetch."""
    asked: list[tuple[str, ...]] = []

    class Counting(Folder):
        def prefetch(self, paths: tuple[str, ...]) -> None:
            asked.append(paths)

    return Counting(root), asked


def test_everything_that_a_kustomization_refers_to_belongs_to_it(tmp_path: Path) -> None:
    names = "a.yaml patch.yaml replacement.yaml names.yaml schema.json plain.txt named.txt one.env two.env"
    files = {f"app/{name}": "x: y\n" for name in names.split()}
    files |= {
        "app/kustomization.yaml": KUSTOMIZATION,
        "base/kustomization.yml": "resources: [b.yaml]\n",
        "base/b.yaml": "",
        "part/Kustomization": "kind: Component\n",
    }
    tree = write(tmp_path, files | {"app/other.yaml": "", "base/other.yaml": "", "top.yaml": ""})
    assert set(Reader().kustomization(tree, "app").paths) == set(files)


def test_files_of_one_kustomization_are_fetched_in_one_go_and_only_once(tmp_path: Path) -> None:
    write(tmp_path, {"kustomization.yaml": "resources: [a.yaml, b.yaml]\n", "a.yaml": "", "b.yaml": ""})
    (tree, asked), reader = counting(tmp_path), Reader()
    reader.kustomization(tree, "")
    reader.kustomization(tree, "")
    assert asked == [("a.yaml", "b.yaml")]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("resources: ['https://example.com/base?ref=1']", "is not in this repository"),
        ("resources: [github.com/team/base]", "is not in this repository"),
        ("resources: [../../../etc]", "does not exist"),
        ("resources: [missing.yaml]", "app/kustomization.yaml names missing.yaml, which does not exist"),
        ("resources: [../empty]", "empty holds no kustomization"),
        ("helmCharts: [{name: redis}]", "for which Kustomize would start Helm"),
        ("resources: [", "is not readable"),
        (f"resources: [{', '.join(['a.yaml'] * 501)}]", "more than 500 files"),
    ],
)
def test_what_is_not_all_here_is_said(tmp_path: Path, text: str, why: str) -> None:
    tree = write(tmp_path, {"app/kustomization.yaml": text, "app/a.yaml": "", "empty/x": ""})
    with pytest.raises(NotHere) as caught:
        Reader().kustomization(tree, "app")
    assert why in str(caught.value)


def test_kustomizations_that_name_each_other_come_to_an_end(tmp_path: Path) -> None:
    tree = write(
        tmp_path, {"a/kustomization.yaml": "resources: [../b]", "b/kustomization.yaml": "resources: [../a]"}
    )
    assert len(Reader().kustomization(tree, "a").paths) == 2


def test_a_chart_is_its_folder_with_what_links_there_lead_to(tmp_path: Path) -> None:
    files = {
        "chart/Chart.yaml": "dependencies: [{name: one}, {name: two}]",
        "chart/charts/one/Chart.yaml": "name: one",
        "chart/charts/two-1.0.0.tgz": "x",
        "shared/helpers.tpl": "x",
        "other.yaml": "",
    }
    tree = write(tmp_path, files)
    (tmp_path / "chart/templates").symlink_to("../shared")
    (tmp_path / "chart/out").symlink_to("../../elsewhere")
    found = Reader().chart(tree, "chart")
    assert "chart/templates/helpers.tpl" in found.paths
    assert "other.yaml" not in found.paths
    found.write(tmp_path / "scratch", {"shared/helpers.tpl": b"new"})
    assert (tmp_path / "scratch/chart/templates/helpers.tpl").read_bytes() == b"new"
    (tmp_path / "chart/charts/two-1.0.0.tgz").unlink()
    with pytest.raises(NotHere, match="dependency two is not in chart/charts"):
        Reader().chart(tree, "chart")


def test_a_chart_of_a_whole_repository_is_not_fetched(tmp_path: Path) -> None:
    write(tmp_path, {"Chart.yaml": "name: a", **{f"files/{number}": "" for number in range(501)}})
    tree, asked = counting(tmp_path)
    with pytest.raises(NotHere, match="more than 500 files"):
        Reader().chart(tree, "")
    assert asked == []
