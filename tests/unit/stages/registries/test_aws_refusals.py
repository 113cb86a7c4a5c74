"""Every cause has words of its own, names the registry, and says what to do."""

from __future__ import annotations

import pytest
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    ProfileNotFound,
    SSLError,
)

from pipeline.errors import RemoteError, TemporaryRemoteError
from stages.registries.aws_refusals import refusal
from stages.registries.aws_session import AwsSession
from stages.registries.cloud_errors import NoCloudLogin, PermissionMissing
from stages.registries.options import LoginOptions

HOST = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
ROLE = "arn:aws:iam::123456789012:role/push"
NOT_ALLOWED = "User: x is not authorized to perform: ecr:DescribeRepositories on resource: y"


def answered(
    code: str, said: str = "said", *, to: str = "DescribeRepositories", status: int = 400
) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": said}, "ResponseMetadata": {"HTTPStatusCode": status}},
        to,
    )


def federated(code: str, said: str, *, status: int = 400) -> ClientError:
    return answered(code, said, to="AssumeRoleWithWebIdentity", status=status)


CAUSES: tuple[tuple[Exception, type[RemoteError], str, str], ...] = (
    (answered("ExpiredTokenException"), RemoteError, "the AWS credentials have expired", "aws sso login"),
    (answered("UnrecognizedClientException"), RemoteError, "does not know these", "aws configure list"),
    (
        answered("SignatureDoesNotMatch"),
        RemoteError,
        "the secret beside it is a wrong one",
        "Copy the secret",
    ),
    (answered("InvalidSignatureException", "Signature expired: 1"), RemoteError, "the clock", "timedatectl"),
    (answered("RequestTimeTooSkewed"), RemoteError, "the clock", "timedatectl"),
    (
        answered("AccessDeniedException", NOT_ALLOWED),
        PermissionMissing,
        "ecr:DescribeRepositories",
        "Allow ecr",
    ),
    (answered("AccessDeniedException"), PermissionMissing, "cannot look: said", "get-caller-identity"),
    (answered("ThrottlingException"), TemporaryRemoteError, "AWS is busy", "Run again later"),
    (answered("ServerException", status=500), TemporaryRemoteError, "AWS is busy", "Run again later"),
    (answered("LimitExceededException"), RemoteError, "LimitExceededException: said", "get-caller-identity"),
    (federated("InvalidIdentityToken", "Incorrect token audience"), RemoteError, "the audience", "as a rule"),
    (
        federated("InvalidIdentityToken", "No OpenIDConnect provider found in your account for https://x"),
        RemoteError,
        "does not trust whoever signed",
        "aws iam create-open-id-connect-provider --url https://ISSUER",
    ),
    (federated("ExpiredTokenException", "Token expired"), RemoteError, "had ended", "`timeout:`"),
    (federated("AccessDenied", "no", status=403), RemoteError, f"assume {ROLE}", "get-role --role-name push"),
    (federated("Throttling", "no"), TemporaryRemoteError, "AWS STS is busy", "Run again later"),
    (NoCredentialsError(), NoCloudLogin, "there are no AWS credentials", "`id-token: write`"),
    (ProfileNotFound(profile="x"), NoCloudLogin, "profile (x) could not be found", "AWS_PROFILE"),
    (SSLError(endpoint_url="https://x", error="no"), RemoteError, "no trusted TLS", "AWS_CA_BUNDLE"),
    (
        EndpointConnectionError(endpoint_url="https://x"),
        TemporaryRemoteError,
        "not be reached",
        "HTTPS_PROXY",
    ),
)


def told(error: Exception) -> RemoteError:
    session = AwsSession(host=HOST, region="eu-west-1", login=LoginOptions(role=ROLE))
    return refusal(error, session, "look")


@pytest.mark.parametrize(("error", "kind", "words", "advice"), CAUSES, ids=str)
def test_a_cause_is_said_in_words_with_what_to_do(
    error: Exception, kind: type[RemoteError], words: str, advice: str
) -> None:
    found = told(error)
    assert type(found) is kind
    assert found.message.startswith(f"{HOST}: ")
    assert words in found.message
    assert advice in found.advice
    assert found.exit_code == 5


def test_no_two_causes_have_the_same_words() -> None:
    same = {"RequestTimeTooSkewed"}  # the other name of what came before it
    messages = [told(error).message for error, *_ in CAUSES if not any(code in str(error) for code in same)]
    assert len(messages) == len(set(messages))
