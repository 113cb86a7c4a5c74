"""The composition root: makes stages and policies of the configuration.

Only this file and compose_gitops.py know them by name.
"""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from pipeline import compose_gitops as gitops
from pipeline.cascade import Configuration
from pipeline.config import BuildSection, ModelSection
from pipeline.desk import Desk
from pipeline.edit import NewContent, Wish
from pipeline.errors import ConfigurationError
from pipeline.init_forms import Registry
from pipeline.interface import Stage
from pipeline.model import Check, ImageTag, Source
from pipeline.plan import Plan, make_plan
from pipeline.record import Runs
from pipeline.reference import Digest, Repository, Tag
from pipeline.registry_section import RegistrySection
from pipeline.source import read_version
from pipeline.tags import render
from stages import DELIVERY
from stages.benchmark import Benchmark
from stages.build import Build
from stages.buildkit.dockerfile import SCRATCH
from stages.buildkit.secrets import BuildSecret
from stages.manifests.editing import edit
from stages.manifests.interface import NewImage
from stages.manifests.tree import Folder
from stages.models import lock as locks
from stages.models import recognise
from stages.models.interface import Files
from stages.models.lock import Lock, Revised
from stages.models.model import Model
from stages.models.patterns import Selected
from stages.models.registry_layers import RegistryLayers
from stages.oci.authentication import environment_name
from stages.oci.layer_compression import Compression
from stages.oci.model_image import WEIGHTS_FOLDER, OwnImage
from stages.push import Push
from stages.registries import kind_of
from stages.registries.connections import Registries
from stages.registries.findings import RegistryFindings
from stages.scan import Scan
from stages.scanners.trivy import PUBLISHED_JAVA, Trivy
from stages.scanners.trivy_database import PUBLISHED
from stages.test import Suite
from stages.update import Update

KSERVE_MOUNT = "/mnt/models"
"""Where KServe mounts weights, whatever they come from."""


def compose(
    configuration: Configuration, source: Source, *, until: str | None = None, forced: bool = False
) -> Plan:
    """Return the plan of a delivery; `forced` writes the manifests whatever stands there.

    Raises:
        ConfigurationError: a setting does not fit, or a policy cannot be read.
    """
    tags = _tags(configuration, source)
    return make_plan(
        source=source,
        stages=tuple(_asked(MAKERS[kind](configuration), tags, forced=forced) for kind in DELIVERY),
        skip=configuration.values.skipped,
        policies=gitops.policies(configuration),
        settings=configuration.settings(),
        secrets=configuration.secrets(),
        until=until,
    )


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


def _asked(stage: Stage, tags: tuple[ImageTag, ...], *, forced: bool) -> Stage:
    """Return a stage with what is decided for this run alone."""
    if isinstance(stage, Update):
        return replace(stage, destination=replace(stage.destination, forced=forced))
    if isinstance(stage, Build):
        return replace(stage, tag=tags[0].tag)
    return replace(stage, tag=tags[0].tag, further_tags=tags[1:]) if isinstance(stage, Push) else stage


def _suite(configuration: Configuration) -> Suite:
    section = configuration.values.test
    model = _model(configuration)
    return Suite(
        command=_split(section.command),
        timeout_s=section.timeout_s,
        junit=section.junit,
        environment=section.environment,
        root=configuration.root,
        inputs=(model.files.local_folder,) if model is not None and model.files.local_folder else (),
    )


def _split(command: str | tuple[str, ...]) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(command)) if isinstance(command, str) else command
    except ValueError as error:
        raise ConfigurationError(f"test.command: {command!r}: {error}", advice="Close the quote.") from error
    if not words:
        raise ConfigurationError(
            "test.command is empty", advice="Name a command, or leave the stage out: `skip: {test: why}`."
        )
    return words


