"""The composition root: makes stages and policies of the configuration.

Only this file and its neighbours compose_*.py, one for each stage, know them by name.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from pipeline import compose_gitops as gitops
from pipeline.cascade import Configuration
from pipeline.compose_attest import attest
from pipeline.compose_benchmark import benchmark
from pipeline.compose_build import build, external_cache, suite
from pipeline.compose_model import lock_path
from pipeline.compose_push import push
from pipeline.compose_scan import scan
from pipeline.edit import NewContent, Wish
from pipeline.errors import ConfigurationError
from pipeline.interface import Stage
from pipeline.model import ImageTag, Source
from pipeline.plan import Plan, make_plan
from pipeline.reference import Digest, Tag
from pipeline.source import read_version
from pipeline.tags import render
from stages import DELIVERY
from stages.attest import Attest
from stages.benchmark import Benchmark
from stages.build import Build
from stages.manifests.editing import edit
from stages.manifests.interface import NewImage
from stages.manifests.tree import Folder
from stages.models import lock as locks
from stages.push import Push
from stages.scan import Scan
from stages.test import Suite
from stages.update import Update


def compose(
    configuration: Configuration,
    source: Source,
    *,
    until: str | None = None,
    forced: bool = False,
    proposed: bool = False,
) -> Plan:
    """Return the plan of a delivery; `forced` writes the manifests whatever stands there.

    For what is only `proposed` no registry is asked what its scanner found: none of them gets the image.

    Raises:
        ConfigurationError: a setting does not fit, or a policy cannot be read.
    """
    tags = _tags(configuration, source)
    return make_plan(
        source=source,
        stages=tuple(
            _asked(stage, tags, forced=forced, proposed=proposed) for stage in _stages(configuration, source)
        ),
        skip=configuration.values.skipped,
        policies=gitops.policies(configuration),
        settings=configuration.settings(),
        secrets=configuration.secrets(),
        until=until,
    )


def _stages(configuration: Configuration, source: Source) -> Iterator[Stage]:
    """Yield the stages of a delivery in their order, but for those that nobody asked for."""
    for kind in DELIVERY:
        stage = MAKERS[kind](configuration)
        if isinstance(stage, Build):
            yield replace(stage, external_cache=external_cache(configuration, source))
        elif stage is not None:
            yield stage


def _tags(configuration: Configuration, source: Source) -> tuple[ImageTag, ...]:
    """Return the tags of the image; the first one is what manifests get."""
    values = configuration.values
    if not values.tags:
        return (ImageTag(tag=values.tag or Tag(source.version)),)
    facts = {
        "version": lambda: read_version(configuration.root),
        "model_version": lambda: _model_version(configuration),
    }
    return render(values.tags, source, facts)


def _model_version(configuration: Configuration) -> str:
    section = configuration.values.model
    lock = locks.read_lock(lock_path(configuration)) if section is not None else None
    if lock is not None:
        return lock.revision or Digest.of(lock.text().encode()).short
    if section is not None and section.revision:
        return section.revision
    raise ConfigurationError(
        "tags: {model_version} has no value: the model is not locked, and `model.revision` is not set",
        advice="Run `pipeline lock` and commit pipeline.lock, or leave {model_version} out of `tags`.",
    )


def _asked(stage: Stage, tags: tuple[ImageTag, ...], *, forced: bool, proposed: bool) -> Stage:
    """Return a stage with what is decided for this run alone."""
    if isinstance(stage, Scan):
        return replace(stage, outside=None) if proposed else stage
    if isinstance(stage, Update):
        return replace(stage, destination=replace(stage.destination, forced=forced))
    if isinstance(stage, Build):
        return replace(stage, tag=tags[0].tag)
    return replace(stage, tag=tags[0].tag, further_tags=tags[1:]) if isinstance(stage, Push) else stage


def edit_folder(wish: Wish) -> tuple[NewContent, ...]:
    """Return the files that change when every target of `pipeline edit` names the image.

    Raises:
        ManifestRefused: a target does not name it, or cannot be edited safely.
    """
    image = NewImage(repository=wish.repository, tag=wish.tag, digest=wish.digest)
    files = edit(Folder(wish.root), [(gitops.target(target), image) for target in wish.targets])
    return tuple(NewContent(before=file.before, after=file.after, change=file.change()) for file in files)


MAKERS: Mapping[type, Callable[[Configuration], Stage | None]] = {
    Suite: suite,
    Build: build,
    Scan: scan,
    Benchmark: benchmark,
    Push: push,
    Attest: attest,
    Update: gitops.update,
}
