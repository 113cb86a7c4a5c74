"""Kustomize and Helm render every golden case before and after the edit: the image alone is different."""

import json
import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from pipeline.reference import Reference
from stages.manifests.kustomize import FILE_NAMES
from stages.manifests.quoting import is_plain_string
from tests.support import apt
from tests.support.helm import ensure_helm

pytestmark = pytest.mark.integration

Case = dict[str, str]
CASES = Path(__file__).parents[1] / "data" / "manifests"
LEAF = str | int | float | bool | None


def _case(name: str) -> Case:
    loaded: Case = yaml.safe_load((CASES / name / "case.yaml").read_text())
    return loaded


def _is_kustomized(name: str) -> bool:
    found = [path for path in (CASES / name / "original").rglob("*") if path.name in FILE_NAMES]
    return len(found) == 1


EDITED = sorted(
    path.name for path in CASES.iterdir() if not {"refuses", "unchanged"} & _case(path.name).keys()
)
KUSTOMIZED = [name for name in EDITED if _is_kustomized(name)]
VALUES = [name for name in EDITED if "render" in _case(name)]
OVERRIDDEN = [name for name in EDITED if name.startswith("argocd-") and "render" not in _case(name)]


@pytest.fixture(scope="module")
def kustomize() -> str:
    if shutil.which("kustomize") is None:
        apt.install_from_sid(["kustomize"], why="`edit set image`, which Argo CD runs")
    return "kustomize"


@pytest.fixture(scope="module")
def helm() -> str:
    return str(ensure_helm())


# --- Kustomize -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KUSTOMIZED)
def test_kustomize_renders_the_image_and_nothing_else_new(name: str, kubectl: str, tmp_path: Path) -> None:
    case = _case(name)
    before, after = (_kustomized(name, side, kubectl, tmp_path) for side in ("original", "expected"))
    assert after is not None
    changed = {way: leaf for way, leaf in after.items() if before is None or before.get(way) != leaf}
    images = [leaf for way, leaf in changed.items() if way.endswith(".image")]
    assert images
    assert all(_is_intended(str(leaf), case) for leaf in images)
    if before is not None:  # a tag without quotes that is a number is no kustomization yet
        assert before.keys() == after.keys()
        assert len(images) == len(changed)


def _kustomized(name: str, side: str, kubectl: str, tmp_path: Path) -> dict[str, LEAF] | None:
    """Return what is rendered, each value with the way to it; None where the original is no kustomization."""
    folder = tmp_path / side
    for path in (CASES / name / side).rglob("*"):
        if path.is_file():
            (folder / path.relative_to(CASES / name / side)).parent.mkdir(parents=True, exist_ok=True)
            (folder / path.relative_to(CASES / name / side)).write_bytes(path.read_bytes())
    (kustomization,) = (path for path in folder.rglob("*") if path.name in FILE_NAMES)
    root = _with_resources(kustomization, tmp_path / f"{side}-root")
    command = [kubectl, "kustomize", "--load-restrictor", "LoadRestrictionsNone", str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=side == "expected")
    if done.returncode:
        assert "cannot unmarshal number" in done.stderr
        return None
    return dict(_leaves(list(yaml.safe_load_all(done.stdout)), ""))


def _with_resources(kustomization: Path, root: Path) -> Path:
    """Return the folder to render; resources that the case leaves out are a pod of the images it names."""
    said = yaml.safe_load(kustomization.read_text(encoding="utf-8-sig"))
    names = [entry["name"] for entry in said.get("images", ())]
    containers = [{"name": f"c{index}", "image": f"{name}:old"} for index, name in enumerate(names)]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe"}}
    text = json.dumps({**pod, "spec": {"containers": containers}})
    if said.get("kind") == "Component":
        root.mkdir()
        (root / "pod.yaml").write_text(text)
        parts = [str(Path("..") / kustomization.parent.relative_to(root.parent))]
        whole = {"resources": ["pod.yaml"], "components": parts}
        (root / "kustomization.yaml").write_text(json.dumps(whole))
        return root
    if "resources" not in said:
        _add_resources(kustomization)
    for resource in said.get("resources", ["pod.yaml"]):
        if not (kustomization.parent / resource).exists():
            (kustomization.parent / resource).write_text(text)
    return kustomization.parent


