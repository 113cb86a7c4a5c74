"""A commit is proved before it is made: real Kustomize and real Helm render the folder before and after."""

import os
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from pipeline.desk import Desk
from pipeline.errors import ManifestRefused, ToolMissing
from pipeline.model import Proof
from pipeline.reference import Digest, Repository, Tag
from stages.manifests.editing import edit
from stages.manifests.interface import NewImage, Target, Traffic
from stages.manifests.proof import Mode, Prover
from stages.manifests.tree import Folder
from tests.support.helm import ensure_helm

pytestmark = pytest.mark.integration

NAME = "registry.example.com/team/digits"
DIGEST = Digest.of(b"new")
IMAGE = NewImage(repository=Repository(NAME), tag=Tag("v2"), digest=DIGEST)

DEPLOYMENT = f"""\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: digits
spec:
  replicas: 2
  selector: {{matchLabels: {{app: digits}}}}
  template:
    metadata: {{labels: {{app: digits}}}}
    spec:
      containers:
        - name: app
          image: {NAME}:v1
          env: [{{name: VERSION, value: none}}]
"""
KUSTOMIZATION = f"resources: [deployment.yaml]\nimages:\n- name: {NAME}\n  newTag: v1\n"
CHART = "apiVersion: v2\nname: digits\nversion: 0.1.0\n"
VALUES = f"image:\n  repository: {NAME}\n  tag: v1\n"
TEMPLATE = DEPLOYMENT.replace(f"{NAME}:v1", '"{{ .Values.image.repository }}:{{ .Values.image.tag }}"')


@pytest.fixture(autouse=True)
def programs(monkeypatch: pytest.MonkeyPatch, kubectl: str) -> None:
    """Have Helm and kubectl on the path."""
    monkeypatch.setenv("PATH", os.pathsep.join((str(ensure_helm().parent), os.environ["PATH"])))


def write(root: Path, files: dict[str, str]) -> Folder:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return Folder(root)


def desk(tmp_path: Path) -> Desk:
    (tmp_path / "desk").mkdir(exist_ok=True)
    return Desk(folder=tmp_path / "desk", cache=tmp_path)


def proved(tmp_path: Path, path: str, files: dict[str, str], *, mode: Mode = "auto") -> Proof:
    """Return the proof of the edit of one target."""
    tree = write(tmp_path / "tree", files)
    wishes = [(Target(path=path), IMAGE)]
    (proof,) = Prover(desk(tmp_path), mode)(tree, edit(tree, wishes), wishes)
    return proof


def refused(tmp_path: Path, path: str, files: dict[str, str]) -> ManifestRefused:
    with pytest.raises(ManifestRefused) as caught:
        proved(tmp_path, path, files)
    assert caught.value.advice
    return caught.value


# --- Kustomize -----------------------------------------------------------------------------------------


def test_an_overlay_differs_in_the_image_alone(tmp_path: Path) -> None:
    files = {
        "app/base/kustomization.yaml": "resources: [deployment.yaml, ../common]\n",
        "app/base/deployment.yaml": DEPLOYMENT,
        "app/common/kustomization.yaml": "configMapGenerator:\n- name: settings\n  files: [a=settings.txt]\n",
        "app/common/settings.txt": "x\n",
        "app/production/kustomization.yaml": KUSTOMIZATION.replace("deployment.yaml", "../base"),
        "elsewhere/broken.yaml": "{",
    }
    assert proved(tmp_path, "app/production", files) == Proof(
        file="app/production/kustomization.yaml",
        how="kustomize",
        folder="app/production",
        documents=2,
        changed=1,
    )


def test_an_entry_that_matches_nothing_is_refused(tmp_path: Path) -> None:
    other = DEPLOYMENT.replace(NAME, "registry.example.com/team/numbers")
    error = refused(tmp_path, "app", {"app/kustomization.yaml": KUSTOMIZATION, "app/deployment.yaml": other})
    assert error.message.startswith(
        "app/kustomization.yaml:4 images[0].newTag becomes v2, which changes nothing"
    )
    assert "Correct the entry's `name:`" in error.advice


def test_an_entry_for_a_field_that_kustomize_does_not_reach_is_refused(tmp_path: Path) -> None:
    service = (
        "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata: {name: digits}\n"
        f"spec: {{predictor: {{model: {{modelFormat: {{name: sklearn}}, image: '{NAME}:v1'}}}}}}\n"
    )
    files = {"app/kustomization.yaml": KUSTOMIZATION, "app/deployment.yaml": service}
    assert "changes nothing that Kustomize renders" in refused(tmp_path, "app", files).message


