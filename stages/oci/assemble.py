"""Joins application layers and model layers into one image: new configurations and manifests, no new content.

Source: OCI image specification 1.1, config.md, manifest.md, image-index.md and annotations.md.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

from pipeline.desk import Desk
from pipeline.errors import StageFailed
from pipeline.model import Descriptor, ModelLayer, PlatformImage
from pipeline.reference import Digest
from stages.oci.application_layers import Packer, Packing
from stages.oci.image_settings import base_created, settings
from stages.oci.layer_facts import KnownFacts
from stages.oci.layer_memory import LayerMemory, Taken
from stages.oci.layer_order import Place, above_base, layer_names, top
from stages.oci.layout import INDEX_TYPE, Layout, to_descriptor, to_document, to_json
from stages.oci.overlap import refuse_overlap

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
ATTESTATION = "vnd.docker.reference.type"
MODEL_LAYER = "model layer: "
"""What the history says of a layer of weights first."""
MODEL_STEP = "COPY model "


@dataclass(frozen=True, slots=True, kw_only=True)
class Additions:
    """What the final image has beyond what BuildKit built."""

    model_layers: tuple[ModelLayer, ...] = ()
    labels: Mapping[str, str]
    """Labels of the configuration."""
    annotations: Mapping[str, str]
    """Annotations of the manifest, and of the index where there is one."""
    created: datetime
    instructions: Callable[[str], Sequence[str]] | None = None
    """The keywords of the Dockerfile's instructions, for a platform: their layers go above the model's.

    None: there is no Dockerfile, and the model's layers go above all.
    """
    packing: Packing | None = None
    """What its layers shall become; None: they stay as they are."""


@dataclass(frozen=True, slots=True)
class Assembled:
    """The final image: its manifest, or the index of several platforms."""

    root: Descriptor
    platforms: tuple[PlatformImage, ...]


def assemble(
    built: Layout,
    target: Layout,
    additions: Additions,
    *,
    reference: str | None = None,
    desk: Desk | None = None,
) -> Assembled:
    """Write the final image into `target`, whose application layers are those of the layout that was built.

    Without a desk, nothing is remembered of the layers, and nobody hears where the model's went.

    Raises:
        StageFailed: the layout holds no image, or the model would overlap the application.
    """
    manifests = tuple(_manifests(built))
    if not manifests:
        raise StageFailed("BuildKit exported no image", advice="Run again; its log says what it did.")
    facts = KnownFacts(desk.cache / "layer-facts.json" if desk is not None else None)
    say = desk.say if desk is not None else _nobody_listens
    memory = LayerMemory(desk.cache / "application-layers" if desk is not None else None)
    packer = Packer(built=built, target=target, packing=additions.packing, memory=memory, say=say)
    joint = _Joint(built, target, additions, facts, packer, say)
    try:
        platforms = tuple(joint.platform_image(manifest) for manifest in manifests)
    finally:
        facts.save()  # also of an image that is refused: it will be mended and built again
    root = platforms[0].manifest if len(platforms) == 1 else _write_index(target, platforms, additions)
    target.put_root(root, reference)
    memory.forget_removed()
    return Assembled(root, platforms)


def _manifests(built: Layout) -> Iterator[dict[str, Any]]:
    """Yield the manifest of every platform, in the order of the index; attestations are left behind."""
    pending = [root.descriptor for root in built.roots()]
    while pending:
        document = built.read_json(pending.pop(0).digest)
        if "manifests" in document:
            children = document["manifests"]
            pending[:0] = [
                to_descriptor(one) for one in children if ATTESTATION not in one.get("annotations", {})
            ]
        else:
            yield document


@dataclass(frozen=True, slots=True)
class _Joint:
    """What the images of all platforms are made with."""

    built: Layout
    target: Layout
    additions: Additions
    facts: KnownFacts
    packer: Packer
    say: Callable[[str], None]

    def platform_image(self, manifest: dict[str, Any]) -> PlatformImage:
        document = self.built.read_json(to_descriptor(manifest["config"]).digest)
        place = self._above_base(document, len(manifest["layers"]))
        taken = self._take_layers(manifest, document, place)
        layers = tuple(one.descriptor for one in taken)
        self._refuse_overlap(document, layers, place)
        base = base_created(document.get("history", ())[: place.steps]) if place.known else None
        document = _config(document, [one.diff_id for one in taken], place, self.additions)
        config = self.target.write(to_json(document), CONFIG_TYPE)
        models = (model.descriptor for model in self.additions.model_layers)
        written = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": to_document(config),
            "layers": [
                to_document(one) for one in (*layers[: place.layers], *models, *layers[place.layers :])
            ],
            "annotations": dict(self.additions.annotations),
        }
        return PlatformImage(
            platform=_platform(document),
            manifest=self.target.write(to_json(written), MANIFEST_TYPE),
            config=config,
            application_layers=layers,
            **settings(document),
            base_created=base,
        )

    def _take_layers(
        self, manifest: dict[str, Any], config: dict[str, Any], base: Place
    ) -> tuple[Taken, ...]:
        built = zip(manifest["layers"], config["rootfs"]["diff_ids"], strict=True)
        return tuple(
            self.packer.take(to_descriptor(layer), Digest(diff_id), own=number >= base.layers)
            for number, (layer, diff_id) in enumerate(built)
        )

    def _refuse_overlap(self, document: dict[str, Any], layers: Sequence[Descriptor], place: Place) -> None:
        names = layer_names(document.get("history") or (), len(layers))
        for path in sorted({layer.path for layer in self.additions.model_layers}):
            facts = [self.facts.of(self.target, layer, PurePosixPath(path)) for layer in layers]
            above = zip(names, facts, strict=True)
            refuse_overlap(facts[: place.layers], tuple(above)[place.layers :], path)

    def _above_base(self, document: dict[str, Any], layers: int) -> Place:
        """Return where the model's layers go: above those of the base image, or else above all."""
        history = document.get("history") or ()
        if self.additions.instructions is None:
            return top(history, layers)
        place = above_base(history, layers, self.additions.instructions(_platform(document)))
        if place is None:
            self.say(
                f"{_platform(document)}: the history does not show which layers are the Dockerfile's own, so "
                "they keep the times of their files, and a model's go above all: engines will unpack "
                "those anew after every change"
            )
        return place or top(history, layers, known=False)


