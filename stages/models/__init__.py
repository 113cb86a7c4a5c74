"""Where the weights of a model image come from; `recognise` tells the source by its form."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pipeline.errors import ConfigurationError
from stages.models.file import FolderFiles
from stages.models.huggingface import HuggingFaceFiles
from stages.models.interface import Files
from stages.models.mlflow import MlflowFiles
from stages.models.object_store import ObjectStoreFiles

AZURE_HOST = re.compile(r"^(?P<account>[a-z0-9]{3,24})\.blob\.core\.windows\.net$")
FORMS = (
    "a folder, s3://BUCKET/FOLDER, gs://BUCKET/FOLDER, az://CONTAINER/FOLDER, "
    "https://ACCOUNT.blob.core.windows.net/CONTAINER/FOLDER, models:/NAME/VERSION, models:/NAME@ALIAS, "
    "runs:/RUN/FOLDER, hf://ORGANISATION/NAME@REVISION"
)


def recognise(source: str, root: Path, revision: str | None = None) -> Files:
    """Return the files that `model.source` means; a folder is relative to `root`.

    Raises:
        ConfigurationError: no source has this form, or it holds a password.
    """
    scheme, separator, rest = source.partition(":")
    if not separator or not re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme) or (root / source).exists():
        _refuse_revision(source, revision)
        return FolderFiles(folder=root / source)
    _refuse_secret(source)
    maker = MAKERS.get(scheme)
    files = None if maker is None else maker(source, rest.removeprefix("//"), revision)
    if files is None:
        raise ConfigurationError(f"`model.source`: {source!r} is no source", advice=f"Write {FORMS}.")
    return files


def _bucket(source: str, rest: str, revision: str | None) -> Files | None:
    _refuse_revision(source, revision)
    bucket, _, prefix = rest.partition("/")
    if not bucket:
        return None
    scheme = source.partition(":")[0]
    if scheme == "s3":
        return ObjectStoreFiles(scheme="s3", bucket=bucket, prefix=prefix.strip("/"))
    return ObjectStoreFiles(scheme="gs" if scheme == "gs" else "az", bucket=bucket, prefix=prefix.strip("/"))


def _azure_url(source: str, rest: str, revision: str | None) -> Files | None:
    host, _, path = rest.partition("/")
    container, _, prefix = unquote(path).partition("/")
    account = AZURE_HOST.match(host)
    if account is None or not container:
        return None
    _refuse_revision(source, revision)
    return ObjectStoreFiles(
        scheme="az", bucket=container, prefix=prefix.strip("/"), account=account["account"]
    )


def _hugging_face(source: str, rest: str, revision: str | None) -> Files | None:
    repository, _, inside = rest.partition("@")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        return None
    return HuggingFaceFiles(repository=repository, revision=_one_revision(source, inside, revision) or "main")


def _mlflow_model(source: str, rest: str, revision: str | None) -> Files | None:
    found = re.fullmatch(r"/(?P<name>[^/@:]+)(/(?P<version>\d+|latest)|(?P<alias>@[^/@]+))?", rest)
    if found is None:
        return None
    said = _one_revision(source, found["version"] or found["alias"] or "", revision) or "latest"
    exact = said.isdigit() or said == "latest" or said.startswith("@")
    return MlflowFiles(kind="models", subject=found["name"], revision=said if exact else f"@{said}")


def _mlflow_run(source: str, rest: str, revision: str | None) -> Files | None:
    found = re.fullmatch(r"/(?P<run>[^/]+)(/(?P<folder>.*))?", rest)
    if found is None:
        return None
    _refuse_revision(source, revision)
    return MlflowFiles(kind="runs", subject=found["run"], folder=(found["folder"] or "").strip("/"))


def _one_revision(source: str, inside: str, beside: str | None) -> str:
    """Return the revision, said in the source or beside it.

    Raises:
        ConfigurationError: both say one, and not the same.
    """
    if inside and beside and inside != beside:
        raise ConfigurationError(
            f"`model.source` says {inside!r} and `model.revision` says {beside!r}", advice="Say it once."
        )
    return inside or beside or ""


def _refuse_revision(source: str, revision: str | None) -> None:
    if revision:
        raise ConfigurationError(
            f"`model.revision`: {source} has no revisions",
            advice="Leave it out. `pipeline lock` pins what is there, file by file.",
        )


def _refuse_secret(source: str) -> None:
    parts = urlsplit(source)
    if parts.password or (parts.query and parts.scheme == "https"):
        raise ConfigurationError(
            f"`model.source` holds a password or a signature: {parts.scheme}://{parts.hostname}{parts.path}",
            advice="Leave it out of the file: set the store's own variable, such as AZURE_STORAGE_SAS_TOKEN.",
        )


MAKERS: Mapping[str, Callable[[str, str, str | None], Files | None]] = {
    "s3": _bucket,
    "gs": _bucket,
    "az": _bucket,
    "https": _azure_url,
    "hf": _hugging_face,
    "models": _mlflow_model,
    "runs": _mlflow_run,
}
