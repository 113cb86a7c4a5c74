"""Lists of contents (SBOM) of every platform of an image, the model among them, kept by manifest.

A later scan of the same digest looks the list up, and not the layers: that takes 0.2 s whatever the image
weighs. Secrets and settings are in no list; where a scanner shall find them, it gets the layers as before.
"""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.desk import Desk
from pipeline.model import BuiltImage, Image, ModelCard, PlatformImage, Sbom, SbomFormat, ScanReport, Tool
from pipeline.reference import Digest
from stages.full_disk import full_disk_named
from stages.models.interface import Files
from stages.scanners import sbom_cyclonedx, sbom_spdx
from stages.scanners.interface import ListedView
from stages.scanners.model_card import read_card
from stages.scanners.sbom_subject import Subject, Weights, weights_of

FOLDER = "sbom"
"""Below the runs' cache."""
FORM = 1
"""Counts up when the same image begins to give another list."""
MOST_KEPT = 100
"""Lists of each format; one has about 0.4 MB."""
ENDINGS: Mapping[SbomFormat, str] = {"cyclonedx": "cdx.json", "spdx": "spdx.json"}
MEDIA_TYPES: Mapping[SbomFormat, str] = {
    "cyclonedx": sbom_cyclonedx.MEDIA_TYPE,
    "spdx": sbom_spdx.MEDIA_TYPE,
}


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where lists are kept between runs."""

    cache: Path
    """The runs' cache."""

    def path(self, manifest: Digest, form: SbomFormat, key: str) -> Path:
        """Return where the list of a manifest is; `key` tells by whom and of what else it was made."""
        return self.cache / FOLDER / f"{manifest.encoded}-{key}.{ENDINGS[form]}"

    def newest(self, manifest: Digest, form: SbomFormat = "cyclonedx") -> Path | None:
        """Return the newest list of a manifest, whoever made it; None where there is none."""
        found = (self.cache / FOLDER).glob(f"{manifest.encoded}-*.{ENDINGS[form]}")
        return max(found, key=lambda path: path.stat().st_mtime_ns, default=None)

    def keep(self, path: Path, content: bytes) -> None:
        """Keep a list, whole or not at all, and drop those that nobody has used for longest.

        Raises:
            DiskFull: there is no room for it.
        """
        with full_disk_named(f"there is no room left for {path}", "Free some, or set `scan.sbom: []`."):
            path.parent.mkdir(parents=True, exist_ok=True)
            number, name = tempfile.mkstemp(dir=path.parent, prefix=".incomplete-")
            try:
                with os.fdopen(number, "wb") as file:
                    file.write(content)
                Path(name).replace(path)
            finally:
                Path(name).unlink(missing_ok=True)
        same = path.parent.glob(f"*.{path.name.partition('.')[2]}")
        for old in sorted(same, key=lambda one: one.stat().st_mtime_ns, reverse=True)[MOST_KEPT:]:
            old.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sboms:
    """Makes and keeps the lists of a build."""

    shelf: Shelf
    formats: tuple[SbomFormat, ...] = ("cyclonedx", "spdx")
    files: Files | None = None
    """Where the model's files are; its card is read from there."""
    revision: str = ""
    """What the model's source calls this version of it."""

    @property
    def identity(self) -> str:
        """What the lists depend on beside image and scanner."""
        return f"{FORM} {' '.join(self.formats)} {self.revision}"

    def known(self, image: BuiltImage, manifest: Digest, tool: Tool) -> Path | None:
        """Return the kept CycloneDX list of a manifest, if all lists of it are there that are wanted."""
        key = self._key(image, tool)
        paths = {form: self.shelf.path(manifest, form, key) for form in self.formats}
        if "cyclonedx" not in paths or not all(path.is_file() for path in paths.values()):
            return None
        for path in paths.values():
            with contextlib.suppress(OSError):  # somebody else's cache
                path.touch()
        return paths["cyclonedx"]

    def added(
        self, report: ScanReport, image: BuiltImage, lists: Iterable[ListedView], desk: Desk
    ) -> ScanReport:
        """Return the report with the lists of every platform, those that are new completed and kept.

        A platform whose layers the scanner has not listed, now or before, has none.

        Raises:
            DiskFull: there is no room for them.
        """
        listed = {one.view.manifest: one.documents for one in lists}
        card = read_card(image.weights, self.files, desk)
        made = tuple(self._made(image, listed, report.scanner, card, desk))
        return report.model_copy(update={"sboms": made, "model_card": card})

    def _made(
        self,
        image: BuiltImage,
        listed: Mapping[Digest, Mapping[SbomFormat, bytes]],
        tool: Tool,
        card: ModelCard | None,
        desk: Desk,
    ) -> Iterator[Sbom]:
        weights, key = weights_of(image, card, self.revision), self._key(image, tool)
        for one, platform, prefix in _platforms(image):
            subject = Subject.of(one, platform, image.created, weights)
            for form in self.formats:
                path = self.shelf.path(subject.manifest, form, key)
                document = listed.get(subject.manifest, {}).get(form)
                new = document is not None or (not platform.application_layers and not path.is_file())
                if new:
                    self.shelf.keep(path, completed(document, form, subject))
                elif not path.is_file():
                    continue
                place = platform.platform.replace("/", "-")
                with full_disk_named(f"there is no room left in {desk.folder}", "Free some of it."):
                    shutil.copyfile(path, desk.folder / f"{prefix}sbom-{place}.{ENDINGS[form]}")
                yield self._told(path, form, subject, reused=not new)

    def _told(self, path: Path, form: SbomFormat, subject: Subject, *, reused: bool) -> Sbom:
        content = path.read_bytes()
        count = sbom_cyclonedx.count if form == "cyclonedx" else sbom_spdx.count
        return Sbom(
            format=form,
            platform=subject.platform,
            subject=subject.manifest,
            path=path.relative_to(self.shelf.cache),
            digest=Digest.of(content),
            components=count(json.loads(content)),
            reused=reused,
        )

    def _key(self, image: BuiltImage, tool: Tool) -> str:
        """Return what a list depends on beside the image: who made it, and what is said of the model."""
        weights: Weights | None = weights_of(image, None, self.revision)
        source = (weights.source, weights.revision) if weights is not None else ()
        return Digest.of(repr((FORM, tool.name, tool.version, source)).encode()).short


def _platforms(image: BuiltImage) -> Iterator[tuple[Image, PlatformImage, str]]:
    """Yield the platforms of the image, and those of the weights' own, with the prefix of their files."""
    for one, prefix in ((image, ""), (image.model_image, "model-")):
        for platform in one.platforms if one is not None else ():
            assert one is not None  # noqa: S101 - it has platforms
            yield one, platform, prefix


def completed(document: bytes | None, form: SbomFormat, subject: Subject) -> bytes:
    """Return a list as it is kept; `document` is the scanner's own, None for an image without layers."""
    found: dict[str, Any] | None = json.loads(document) if document is not None else None
    complete = sbom_cyclonedx.complete if form == "cyclonedx" else sbom_spdx.complete
    return json.dumps(complete(found, subject), separators=(",", ":"), ensure_ascii=False).encode()