def _nobody_listens(_: str) -> None:
    pass


def _config(
    document: dict[str, Any], diff_ids: Sequence[Digest], place: Place, additions: Additions
) -> dict[str, Any]:
    created = timestamp(additions.created)
    settings = document.get("config") or {}
    labels = {**(settings.get("Labels") or {}), **additions.labels}
    # when a step ran says only whether BuildKit remembered it; that must not change the digest
    history = [{**step, "created": created} for step in document.get("history") or ()]
    steps = [_step(layer, created) for layer in additions.model_layers]
    models = [layer.descriptor.digest for layer in additions.model_layers]
    return {
        **document,
        "created": created,
        "config": {**settings, "Labels": labels},
        "history": [*history[: place.steps], *steps, *history[place.steps :]],
        "rootfs": {
            "type": "layers",
            "diff_ids": [*diff_ids[: place.layers], *models, *diff_ids[place.layers :]],
        },
    }


def _step(layer: ModelLayer, created: str) -> dict[str, Any]:
    files = f"{len(layer.files)} file{'s' if len(layer.files) != 1 else ''}"
    return {"created": created, "created_by": f"{MODEL_STEP}{layer.path}", "comment": f"{MODEL_LAYER}{files}"}


def _write_index(target: Layout, platforms: Sequence[PlatformImage], additions: Additions) -> Descriptor:
    children = [{**to_document(one.manifest), "platform": _parts(one.platform)} for one in platforms]
    index = {
        "schemaVersion": 2,
        "mediaType": INDEX_TYPE,
        "manifests": children,
        "annotations": dict(additions.annotations),
    }
    return target.write(to_json(index), INDEX_TYPE)


def _platform(config: Mapping[str, Any]) -> str:
    parts = (config["os"], config["architecture"], config.get("variant"))
    return "/".join(part for part in parts if part)


def _parts(platform: str) -> dict[str, str]:
    return dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))


def timestamp(moment: datetime) -> str:
    """Return a moment as RFC 3339 in UTC, without fractions of a second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
