"""`model:` in pipeline.yaml: the weights."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from pipeline.image_names import ImagePath, ImageReference, RepositoryName
from pipeline.section import Section, Words


class ModelSection(Section):
    """The weights: streamed into layers of their own, so they are not in the Dockerfile."""

    source: Annotated[str, Field(min_length=1)]
    """Folder, relative to pipeline.yaml; or a URL: s3://, gs://, az://, models:/, runs:/, hf://."""
    revision: str | None = None
    """Branch, tag or commit (hf://), version or alias (models:/); pipeline.lock pins what it means."""
    include: Words = ()
    """Patterns of the files to take; `*` goes across folders. Default: all."""
    exclude: Words = ()
    """Patterns of the files to leave out."""
    delivery: Literal["layers", "image"] = "layers"
    """As layers of the image, or as an image of their own that the cluster mounts beside it: a KServe
    modelcar (`oci://`) or a Kubernetes image volume."""
    path: ImagePath | None = None
    """Folder in which the application finds them; default: /models/ and the image's name, with `delivery:
    image` /mnt/models, where KServe mounts them."""
    image: RepositoryName | None = None
    """Name of their own image, below each of the registries; default: the image's name and -model."""
    base: ImageReference | None = None
    """Image that their own image begins with, such as busybox: KServe's modelcar runs `sh` in it. Default:
    none, which is right for image volumes."""
    verify: bool = False
    """Read all weights again; default: files that have not changed since the last run are not read."""

    @field_validator("image", "base")
    @classmethod
    def _of_an_image(cls, value: str | None, said: ValidationInfo) -> str | None:
        if value is not None and said.data.get("delivery") == "layers":
            raise ValueError("this is of no use without `delivery: image`")
        return value