def test_a_manifest_whose_image_an_entry_sets_again_is_refused(tmp_path: Path) -> None:
    files = {"app/kustomization.yaml": KUSTOMIZATION, "app/deployment.yaml": DEPLOYMENT}
    kept = f"{KUSTOMIZATION}  digest: sha256:{'1' * 64}\n"
    error = refused(tmp_path, "app/deployment.yaml", files | {"app/kustomization.yaml": kept})
    assert error.message.startswith("app/deployment.yaml:13 ")


def test_replacements_that_copy_the_image_follow_it(tmp_path: Path) -> None:
    replacement = (
        "replacements:\n- source: {kind: Deployment, "
        "fieldPath: 'spec.template.spec.containers.[name=app].image',"
        " options: {delimiter: ':', index: 1}}\n"
        "  targets:\n  - select: {kind: Deployment}\n"
        "    fieldPaths: ['spec.template.spec.containers.[name=app].env.[name=VERSION].value']\n"
    )
    files = {
        "app/kustomization.yaml": f"resources: [deployment.yaml]\n{replacement}",
        "app/deployment.yaml": DEPLOYMENT,
    }
    proof = proved(tmp_path, "app/deployment.yaml", files)
    assert proof.changed == 1
    assert proof.note.startswith("changes with the image: Deployment/digits")
    assert "env[0].value: v1 -> v2@sha256" in proof.note


def test_values_in_a_generated_config_map_follow_the_image(tmp_path: Path) -> None:
    generator = "resources: [pod.yaml]\nconfigMapGenerator:\n- name: values\n  files: [values.yaml]\n"
    pod = (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: reader}\nspec:\n"
        "  containers: [{name: a, image: 'busybox:1'}]\n"
        "  volumes: [{name: values, configMap: {name: values}}]\n"
    )
    files = {"app/kustomization.yaml": generator, "app/pod.yaml": pod, "app/values.yaml": VALUES}
    proof = proved(tmp_path, "app/values.yaml", files)
    assert (proof.how, proof.documents, proof.changed) == ("kustomize", 2, 2)
    assert "ConfigMap/values-" in proof.note


def test_a_component_is_proved_by_what_uses_it(tmp_path: Path) -> None:
    images = KUSTOMIZATION.partition("\n")[2]
    component = f"kind: Component\napiVersion: kustomize.config.k8s.io/v1alpha1\n{images}"
    files = {
        "app/base/kustomization.yaml": "resources: [deployment.yaml]\n",
        "app/base/deployment.yaml": DEPLOYMENT,
        "app/components/image/kustomization.yaml": component,
    }
    alone = proved(tmp_path, "app/components/image", files)
    assert (alone.how, alone.note) == (
        "parsed",
        "not rendered: no kustomization near it uses the component app/components/image",
    )
    user = "resources: [../../base]\ncomponents: [../../components/image]\n"
    files["app/overlays/production/kustomization.yaml"] = user
    used = proved(tmp_path, "app/components/image", files)
    assert (used.how, used.folder, used.changed) == ("kustomize", "app/overlays/production", 1)


def test_a_remote_base_is_a_note_and_nobody_is_asked(tmp_path: Path) -> None:
    remote = KUSTOMIZATION.replace("[deployment.yaml]", "['https://github.example.com/team/base?ref=v1']")
    proof = proved(tmp_path, "app", {"app/kustomization.yaml": remote})
    assert proof.how == "parsed"
    assert proof.note == (
        "not rendered: app: app/kustomization.yaml names https://github.example.com/team/base?ref=v1, "
        "which is not in this repository"
    )


def test_a_kustomization_that_was_broken_before_is_a_note(tmp_path: Path) -> None:
    broken = DEPLOYMENT.replace("kind: Deployment\n", "")
    files = {"app/kustomization.yaml": KUSTOMIZATION, "app/deployment.yaml": broken}
    assert (
        "not compared: Kustomize could not render app before the edit" in proved(tmp_path, "app", files).note
    )


def test_links_inside_the_tree_are_followed(tmp_path: Path) -> None:
    files = {
        "shared/base/kustomization.yaml": "resources: [deployment.yaml, ../more/pod.yaml]\n",
        "shared/base/deployment.yaml": DEPLOYMENT,
        "shared/more/pod.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: []}\n",
        "app/kustomization.yaml": KUSTOMIZATION.replace("deployment.yaml", "base"),
    }
    write(tmp_path / "tree", files)
    (tmp_path / "tree/app/base").symlink_to("../shared/base")
    assert proved(tmp_path, "app", {}).documents == 2


# --- Helm ----------------------------------------------------------------------------------------------


def chart(template: str = TEMPLATE, values: str = VALUES, **more: str) -> dict[str, str]:
    files = {"Chart.yaml": CHART, "values.yaml": values, "templates/app.yaml": template, **more}
    return {f"charts/digits/{path}": text for path, text in files.items()}


