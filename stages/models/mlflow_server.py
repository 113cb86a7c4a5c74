"""Artifacts that an MLflow server passes on from where it keeps them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

import requests

from pipeline.desk import Desk
from stages.models.checks import Remote
from stages.models.http_body import TIMEOUT_S, range_headers, refuse_status, rest_of
from stages.models.interface import SourceFile
from stages.models.mlflow_refusals import LOGIN, refusals_named
from stages.models.resuming import changed, read_resuming

if TYPE_CHECKING:
    from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFiles(Remote):
    """All artifacts below a location that a server passes on."""

    name: str
    location: str
    """As the server names it: mlflow-artifacts:/experiment/run/artifacts/folder."""
    tracking: str
    """The server's address."""

    def list(self, desk: Desk) -> tuple[SourceFile, ...]:
        """Return every artifact.

        Raises:
            RemoteError: the server refuses, or cannot be reached.
        """
        del desk
        with refusals_named(self.name):
            return tuple(self._below(self._repository(), None))

    def read(self, file: SourceFile, offset: int = 0) -> Iterator[bytes]:
        """Yield an artifact from `offset` on.

        Raises:
            StageFailed: it is gone, or has another size than was listed.
            RemoteError: the server refuses, or cannot be reached.
        """

        def open_at(position: int) -> Iterator[bytes]:
            yield from rest_of(self._answer(file.path, position), position, f"{self.name}/{file.path}")

        return read_resuming(open_at, file, self.name, offset)

    def _repository(self) -> "MlflowArtifactsRepository":
        from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository

        return MlflowArtifactsRepository(self.location, tracking_uri=self.tracking)

    def _below(self, repository: "MlflowArtifactsRepository", folder: str | None) -> Iterator[SourceFile]:
        for entry in repository.list_artifacts(folder):
            if entry.is_dir:
                yield from self._below(repository, entry.path)
            else:
                size_bytes = entry.file_size or self._length(entry.path)
                identity = f"{self.location}/{entry.path}#{size_bytes}"
                yield SourceFile(path=entry.path, size_bytes=size_bytes, identity=identity)

    def _length(self, path: str) -> int:
        """Return the size of a file in whose place the listing has none, as it does for an empty one."""
        with self._answer(path, 0) as response:
            return int(response.headers.get("Content-Length", "0"))

    def _answer(self, path: str, offset: int) -> requests.Response:
        from mlflow.utils.rest_utils import http_request

        what = f"{self.name}/{path}"
        with refusals_named(what):
            response: requests.Response = http_request(
                self._repository()._host_creds,
                f"/{quote(path)}",
                "GET",
                stream=True,
                extra_headers=range_headers(offset),
                timeout=TIMEOUT_S,
                max_retries=0,
                raise_on_status=False,
            )
        if response.status_code in {404, 416}:
            response.close()
            raise changed(self.name, path)
        refuse_status(response, what, LOGIN)
        return response
