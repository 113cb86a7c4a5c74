"""Weights of an MLflow model version or run, from wherever its server keeps them.

Artifacts in an object store are read there, with the store's own credentials; those that the server passes on
are read through the server. The server and who we are at it are MLflow's own: MLFLOW_TRACKING_URI, _USERNAME,
_PASSWORD, _TOKEN.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from pipeline.desk import Desk
from pipeline.errors import ConfigurationError
from stages.models.checks import Remote
from stages.models.extras import require
from stages.models.interface import Files, SourceFile
from stages.models.mlflow_refusals import refusals_named
from stages.models.mlflow_server import ServerFiles
from stages.models.object_store import ObjectStoreFiles

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3"}
"""The client calls nobody but the server, and gives up within a minute instead of several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MlflowFiles(Remote):
    """All artifacts of a registered model's version, or of a folder of a run."""

    kind: Literal["models", "runs"]
    subject: str
    """The model's name, or the run's identifier."""
    revision: str = ""
    """Of a model: a version, `latest`, or `@` and an alias."""
    folder: str = ""
    """Of a run: the folder of its artifacts."""

    @property
    def name(self) -> str:
        """The URI that MLflow uses."""
        if self.kind == "runs":
            return f"runs:/{self.subject}/{self.folder}".rstrip("/")
        separator = "" if self.revision.startswith("@") else "/"
        return f"models:/{self.subject}{separator}{self.revision}"

    def pin(self) -> str:
        """Return the version that an alias means now; nothing for a run, which is one for ever.

        Raises:
            ToolMissing: the library is not installed.
            ConfigurationError: there is no such model, version or alias.
            RemoteError: the server refuses, or cannot be reached.
        """
        if self.kind == "runs" or self.revision.isdigit():
            return self.revision
        with _server(self.name) as client:
            if self.revision.startswith("@"):
                return str(client.get_model_version_by_alias(self.subject, self.revision[1:]).version)
            versions = client.search_model_versions(f"name='{self.subject}'")
        if not versions:
            raise ConfigurationError(f"there is no {self.name}", advice="Mend `model.source`.")
        return str(max(int(one.version) for one in versions))

    def at(self, revision: str) -> "MlflowFiles":
        """Return another version of the same model."""
        return replace(self, revision=revision)

    def list(self, desk: Desk) -> tuple[SourceFile, ...]:
        """Return every artifact.

        What a server passes on has no checksum: its run, path and size name it. A run's artifacts may yet be
        written again, so nothing is remembered of them; a registered version's may not.

        Raises:
            ToolMissing: the library is not installed.
            ConfigurationError: there is no such model or run, or it is kept where nobody else can read.
            RemoteError: the server refuses, or cannot be reached.
        """
        place = self._place()
        with _server(self.name):
            found = place.list(desk)
        if not found:
            raise ConfigurationError(f"{self.name} has no artifact", advice="Mend `model.source`.")
        served = isinstance(place, ServerFiles)
        return tuple(replace(file, settled=self.kind == "models") for file in found) if served else found

    def read(self, file: SourceFile, offset: int = 0) -> Iterator[bytes]:
        """Yield an artifact from `offset` on.

        Raises:
            StageFailed: it is gone, or another one than was listed.
            RemoteError: the server or store refuses, or cannot be reached.
        """
        return self._place().read(file, offset)

    def _place(self) -> Files:
        tracking = os.environ.get("MLFLOW_TRACKING_URI", "")
        if not tracking:
            raise ConfigurationError(
                f"{self.name}: nothing says which MLflow server is meant", advice="Set MLFLOW_TRACKING_URI."
            )
        return _place(tracking, self.at(self.pin()))


@lru_cache(maxsize=32)
def _place(tracking: str, files: MlflowFiles) -> Files:
    """Return where the artifacts are; asked once in a process for each server and version."""
    with _server(files.name) as client:
        location = (
            _run_location(client, files.subject, files.folder)
            if files.kind == "runs"
            else _version_location(client, files.subject, files.revision)
        )
    parts = urlsplit(location)
    if parts.scheme in {"s3", "gs"}:
        scheme: Literal["s3", "gs"] = "s3" if parts.scheme == "s3" else "gs"
        return ObjectStoreFiles(scheme=scheme, bucket=parts.netloc, prefix=parts.path.strip("/"))
    if parts.scheme in {"wasb", "wasbs", "abfss"} and parts.hostname:
        return ObjectStoreFiles(
            scheme="az",
            bucket=parts.username or "",
            prefix=parts.path.strip("/"),
            account=parts.hostname.partition(".")[0],
        )
    if parts.scheme in {"mlflow-artifacts", "http", "https"}:
        return ServerFiles(name=files.name, location=location, tracking=tracking)
    raise ConfigurationError(
        f"{files.name} is kept at {location}, which only the server itself can read",
        advice="Name that folder in `model.source` if it is on this machine, or let the server pass "
        "artifacts on (`mlflow server --artifacts-destination …`).",
    )


def _version_location(client: "MlflowClient", model: str, version: str) -> str:
    location = str(client.get_model_version_download_uri(model, version))
    if run := re.fullmatch(r"runs:/([^/]+)/?(.*)", location):
        return _run_location(client, run[1], run[2])
    if logged := re.fullmatch(r"models:/(m-[^/]+)", location):
        return str(client.get_logged_model(logged[1]).artifact_location)
    return location


def _run_location(client: "MlflowClient", run: str, folder: str) -> str:
    return f"{client.get_run(run).info.artifact_uri}/{folder}".rstrip("/")


@contextmanager
def _server(name: str) -> "Iterator[MlflowClient]":
    """Lend a client, and turn its exceptions into ours.

    Raises:
        ToolMissing: the library is not installed.
        ConfigurationError: there is no such model, version, alias or run.
        RemoteError: the server refuses, or cannot be reached.
    """
    added = {key: value for key, value in QUIET.items() if key not in os.environ}
    os.environ.update(added)  # the library has no other switch
    try:
        require("mlflow", "mlflow", name)
        from mlflow.tracking import MlflowClient

        with refusals_named(name):
            yield MlflowClient()
    finally:
        for key in added:
            os.environ.pop(key, None)