def test_a_chart_differs_in_the_image_alone(tmp_path: Path) -> None:
    proof = proved(tmp_path, "charts/digits", chart())
    assert (proof.how, proof.documents, proof.changed, proof.note) == ("helm", 1, 1, "")


def test_values_beside_the_charts_own_are_rendered(tmp_path: Path) -> None:
    files = chart(**{"production.yaml": f"replicas: 3\n{VALUES}"})
    proof = proved(tmp_path, "charts/digits/production.yaml", files)
    assert (proof.how, proof.changed) == ("helm", 1)


VERSION = "  name: digits\n  labels: {app.kubernetes.io/version: {{ .Values.image.tag | quote }}}\n"
BOTH = VALUES + f"  digest: sha256:{'1' * 64}\n"
WITH_DIGEST = '"{{ .Values.image.repository }}:{{ .Values.image.tag }}@{{ .Values.image.digest }}"'


def test_a_label_made_of_the_tag_follows_it(tmp_path: Path) -> None:
    template = DEPLOYMENT.replace(f"{NAME}:v1", WITH_DIGEST).replace("  name: digits\n", VERSION, 1)
    proof = proved(tmp_path, "charts/digits", chart(template, BOTH))
    assert proof.note == (
        'changes with the image: Deployment/digits metadata.labels["app.kubernetes.io/version"]: v1 -> v2'
    )


def test_a_label_that_would_get_the_digest_too_is_refused(tmp_path: Path) -> None:
    error = refused(tmp_path, "charts/digits", chart(TEMPLATE.replace("  name: digits\n", VERSION, 1)))
    assert f"- v1\n  + v2@{DIGEST}" in error.message
    assert "`digest:` beside its `tag:`" in error.advice


def test_a_chart_that_becomes_invalid_is_refused(tmp_path: Path) -> None:
    unquoted = DEPLOYMENT.replace(f"{NAME}:v1", WITH_DIGEST).replace("none", "{{ .Values.image.tag }}")
    tree = write(tmp_path / "tree", chart(unquoted, BOTH))
    wishes = [
        (Target(path="charts/digits"), NewImage(repository=IMAGE.repository, tag=Tag("12345"), digest=DIGEST))
    ]
    with pytest.raises(ManifestRefused, match=r"no longer be what Kubernetes takes.*12345 is not of type"):
        Prover(desk(tmp_path))(tree, edit(tree, wishes), wishes)


def test_a_chart_that_the_edit_breaks_is_refused(tmp_path: Path) -> None:
    template = TEMPLATE + '{{ if contains "@" .Values.image.tag }}{{ fail "a tag has no @" }}{{ end }}\n'
    error = refused(tmp_path, "charts/digits", chart(template))
    assert "Helm renders charts/digits now, and not with that" in error.message
    assert "a tag has no @" in error.message


def test_a_chart_that_was_broken_before_is_a_note(tmp_path: Path) -> None:
    template = TEMPLATE + '{{ required "say where" .Values.where }}\n'
    proof = proved(tmp_path, "charts/digits", chart(template))
    assert proof.how == "parsed"
    assert "Helm could not render charts/digits before the edit" in proof.note
    assert "say where" in proof.note


def test_a_chart_that_does_more_than_the_image_is_refused(tmp_path: Path) -> None:
    template = TEMPLATE.replace(
        "replicas: 2", 'replicas: {{ ternary 1 2 (hasPrefix "v2" .Values.image.tag) }}'
    )
    error = refused(tmp_path, "charts/digits", chart(template))
    assert "Deployment/digits spec.replicas\n  - 2\n  + 1" in error.message


def test_another_image_with_our_tag_is_refused(tmp_path: Path) -> None:
    template = TEMPLATE.replace("{{ .Values.image.repository }}", "registry.example.com/team/worker")
    both = TEMPLATE + "---\n" + template.replace("name: digits", "name: worker", 1)
    error = refused(tmp_path, "charts/digits", chart(both))
    assert "Deployment/worker spec.template.spec.containers[0].image" in error.message
    assert "+ registry.example.com/team/worker:v2@sha256:" in error.message


def test_a_chart_that_renders_the_image_from_elsewhere_is_refused(tmp_path: Path) -> None:
    assert (
        "changes nothing that Helm renders" in refused(tmp_path, "charts/digits", chart(DEPLOYMENT)).message
    )


def test_a_part_that_is_switched_off_is_no_refusal(tmp_path: Path) -> None:
    template = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\n{{ if .Values.on }}\n%s{{ end }}\n"
    proof = proved(tmp_path, "charts/digits", chart(template % TEMPLATE))
    assert (proof.how, proof.documents, proof.changed) == ("helm", 1, 0)
    assert "renders the image nowhere" in proof.note


