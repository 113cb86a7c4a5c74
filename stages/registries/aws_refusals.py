"""What boto3's exceptions mean for a push, each in words of its own and with what to do."""

import difflib
import os
import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from pipeline.errors import RemoteError, TemporaryRemoteError
from stages.registries.aws_session import AUDIENCE, AwsSession
from stages.registries.cloud_errors import NoCloudLogin, PermissionMissing

EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"})
UNKNOWN = frozenset(
    {"UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId", "AuthFailure"}
    | {"MissingAuthenticationToken"}
)
WRONG_SECRET = frozenset({"InvalidSignatureException", "SignatureDoesNotMatch", "IncompleteSignature"})
SKEWED = frozenset({"RequestExpired", "RequestTimeTooSkewed", "RequestInTheFuture"})
DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
THROTTLED = frozenset(
    {"Throttling", "ThrottlingException", "ThrottledException", "RequestLimitExceeded"}
    | {"TooManyRequestsException", "RequestThrottled", "SlowDown"}
)
NO_LOGIN = frozenset(
    {"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "ProfileNotFound"}
    | {
        "SSOTokenLoadError",
        "UnauthorizedSSOTokenError",
        "TokenRetrievalError",
        "NoAuthTokenError",
        "SSOError",
    }
    | {"LoginTokenLoadError", "LoginRefreshRequired", "ConfigNotFound", "ConfigParseError"}
)
UNKNOWN_ISSUER = frozenset({"InvalidIdentityToken", "IDPCommunicationError"})
LATE = re.compile(r"signature (expired|not yet current)", re.IGNORECASE)
ACTION = re.compile(r"not authorized to perform:? ?`?([\w-]+:\w+)", re.IGNORECASE)
WHO = "`aws sts get-caller-identity` shows who you are."
WHENCE = "`aws configure list` shows where the credentials come from."
TRUST = "`aws iam get-role --role-name {role} --query Role.AssumeRolePolicyDocument` shows it"


def refusal(error: Exception, session: AwsSession, doing: str) -> RemoteError:
    """Return our error for one of botocore's; `doing` completes "cannot …"."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        if getattr(error, "operation_name", "") == "AssumeRoleWithWebIdentity":
            return _no_role(response, session)
        return _answered(response, session, doing)
    return _unanswered(error, session, doing)


def permission_missing(text: str, host: str) -> PermissionMissing | None:
    """Return the error for a text of AWS that names an action; None where it names none."""
    if (found := ACTION.search(text)) is None:
        return None
    action, said = found[1], text.removeprefix(f"{host}: ")
    return PermissionMissing(
        f"{host}: AWS does not allow {action}: {_short(said)}",
        advice=f"Allow {action} in the IAM policy of that user or role; docs/registries.md has the whole "
        f"policy. {WHO}",
    )


def reading_refused(text: str, host: str) -> PermissionMissing:
    """Return the error for a question whose answer has no words, so that nobody tells the action."""
    action = "ecr:BatchGetImage" if "manifest" in text else "ecr:BatchCheckLayerAvailability"
    return PermissionMissing(
        text,
        advice=f"AWS gives no reason. As a rule {action} is missing in the IAM policy of that user or role, "
        f"or the repository's own policy refuses it; docs/registries.md has the whole policy. {WHO}",
    )


def unknown_region(session: AwsSession) -> str:
    """Return what to say of a region that boto3 does not know; empty where it does."""
    known = session.known_regions
    if session.region in known:
        return ""
    near = difflib.get_close_matches(session.region, known, n=1)
    return f"AWS has no region {session.region!r}" + (f": did you mean {near[0]!r}?" if near else ".")


def _answered(response: dict[str, Any], session: AwsSession, doing: str) -> RemoteError:
    host = session.host
    code = str(response.get("Error", {}).get("Code", ""))
    said = str(response.get("Error", {}).get("Message", ""))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in SKEWED or LATE.search(said):
        return _skewed(response, session)
    if (lasting := _bad_credentials(code, session)) is not None:
        return lasting
    if code in DENIED:
        named = permission_missing(said, host)
        return named or PermissionMissing(f"{host}: cannot {doing}: {_short(said) or code}", advice=WHO)
    if code in THROTTLED or status >= 500:
        return TemporaryRemoteError(
            f"{host}: cannot {doing}: AWS is busy ({code}: {_short(said)})",
            advice="Too many calls of this account at a time, or AWS has a bad day. Run again later.",
        )
    return RemoteError(f"{host}: cannot {doing}: {code}: {_short(said)}", advice=WHO)


def _bad_credentials(code: str, session: AwsSession) -> RemoteError | None:
    host = session.host
    if code in EXPIRED:
        return RemoteError(
            f"{host}: the AWS credentials have expired",
            advice="Get new ones (`aws sso login`, new keys); in CI a role renews them by itself (`login:`).",
        )
    if code in WRONG_SECRET:
        return RemoteError(
            f"{host}: AWS knows the access key, and the secret beside it is a wrong one ({code})",
            advice="Copy the secret access key anew (AWS_SECRET_ACCESS_KEY, `aws configure`), whole and "
            f"without blanks. {WHENCE}",
        )
    if code in UNKNOWN:
        return RemoteError(
            f"{host}: AWS does not know these credentials in {session.region} ({code})",
            advice="The access key was deleted, is one of another partition (China, GovCloud), lacks its "
            f"AWS_SESSION_TOKEN, or the account has not enabled {session.region}. {WHENCE}",
        )
    return None


def _skewed(response: dict[str, Any], session: AwsSession) -> RemoteError:
    date = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
    difference = "differs from"
    try:
        ahead = datetime.now(UTC) - parsedate_to_datetime(date)
    except (TypeError, ValueError):
        pass
    else:
        minutes = round(abs(ahead) / timedelta(minutes=1))
        difference = f"is {minutes} minutes {'ahead of' if ahead > timedelta() else 'behind'}"
    return RemoteError(
        f"{session.host}: the clock of this machine {difference} AWS's, so AWS refuses its signatures",
        advice="Set the clock (`timedatectl set-ntp true`; of a virtual machine: its host's), and run again.",
    )


def _no_role(response: dict[str, Any], session: AwsSession) -> RemoteError:
    code, said = str(response["Error"].get("Code", "")), str(response["Error"].get("Message", ""))
    claims = session.token.claims if session.token else ""
    told = f" The job's token says: {claims}." if claims else ""
    if code in THROTTLED or int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)) >= 500:
        return TemporaryRemoteError(f"{session.host}: AWS STS is busy ({code})", advice="Run again later.")
    if "audience" in said.lower():
        return RemoteError(
            f"{session.host}: AWS does not accept the audience of the job's identity token: {_short(said)}",
            advice=f"It is {AUDIENCE!r} as a rule: leave `login.audience` out, and in GitLab write `aud: "
            f"{AUDIENCE}`. Any other one has to be listed in IAM: `aws iam "
            "add-client-id-to-open-id-connect-provider --open-id-connect-provider-arn ARN --client-id "
            f"{session.login.audience or AUDIENCE}`.{told}",
        )
    if code in EXPIRED:
        return RemoteError(
            f"{session.host}: the job's identity token had ended when AWS saw it: {_short(said)}",
            advice="In GitLab it lives as long as the job's `timeout:`, which can be raised; a token in a "
            "file has to be written anew by whoever put it there. If neither is it, look at the clock "
            f"(`timedatectl`).{told}",
        )
    if code in UNKNOWN_ISSUER:
        issuer = (session.token.issuer if session.token else "") or "https://ISSUER"
        return RemoteError(
            f"{session.host}: AWS does not trust whoever signed the job's identity token: {code}: "
            f"{_short(said)}",
            advice="The account that owns the role needs an identity provider for that issuer:\n"
            f"aws iam create-open-id-connect-provider --url {issuer} --client-id-list {AUDIENCE}\n{told[1:]}",
        )
    role = session.login.role or os.environ.get("AWS_ROLE_ARN") or "its role"  # the variable is a pod's
    return RemoteError(
        f"{session.host}: AWS does not let this job assume {role}: {code}: {_short(said)}",
        advice="The role has to exist, and its trust policy has to name the identity provider and this job: "
        f"{TRUST.format(role=role.rpartition('/')[2])}.{told}",
    )


def _unanswered(error: Exception, session: AwsSession, doing: str) -> RemoteError:
    kind, host = type(error).__name__, session.host
    if kind in NO_LOGIN:
        return NoCloudLogin(
            f"{host}: there are no AWS credentials: {_short(str(error))}",
            advice="Here: `aws configure`, `aws sso login`, AWS_PROFILE, or `docker login`. In CI: `login:` "
            "with the role that trusts the job, and in GitHub `permissions:` with `id-token: write` "
            "(docs/registries.md).",
        )
    if kind == "ParamValidationError":
        lines = str(error).splitlines()
        return RemoteError(f"{host}: cannot {doing}: {lines[-1]}", advice="Mend `registries` or `image`.")
    if kind == "RuntimeError":
        return RemoteError(
            f"{host}: the credentials that AWS gives are over on arrival: {_short(str(error))}",
            advice="Set the clock of this machine (`timedatectl set-ntp true`), and run again.",
        )
    if "SSL" in kind:
        return RemoteError(
            f"{host}: no trusted TLS connection to AWS: {_short(str(error))}",
            advice="Name the file of your own certificate authority, if you have one, in AWS_CA_BUNDLE or "
            "REQUESTS_CA_BUNDLE.",
        )
    from botocore.exceptions import ConnectionError as NoConnection
    from botocore.exceptions import HTTPClientError

    if isinstance(error, NoConnection | HTTPClientError):
        return TemporaryRemoteError(
            f"{host}: cannot {doing}: AWS's API could not be reached ({kind})",
            advice=unknown_region(session)
            or "Check the network, HTTPS_PROXY, and an endpoint in the AWS profile.",
        )
    return RemoteError(f"{host}: cannot {doing}: {_short(str(error))}", advice=WHENCE)


def _short(text: str) -> str:
    return text if len(text) <= 300 else f"{text[:300]}…"
