"""What a registry's refusal means for the user, from its status and error codes.

Source: OCI distribution specification 1.1, "Error codes".
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from pipeline.errors import RemoteError, TemporaryRemoteError
from stages.oci.authentication import Credentials, login_refused
from stages.oci.exchange import Answer

TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504, *range(520, 525)})  # the last are Cloudflare's
TEMPORARY_CODES = frozenset({"BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "TOOMANYREQUESTS"})
IMMUTABLE_CODES = frozenset({"TAG_INVALID", "REGISTRY_DISALLOWED_OPERATION"})  # Amazon's, Azure's
QUOTED_CHARACTERS = 300  # of what the registry says, which may be a page of HTML


class TagRefused(RemoteError):
    """The registry does not let this tag be written: its tags are immutable, and it is there already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What was tried, for the message of its refusal; `doing` completes "cannot …"."""

    doing: str
    host: str
    repository: str
    credentials: Credentials | None
    scheme: str | None


def refusal(answer: Answer, attempt: Attempt) -> RemoteError:
    """Return the error that says what was refused, what the registry said, and what to do."""
    codes, said = _said(answer)
    if answer.status == HTTPStatus.UNAUTHORIZED and (
        attempt.credentials is None or attempt.scheme == "basic"
    ):
        return login_refused(attempt.host, attempt.credentials)
    where = f" in {attempt.repository}" if attempt.repository else ""
    message = f"{attempt.host}: cannot {attempt.doing}{where}: {said or answer.phrase}"
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        return TemporaryRemoteError(message, advice=limited(answer), retry_after_s=answer.retry_after_s)
    if answer.status in TEMPORARY or codes & TEMPORARY_CODES:
        return TemporaryRemoteError(
            message,
            advice="The registry is overloaded or down, or its storage is full. Run again later: what it has "
            "already is not sent again.",
            retry_after_s=answer.retry_after_s,
        )
    if attempt.credentials is not None and answer.content and credentials_expired(answer):
        return RemoteError(
            message, advice=f"{attempt.credentials.advice or _permission(attempt)} Then run again."
        )
    kind = TagRefused if codes & IMMUTABLE_CODES or "immutab" in said.lower() else RemoteError
    return kind(message, advice=_advice(answer.status, codes, attempt))


def limited(answer: Answer) -> str:
    """Say what to do about a limit of requests, and how long it lasts where the registry tells."""
    wait_s = answer.retry_after_s
    when = f"in {math.ceil(wait_s / 60)} minutes" if wait_s is not None and wait_s > 60 else "in some minutes"
    return (
        f"The registry limits how often it may be asked. Run again {when}: what it has already is not sent "
        "again. A login, another account or a larger plan has a limit of its own."
    )


def credentials_expired(answer: Answer) -> bool:
    """Tell whether a 403 may mean what others say by 401, as Amazon ECR's: the password was good once.

    The answer to a HEAD has no words: that may be meant, so it is worth asking again.
    """
    if answer.status != HTTPStatus.FORBIDDEN:
        return False
    return not answer.content or "token has expired" in _said(answer)[1].lower()


def _said(answer: Answer) -> tuple[frozenset[str], str]:
    errors = answer.json().get("errors")
    if not isinstance(errors, list):
        return frozenset(), ""
    found = [error for error in errors if isinstance(error, dict)]
    codes = [str(error.get("code", "UNKNOWN")) for error in found]
    texts = [
        f"{code} ({message})" if (message := str(error.get("message") or "")) else code
        for code, error in zip(codes, found, strict=True)
    ]
    text = "; ".join(texts)
    return frozenset(codes), text if len(text) <= QUOTED_CHARACTERS else f"{text[:QUOTED_CHARACTERS]}…"


def _advice(status: int, codes: frozenset[str], attempt: Attempt) -> str:
    for code, advise in ADVICE.items():
        if code in codes:
            return advise(attempt)
    advise_by_status = BY_STATUS.get(status)
    return advise_by_status(attempt) if advise_by_status else f"Ask the administrator of {attempt.host}."


def _permission(attempt: Attempt) -> str:
    who = f"User {attempt.credentials.username!r}" if attempt.credentials else "An anonymous user"
    origin = f" (from {attempt.credentials.origin})" if attempt.credentials else ""
    return f"{who}{origin} needs the right to push to {attempt.host}/{attempt.repository}."


def _missing_repository(attempt: Attempt) -> str:
    return (
        f"Create the repository {attempt.host}/{attempt.repository} first, or mend `registries` or `image`."
    )


def _tag(_: Attempt) -> str:
    return "The registry does not take this tag: it may be immutable and exist already. Deliver a new commit."


def _changed(_: Attempt) -> str:
    return "The content changed since the build, or on its way: run again; the build is made anew."


def _blobs(_: Attempt) -> str:
    return "The registry lost layers that it had confirmed (a clean-up in between?). Run again."


def _name(attempt: Attempt) -> str:
    return f"{attempt.host} does not take the name {attempt.repository!r}: mend `registries` or `image`."


def _too_large(attempt: Attempt) -> str:
    return (
        f"Raise the limit on the size of a request at {attempt.host}, or at the proxy before it "
        "(nginx: client_max_body_size)."
    )


def _unsupported(attempt: Attempt) -> str:
    return f"{attempt.host} does not support this operation: check that it takes pushes (it may be a mirror)."


ADVICE: dict[str, Callable[[Attempt], str]] = {
    "UNAUTHORIZED": _permission,
    "DENIED": _permission,
    "NAME_UNKNOWN": _missing_repository,
    "NAME_INVALID": _name,
    "TAG_INVALID": _tag,
    "DIGEST_INVALID": _changed,
    "SIZE_INVALID": _changed,
    "BLOB_UNKNOWN": _blobs,
    "MANIFEST_BLOB_UNKNOWN": _blobs,
    "MANIFEST_INVALID": _unsupported,
    "UNSUPPORTED": _unsupported,
}
BY_STATUS: dict[int, Callable[[Attempt], str]] = {
    401: _permission,
    403: _permission,
    404: _missing_repository,
    405: _unsupported,
    409: _tag,
    413: _too_large,
}
