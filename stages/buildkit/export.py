"""Runs a build and brings the image out as an OCI image layout, whatever the builder can export."""

import json
import shutil
import tarfile
import uuid
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from python_on_whales import DockerClient
from python_on_whales.exceptions import DockerException

from pipeline.desk import Desk
from pipeline.errors import StageFailed
from pipeline.model import BaseImage, BuildSteps
from pipeline.reference import Digest, Reference
from stages.buildkit import failure
from stages.buildkit.builder import Builder
from stages.buildkit.docker_login import logged_in
from stages.buildkit.dockerfile import SCRATCH, base_platform
from stages.buildkit.external_cache import UNUSED, CacheUse
from stages.buildkit.platforms import refuse_fixed_base, refuse_foreign_base
from stages.buildkit.steps import Steps
from stages.oci.application_layers import Packing
from stages.oci.layer_compression import Compression
from stages.oci.layout import Layout

KEPT_LINES = 200
LAYER_TIME_S = 315_619_200
"""1980-01-02: files of a layer that are younger get this time, so that the same files give the same layer.

The commit's time would do for the same commit twice. But with the next commit all layers would have other
digests, however little changed, and as a build argument it would run steps again that BuildKit remembers. It
is not 1970, because ZIP knows no time before 1980.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What BuildKit is asked to build."""

    context: Path
    dockerfile: Path
    """The file that BuildKit reads."""
    shown_dockerfile: Path
    """The user's own, which messages name."""
    target: str | None
    platforms: tuple[str, ...]
    arguments: Mapping[str, str]
    secrets: tuple[str, ...]
    """As `--secret` takes them: they name where a secret is, never what it is."""
    builder: str | None
    network: str | None
    cache: bool
    compression: Compression = field(default_factory=Compression)
    external: CacheUse = UNUSED
    """The cache outside of the builder."""


@dataclass(frozen=True, slots=True)
class Export:
    """What a build brought out; `materials` are the images it started from, as far as BuildKit told."""

    layout: Layout
    materials: Mapping[Reference, Digest]
    packing: Packing
    """What the layers shall become."""
    steps: BuildSteps


def export(request: Request, builder: Builder, desk: Desk, folder: Path) -> Export:
    """Build into a layout below `folder`, again with less of the external cache where that may be to blame.

    Raises:
        StageFailed: the Dockerfile cannot be built; its line and BuildKit's last words are in the message.
        DiskFull: the engine or this machine has no room left.
    """
    try:
        return _export(request, builder, desk, folder)
    except StageFailed as error:
        if not (request.external.active and failure.may_be_the_caches(error)):
            raise
        less = request.external.less(error.message.partition(": ")[2])
    desk.say("the build failed; building again with less of the external cache")
    shutil.rmtree(folder / "built", ignore_errors=True)
    return export(replace(request, external=less), builder, desk, folder)


def _export(request: Request, builder: Builder, desk: Desk, folder: Path) -> Export:
    metadata = folder / "metadata.json"
    path = folder / "built"
    steps = Steps()
    with logged_in(request.external.login) as configuration:
        client = _client(builder, configuration)
        if builder.exports_layout:
            output = {"type": "oci", "dest": str(path), "tar": "false", **_packed(request.compression)}
            _follow(_lines(client, request, metadata, output=output), request.shown_dockerfile, desk, steps)
        else:
            tag = f"pipeline-build:{uuid.uuid4().hex}"
            _follow(_lines(client, request, metadata, tag=tag), request.shown_dockerfile, desk, steps)
    if not builder.exports_layout:
        _save(_client(builder), tag, desk, path)
    text = request.shown_dockerfile.read_text(encoding="utf-8", errors="replace")
    flag = base_platform(text, target=request.target, arguments=request.arguments)
    refuse_fixed_base(flag, request.platforms, _builder_platform(metadata), str(request.shown_dockerfile))
    packing = Packing(
        compression=request.compression, newest_s=LAYER_TIME_S, plain_base=not builder.exports_layout
    )
    return Export(Layout.open(path), _materials(metadata), packing, _summed_up(steps, request.external))


def _summed_up(steps: Steps, cache: CacheUse) -> BuildSteps:
    read = () if "importing" in steps.problems and len(cache.read) == 1 else tuple(cache.read)
    written = None if "exporting" in steps.problems else next(iter(cache.written), None)
    return BuildSteps(
        steps=len(steps.all),
        cached=len(steps.cached),
        cache_read=read,
        cache_written=written,
        notes=(*cache.notes, *steps.notes),
    )


def _packed(compression: Compression) -> dict[str, str]:
    """Return the exporter's options: quick ones, since own layers are packed once more.

    BuildKit keeps what it compressed, and without `force-compression` the base image's layers as they are.
    """
    level = {} if compression.kind == "uncompressed" else {"compression-level": "1"}
    return {"compression": compression.kind, **level}


