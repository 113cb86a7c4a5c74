"""The weights' own image, built on real engines of either image store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import StageFailed
from pipeline.model import BuiltImage, ModelImage, Source, SuiteReport
from stages.benchmark import Benchmark
from stages.build import Build
from stages.models.file import FolderFiles
from stages.models.model import Model
from stages.oci.layout import INDEX_TYPE, Layout
from stages.oci.model_image import WEIGHTS_FOLDER, OwnImage
from tests.support.base_image import BASE_IMAGE
from tests.support.engine import Engine

OWN = OwnImage(name="digits-model", mounted_at="/mnt/models")
WITH_BASE = replace(OWN, base=BASE_IMAGE)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "model").mkdir(parents=True)
    (folder / "model/weights.bin").write_bytes(b"weights" * 1000)
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY app.py /app.py\nUSER 1000\n")
    return folder


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    (tmp_path / "desk").mkdir()
    lent = Desk(folder=tmp_path / "desk", cache=tmp_path / "cache")
    yield lent
    lent.clear()


def build(project: Path, own: OwnImage = OWN, **options: object) -> Build:
    return Build(
        image="digits",
        context=project,
        dockerfile=project / "Dockerfile",
        model=Model(files=FolderFiles(folder=project / "model"), path=WEIGHTS_FOLDER),
        own_image=own,
        **options,  # type: ignore[arg-type]  # the options of Build
    )


def have(project: Path, commit: str, code: str = "1") -> Artifacts:
    (project / "app.py").write_text(code)
    os.utime(project / "app.py", (0, 0))
    moment = datetime(2026, 1, 1, int(commit), tzinfo=UTC)
    report = SuiteReport(command=("true",), exit_code=0, duration_s=0.1)
    return Artifacts(Source(root=project, commit=commit * 40, committed_at=moment), report)


def own_of(image: BuiltImage) -> ModelImage:
    assert image.model_image is not None
    return image.model_image


@pytest.mark.parametrize("own", [OWN, WITH_BASE], ids=["scratch", "base"])
def test_a_commit_changes_the_application_and_not_the_weights(
    project: Path, desk: Desk, any_engine: Engine, own: OwnImage
) -> None:
    stage = build(project, own)
    first = stage.run(have(project, "1"), desk)
    second = stage.run(have(project, "2", "print(2)"), desk)
    assert first.digest != second.digest
    assert own_of(first).digest == own_of(second).digest
    assert first.model_layers == ()
    assert [platform.platform for platform in own_of(first).platforms] == [
        platform.platform for platform in first.platforms
    ]
    (project / "model/weights.bin").write_bytes(b"better")
    third = stage.run(have(project, "2", "print(2)"), desk)
    assert third.digest == second.digest
    assert own_of(third).digest != own_of(second).digest
    assert third.layout != second.layout
    benchmark = Benchmark(port=8080)
    moved = third.model_copy(
        update={"model_image": own_of(third).model_copy(update={"mounted_at": "/other"})}
    )
    identities = {benchmark.identity(Artifacts(image)) for image in (second, third, moved)}
    assert len(identities) == 3  # with other weights, or elsewhere, the server is measured again
    for image in (first, second, third):
        assert Layout(image.layout).has(own_of(image).digest)


def test_a_base_keeps_its_settings_but_for_the_command_that_comes_first(
    project: Path, desk: Desk, any_engine: Engine, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text(f'FROM {BASE_IMAGE}\nENV KEPT=1\nENTRYPOINT ["python3"]\n')
    base = f"pipeline-test-{tmp_path.name.lower()}"
    any_engine.docker("build", "--quiet", "--tag", base, str(tmp_path))
    image = own_of(build(project, replace(OWN, base=base)).run(have(project, "1"), desk))
    any_engine.docker("image", "rm", base)
    (platform,) = image.platforms
    config = Layout(image.layout).read_json(platform.config.digest)["config"]
    assert "KEPT=1" in config["Env"]
    assert not config.get("Entrypoint")
    assert len(platform.application_layers) > 0


def test_several_platforms_share_the_weights(project: Path, desk: Desk, base_image: str) -> None:
    stage = build(project, platforms=("linux/amd64", "linux/arm64"))
    image = stage.run(have(project, "1"), desk)
    own = own_of(image)
    manifests = [Layout(own.layout).read_json(one.manifest.digest) for one in own.platforms]
    assert own.media_type == image.media_type == INDEX_TYPE
    assert [one.platform for one in own.platforms] == ["linux/amd64", "linux/arm64"]
    assert manifests[0]["layers"] == manifests[1]["layers"]


def test_a_base_that_is_nowhere_is_named_as_the_setting_it_is(
    project: Path, desk: Desk, base_image: str
) -> None:
    with pytest.raises(StageFailed) as caught:
        build(project, replace(OWN, base="localhost:1/nowhere:1")).run(have(project, "1"), desk)
    assert caught.value.message.startswith("`model.base`: localhost:1/nowhere:1: ")
    assert "Check the name of the base" in caught.value.advice
    assert "Dockerfile" not in caught.value.message


def test_a_result_is_taken_again_only_for_the_same_weights_and_while_all_is_there(
    project: Path, desk: Desk, base_image: str
) -> None:
    source = have(project, "1")
    stage = build(project).prepared(desk)
    made = stage.run(source, desk)
    identities = {
        build(project, own).prepared(desk).identity(source)
        for own in (OWN, WITH_BASE, replace(OWN, name="other"), replace(OWN, mounted_at="/other"))
    }
    assert len(identities) == 4
    assert stage.identity(source) in identities
    assert stage.usable(made)
    (project / "model/weights.bin").write_bytes(b"better")
    assert not build(project).prepared(desk).usable(made)
    Layout(made.layout).blob_path(own_of(made).platforms[0].config.digest).unlink()
    assert not stage.usable(made)
