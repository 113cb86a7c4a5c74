"""What an object store says when it does not give what was asked for, in words that help."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import ConfigurationError, PipelineError, RemoteError, TemporaryRemoteError
from stages.models.resuming import changed

STATUS = re.compile(r"status code: (\d{3})")
CODE = re.compile(r"<Code>([\w.-]+)</Code>")
LOGIN = re.compile(r"credential provider: (.*)")
"""What boto3, google-auth or azure-identity said when the library asked it for credentials."""
CERTIFICATE = re.compile(r"InvalidCertificate\(\s*(\w+)")
CAUSE = re.compile(r'(?:message|error): "([^"]+)"')
QUERY = re.compile(r"\?[^\s)\"]*")
CREDENTIALS = (
    "S3: `aws sts get-caller-identity` shows who you are; Google: `gcloud auth application-default login`; "
    "Azure: `az login`, or AZURE_STORAGE_ACCOUNT_KEY. Reading takes the right to list and to get objects."
)
EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"}


@contextmanager
def refusals_named(source: str, path: str | None = None) -> Iterator[None]:
    """Turn the library's exceptions into ours; `path` is the object that is read, None for a listing.

    Raises:
        ConfigurationError: there is no such bucket.
        StageFailed: the object is gone, or changed.
        TemporaryRemoteError: the store is busy, or the connection broke.
        RemoteError: the store refuses us.
    """
    try:
        yield
    except PipelineError:
        raise
    except Exception as error:
        if (refusal := _refusal(error, source, path)) is None:
            raise
        raise refusal from error


def _refusal(error: Exception, source: str, path: str | None) -> PipelineError | None:
    kind, text = type(error).__name__, str(error)
    ours = type(error).__module__.startswith("obstore") or kind == "FileNotFoundError"
    if not ours or LOGIN.search(text):
        return _login_refusal(error, source)
    code = found[1] if (found := CODE.search(text)) else ""
    status = int(found[1]) if (found := STATUS.search(text)) else 0
    said = " ".join(dict.fromkeys(part for part in (str(status or ""), code) if part))
    if status in {404, 412, 416} or kind == "FileNotFoundError":
        missing = ConfigurationError(f"there is no {source} ({said})", advice="Mend `model.source`.")
        return missing if path is None else changed(source, path)
    if code in EXPIRED:
        return RemoteError(
            f"{source}: the credentials have expired ({said})", advice=f"Log in again. {CREDENTIALS}"
        )
    if status in {401, 403} or kind in {"PermissionDeniedError", "UnauthenticatedError"}:
        return RemoteError(
            f"{source}: the store refuses these credentials ({said or kind})", advice=CREDENTIALS
        )
    if status in {301, 307, 400}:
        return RemoteError(
            f"{source}: the store refuses the request ({said})",
            advice="A bucket of another region? Set AWS_REGION to the region of the bucket.",
        )
    return _unreachable(source, f"the store answers {said}" if said else "", text)


def _unreachable(source: str, said: str, text: str) -> RemoteError:
    """Return the error for no answer, or a useless one; why stands deep in what the library tells."""
    if found := CERTIFICATE.search(text):
        return RemoteError(
            f"{source}: the store's certificate is not trusted ({found[1]})",
            advice="Name the file of your own authority in REQUESTS_CA_BUNDLE (S3: AWS_CA_BUNDLE).",
        )
    cause = f": {found[1]}" if (found := CAUSE.search(text)) else ""
    return TemporaryRemoteError(
        f"{source}: {said or _short(text) + cause}",
        advice="Run again; check the network, a proxy, and the endpoint's address.",
    )


def _login_refusal(error: Exception, source: str) -> PipelineError | None:
    """Name an error of boto3, google-auth or azure-identity: no credentials, or they cannot be refreshed."""
    if found := LOGIN.search(str(error)):
        reason = found[1]
    elif type(error).__module__.startswith(("botocore", "boto3", "google.auth", "azure")):
        reason = f"{type(error).__name__}: {_short(str(error))}"
    else:
        return None
    return RemoteError(f"{source}: there are no credentials: {_short(reason)}", advice=CREDENTIALS)


def _short(text: str) -> str:
    """Return the end of the first line, where the reason stands, without the queries of URLs."""
    first = QUERY.sub("", text.strip().splitlines()[0]) if text.strip() else "no answer"
    return first.rpartition(" - ")[2][:300]
