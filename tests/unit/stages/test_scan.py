"""The view of the application layers, and the stage around a scanner."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import StageFailed
from pipeline.model import (
    BuiltImage,
    Check,
    Descriptor,
    DiskNeed,
    ModelImage,
    PlatformImage,
    RegistryAnswer,
    Tool,
    VulnerabilityDatabase,
)
from pipeline.reference import Digest, Repository, Tag
from stages.oci.application_view import View, application_views
from stages.oci.layout import Layout, to_document, to_json
from stages.scan import Scan
from stages.scanners.interface import Findings
from stages.scanners.merging import Answer

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
EMPTY: dict[str, object] = {"created_by": "ENV A=b", "empty_layer": True}


def build(
    folder: Path, *, history: list[dict[str, object]] | None = None, diff_ids: int = 3
) -> tuple[Layout, PlatformImage]:
    """Write an image of two application layers with a model layer, which is not there, between them."""
    layout = Layout.create(folder / "layout")
    one, two = layout.write(b"one", "layer"), layout.write(b"two", "layer")
    model = Descriptor(media_type="layer", digest=Digest.of(b"model"), size_bytes=9)
    layers = (one, model, two)
    config: dict[str, object] = {
        "os": "linux",
        "config": {"User": "10001"},
        "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers][:diff_ids]},
    }
    if history is not None:
        config["history"] = history
    written = layout.write(to_json(config), "config")
    manifest = {
        "schemaVersion": 2,
        "config": to_document(written),
        "layers": [to_document(x) for x in layers],
    }
    image = PlatformImage(
        platform="linux/arm/v7",
        manifest=layout.write(to_json(manifest), MANIFEST),
        config=written,
        application_layers=(one, two),
    )
    return layout, image


def built(layout: Layout, image: PlatformImage) -> BuiltImage:
    return BuiltImage(
        name="model",
        tag=Tag("1"),
        digest=image.manifest.digest,
        media_type=MANIFEST,
        layout=layout.path,
        platforms=(image,),
        revision="a" * 40,
        dirty=False,
        created=NOW,
        builder=Tool(name="hand", version="1"),
    )


def test_view_has_the_application_layers_and_nothing_else(tmp_path: Path) -> None:
    history: list[dict[str, object]] = [
        EMPTY,
        {"created_by": "one"},
        {"created_by": "model"},
        EMPTY,
        {"created_by": "two"},
    ]
    layout, image = build(tmp_path, history=history)
    (view,) = application_views(built(layout, image), tmp_path / "view")
    assert view == View("linux/arm/v7", tmp_path / "view" / "linux-arm-v7", image.manifest.digest)
    seen = Layout.open(view.layout)
    (root,) = seen.roots()
    manifest = seen.read_json(root.descriptor.digest)
    assert [layer["digest"] for layer in manifest["layers"]] == [x.digest for x in image.application_layers]
    config = seen.read_json(Digest(manifest["config"]["digest"]))
    assert config["rootfs"]["diff_ids"] == [x.digest for x in image.application_layers]
    assert config["history"] == [EMPTY, {"created_by": "one"}, EMPTY, {"created_by": "two"}]
    assert config["config"] == {"User": "10001"}


def test_layers_are_not_copied_and_the_image_stays_as_it_is(tmp_path: Path) -> None:
    layout, image = build(tmp_path)
    before = {path: path.read_bytes() for path in layout.path.rglob("*") if path.is_file()}
    (view,) = application_views(built(layout, image), tmp_path / "view")
    layer = image.application_layers[0].digest
    assert Layout(view.layout).blob_path(layer).samefile(layout.blob_path(layer))
    assert {path: path.read_bytes() for path in layout.path.rglob("*") if path.is_file()} == before


def test_history_that_does_not_fit_is_left_out(tmp_path: Path) -> None:
    layout, image = build(tmp_path, history=[{"created_by": "squashed"}])
    (view,) = application_views(built(layout, image), tmp_path / "view")
    seen = Layout.open(view.layout)
    config = seen.read_json(image_config(seen))
    assert config["history"] == []


def image_config(layout: Layout) -> Digest:
    (root,) = layout.roots()
    return Digest(layout.read_json(root.descriptor.digest)["config"]["digest"])


def test_configuration_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    layout, image = build(tmp_path, diff_ids=2)
    with pytest.raises(StageFailed, match="the image has 3 layers, but its configuration names 2"):
        application_views(built(layout, image), tmp_path / "view")


def test_missing_layer_is_an_error(tmp_path: Path) -> None:
    layout, image = build(tmp_path)
    layout.blob_path(image.application_layers[1].digest).unlink()
    with pytest.raises(StageFailed, match="missing or incomplete"):
        application_views(built(layout, image), tmp_path / "view")


@dataclass(frozen=True, slots=True)
class Counting:
    """Another scanner: all it needs is the interface."""

    version: str | None = "1"
    name: str = "counting"

    def check(self, desk: Desk) -> tuple[Check, ...]:
        return (Check(subject="counting", found="here"),)

    def disk_needs(self, desk: Desk) -> tuple[DiskNeed, ...]:
        return ()

    def identity(self) -> str | None:
        return self.version

    def scan(self, views: tuple[View, ...], desk: Desk) -> Findings:
        database = VulnerabilityDatabase(repository="none", schema_version=1, updated_at=NOW)
        tool = Tool(name=self.name, version="1")
        return Findings(scanner=tool, database=database, packages=len(views), vulnerabilities=())


def test_any_scanner_fits(tmp_path: Path) -> None:
    desk = Desk(folder=tmp_path, cache=tmp_path)
    have = Artifacts(built(*build(tmp_path)))
    scan = Scan(scanner=Counting())
    report = scan.run(have, desk)
    assert (report.digest, report.scanner.name, report.packages) == (have[BuiltImage].digest, "counting", 1)
    desk.clear()
    assert not (tmp_path / "application").exists()
    assert scan.check(desk)[0].found == "here"


def with_model_image(image: BuiltImage, base: tuple[Descriptor, ...]) -> BuiltImage:
    """Return the image with one for its weights beside it; the base has these layers."""
    kept = {name: getattr(image, name) for name in ("tag", "digest", "media_type", "layout")}
    platforms = (image.platforms[0].model_copy(update={"application_layers": base}),)
    own = ModelImage(name="weights", platforms=platforms, mounted_at="/mnt/models", **kept)
    return image.model_copy(update={"model_image": own})


def test_what_the_weights_own_image_begins_with_is_scanned_too(tmp_path: Path) -> None:
    image = built(*build(tmp_path))
    layers = image.platforms[0].application_layers
    desk = Desk(folder=tmp_path, cache=tmp_path)
    scan = Scan(scanner=Counting())
    reports = [scan.run(Artifacts(with_model_image(image, base)), desk) for base in ((), layers)]
    assert [report.packages for report in reports] == [1, 2]
    identities = {
        scan.identity(Artifacts(with_model_image(image, base))) for base in ((), layers[:1], layers)
    }
    assert len(identities) == 3
    assert scan.identity(Artifacts(image)) in identities  # weights without a base are nothing to scan


def test_identity_follows_image_and_scanner(tmp_path: Path) -> None:
    layout, image = build(tmp_path)
    have = Artifacts(built(layout, image))
    other = Artifacts(built(layout, image).model_copy(update={"digest": Digest.of(b"other")}))
    first = Scan(scanner=Counting()).identity(have)
    assert first == Scan(scanner=Counting()).identity(have)
    others = {
        Scan(scanner=Counting()).identity(other),
        Scan(scanner=Counting("2")).identity(have),
        Scan(scanner=Counting(name="grype")).identity(have),
    }
    assert len({first, *others}) == 4
    assert Scan(scanner=Counting(None)).identity(have) is None


def test_a_report_is_not_taken_again_on_another_day(tmp_path: Path) -> None:
    """The age of the database is judged as of the day of the scan."""
    have = Artifacts(built(*build(tmp_path)))

    def identity(now: datetime) -> str | None:
        return Scan(scanner=Counting(), now=lambda: now).identity(have)

    late = NOW + timedelta(hours=23, minutes=59)
    assert identity(NOW) == identity(late)
    assert identity(NOW) == identity(late.astimezone(timezone(timedelta(hours=9))))
    assert identity(NOW) != identity(NOW + timedelta(days=1))


@dataclass(frozen=True, slots=True)
class Nobody:
    """A registry that has never seen the image."""

    def check(self) -> tuple[Check, ...]:
        return (Check(subject="nobody", found="asked"),)

    def ask(self, image: BuiltImage, desk: Desk) -> tuple[Answer, ...]:
        repository = Repository("registry.example.com/model")
        return ((RegistryAnswer(repository=repository, digest=image.digest, status="no image"), ()),)


def test_registries_are_asked_anew_each_time(tmp_path: Path) -> None:
    """Only they know what they have found since, so no earlier report is taken again."""
    have = Artifacts(built(*build(tmp_path)))
    desk = Desk(folder=tmp_path, cache=tmp_path)
    scan = Scan(scanner=Counting(), outside=Nobody())
    assert Scan(scanner=Counting()).identity(have) is not None
    assert scan.identity(have) is None
    assert [check.subject for check in scan.check(desk)] == ["counting", "nobody"]
    report = scan.run(have, desk)
    assert scan.identity(have) is None
    assert [answer.status for answer in report.registries] == ["no image"]
