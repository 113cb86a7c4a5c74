"""What a list of contents is about: one platform of an image, and the model in it.

Nothing in it depends on the machine or the moment, so that the same image gives the same list everywhere.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from pipeline.model import BuiltImage, Image, ModelCard, ModelFile, ModelLayer, PlatformImage
from pipeline.reference import Digest

_HUB = re.compile(r"^hf://(?P<name>[^@]+)@(?P<commit>[0-9a-f]{40})$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """The model in an image: its files with their digests, and what is known of where they come from."""

    name: str
    layers: tuple[ModelLayer, ...]
    source: str = ""
    """URL that the files were read from; empty for a folder, whose path means nothing elsewhere."""
    revision: str = ""
    card: ModelCard | None = None

    @property
    def files(self) -> tuple[tuple[ModelFile, ModelLayer], ...]:
        """Each file with the layer that it is in, in the order of the files' names."""
        found = [(file, layer) for layer in self.layers for file in layer.files]
        return tuple(sorted(found, key=lambda one: one[0].path))

    @property
    def digest(self) -> Digest:
        """What the files are, whatever layers they are in."""
        return Digest.of("\n".join(f"{file.digest} {file.path}" for file, _ in self.files).encode())

    @property
    def version(self) -> str:
        """The source's own revision, or else the digest of all files."""
        return self.revision or str(self.digest)

    @property
    def purl(self) -> str:
        """The package URL of a commit on the Hugging Face Hub; no other source has a type of its own."""
        found = _HUB.match(self.source)
        return f"pkg:huggingface/{quote(found['name'], safe='/')}@{found['commit']}" if found else ""

    @property
    def url(self) -> str:
        """Where people and programs find it; empty where only a folder is known."""
        found = _HUB.match(self.source)
        return f"https://huggingface.co/{found['name']}/tree/{found['commit']}" if found else self.source


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One platform of an image."""

    name: str
    platform: str
    manifest: Digest
    config: Digest
    index: Digest
    """Of the whole image; the manifest itself where there is one platform."""
    created: datetime
    """When its commit was made: the moment of the run is none of its properties."""
    weights: Weights | None = None

    @classmethod
    def of(
        cls, image: Image, platform: PlatformImage, created: datetime, weights: Weights | None
    ) -> "Subject":
        """Return the subject of a platform of an image; weights that are in another image are left out."""
        return cls(
            name=image.name,
            platform=platform.platform,
            manifest=platform.manifest.digest,
            config=platform.config.digest,
            index=image.digest,
            created=created,
            weights=weights if image.model_layers else None,
        )

    @property
    def purl(self) -> str:
        """The package URL of the manifest, wherever it is pushed to."""
        architecture = self.platform.partition("/")[2].replace("/", "%2F")
        name = quote(self.name.rpartition("/")[2].lower())
        return f"pkg:oci/{name}@{quote(self.manifest, safe='')}?arch={architecture}"


def weights_of(image: BuiltImage, card: ModelCard | None, revision: str) -> Weights | None:
    """Return what is known of the model of a build; None where it has none."""
    layers = image.weights
    if not layers:
        return None
    source = layers[0].source if ":/" in layers[0].source else ""
    named = _HUB.match(source)
    last = re.split(r"[/@]", source.rstrip("/"))[-1] if source and not named else ""
    name = (card.name if card else "") or (named["name"] if named else last)
    own = image.model_image.name if image.model_image is not None else f"{image.name}-model"
    return Weights(
        name=name or own,
        layers=layers,
        source=source,
        revision=revision or (named["commit"] if named else ""),
        card=card,
    )
