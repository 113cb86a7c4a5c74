"""One HTTP answer as the rest of a file: asked for from an offset, and checked to be that."""

from collections.abc import Iterator
from contextlib import contextmanager

import requests

from pipeline.errors import RemoteError, TemporaryRemoteError
from stages.oci.layout import CHUNK_BYTES

TIMEOUT_S = (10.0, 60.0)
"""To connect, and between two pieces: a stalled socket is a broken one."""
TEMPORARY = {408, 425, 429, 500, 502, 503, 504}


def range_headers(offset: int) -> dict[str, str]:
    """Return the headers that ask for the rest of a file, as the bytes that it has."""
    return {"Accept-Encoding": "identity"} | ({"Range": f"bytes={offset}-"} if offset else {})


def rest_of(response: requests.Response, offset: int, what: str) -> Iterator[bytes]:
    """Yield the bytes of a good answer from `offset` on, also where the server ignored the range.

    Raises:
        TemporaryRemoteError: the connection broke.
        RemoteError: the answer is of another part of the file.
    """
    skip = offset
    if response.status_code == 206:
        begin = response.headers.get("Content-Range", "")
        if not begin.startswith(f"bytes {offset}-"):
            raise RemoteError(
                f"{what}: asked for the bytes from {offset} on, the answer is {begin!r}",
                advice="A proxy in between may not understand ranges.",
            )
        skip = 0
    with connection_named(what), response:
        for chunk in response.iter_content(CHUNK_BYTES):
            if skip < len(chunk):
                yield chunk[skip:]
            skip = max(0, skip - len(chunk))


@contextmanager
def connection_named(what: str) -> Iterator[None]:
    """Turn a broken connection into an error that says what was asked for.

    Raises:
        TemporaryRemoteError: the server could not be reached, stalled, or hung up.
    """
    try:
        yield
    except requests.exceptions.SSLError as error:
        raise RemoteError(
            f"{what}: {_reason(error)}", advice="Trust the server's authority by REQUESTS_CA_BUNDLE."
        ) from error
    except (requests.exceptions.ConnectionError, requests.exceptions.Timeout) as error:
        raise _broken(what, error) from error
    except requests.exceptions.ChunkedEncodingError as error:
        raise _broken(what, error) from error


def refuse_status(response: requests.Response, what: str, advice: str) -> None:
    """Raise what the answer's status means; a good one raises nothing.

    Raises:
        TemporaryRemoteError: the server is busy; it may have said how long to wait.
        RemoteError: it refuses.
    """
    if response.status_code in {200, 206}:
        return
    said = f"{what}: the server answers {response.status_code} {response.reason or ''}".rstrip()
    response.close()
    if response.status_code in TEMPORARY:
        wait = response.headers.get("Retry-After", "")
        raise TemporaryRemoteError(
            said, advice="Run again later.", retry_after_s=float(wait) if wait.isdigit() else None
        )
    raise RemoteError(said, advice=advice)


def _broken(what: str, error: Exception) -> TemporaryRemoteError:
    return TemporaryRemoteError(f"{what}: {_reason(error)}", advice="Check the network, and run again.")


def _reason(error: Exception) -> str:
    """Return what went wrong without the address, which may hold a signature."""
    inner = error.args[0] if error.args and isinstance(error.args[0], Exception) else error
    cause = getattr(inner, "reason", None) or inner.__cause__ or inner
    return f"{type(cause).__name__} while talking to the server"