def _build(configuration: Configuration) -> Build:
    values, root = configuration.values, configuration.root
    section = values.build
    context = root / section.context
    return Build(
        image=values.image,
        tag=values.tag,
        context=context,
        dockerfile=context / section.dockerfile,
        target=section.target,
        platforms=section.platforms,
        arguments=section.args,
        secrets=_secrets(section, configuration),
        builder=section.builder,
        network=None if section.network == "default" else section.network,
        compression=Compression(section.compression, section.level),
        model=_model(configuration),
        own_image=_own_image(configuration),
        labels=section.labels,
    )


def _secrets(section: BuildSection, configuration: Configuration) -> tuple[BuildSecret, ...]:
    root = configuration.root
    return tuple(
        BuildSecret(
            id=secret.id, environment=secret.environment, file=root / secret.file if secret.file else None
        )
        for secret in section.secrets
    )


def _model(configuration: Configuration) -> Model | None:
    section = configuration.values.model
    if section is None:
        return None
    files = recognise(section.source, configuration.root, section.revision)
    path = _model_path(section, configuration)
    lock = locks.read_lock(lock_path(configuration))
    if lock is not None:
        lock.refuse_other_settings(_locked_source(section, files), path)
        files = files.at(lock.revision) if lock.revision and isinstance(files, Revised) else files
    return Model(files=_selected(section, files), path=path, verify=section.verify, lock=lock)


def lock_path(configuration: Configuration) -> Path:
    """Return where pipeline.lock stands."""
    return configuration.root / locks.FILE_NAME


def lock_changes(path: Path, lock: Lock) -> tuple[str, ...]:
    """Return what changes with a new lock; nothing where there was none, or none that can be read."""
    try:
        before = locks.read_lock(path)
    except ConfigurationError:
        return ()
    return lock.changes_since(before) if before is not None else ()


def make_lock(configuration: Configuration, desk: Desk) -> Lock:
    """Return the lock of the model as it is now.

    Raises:
        PipelineError: there is no model, or it cannot be read.
    """
    section = configuration.values.model
    if section is None:
        raise ConfigurationError(
            "pipeline.yaml has no `model:`, so there is nothing to lock",
            advice="Say where the weights are:\nmodel:\n  source: model",
        )
    files = recognise(section.source, configuration.root, section.revision)
    revision = files.pin() if isinstance(files, Revised) else None
    pinned = files.at(revision) if revision and isinstance(files, Revised) else files
    model = Model(
        files=_selected(section, pinned), path=_model_path(section, configuration), verify=section.verify
    )
    return model.locked(_locked_source(section, files), revision, desk)


def _model_path(section: ModelSection, configuration: Configuration) -> str:
    """Return the folder of the weights in the image that holds them."""
    if section.delivery == "image":
        return WEIGHTS_FOLDER
    return section.path or f"/models/{configuration.values.image.rpartition('/')[2]}"


def _own_image(configuration: Configuration) -> OwnImage | None:
    section, name = configuration.values.model, configuration.values.model_image
    if section is None or name is None:
        return None
    if name == configuration.values.image:
        place = configuration.tree.origin(("model", "image"))
        raise ConfigurationError(
            f"{place}: model.image: {name!r} is the application's own name",
            advice=f"Give the weights' own image another one, or leave it out: then it is {name}-model.",
        )
    base = section.base if section.base != SCRATCH else None
    return OwnImage(name=name, mounted_at=section.path or KSERVE_MOUNT, base=base)


def _locked_source(section: ModelSection, files: Files) -> str:
    """Return what a lock is of: a folder by what pipeline.yaml says, which is the same on every machine."""
    return section.source if files.local_folder is not None else files.name


def _selected(section: ModelSection, files: Files) -> Files:
    if not section.include and not section.exclude:
        return files
    return Selected(files=files, include=section.include, exclude=section.exclude)


def _scan(configuration: Configuration) -> Scan:
    values = configuration.values
    section = values.scan
    database = section.database
    trivy = Trivy(
        program=_program(section.trivy, configuration.root),
        maximum_age=timedelta(days=database.maximum_age_days),
        update=database.update,
        insecure_hosts=values.insecure_registries,
        registries=tuple(repository.host for repository in values.repositories),
        timeout_s=section.timeout_s,
        cache=Runs(configuration.root).cache / "trivy",
        databases=database.repositories or PUBLISHED,
        java_databases=database.java_repositories or PUBLISHED_JAVA,
    )
    return Scan(scanner=trivy, outside=_registry_findings(configuration))


