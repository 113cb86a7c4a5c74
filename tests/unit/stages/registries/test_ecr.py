from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    InvalidConfigError,
    MissingDependencyException,
    ReadTimeoutError,
)

from pipeline.errors import ConfigurationError, RemoteError, TemporaryRemoteError, ToolMissing
from pipeline.reference import Repository
from stages.oci.image_content import ImageContent
from stages.registries import recognise
from stages.registries.aws_refusals import permission_missing, refusal
from stages.registries.aws_session import AwsSession
from stages.registries.cloud_errors import PermissionMissing
from stages.registries.ecr_api import EcrRepository, covers
from stages.registries.extras import require
from stages.registries.options import RegistryOptions
from stages.registries.readiness import require_fitting
from tests.support.small_image import make_image

HOST = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
REPOSITORY = Repository(f"{HOST}/models/digits")
DENIED = (
    f"{HOST}: cannot begin the upload of abc in models/digits: DENIED (User: arn:aws:sts::1:role/a is "
    "not authorized to perform: ecr:InitiateLayerUpload on resource: arn:aws:ecr:eu-west-1:1:repository/b)"
)


@pytest.mark.parametrize(
    ("mutability", "tag", "immutable"),
    [
        ("MUTABLE", "v1", False),
        ("IMMUTABLE", "v1", True),
        ("IMMUTABLE", None, True),
        ("IMMUTABLE_WITH_EXCLUSION", "v1", True),
        ("IMMUTABLE_WITH_EXCLUSION", "main-dirty", False),
        ("MUTABLE_WITH_EXCLUSION", "main-dirty", True),
        ("MUTABLE_WITH_EXCLUSION", "v1", False),
        ("MUTABLE_WITH_EXCLUSION", None, False),
    ],
)
def test_exclusions_turn_a_repositorys_mutability_around(
    mutability: str, tag: str | None, immutable: bool
) -> None:
    exclusions = ("*-dirty", "latest") if mutability.endswith("EXCLUSION") else ()
    assert EcrRepository(mutability=mutability, exclusions=exclusions).is_immutable(tag) is immutable


@pytest.mark.parametrize(
    ("prefix", "covered"),
    [("ROOT", True), ("models", True), ("models/", True), ("models/digits", False), ("mod", False)],
)
def test_a_template_is_of_what_is_below_its_prefix(prefix: str, covered: bool) -> None:
    assert covers(prefix, "models/digits") is covered


def test_a_layer_of_more_than_52000_mebibytes_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    content = ImageContent.of(make_image(tmp_path / "image", {"app.py": b"1"}))
    first, *others = content.blobs
    for size_bytes, fits in ((52_000 << 20, True), ((52_000 << 20) + 1, False)):
        descriptor = first.descriptor.model_copy(update={"size_bytes": size_bytes})
        grown = replace(content, blobs=(replace(first, descriptor=descriptor), *others))
        if fits:
            require_fitting(grown, recognise(HOST), REPOSITORY)
        else:
            with pytest.raises(ConfigurationError, match=r"54\.5 GB .* is larger than this registry takes"):
                require_fitting(grown, recognise(HOST), REPOSITORY)


def test_a_denial_of_the_registry_names_its_action() -> None:
    explained = recognise(HOST).explain(RemoteError(DENIED), REPOSITORY)
    assert isinstance(explained, PermissionMissing)
    assert "AWS does not allow ecr:InitiateLayerUpload" in explained.message
    assert explained.advice.startswith("Allow ecr:InitiateLayerUpload in the IAM policy")
    assert permission_missing("nothing of the kind", HOST) is None


def test_a_repository_that_is_missing_is_told_with_its_command() -> None:
    error = RemoteError(f"{HOST}: cannot read x: NAME_UNKNOWN (The repository does not exist)")
    explained = recognise(HOST).explain(error, REPOSITORY)
    command = explained.advice.splitlines()[1]
    assert command.startswith("aws ecr create-repository --region eu-west-1 --registry-id 123456789012 ")
    assert "--repository-name models/digits" in command


def test_the_command_makes_the_repository_as_configured() -> None:
    options = RegistryOptions(immutable=False, scan_on_push=True, encryption="alias/ml", tags={"team": "ml"})
    error = RemoteError("NAME_UNKNOWN (The repository does not exist)")
    command = recognise(HOST, options=options).explain(error, REPOSITORY).advice.splitlines()[1]
    assert command.endswith(
        " --image-scanning-configuration scanOnPush=true "
        "--encryption-configuration encryptionType=KMS,kmsKey=alias/ml --tags Key=team,Value=ml"
    )


@pytest.mark.parametrize(
    ("host", "told"),
    [(HOST, False), (HOST.replace("eu-west-1", "eu-west-17"), True), (HOST.replace("eu", "cn"), True)],
)
def test_a_host_that_cannot_be_reached_may_be_in_no_region(host: str, told: bool) -> None:
    error = TemporaryRemoteError(f"{host} could not be reached: Name or service not known", advice="Look.")
    explained = recognise(host).explain(error, Repository(f"{host}/models"))
    assert ("AWS has no region" in explained.advice) is told
    assert (explained is error) is not told


def test_other_errors_stay_as_they_are() -> None:
    error = RemoteError("something else")
    assert recognise(HOST).explain(error, REPOSITORY) is error


def test_a_library_that_is_missing_names_its_install_line() -> None:
    with pytest.raises(ToolMissing, match="'no_such_library', which is not installed") as caught:
        require("no_such_library", "aws", HOST)
    assert caught.value.advice == "pip install 'model-image-pipeline[aws]'"


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (EndpointConnectionError(endpoint_url="https://x"), TemporaryRemoteError, "could not be reached"),
        (ReadTimeoutError(endpoint_url="https://x"), TemporaryRemoteError, "could not be reached"),
        (MissingDependencyException(msg="pip install botocore[crt]"), RemoteError, "botocore[crt]"),
        (InvalidConfigError(error_msg="Infinite loop in profile a"), RemoteError, "profile a"),
    ],
)
def test_only_what_may_pass_is_worth_another_try(
    error: BotoCoreError, kind: type[RemoteError], words: str
) -> None:
    found = refusal(error, AwsSession(host=HOST, region="eu-west-1"), "get a password")
    assert type(found) is kind
    assert words in found.message


def test_a_pods_role_that_is_not_trusted_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/pod")
    said = {"Error": {"Code": "AccessDenied", "Message": "Not authorized"}}
    error = ClientError(said, "AssumeRoleWithWebIdentity")
    found = refusal(error, AwsSession(host=HOST, region="eu-west-1"), "get a password")
    assert "assume arn:aws:iam::123456789012:role/pod: AccessDenied" in found.message
    assert "--role-name pod " in found.advice
