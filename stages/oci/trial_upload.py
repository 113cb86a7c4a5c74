"""A little upload that is cancelled: the proof that a push would be let in, which leaves nothing behind.

Source: OCI distribution specification 1.1, "Pushing a blob in chunks" and "Cancel a blob upload".
"""

from http import HTTPStatus

from pipeline.errors import RemoteError, TemporaryRemoteError
from stages.oci.distribution import RepositoryClient
from stages.oci.exchange import Request
from stages.oci.transport import Purpose

TRIAL = bytes(1024)
TAKEN = (200, 201, 202, 204)
WHOLE_ONLY = (400, 404, 405, 415, 416, 501)
"""How registries refuse a part of a blob."""
CANCELLED = (200, 202, 204)
NOT_CANCELLED = (400, 404, 405, 500, 501)
NOT_ALLOWED = (401, 403)
NO_RIGHT = "; to cancel it takes the right to delete: the registry forgets it in time"


def try_upload(client: RepositoryClient) -> str:
    """Begin an upload, send one kilobyte, cancel it; return how that went.

    The bytes never become a blob, even where the registry does not let an upload be cancelled: it forgets
    those that nobody ends.

    Raises:
        RemoteError: the registry does not take them.
    """
    path = f"/v2/{client.repository.path}/blobs/uploads/"
    begun = client.transport.send(
        Request(method="POST", url=path), _purpose(client, "begin an upload", (HTTPStatus.ACCEPTED,))
    )
    if begun.location is None:
        raise RemoteError(
            f"{client.repository.host} opened an upload without saying where",
            advice="Ask the registry's administrator: a proxy may drop the Location header.",
        )
    request = Request(
        method="PATCH",
        url=begun.location,
        headers={"Content-Type": "application/octet-stream", "Content-Range": f"0-{len(TRIAL) - 1}"},
        body=TRIAL,
    )
    sent = client.transport.send(request, _purpose(client, "upload", (*TAKEN, *WHOLE_ONLY)))
    if sent.status in TAKEN:
        took = "took 1 kB"
    else:
        took = f"opened an upload, which takes no part of a blob ({sent.phrase}), so nothing was sent"
    return f"{took}{_cancel(client, sent.location or begun.location)}"


def _cancel(client: RepositoryClient, location: str) -> str:
    """Cancel an upload; return how that went. Whatever comes of it, the registry has taken the upload."""
    purpose = _purpose(
        client, "cancel an upload", (*CANCELLED, *NOT_CANCELLED, *NOT_ALLOWED), rights=",delete"
    )
    try:
        cancelled = client.transport.send(Request(method="DELETE", url=location), purpose)
    except TemporaryRemoteError as error:
        return f"; it was not cancelled ({error.message}): the registry forgets it in time"
    except RemoteError:  # its token service refuses even to be asked for the right
        return NO_RIGHT
    if cancelled.status in CANCELLED:
        return ", and the upload was cancelled"
    if cancelled.status in NOT_ALLOWED:
        return NO_RIGHT
    return f"; it cannot be cancelled here ({cancelled.phrase}): the registry forgets it in time"


def _purpose(client: RepositoryClient, doing: str, expect: tuple[int, ...], rights: str = "") -> Purpose:
    scopes = frozenset({f"repository:{client.repository.path}:{client.actions}{rights}"})
    return Purpose(doing=doing, repository=client.repository.path, scopes=scopes, expect=expect)
