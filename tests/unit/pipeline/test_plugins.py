"""What the composition root makes of settings that concern several stages."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.cascade import read_config
from pipeline.errors import ConfigurationError
from pipeline.model import Source
from pipeline.plugins import compose
from stages.build import Build
from stages.manifests.interface import Target
from stages.oci.model_image import OwnImage
from stages.push import Push
from stages.registries.findings import RegistryFindings
from stages.scan import Scan
from stages.update import Update

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def stages(folder: Path, text: str) -> tuple[Build, Push, Update]:
    """Return the stages that know of images, composed of a pipeline.yaml."""
    (folder / "model").mkdir(exist_ok=True)
    (folder / "pipeline.yaml").write_text(text)
    source = Source(root=folder, commit=COMMIT, committed_at=datetime(2026, 1, 2, tzinfo=UTC))
    plan = compose(read_config(folder / "pipeline.yaml", environment={}), source)
    (build,) = (stage for stage in plan.stages if isinstance(stage, Build))
    (push,) = (stage for stage in plan.stages if isinstance(stage, Push))
    (update,) = (stage for stage in plan.stages if isinstance(stage, Update))
    return build, push, update


def model_path(build: Build) -> str:
    assert build.model is not None
    return build.model.path


def test_weights_are_layers_of_the_image_by_default(tmp_path: Path) -> None:
    build, push, update = stages(tmp_path, "{image: team/digits, registries: a.io, model: {source: model}}")
    assert (build.own_image, model_path(build)) == (None, "/models/digits")
    assert push.model_repositories == update.destination.model_repositories == ()
    assert update.destination.model_image is None


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("", OwnImage(name="digits-model", mounted_at="/mnt/models")),
        (
            ", path: /opt/weights, base: busybox",
            OwnImage(name="digits-model", mounted_at="/opt/weights", base="busybox"),
        ),
        (", image: weights, base: scratch", OwnImage(name="weights", mounted_at="/mnt/models")),
    ],
)
def test_an_image_of_their_own_is_known_to_all_stages(
    tmp_path: Path, settings: str, expected: OwnImage
) -> None:
    text = f"{{image: digits, registries: a.io, model: {{source: model, delivery: image{settings}}}}}"
    build, push, update = stages(tmp_path, text)
    assert build.own_image == expected
    assert model_path(build) == "/models"
    assert update.destination.model_image == expected.name
    assert push.model_repositories == update.destination.model_repositories == (f"a.io/{expected.name}",)


def test_one_name_for_both_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        stages(tmp_path, "image: digits\nmodel:\n  source: model\n  delivery: image\n  image: digits\n")
    assert caught.value.message == "pipeline.yaml:5: model.image: 'digits' is the application's own name"
    assert "digits-model" in caught.value.advice


def test_every_key_of_a_target_reaches_the_edit(tmp_path: Path) -> None:
    hints = "form: argocd, kind: Application, name: a, namespace: b, container: c, field: d, marker: e:f"
    target = f"{{path: p, image: i, {hints}, parameters: {{tag: image.tag, digest: image.digest}}}}"
    _, _, update = stages(tmp_path, f"{{image: digits, registries: a.io, update: {{targets: [{target}]}}}}")
    assert update.destination.targets == (
        Target(
            path="p",
            image="i",
            form="argocd",
            kind="Application",
            name="a",
            namespace="b",
            container="c",
            field="d",
            marker="e:f",
            tag_parameter="image.tag",
            digest_parameter="image.digest",
        ),
    )


def scan(folder: Path, text: str, *, proposed: bool = False) -> Scan:
    (folder / "pipeline.yaml").write_text(text)
    source = Source(root=folder, commit=COMMIT, committed_at=datetime(2026, 1, 2, tzinfo=UTC))
    plan = compose(read_config(folder / "pipeline.yaml", environment={}), source, proposed=proposed)
    (found,) = (stage for stage in plan.stages if isinstance(stage, Scan))
    return found


def test_registries_are_asked_for_their_findings_only_where_somebody_wants_it(tmp_path: Path) -> None:
    assert scan(tmp_path, "{image: digits, registries: a.io}").outside is None
    wanted = "{image: digits, registries: a.io, scan: {registry_findings: true}, model: {source: model}}"
    outside = scan(tmp_path, wanted.replace("source: model", "source: model, delivery: image")).outside
    assert isinstance(outside, RegistryFindings)
    assert outside.registries.repositories == ("a.io/digits",)
    assert outside.model_repositories == ("a.io/digits-model",)


def test_for_a_proposal_no_registry_is_asked_because_none_gets_the_image(tmp_path: Path) -> None:
    wanted = "{image: digits, registries: a.io, scan: {registry_findings: true}}"
    assert scan(tmp_path, wanted, proposed=True).outside is None
