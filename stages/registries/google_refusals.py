"""What the exceptions of Google's libraries mean for a push, each in words of its own and with what to do."""

import json
import os
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from pipeline.errors import ConfigurationError, PipelineError, RemoteError, TemporaryRemoteError
from stages.registries.cloud_errors import NoCloudLogin, PermissionMissing
from stages.registries.google_session import GoogleSession

if TYPE_CHECKING:
    from google.api_core.exceptions import GoogleAPICallError

PERMISSION = re.compile(r"(?:artifactregistry|iam|serviceusage)(?:\.[A-Za-z]+){2}")
RESOURCE = re.compile(
    r"projects/(?P<project>[\w.:-]+)/locations/(?P<location>[\w-]+)/repositories/(?P<repository>[\w.-]+)"
)
PROJECT = re.compile(r"projects?[/ =]([a-z0-9:.-]+)")
FILE = "GOOGLE_APPLICATION_CREDENTIALS"
CREATE = "artifactregistry.repositories.createOnPush"
IMPERSONATE = "iam.serviceAccounts.getAccessToken"
WRITER, CREATOR = "roles/artifactregistry.writer", "roles/artifactregistry.createOnPushWriter"
REQUEST = re.compile(r"[A-Z]+ https?://\S+: ")  # which the library puts before what Google says
SHOWN_CHARACTERS = 300


def refusal(error: Exception, session: GoogleSession, doing: str) -> PipelineError:
    """Return our error for one of Google's libraries; `doing` completes "cannot …"."""
    from google.api_core.exceptions import GoogleAPICallError, RetryError
    from google.auth.exceptions import DefaultCredentialsError, OAuthError, RefreshError, TransportError

    if isinstance(error, RetryError) and isinstance(error.cause, Exception):
        return refusal(error.cause, session, doing)
    if isinstance(error, GoogleAPICallError):
        return _answered(error, session, doing)
    if isinstance(error, DefaultCredentialsError):
        return _no_login(error, session)
    if isinstance(error, RefreshError | OAuthError) and not _transport(error):
        return _no_token(error, session)
    if isinstance(error, TransportError | RefreshError) or _transport(error):
        return _unanswered(error, session, doing)
    return RemoteError(f"{session.host}: cannot {doing}: {_short(str(error))}", advice=_who())


def permission_missing(text: str, host: str) -> PermissionMissing | None:
    """Return the error for a text of Google that names a permission; None where it names none."""
    if "permission" not in text.lower() or (found := PERMISSION.search(text)) is None:
        return None
    permission, said = found[0], text.removeprefix(f"{host}: ")
    role = CREATOR if permission == CREATE else WRITER
    where = RESOURCE.search(text)
    command = "docs/registries.md has the command"
    if where is not None and role == WRITER:
        command = (
            f"`gcloud artifacts repositories add-iam-policy-binding {where['repository']} "
            f"--project={where['project']} --location={where['location']} --role={WRITER} --member=MEMBER`"
        )
    return PermissionMissing(
        f"{host}: Google does not allow {permission}: {_short(said)}",
        advice=f"Grant {role}, which holds it, to whoever is logged in ({command}). "
        f"Google says the same of a project or repository that does not exist: is the name right? {_who()}",
    )


def _answered(error: "GoogleAPICallError", session: GoogleSession, doing: str) -> RemoteError:
    host, said, status = session.host, REQUEST.sub("", error.message, count=1), int(error.code or 0)
    if error.reason == "SERVICE_DISABLED" or "has not been used in project" in said:
        found = PROJECT.search(said)
        project = found[1].rstrip(".") if found else "PROJECT"
        return RemoteError(
            f"{host}: the Artifact Registry API is disabled in project {project}",
            advice=f"gcloud services enable artifactregistry.googleapis.com --project={project}",
        )
    if status == 401:
        return RemoteError(f"{host}: Google does not accept its own token: {_short(said)}", advice=_who())
    if status == 403:
        named = permission_missing(said, host)
        return named or PermissionMissing(f"{host}: cannot {doing}: {_short(said)}", advice=_who())
    if status == 429 or status >= 500:
        return TemporaryRemoteError(
            f"{host}: cannot {doing}: Google is busy ({status}: {_short(said)})",
            advice="Too many calls of this project at a time, or Google has a bad day. Run again later.",
        )
    return RemoteError(f"{host}: cannot {doing}: {status}: {_short(said)}", advice=_who())