def _add_resources(kustomization: Path) -> None:
    content = kustomization.read_bytes()
    if content.lstrip(b"\xef\xbb\xbf \n").startswith(b"{"):
        kustomization.write_bytes(content.replace(b"{", b'{"resources": ["pod.yaml"], ', 1))
    else:
        kustomization.write_bytes(content + b"\nresources: [pod.yaml]\n")


# --- Argo CD's images for Kustomize ---------------------------------------------------------------------


@pytest.mark.parametrize("name", OVERRIDDEN)
def test_kustomize_takes_what_argo_cd_hands_to_it(name: str, kustomize: str, tmp_path: Path) -> None:
    """Argo CD runs `kustomize edit set image` with the entries, and then renders."""
    case = _case(name)
    images = _argo_images(name, "expected")
    names = [re.split(r"=|:(?=[^/]*$)|@", image.partition("@")[0])[0] for image in images]
    containers = [{"name": f"c{index}", "image": f"{name}:old"} for index, name in enumerate(names)]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe"}}
    (tmp_path / "pod.yaml").write_text(json.dumps({**pod, "spec": {"containers": containers}}))
    (tmp_path / "kustomization.yaml").write_text("resources: [pod.yaml]\n")
    subprocess.run([kustomize, "edit", "set", "image", *images], cwd=tmp_path, check=True)
    done = subprocess.run([kustomize, "build"], cwd=tmp_path, capture_output=True, text=True, check=True)
    rendered = [one["image"] for one in yaml.safe_load(done.stdout)["spec"]["containers"]]
    assert [_is_intended(image, case) for image in rendered].count(True) == 1
    assert not any(image.endswith(":old") for image in rendered)


def _argo_images(name: str, side: str) -> list[str]:
    file = CASES / name / side / _case(name)["path"]
    return list(_lists_of_images(yaml.safe_load(file.read_text(encoding="utf-8-sig"))))


def _lists_of_images(said: object) -> Iterator[str]:
    if not isinstance(said, dict):
        return
    for key, value in said.items():
        if key == "kustomize":
            yield from value["images"]
        else:
            yield from _lists_of_images(value)


# --- Helm ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VALUES)
def test_helm_renders_the_image_and_reads_every_new_value_as_a_string(
    name: str, helm: str, tmp_path: Path
) -> None:
    case = _case(name)
    old, before = _templated(name, "original", helm, tmp_path)
    new, after = _templated(name, "expected", helm, tmp_path)
    changed = {way: leaf for way, leaf in after.items() if before.get(way) != leaf}
    assert old != new
    assert _is_intended(new, case)
    assert changed
    assert all(isinstance(leaf, str) or way.endswith(".forceString") for way, leaf in changed.items())
    assert all(_names_the_image(str(leaf), case) for leaf in changed.values() if isinstance(leaf, str))


