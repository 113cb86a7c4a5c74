"""The weights as an image of their own: a KServe modelcar, or a volume of Kubernetes' type `image`.

Its bytes depend on the weights, its name, the base image and the platforms, on no commit: a change of code
gives the same digest, so nothing is pushed and no tag moves. That is why nothing in it tells of a commit, a
time, or where the weights came from; the record of the run does. Its tag is the beginning of its digest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pipeline.errors import StageFailed
from pipeline.model import BaseImage, ModelImage, ModelLayer
from pipeline.reference import Reference, Tag
from stages.oci.annotations import PREFIX, full_name
from stages.oci.application_layers import Packing
from stages.oci.assemble import CONFIG_TYPE, MANIFEST_TYPE, Additions, Assembled, assemble
from stages.oci.layout import Layout, to_document, to_json

WEIGHTS_FOLDER = "/models"
"""Where the weights lie in the image: KServe shows the server this folder, and no other."""
CREATED = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnImage:
    """What is to be made: an image for the weights alone."""

    name: str
    mounted_at: str
    """Folder in which the application finds the weights."""
    base: str | None = None
    """Image that it begins with; None: it holds the weights and nothing else."""


@dataclass(frozen=True, slots=True)
class Base:
    """What the image begins with, for every platform; `image` is None where that is nothing."""

    layout: Layout
    image: BaseImage | None = None
    packing: Packing | None = None
    """What its layers shall become."""


def assemble_model_image(
    own: OwnImage, weights: tuple[ModelLayer, ...], base: Base, target: Layout
) -> ModelImage:
    """Write the image of the weights into `target`, beside what is there, and return it.

    Raises:
        StageFailed: the base image has something where the weights go.
    """
    said = _annotations(own)
    additions = Additions(
        model_layers=weights, labels=said, annotations=said, created=CREATED, packing=base.packing
    )
    assembled = _assemble(own, base, target, additions)
    tag = Tag(assembled.root.digest.short)
    target.put_root(assembled.root, tag)
    return ModelImage(
        name=own.name,
        tag=tag,
        digest=assembled.root.digest,
        media_type=assembled.root.media_type,
        layout=target.path,
        platforms=assembled.platforms,
        model_layers=weights,
        annotations=said,
        base=base.image,
        mounted_at=own.mounted_at,
    )


def scratch(target: Layout, platforms: Sequence[str]) -> Base:
    """Write an image without any layer for each platform."""
    for platform in platforms:
        names = zip(("os", "architecture", "variant"), platform.split("/"), strict=False)
        document = {**dict(names), "rootfs": {"type": "layers", "diff_ids": []}}
        config = to_document(target.write(to_json(document), CONFIG_TYPE))
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config, "layers": []}
        target.put_root(target.write(to_json(manifest), MANIFEST_TYPE))
    return Base(target)


def _assemble(own: OwnImage, base: Base, target: Layout, additions: Additions) -> Assembled:
    try:
        return assemble(base.layout, target, additions)
    except StageFailed as error:
        if base.image is None:
            raise
        raise StageFailed(
            f"`model.base`: {own.base} cannot hold the weights: {error.message}",
            advice=f"Choose a base without anything in {WEIGHTS_FOLDER}, such as busybox; or none.",
        ) from error


def _annotations(own: OwnImage) -> dict[str, str]:
    """Return its name, and the base's as it was asked for.

    Which digest a base's tag had is left to the record: two machines may know it by different ones.
    """
    said = {f"{PREFIX}title": own.name}
    if own.base is not None:
        said[f"{PREFIX}base.name"] = full_name(own.base)
        if (pinned := Reference.parse(own.base).digest) is not None:
            said[f"{PREFIX}base.digest"] = pinned
    return said