def base_image(name: str, builder: Builder, materials: Mapping[Reference, Digest]) -> BaseImage | None:
    """Return an image that a build started from, with the digest that BuildKit resolved or else the engine's.

    None where the name is no reference.
    """
    try:
        reference = Reference.parse(name)
    except ValueError:
        return None
    known = (digest for made_of, digest in materials.items() if _same(made_of, reference))
    digest = reference.digest or next(known, None) or _local_digest(builder, str(reference))
    return BaseImage(name=str(reference), digest=digest)


def _same(one: Reference, other: Reference) -> bool:
    return (one.repository, one.tag or "latest") == (other.repository, other.tag or "latest")


def _local_digest(builder: Builder, name: str) -> Digest | None:
    """Return the digest by which the engine knows an image, or None where it knows none."""
    if builder.engine is None or name == SCRATCH:
        return None
    try:
        known = _client(builder).image.inspect(name).repo_digests
    except DockerException:
        return None
    return next((Digest(digest) for digest in (text.partition("@")[2] for text in known) if digest), None)


def _client(builder: Builder, configuration: Path | None = None) -> DockerClient:
    """Return a client in the builder's own context, outside of which buildx does not let it be used."""
    return DockerClient(context=builder.engine.context if builder.engine else None, config=configuration)


def _lines(
    client: DockerClient,
    request: Request,
    metadata: Path,
    *,
    output: Mapping[str, str] | None = None,
    tag: str | None = None,
) -> Iterator[str]:
    """Yield BuildKit's output while it builds, into an output or else into the engine's image store."""
    lines = client.buildx.build(
        request.context,
        file=request.dockerfile,
        target=request.target,
        platforms=list(request.platforms) or None,
        build_args=dict(request.arguments),
        secrets=list(request.secrets),
        builder=request.builder,
        network=request.network,
        cache=request.cache,
        cache_from=[dict(one) for one in request.external.read.values()],
        cache_to=next((dict(one) for one in request.external.written.values()), None),
        output=dict(output or {}),
        load=output is None,
        tags=[tag] if tag else [],
        metadata_file=metadata,
        provenance=False,  # it would be a manifest of its own beside the image
        progress="plain",
        stream_logs=True,
    )
    assert isinstance(lines, Iterator)  # noqa: S101 - stream_logs makes it one
    return lines


def _follow(lines: Iterator[str], dockerfile: Path, desk: Desk, steps: Steps) -> None:
    """Show and log each line as it comes; the whole log is there before a base image is refused."""
    last: deque[str] = deque(maxlen=KEPT_LINES)
    with desk.log("build") as log:
        try:
            for line in lines:
                text = desk.redact(line.rstrip())
                last.append(text)
                steps.read(text)
                log.write(f"{text}\n")
                log.flush()
                if text:
                    desk.say(text)
        except DockerException as error:
            raise failure.explain(tuple(last), dockerfile) from error
    for text in last:  # BuildKit sums its warnings up at the end
        refuse_foreign_base(text, str(dockerfile))


def _save(client: DockerClient, tag: str, desk: Desk, path: Path) -> None:
    """Take the image out of a classic image store, which since Docker 25 saves OCI image layouts."""
    desk.on_exit(lambda: client.image.remove(tag))
    desk.say("saving the image from the engine's image store")
    archive = path.with_suffix(".tar")
    try:
        client.image.save(tag, output=archive)
        with tarfile.open(archive) as tar:
            tar.extractall(path, filter="data")
    except DockerException as error:
        raise failure.explain((str(error.stderr).strip(),), Path("docker save")) from error
    except tarfile.TarError as error:
        raise StageFailed(
            f"docker saved an archive that cannot be read: {error}", advice="Run again."
        ) from error
    finally:
        archive.unlink(missing_ok=True)


def _materials(metadata: Path) -> dict[Reference, Digest]:
    """Read which images BuildKit resolved, from the provenance in its metadata file.

    Source: SLSA provenance 0.2 `materials`, with package URLs such as
    `pkg:docker/python@3.11-slim?platform=linux%2Famd64`.
    """
    provenance = _provenance(metadata)
    # one provenance, or one for each platform
    documents = [provenance] if "materials" in provenance else provenance.values()
    found = (
        one for document in documents if isinstance(document, dict) for one in document.get("materials", ())
    )
    return dict(filter(None, (_material(one.get("uri", ""), one.get("digest", {})) for one in found)))


def _builder_platform(metadata: Path) -> str | None:
    """Return the platform of the builder; BuildKit tells it of a build for one platform only."""
    environment = _provenance(metadata).get("invocation", {}).get("environment", {})
    return str(environment["platform"]) if "platform" in environment else None


def _provenance(metadata: Path) -> dict[str, Any]:
    try:
        provenance: dict[str, Any] = json.loads(metadata.read_bytes()).get("buildx.build.provenance") or {}
    except (OSError, ValueError):
        return {}
    return provenance


def _material(uri: str, digest: Mapping[str, str]) -> tuple[Reference, Digest] | None:
    if not uri.startswith("pkg:docker/") or "sha256" not in digest:
        return None
    name, _, version = uri.removeprefix("pkg:docker/").partition("?")[0].partition("@")
    try:
        return Reference.parse(unquote(f"{name}:{version}" if version else name)), Digest(
            f"sha256:{digest['sha256']}"
        )
    except ValueError:
        return None
