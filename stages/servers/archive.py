"""The application image inside an engine, for as long as a run needs it: weights never go into an engine.

The archive is streamed from the layout. It is an OCI image layout itself, with the `manifest.json` beside it
that engines without the containerd image store read.
"""

import json
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.desk import Desk
from pipeline.errors import StageFailed
from pipeline.model import Image, PlatformImage
from pipeline.reference import Digest
from stages.oci.application_view import application_views
from stages.oci.layout import INDEX_TYPE, Layout, read_chunks, to_document, to_json
from stages.servers.checks import runs_on
from stages.servers.engine import Engine, EngineFacts
from stages.servers.leftovers import IMAGE

TIMEOUT_S = 1800.0


def load_application(image: Image, facts: EngineFacts, engine: Engine, desk: Desk, tag: str) -> str:
    """Put the application layers into the engine until the stage ends, and return the name they have there.

    Raises:
        StageFailed: the image is for other platforms, or the engine refuses it.
        DiskFull: the engine has no room for it.
    """
    chosen = for_engine(image, facts)
    size_mb = sum(layer.size_bytes for layer in chosen.application_layers) / 1e6
    desk.say(f"loading the image into the engine ({size_mb:.0f} MB, without the model)")
    name = f"docker.io/{IMAGE}:{tag}"
    desk.on_exit(lambda: _remove(engine, desk, name))
    folder = desk.folder / "application"
    desk.on_exit(lambda: shutil.rmtree(folder, ignore_errors=True))
    archive = application_archive(_application(image, chosen, folder), name)
    engine.ask("load", "--quiet", timeout_s=TIMEOUT_S, stdin=archive)
    return name


def application_archive(layout: Layout, name: str) -> Iterator[bytes]:
    """Yield a tar for `docker load` of the only image of a layout, under a full name with a tag."""
    root = layout.roots()[0].descriptor
    manifest = layout.read_json(root.digest)
    entry = {**to_document(root), "annotations": _names(name)}
    yield from _file("oci-layout", to_json({"imageLayoutVersion": "1.0.0"}))
    yield from _file(
        "index.json", to_json({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [entry]})
    )
    blobs = (entry, manifest["config"], *manifest["layers"])
    for blob in {blob["digest"]: blob for blob in blobs}.values():  # a layer may stand there twice
        yield from _blob(layout, Digest(blob["digest"]), blob["size"])
    yield from _file("manifest.json", _older_manifest(manifest, name))
    yield bytes(2 * tarfile.BLOCKSIZE)


def _application(image: Image, chosen: PlatformImage, folder: Path) -> Layout:
    views = application_views(image, folder)
    return Layout.open(next(view.layout for view in views if view.platform == chosen.platform))


def for_engine(image: Image, facts: EngineFacts) -> PlatformImage:
    """Return the platform's image that the engine runs.

    Raises:
        StageFailed: the image is for other platforms.
    """
    for candidate in image.platforms:
        if runs_on(candidate.platform, facts):
            return candidate
    built = ", ".join(candidate.platform for candidate in image.platforms)
    raise StageFailed(
        f"the engine runs {facts.platform}, but the image is for {built}",
        advice=f"Add {facts.platform} to `build.platforms`, or run the benchmark on a machine of that kind.",
    )


def _remove(engine: Engine, desk: Desk, name: str) -> None:
    outcome = engine.attempt("image", "rm", name)
    if not outcome.succeeded and "no such image" not in outcome.stderr.lower():
        desk.say(f"could not remove the image {name}: {outcome.stderr.strip()}")


def _names(name: str) -> dict[str, str]:
    return {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rpartition(":")[2]}


def _older_manifest(manifest: dict[str, Any], name: str) -> bytes:
    layers: Sequence[dict[str, Any]] = manifest["layers"]
    paths = [_path(Digest(layer["digest"])) for layer in layers]
    config = _path(Digest(manifest["config"]["digest"]))
    return json.dumps([{"Config": config, "RepoTags": [name], "Layers": paths}]).encode()


def _path(digest: Digest) -> str:
    return f"blobs/sha256/{digest.encoded}"


def _file(name: str, content: bytes) -> Iterator[bytes]:
    yield _header(name, len(content))
    yield content
    yield _padding(len(content))


def _blob(layout: Layout, digest: Digest, size_bytes: int) -> Iterator[bytes]:
    yield _header(_path(digest), size_bytes)
    with layout.blob_path(digest).open("rb") as stream:
        yield from read_chunks(stream)
    yield _padding(size_bytes)


def _header(name: str, size_bytes: int) -> bytes:
    header = tarfile.TarInfo(name)
    header.size, header.mode = size_bytes, 0o644
    return header.tobuf(tarfile.PAX_FORMAT)


def _padding(size_bytes: int) -> bytes:
    return bytes(-size_bytes % tarfile.BLOCKSIZE)
