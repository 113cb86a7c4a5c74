"""The weights of the configuration: where they come from, and what locks them."""

from pathlib import Path

from pipeline.cascade import Configuration
from pipeline.desk import Desk
from pipeline.errors import ConfigurationError
from pipeline.model_section import ModelSection
from stages.buildkit.dockerfile import SCRATCH
from stages.models import lock as locks
from stages.models import recognise
from stages.models.interface import Files
from stages.models.lock import Lock, Revised
from stages.models.model import Model
from stages.models.patterns import Selected
from stages.oci.model_image import WEIGHTS_FOLDER, OwnImage

KSERVE_MOUNT = "/mnt/models"
"""Where KServe mounts weights, whatever they come from."""


def model_of(configuration: Configuration) -> Model | None:
    """Return the weights; None where the configuration has none."""
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


def own_image(configuration: Configuration) -> OwnImage | None:
    """Return the weights' own image; None where they are layers of the application's."""
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