def _templated(name: str, side: str, helm: str, tmp_path: Path) -> tuple[str, dict[str, LEAF]]:
    """Return the image that a chart makes of the file, and all values that Helm read in it."""
    case = _case(name)
    file = next(path for path in (CASES / name / side).rglob("*") if path.name == _file_name(name))
    content = file.read_bytes().rpartition(b"\n---")[2] or file.read_bytes()
    said = yaml.safe_load(content.decode("utf-8-sig"))
    chart = tmp_path / side
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: probe\nversion: 0.1.0\nappVersion: none\n")
    render = case["render"].replace(".Values", _scope(said))
    (chart / "templates" / "probe.yaml").write_text(f"image: '{render}'\nvalues: {{{{ toJson .Values }}}}\n")
    (tmp_path / f"{side}.yaml").write_bytes(content)
    command = [helm, "template", str(chart), "--values", str(tmp_path / f"{side}.yaml"), *_flags(said)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rendered = yaml.safe_load(done.stdout)
    return rendered["image"], dict(_leaves(rendered["values"], ""))


def _file_name(name: str) -> str:
    path = Path(_case(name)["path"]).name
    return path if path.endswith((".yaml", ".yml")) else "values.yaml"


def _scope(said: dict[str, object]) -> str:
    """Return where in the manifest the chart's values stand; parameters are given as flags."""
    if said.get("kind") == "HelmRelease":
        return ".Values.spec.values"
    return ".Values.spec.source.helm.valuesObject" if "valuesObject" in json.dumps(said) else ".Values"


def _flags(said: object) -> Iterator[str]:
    """Return the flags by which Argo CD hands parameters to Helm."""
    if isinstance(said, dict):
        parameters = said.get("parameters")
        for one in parameters if isinstance(parameters, list) else ():
            forced = any(key.lower() == "forcestring" and value for key, value in one.items())
            yield from ("--set-string" if forced else "--set", f"{one['name']}={one['value']}")
        for value in said.values():
            yield from _flags(value)
    elif isinstance(said, list):
        for value in said:
            yield from _flags(value)


# --- what is compared ----------------------------------------------------------------------------------


def _is_intended(text: str, case: Case) -> bool:
    """Tell whether a rendered reference is the new image: by tag and digest, or by its digest alone."""
    reference = Reference.parse(text)
    named = reference.repository == case["repository"] and reference.digest == case.get("digest")
    return named and (reference.tag == case["tag"] or (reference.tag is None and "digest" in case))


def _names_the_image(text: str, case: Case) -> bool:
    parts = (case["tag"], case.get("digest", case["tag"]), case["repository"])
    repository = Reference.parse(case["repository"]).repository
    names = {repository.host, repository.path, "image.tag", "image.digest"}
    return text in names or any(re.search(rf"(?:^|[:@=]){re.escape(part)}$", text) for part in parts)


def _leaves(value: object, way: str) -> Iterator[tuple[str, LEAF]]:
    if isinstance(value, dict):
        for key, below in value.items():
            yield from _leaves(below, f"{way}.{key}")
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from _leaves(below, f"{way}[{index}]")
    else:
        assert value is None or isinstance(value, str | int | float | bool)
        yield way, value


# --- what stays without quotes -------------------------------------------------------------------------

SIGNS = "0123456789eExXoObBnNyYtfTZ_.-+"


def _plain_strings() -> list[str]:
    """Return many tags that look like numbers, words and dates, as far as they need no quotes."""
    chosen = random.Random(5)  # noqa: S311 - the same ones in every run
    made = {"".join(chosen.choices(SIGNS, k=chosen.randint(1, 7))) for _ in range(6000)}
    special = {
        "0o8",
        "0b2",
        "0x",
        "1e",
        "1e_5",
        "1__0",
        "_1",
        "_0",
        "nan",
        "inf",
        "Infinity",
        "nO",
        "yeS",
        "2026-11",
    }
    return sorted(text for text in made | special if is_plain_string(text))


def test_helm_reads_as_strings_what_stays_without_quotes(helm: str, tmp_path: Path) -> None:
    plain = _plain_strings()
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text("apiVersion: v2\nname: probe\nversion: 0.1.0\n")
    (tmp_path / "templates" / "probe.yaml").write_text("read: {{ toJson .Values.read | quote }}\n")
    (tmp_path / "values.yaml").write_text("read:\n" + "".join(f"- {text}\n" for text in plain))
    command = [helm, "template", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert len(plain) > 1000
    assert json.loads(yaml.safe_load(done.stdout)["read"]) == plain


def test_kustomize_reads_as_strings_what_stays_without_quotes(kubectl: str, tmp_path: Path) -> None:
    """Annotations may be strings alone, as tags may, and there are many of them in one resource."""
    plain = {f"key{index}": text for index, text in enumerate(_plain_strings())}
    (tmp_path / "pod.yaml").write_text("apiVersion: v1\nkind: Pod\nmetadata: {name: probe}\n")
    annotations = "".join(f"  {key}: {text}\n" for key, text in plain.items())
    (tmp_path / "kustomization.yaml").write_text(f"resources: [pod.yaml]\ncommonAnnotations:\n{annotations}")
    command = [kubectl, "kustomize", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert yaml.safe_load(done.stdout)["metadata"]["annotations"] == plain