def _registry_findings(configuration: Configuration) -> RegistryFindings | None:
    values = configuration.values
    if not values.scan.registry_findings:
        return None
    registries = Registries(
        repositories=values.repositories,
        insecure=values.insecure_registries,
        options=gitops.options(configuration),
    )
    return RegistryFindings(registries=registries, model_repositories=values.model_repositories)


def _benchmark(configuration: Configuration) -> Benchmark:
    section, model = configuration.values.benchmark, _model(configuration)
    return Benchmark(
        files=model.files if model is not None else None,
        weights=model,
        registries=RegistryLayers(
            repositories=_with_weights(configuration),
            insecure=configuration.values.insecure_registries,
            options=gitops.options(configuration),
        ),
        port=section.port,
        protocol=section.protocol,
        model=section.model,
        request=configuration.root / section.request if section.request else None,
        rate_rps=section.rate_rps,
        duration_s=section.duration_s,
        warmup_s=section.warmup_s,
        readiness_timeout_s=section.readiness_timeout_s,
        request_timeout_s=section.request_timeout_s,
        memory_limit=section.memory_limit,
        cpus=section.cpus,
        environment=section.environment,
        network=section.network,
        platforms=configuration.values.build.platforms,
    )


def _push(configuration: Configuration) -> Push:
    values, model = configuration.values, _model(configuration)
    return Push(
        layout_folder=Runs(configuration.root).folder / "image",
        files=model.files if model is not None else None,
        weights=model,
        repositories=values.repositories,
        model_repositories=values.model_repositories,
        insecure=values.insecure_registries,
        options=gitops.options(configuration),
        mount_from=gitops.mounts(configuration),
    )


def registries(configuration: Configuration) -> tuple[Registry, ...]:
    """Return what each registry is, each host once."""
    found: dict[str, Registry] = {}
    for entry, repository in zip(
        configuration.values.registries, configuration.values.repositories, strict=True
    ):
        section = entry if isinstance(entry, RegistrySection) else None
        found.setdefault(
            repository.host,
            Registry(
                host=repository.host,
                kind=kind_of(repository.host, section.kind if section is not None else None),
                suffix=environment_name(repository.host),
                provider=section.login.provider if section is not None else None,
                token_variable=section.login.id_token_variable if section is not None else None,
            ),
        )
    return tuple(found.values())


def diagnose(configuration: Configuration, desk: Desk, *, write: bool) -> tuple[Check, ...]:
    """Return what each registry would say to a push; with `write`, by a little upload that is cancelled."""
    return _push(configuration).diagnose(desk, write=write)


def _with_weights(configuration: Configuration) -> tuple[Repository, ...]:
    """Return the repositories that may hold the weights' layers, the likeliest first."""
    values = configuration.values
    return (*values.model_repositories, *values.repositories, *gitops.mounts(configuration))


def edit_folder(wish: Wish) -> tuple[NewContent, ...]:
    """Return the files that change when every target of `pipeline edit` names the image.

    Raises:
        ManifestRefused: a target does not name it, or cannot be edited safely.
    """
    image = NewImage(repository=wish.repository, tag=wish.tag, digest=wish.digest)
    files = edit(Folder(wish.root), [(gitops.target(target), image) for target in wish.targets])
    return tuple(NewContent(before=file.before, after=file.after, change=file.change()) for file in files)


def _program(name: str | None, root: Path) -> str | None:
    """Return a program's path; a name without a folder is looked up on the PATH."""
    return str(root / Path(name).expanduser()) if name is not None and "/" in name else name


MAKERS: Mapping[type, Callable[[Configuration], Stage]] = {
    Suite: _suite,
    Build: _build,
    Scan: _scan,
    Benchmark: _benchmark,
    Push: _push,
    Update: gitops.update,
}
