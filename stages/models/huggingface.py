"""Weights of a repository of the Hugging Face Hub, at one commit.

Big files are stored there under their sha256, so their digests are known without reading a byte.
The token and the endpoint are huggingface_hub's own: HF_TOKEN or `hf auth login`, HF_ENDPOINT.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import requests

from pipeline.desk import Desk
from pipeline.errors import ConfigurationError, RemoteError, TemporaryRemoteError
from pipeline.reference import Digest
from stages.models.checks import Remote
from stages.models.extras import require
from stages.models.http_body import TIMEOUT_S, connection_named, range_headers, refuse_status, rest_of
from stages.models.interface import SourceFile
from stages.models.resuming import changed, read_resuming

if TYPE_CHECKING:
    from huggingface_hub import ModelInfo
    from huggingface_hub.hf_api import RepoSibling

LOGIN = "For a private or gated repository: `hf auth login`, or HF_TOKEN; accept its conditions on its page."


@dataclass(frozen=True, slots=True, kw_only=True)
class HuggingFaceFiles(Remote):
    """All files of a model repository at a revision (branch, tag or commit)."""

    repository: str
    """Organisation and name."""
    revision: str = "main"

    @property
    def name(self) -> str:
        """The URL with the revision."""
        return f"hf://{self.repository}@{self.revision}"

    def pin(self) -> str:
        """Return the commit that the revision names.

        Raises:
            ToolMissing: the library is not installed.
            ConfigurationError: there is no such repository or revision.
            RemoteError: the Hub refuses, or cannot be reached.
        """
        commit = self._info().sha
        if not commit:
            raise RemoteError(f"{self.name}: the Hub does not say which commit that is", advice="Name one.")
        return commit

    def at(self, revision: str) -> "HuggingFaceFiles":
        """Return the same repository at another revision."""
        return replace(self, revision=revision)

    def list(self, desk: Desk) -> tuple[SourceFile, ...]:
        """Return every file; the Hub names a big one by its sha256, a small one by its git object.

        Raises:
            ToolMissing: the library is not installed.
            ConfigurationError: there is no such repository or revision.
            RemoteError: the Hub refuses, or cannot be reached.
        """
        del desk
        return tuple(map(_source_file, self._info().siblings or ()))

    def read(self, file: SourceFile, offset: int = 0) -> Iterator[bytes]:
        """Yield the file from `offset` on; the answer may come from a content network, without our token.

        Raises:
            StageFailed: the file is gone.
            RemoteError: the Hub refuses, or cannot be reached.
        """
        commit = self.pin()
        from huggingface_hub import get_token, hf_hub_url

        address = hf_hub_url(self.repository, file.path, revision=commit, endpoint=_endpoint())
        token = get_token()
        login = {"Authorization": f"Bearer {token}"} if token else {}
        what = f"{self.name}/{file.path}"

        def open_at(position: int) -> Iterator[bytes]:
            headers = {**login, **range_headers(position)}
            with connection_named(what):
                response = requests.get(address, headers=headers, stream=True, timeout=TIMEOUT_S)
            if response.status_code in {404, 416}:
                response.close()
                raise changed(self.name, file.path)
            refuse_status(response, what, LOGIN)
            yield from rest_of(response, position, what)

        return read_resuming(open_at, file, self.name, offset)

    def _info(self) -> "ModelInfo":
        require("huggingface_hub", "huggingface", self.name)
        return _model_info(_endpoint(), self.repository, self.revision)


@lru_cache(maxsize=32)
def _model_info(endpoint: str | None, repository: str, revision: str) -> "ModelInfo":
    """Ask once in a process: a branch that moves meanwhile must not give half of each commit."""
    from huggingface_hub import HfApi

    with _refusals_named(f"hf://{repository}@{revision}"):
        return HfApi(endpoint=endpoint).model_info(
            repository, revision=revision, files_metadata=True, timeout=TIMEOUT_S[1]
        )


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None


def _source_file(entry: "RepoSibling") -> SourceFile:
    if entry.lfs is not None:
        digest = Digest(f"sha256:{entry.lfs.sha256}")
        return SourceFile(
            path=entry.rfilename, size_bytes=entry.lfs.size, identity=str(digest), digest=digest
        )
    return SourceFile(path=entry.rfilename, size_bytes=entry.size or 0, identity=f"git:{entry.blob_id}")


@contextmanager
def _refusals_named(name: str) -> Iterator[None]:
    """Turn the library's exceptions into ours.

    Raises:
        ConfigurationError: there is no such repository or revision.
        RemoteError: the Hub refuses, or cannot be reached.
    """
    from huggingface_hub import errors

    try:
        yield
    except (errors.RevisionNotFoundError, errors.HFValidationError) as error:
        advice = "Mend `model.source` or `model.revision`."
        raise ConfigurationError(f"there is no {name}", advice=advice) from error
    except errors.GatedRepoError as error:
        raise RemoteError(f"{name} is gated, and you are not let in", advice=LOGIN) from error
    except errors.RepositoryNotFoundError as error:
        raise ConfigurationError(f"there is no {name}, or you may not see it", advice=LOGIN) from error
    except errors.HfHubHTTPError as error:
        raise _refusal(name, error.response.status_code) from error
    except Exception as error:
        if not isinstance(error, OSError) and not type(error).__module__.startswith("httpx"):
            raise
        raise TemporaryRemoteError(
            f"{name}: the Hub could not be reached ({type(error).__name__})",
            advice="Check the network and HF_ENDPOINT.",
        ) from error


def _refusal(name: str, status: int) -> RemoteError:
    if status in {401, 403}:
        return RemoteError(f"{name}: the Hub refuses the token ({status})", advice=LOGIN)
    return TemporaryRemoteError(f"{name}: the Hub answers {status}", advice="Run again later.")
