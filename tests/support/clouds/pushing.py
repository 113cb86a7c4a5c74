"""The Push stage for one registry, as a run uses it."""

from __future__ import annotations

from pathlib import Path

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.model import BuiltImage, Check, PushedReference
from pipeline.reference import Repository, Tag
from stages.push import Push
from stages.registries.options import RegistryOptions
from tests.support.small_image import COMMIT


def push_to(name: str, options: RegistryOptions | None = None, *, tag: str = COMMIT) -> Push:
    """Return the stage for one repository."""
    repository = Repository(name)
    return Push(
        repositories=(repository,),
        layout_folder=Path("/nowhere"),
        options={repository: options or RegistryOptions()},
        tag=Tag(tag),
    )


def push(stage: Push, image: BuiltImage, desk: Desk) -> PushedReference:
    """Push an image, and return what became of it."""
    (reference,) = stage.run(Artifacts(image), desk).references
    return reference


def check(stage: Push, desk: Desk) -> Check:
    """Return what the plan says."""
    (found,) = stage.check(desk)
    return found
