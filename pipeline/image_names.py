"""Names of images, and of folders in them, as pipeline.yaml writes them."""

from typing import Annotated

from pydantic import AfterValidator

from pipeline.reference import Reference, Repository


def _repository_name(value: str) -> str:
    try:
        Repository(f"registry.invalid/{value}")
    except ValueError:
        raise ValueError(
            "expected the name of an image such as team/model, in lower case, without tag"
        ) from None
    return value


def _image_reference(value: str) -> str:
    try:
        Reference.parse(value)
    except ValueError:
        raise ValueError("expected an image such as busybox:1.37") from None
    return value


def _image_path(value: str) -> str:
    if not value.startswith("/") or ".." in value.split("/") or value.rstrip("/") == "":
        raise ValueError("a folder in the image begins with '/', and is not '/' itself")
    return value.rstrip("/")


RepositoryName = Annotated[str, AfterValidator(_repository_name)]
ImageReference = Annotated[str, AfterValidator(_image_reference)]
ImagePath = Annotated[str, AfterValidator(_image_path)]