def _no_login(error: Exception, session: GoogleSession) -> PipelineError:
    if os.environ.get(FILE):
        return ConfigurationError(
            f"{session.host}: the credentials that {FILE} names cannot be used: {_short(str(error))}",
            advice=f"{FILE} is the path of a JSON file: a service account's key, or what `gcloud iam "
            "workload-identity-pools create-cred-config` wrote. Mend it, or unset it.",
        )
    return NoCloudLogin(
        f"{session.host}: there are no Google credentials",
        advice="Here: `gcloud auth application-default login`, or `docker login`. In CI: `login:` with the "
        "workload identity provider that trusts the job, and in GitHub `permissions:` with `id-token: write` "
        "(docs/registries.md).",
    )


def _no_token(error: Exception, session: GoogleSession) -> RemoteError:
    """Return what a refusal of one of Google's token services means."""
    said = _said(error)
    if getattr(error, "retryable", False):
        return TemporaryRemoteError(
            f"{session.host}: Google's token service is busy: {_short(said)}", advice="Run again later."
        )
    for pattern, meant in TOKEN_REFUSALS:
        if re.search(pattern, said, re.IGNORECASE):
            return meant(said, session)
    return RemoteError(
        f"{session.host}: Google gives no token for {session.origin}: {_short(said)}",
        advice=f"Log in anew, or make new credentials.{_claims(session)}",
    )


def _audience(said: str, session: GoogleSession) -> RemoteError:
    return RemoteError(
        f"{session.host}: Google does not accept the audience of the job's identity token: {_short(said)}",
        advice="The token has to be made for an audience that the workload identity provider allows: by "
        f"default its own name (`login.audience`; in GitLab `aud:`).{_claims(session)}",
    )


def _condition(said: str, session: GoogleSession) -> RemoteError:
    return RemoteError(
        f"{session.host}: the workload identity provider does not let this job in: {_short(said)}",
        advice=f"Its attribute condition has to hold for this job.{_claims(session)}",
    )


def _provider(said: str, session: GoogleSession) -> RemoteError:
    return RemoteError(
        f"{session.host}: Google does not know the workload identity provider: {_short(said)}",
        advice="Look at `login.provider`, or at `audience` in the credentials file: it has the project's "
        "number, not its name; a deleted or disabled provider is refused too.",
    )


def _clock(said: str, session: GoogleSession) -> RemoteError:
    return RemoteError(
        f"{session.host}: the clock of this machine differs from Google's, so Google refuses what it signs: "
        f"{_short(said)}",
        advice="Set the clock (`timedatectl set-ntp true`; of a virtual machine: its host's), and run again.",
    )


def _impersonation(said: str, session: GoogleSession) -> RemoteError:
    account = session.login.service_account or "the service account that the credentials file names"
    return PermissionMissing(
        f"{session.host}: Google does not allow {IMPERSONATE}: this login may not act as {account}: "
        f"{_short(said)}",
        advice="Grant roles/iam.workloadIdentityUser on that service account to the job's principalSet "
        f"(docs/registries.md has the command).{_claims(session)}",
    )


def _key(said: str, session: GoogleSession) -> RemoteError:
    return RemoteError(
        f"{session.host}: Google does not accept the key of {_whose(session)}: {_short(said)}",
        advice="It was deleted, or is another account's: `gcloud iam service-accounts keys list "
        f"--iam-account={session.account or 'ACCOUNT'}` shows the keys that are left.",
    )


def _gone(said: str, session: GoogleSession) -> RemoteError:
    return RemoteError(
        f"{session.host}: Google knows no account {_whose(session)}: {_short(said)}",
        advice="It was deleted or disabled: `gcloud iam service-accounts list` shows those that are left.",
    )


