"""Amazon ECR Public: its passwords come from us-east-1; all else is as the specification says.

Source: Amazon ECR Public User Guide, "Service quotas".
"""

import base64
from functools import partial

from stages.oci.authentication import Credentials
from stages.oci.uploads import Monolithic
from stages.registries import credentials as stored
from stages.registries.aws_refusals import WHO, refusal
from stages.registries.aws_session import AwsSession
from stages.registries.ecr_api import by_our_clock
from stages.registries.extras import require
from stages.registries.generic import GenericRegistry
from stages.registries.options import AMAZON, RegistryOptions

REGION = "us-east-1"
LARGEST_LAYER_BYTES = 10_000 << 20


def public(host: str, options: RegistryOptions, *, only: bool) -> GenericRegistry:
    """Return the public registry.

    Raises:
        ConfigurationError: something is configured that it does not know.
    """
    options.refuse_others(
        host,
        AMAZON,
        "Leave it out, and make the repository once: `aws ecr-public create-repository --region us-east-1 "
        "--repository-name NAME`.",
    )
    session = AwsSession(host=host, region=REGION, login=options.login)
    return GenericRegistry(
        host=host,
        find_credentials=partial(stored.with_cloud, host, partial(_ask, session), only=only),
        uploads=Monolithic(),
        largest_blob_bytes=LARGEST_LAYER_BYTES,
        makes_repositories=False,
    )


def _ask(session: AwsSession) -> Credentials:
    require("boto3", "aws", session.host)
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        answer = session.client("ecr-public").get_authorization_token()
    except (BotoCoreError, ClientError, RuntimeError) as error:  # the last as in `EcrApi.ask`
        raise refusal(error, session, "get a password") from error
    entry = answer["authorizationData"]
    username, _, password = base64.b64decode(entry["authorizationToken"]).decode().partition(":")
    return Credentials(
        username=username,
        secret=password,
        origin="the AWS credentials of this environment",
        expires_at=by_our_clock(entry.get("expiresAt"), answer),
        advice=f"AWS gave this password a moment ago: {WHO}",
    )