def test_values_that_are_random_in_every_rendering_do_not_count(tmp_path: Path) -> None:
    password = "stringData: {p: {{ randAlphaNum 20 | quote }}}\n"
    secret = f"---\napiVersion: v1\nkind: Secret\nmetadata: {{name: a}}\n{password}"
    proof = proved(tmp_path, "charts/digits", chart(TEMPLATE + secret))
    assert (proof.documents, proof.changed) == (2, 1)


def test_a_dependency_that_is_not_there_is_a_note(tmp_path: Path) -> None:
    files = chart()
    files["charts/digits/Chart.yaml"] += (
        "dependencies: [{name: redis, version: 1.0.0, repository: 'oci://x.example'}]\n"
    )
    proof = proved(tmp_path, "charts/digits", files)
    assert proof.note == "not rendered: charts/digits: its dependency redis is not in charts/digits/charts"


# --- plain manifests, and what is missing ----------------------------------------------------------------


def test_a_plain_manifest_is_parsed_and_validated(tmp_path: Path) -> None:
    proof = proved(tmp_path, "app/deployment.yaml", {"app/deployment.yaml": DEPLOYMENT})
    assert (proof.how, proof.documents, proof.changed, proof.note) == ("parsed", 1, 1, "")
    invalid = {"app/deployment.yaml": DEPLOYMENT.replace("replicas: 2", "replicas: two")}
    assert (
        "not valid before either: Deployment/digits: spec.replicas"
        in proved(tmp_path, "app/deployment.yaml", invalid).note
    )


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    yield
    monkeypatch.undo()


@pytest.mark.usefixtures("nothing_installed")
def test_without_a_renderer_the_evidence_says_so(tmp_path: Path) -> None:
    files = {"app/kustomization.yaml": KUSTOMIZATION, "app/deployment.yaml": DEPLOYMENT}
    assert (
        proved(tmp_path, "app", files).note
        == "not rendered: neither kustomize nor kubectl is on this machine"
    )
    with pytest.raises(ToolMissing, match="neither kustomize nor kubectl"):
        proved(tmp_path, "app", files, mode="require")
    with pytest.raises(ToolMissing, match="Helm is not on this machine"):
        proved(tmp_path, "charts/digits", chart(), mode="require")


def test_what_was_rendered_is_not_rendered_again(tmp_path: Path) -> None:
    files = {"app/kustomization.yaml": KUSTOMIZATION, "app/deployment.yaml": DEPLOYMENT}
    tree, place, wishes = write(tmp_path / "tree", files), desk(tmp_path), [(Target(path="app"), IMAGE)]
    prove = Prover(place)
    prove(tree, edit(tree, wishes), wishes)
    once = (place.folder / "proof.log").read_text()
    write(tmp_path / "tree", {"other/deployment.yaml": DEPLOYMENT})
    prove(tree, edit(tree, wishes), wishes)
    assert (place.folder / "proof.log").read_text() == once
    write(tmp_path / "tree", {"app/deployment.yaml": DEPLOYMENT.replace("replicas: 2", "replicas: 3")})
    prove(tree, edit(tree, wishes), wishes)
    assert (place.folder / "proof.log").read_text() != once


def test_nothing_of_the_environment_reaches_the_renderer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITOPS_TOKEN", "secret")
    generator = f"{KUSTOMIZATION}configMapGenerator:\n- name: a\n  envs: [a.env]\n"
    files = {
        "app/kustomization.yaml": generator,
        "app/deployment.yaml": DEPLOYMENT,
        "app/a.env": "GITOPS_TOKEN\n",
    }
    tree, place, wishes = write(tmp_path / "tree", files), desk(tmp_path), [(Target(path="app"), IMAGE)]
    prove = Prover(place)
    prove(tree, edit(tree, wishes), wishes)
    assert prove._rendered
    assert "secret" not in repr(prove._rendered)


CASES = Path(__file__).parents[1] / "data" / "manifests"
HINTS = {field.name for field in fields(Target)} - {"path", "traffic"}
EDITED = sorted(path.parent.name for path in CASES.glob("*/expected"))


@pytest.mark.parametrize("name", EDITED)
def test_no_golden_edit_is_refused(name: str, tmp_path: Path) -> None:
    case = yaml.safe_load((CASES / name / "case.yaml").read_text())
    hints = {key: value for key, value in case.items() if key in HINTS}
    digest = Digest(case["digest"]) if "digest" in case else None
    image = NewImage(repository=Repository(case["repository"]), tag=Tag(case["tag"]), digest=digest)
    traffic = Traffic(**yaml.safe_load(case["traffic"])) if "traffic" in case else None
    wishes = [(Target(path=case["path"], traffic=traffic, **hints), image)]
    tree = Folder(CASES / name / "original")
    files = edit(tree, wishes)
    found = Prover(desk(tmp_path))(tree, files, wishes)
    assert {proof.file for proof in found} == {file.path for file in files}
