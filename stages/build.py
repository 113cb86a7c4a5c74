"""Build the image: BuildKit makes the application layers, the weights join them as layers of their own."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import ConfigurationError, PipelineError
from pipeline.model import (
    Artifact,
    BaseImage,
    BuiltImage,
    Check,
    DiskNeed,
    ModelImage,
    ModelLayer,
    Problem,
    Source,
    SuiteReport,
)
from pipeline.reference import Digest, Tag
from stages.buildkit import context, readiness
from stages.buildkit.base_image import export_base
from stages.buildkit.builder import Builder, buildx_version, find_builder
from stages.buildkit.disk_needs import PlannedBuild
from stages.buildkit.dockerfile import SCRATCH, base_name, declares, own_instructions
from stages.buildkit.external_cache import UNUSED, ExternalCache
from stages.buildkit.secrets import BuildSecret
from stages.full_disk import full_disk_named
from stages.models.model import Model
from stages.oci import store
from stages.oci.annotations import annotations
from stages.oci.assemble import Additions, Assembled, assemble
from stages.oci.layer_compression import Compression
from stages.oci.layout import Layout
from stages.oci.model_image import OwnImage, assemble_model_image, scratch

if TYPE_CHECKING:  # python-on-whales takes long to import
    from stages.buildkit.export import Export

EPOCH = "SOURCE_DATE_EPOCH"
FORM = 4
"""Counts up when the same inputs begin to give another image, so that no older result is taken again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """Build one image, for one or several platforms, and give it its digest."""

    image: str
    context: Path
    dockerfile: Path
    tag: Tag | None = None
    """Default: the commit, marked when the work tree differs from it."""
    target: str | None = None
    platforms: tuple[str, ...] = ()
    """Default: the builder's own."""
    arguments: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[BuildSecret, ...] = ()
    builder: str | None = None
    network: str | None = None
    compression: Compression = field(default_factory=Compression)
    """How the layers of the Dockerfile are packed; its base image's stay as they are."""
    model: Model | None = None
    weights: tuple[ModelLayer, ...] | None = None
    """The model's layers, once `prepared` has described them."""
    own_image: OwnImage | None = None
    """The weights' own image; None: they are layers of the application's."""
    labels: Mapping[str, str] = field(default_factory=dict)
    cache: bool = True
    """Off: every step runs again, whatever BuildKit remembers."""
    external_cache: ExternalCache | None = None
    """What is remembered beyond this machine; the image does not depend on it."""

    name: ClassVar[str] = "build"
    needs: ClassVar[tuple[type[Artifact], ...]] = (Source, SuiteReport)
    gives: ClassVar[type[BuiltImage]] = BuiltImage

    def check(self, desk: Desk) -> tuple[Check, ...]:
        """Look for the builder, the files, the secrets and the model."""
        return (
            *readiness.tool_checks(self.builder, self.platforms),
            *readiness.cache_checks(self.builder, self.external_cache, desk),
            *self._file_checks(),
            *(secret.check() for secret in self.secrets),
            *(self.model.check(desk) if self.model is not None else ()),
        )

    def disk_needs(self, have: Artifacts, desk: Desk) -> tuple[DiskNeed, ...]:
        """Return what the context, the steps and the layers will take; the weights take nothing."""
        return PlannedBuild(
            context=self.context,
            dockerfile=self.dockerfile,
            target=self.target,
            arguments=self.arguments,
            left_out=self._left_out(have[Source].root),
            builder=self.builder,
            images=desk.cache / "images",
            cache=self.cache,
        ).disk_needs()

    def prepared(self, desk: Desk) -> "Build":
        """Describe the weights, once in a run; files that are known from an earlier run are not read.

        Raises:
            PipelineError: the weights cannot be read or cannot go into layers.
        """
        return replace(self, weights=self.model.layers(desk) if self.model is not None else ())

    def identity(self, have: Artifacts) -> str | None:
        """Return the commit, the context as it lies there, the options, the weights and the builder.

        A base image whose tag was moved meanwhile is not seen, nor is anything that a RUN step fetches.
        """
        if self.weights is None and self.model is not None:
            return None  # `prepared` says what the model is
        source = have[Source]
        try:
            builder = find_builder(self.builder)
            ignored = context.ignored(self.dockerfile, self.context)
            contents = context.fingerprint(self.context, self._left_out(source.root), ignored)
            dockerfile = Digest.of(self.dockerfile.read_bytes())
            buildx = buildx_version()
        except (PipelineError, OSError):
            return None  # `run` says what is wrong
        parts = {
            "form": FORM,
            "source": [source.commit, source.changes_digest, source.repository_url],
            "context": contents,
            "dockerfile": dockerfile,
            "options": [self.image, self.tag, self.target, self.platforms, self.network, self.cache],
            "compression": [self.compression.kind, self.compression.level],
            "arguments": dict(self.arguments),
            "labels": dict(self.labels),
            "secrets": [str(secret) for secret in self.secrets],
            "model": [[layer.descriptor.digest, layer.source, layer.path] for layer in self.weights or ()],
            "own_image": repr(self.own_image),
            "builder": [builder.name, builder.tool.name, builder.tool.version, buildx],
        }
        return json.dumps(parts, sort_keys=True)

    def usable(self, made: Artifact) -> bool:
        """Tell whether an earlier result is still on the disk, and its model is the one that is there now.

        The result is kept on the disk while this process lives.
        """
        if not isinstance(made, BuiltImage) or not made.layout.is_dir():
            return False
        images = (made, *([made.model_image] if made.model_image is not None else []))
        if images[-1].model_layers != (self.weights or ()):
            return False
        store.hold(made.layout)
        return all(store.is_whole(image) for image in images)

    def run(self, have: Artifacts, desk: Desk) -> BuiltImage:
        """Build, join the model layers, and keep the image in a layout of its own.

        Raises:
            ConfigurationError: the Dockerfile, a secret, the model or the named builder is not there.
            ToolMissing: no engine or no buildx answers.
            StageFailed: the Dockerfile cannot be built, or the model overlaps the application.
            DiskFull: there is no room left.
        """
        source = have[Source]
        weights = self.weights if self.weights is not None else self.prepared(desk).weights or ()
        builder = find_builder(self.builder, start=True)
        images = store.ImageStore(desk.cache / "images")
        full = f"there is no room left for the image in {images.path}"
        with full_disk_named(full, f"Free some, or remove {images.path}."), images.workplace() as folder:
            export = self._export(source, builder, desk, folder)
            base = self._base(builder, export)
            tag = self.tag or Tag(source.version)
            said = annotations(self.image, tag, source, base if base and base.name != SCRATCH else None)
            additions = Additions(
                model_layers=weights if self.own_image is None else (),
                labels={**self.labels, **said},
                annotations=said,
                created=source.committed_at,
                instructions=self._instructions,
                packing=export.packing,
            )
            desk.say("joining application and model layers")
            final = Layout.create(folder / "image")
            assembled = assemble(export.layout, final, additions, reference=tag, desk=desk)
            own = self._model_image(weights, assembled, builder, desk, final)
            name = store.common_name(assembled.root.digest, own.digest if own is not None else None)
            layout = images.keep(final.path, name)
        return BuiltImage(
            name=self.image,
            tag=tag,
            digest=assembled.root.digest,
            media_type=assembled.root.media_type,
            layout=layout,
            platforms=assembled.platforms,
            model_layers=additions.model_layers,
            annotations=said,
            base=base,
            revision=source.commit,
            dirty=source.dirty,
            created=source.committed_at,
            builder=builder.tool,
            steps=export.steps,
            model_image=own.model_copy(update={"layout": layout}) if own is not None else None,
        )

    def _model_image(
        self,
        weights: tuple[ModelLayer, ...],
        application: Assembled,
        builder: Builder,
        desk: Desk,
        target: Layout,
    ) -> ModelImage | None:
        """Put the weights' own image beside the application's, for the same platforms."""
        if self.own_image is None:
            return None
        name, folder = self.own_image.base, target.path.with_name("model")
        if name is None:
            base = scratch(Layout.create(folder), [image.platform for image in application.platforms])
        else:
            base = export_base(name, self.platforms, builder, desk, folder)
        return assemble_model_image(self.own_image, weights, base, target)

    def _export(self, source: Source, builder: Builder, desk: Desk, folder: Path) -> "Export":
        from stages.buildkit.export import Request, export

        for secret in self.secrets:
            desk.redact.add(secret.value())
        for check in self._file_checks():
            if not check.passed:
                raise ConfigurationError(f"{check.subject}: {check.found}", advice=check.advice)
        left_out = self._left_out(source.root)
        request = Request(
            context=self.context,
            dockerfile=context.write_dockerfile(
                self.dockerfile, self.context, left_out, folder / "dockerfile"
            ),
            shown_dockerfile=self.dockerfile,
            target=self.target,
            platforms=self.platforms,
            arguments=self._arguments(source),
            secrets=tuple(str(secret) for secret in self.secrets),
            builder=self.builder,
            network=self.network,
            cache=self.cache,
            compression=self.compression,
            external=self.external_cache.use(builder, desk) if self.external_cache is not None else UNUSED,
        )
        return export(request, builder, desk, folder)

    def _arguments(self, source: Source) -> Mapping[str, str]:
        """Add the commit's time where the Dockerfile asks for it; others would lose BuildKit's cache."""
        if not declares(self._dockerfile_text(), EPOCH):
            return self.arguments
        return {EPOCH: str(int(source.committed_at.timestamp())), **self.arguments}

    def _base(self, builder: Builder, export: "Export") -> BaseImage | None:
        from stages.buildkit.export import base_image

        name = base_name(self._dockerfile_text(), target=self.target, arguments=self.arguments)
        return base_image(name or "", builder, export.materials)

    def _instructions(self, platform: str) -> tuple[str, ...]:
        text = self._dockerfile_text()
        return own_instructions(text, platform, target=self.target, arguments=self.arguments)

    def _dockerfile_text(self) -> str:
        return self.dockerfile.read_text(encoding="utf-8", errors="replace")  # Latin-1 in a comment, say

    def _left_out(self, root: Path) -> tuple[Path, ...]:
        """Return what the build must not see: records of runs, and the weights."""
        own = {folder.resolve() / context.OWN_FOLDER for folder in (root, self.context)}
        folder = self.model.files.local_folder if self.model is not None else None
        return tuple(sorted(own | ({folder.resolve()} if folder is not None else set())))

    def _file_checks(self) -> tuple[Check, ...]:
        return (
            _path_check("build context", self.context, self.context.is_dir(), "build.context"),
            _path_check("Dockerfile", self.dockerfile, self.dockerfile.is_file(), "build.dockerfile"),
        )


def _path_check(what: str, path: Path, there: bool, key: str) -> Check:
    if there:
        return Check(subject=what, found=str(path))
    advice = f"Make it, or mend `{key}` in pipeline.yaml."
    return Check(subject=what, found=f"there is no {path}", problem=Problem.CONFIGURATION, advice=advice)