def _too_long(said: str, session: GoogleSession) -> RemoteError:
    return RemoteError(
        f"{session.host}: the subject of the job's identity token is too long for Google: {_short(said)}",
        advice="Map `google.subject` to something shorter, such as assertion.repository_id, and let the "
        f"provider's condition name the branch (docs/registries.md).{_claims(session)}",
    )


def _issuer(said: str, session: GoogleSession) -> RemoteError:
    return RemoteError(
        f"{session.host}: Google does not trust whoever signed the job's identity token: {_short(said)}",
        advice="The provider's issuer has to be the token's to the letter: `gcloud iam "
        f"workload-identity-pools providers describe {session.provider or 'PROVIDER'} "
        f"--format='value(oidc.issuerUri)'` shows it.{_claims(session)}",
    )


def _stale(said: str, session: GoogleSession) -> RemoteError:
    return RemoteError(
        f"{session.host}: the job's identity token had ended when Google saw it: {_short(said)}",
        advice="In GitLab it lives as long as the job's `timeout:`, which can be raised; a token in a file "
        f"has to be written anew by whoever put it there.{_claims(session)}",
    )


def _ended(said: str, session: GoogleSession) -> RemoteError:
    return RemoteError(
        f"{session.host}: the login of {session.origin} has ended: {_short(said)}",
        advice="Run `gcloud auth application-default login`; in CI use workload identity federation.",
    )


TOKEN_REFUSALS: tuple[tuple[str, Callable[[str, GoogleSession], RemoteError]], ...] = (
    (r"audience in ID Token|does not match the expected audience", _audience),
    (r"attribute condition", _condition),
    (r"invalid_target|Invalid value for \W*audience", _provider),
    (r"reasonable timeframe|iat and exp|not yet valid", _clock),
    (r"127\s+bytes limit", _too_long),
    (r"is stale|ID Token.*expired", _stale),
    (r"issuer", _issuer),
    (r"getAccessToken|unable to acquire impersonated", _impersonation),
    (r"account not found|Invalid grant: account|account_not_found|USER_DISABLED", _gone),
    (r"Invalid JWT Signature", _key),
    (r"expired or revoked|invalid_rapt|reauth", _ended),
)


def _unanswered(error: Exception, session: GoogleSession, doing: str) -> RemoteError:
    import requests

    causes = tuple(_causes(error))
    if any(isinstance(cause, requests.exceptions.SSLError) for cause in causes):
        return RemoteError(
            f"{session.host}: no trusted TLS connection to Google",
            advice="Name the file of your own certificate authority, if you have one, in REQUESTS_CA_BUNDLE.",
        )
    return TemporaryRemoteError(
        f"{session.host}: cannot {doing}: Google could not be reached ({type(causes[-1]).__name__})",
        advice="Check the network, HTTPS_PROXY and NO_PROXY.",
    )


def _transport(error: Exception) -> bool:
    """Tell whether the answer is missing, rather than a refusal."""
    import requests

    return any(isinstance(cause, requests.RequestException) for cause in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what led to it, as far as HTTP; google-auth keeps some among the arguments."""
    yield error
    inner = error.__cause__ or next((part for part in error.args if isinstance(part, BaseException)), None)
    if inner is not None and not type(inner).__module__.startswith("urllib3"):
        yield from _causes(inner)


def _said(error: Exception) -> str:
    """Return what a token service said: the whole answer, where the text leaves out the code."""
    first, *further = [str(part) for part in error.args if isinstance(part, str)] or [""]
    return " ".join((first, *(part for part in further if not _repeats(part, first))))


def _repeats(answer: str, text: str) -> bool:
    """Tell whether an answer says nothing but what a text says already."""
    try:
        document = json.loads(answer)
    except ValueError:
        return False
    told = (document.get("error"), document.get("error_description")) if isinstance(document, dict) else ()
    return bool(told) and all(isinstance(each, str) and each in text for each in told)


def _whose(session: GoogleSession) -> str:
    return session.account or session.origin


def _claims(session: GoogleSession) -> str:
    claims = session.token.claims if session.token else ""
    return f" The job's token says: {claims}." if claims else ""


def _who() -> str:
    return "`gcloud auth list` shows who you are; a credentials file names its account."


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= SHOWN_CHARACTERS else f"{flat[:SHOWN_CHARACTERS]}…"
