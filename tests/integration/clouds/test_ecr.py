"""Amazon ECR under its real host name: the real SDK, its rules, and a client that is not ours."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import ConfigurationError, PipelineError, RemoteError, TagConflict, TemporaryRemoteError
from pipeline.model import BuiltImage, Check, Problem, PushedReference, Severity
from pipeline.reference import Digest, Repository, Tag
from pipeline.report.phrases import told_by
from stages.oci.distribution import RepositoryClient
from stages.oci.transport import Transport
from stages.push import Push
from stages.registries import recognise
from stages.registries.ecr import EcrRegistry
from stages.registries.options import LoginOptions, RegistryOptions
from tests.support.clouds.aws import ROLE, Keys, aws_refusal
from tests.support.clouds.crane import Crane
from tests.support.clouds.ecr import HOST, MOTO_PASSWORD, Amazon
from tests.support.clouds.front import Asked
from tests.support.clouds.identity_provider import IdentityProvider
from tests.support.clouds.internet import Internet
from tests.support.loopback import Reply, refused
from tests.support.small_image import COMMIT, make_image

ADMINISTRATOR = ("ecr:*",)


@pytest.fixture
def cloud(amazon: Amazon) -> Iterator[Amazon]:
    """Amazon as it is at first; what a test changes in its behaviour is taken back."""
    yield amazon
    amazon.ecr.before.clear()
    amazon.ecr.denied.clear()
    amazon.ecr.expire_at = None
    amazon.plane.before = lambda _: None
    amazon.plane.moto_passwords = False
    amazon.plane.session_lifetime_s = None
    amazon.plane.settings["BLOB_MOUNTING"] = "DISABLED"
    amazon.plane.templates.clear()
    amazon.plane.calls.clear()
    amazon.registry.asked.clear()
    amazon.store.asked.clear()


@pytest.fixture
def logged_in(cloud: Amazon, monkeypatch: pytest.MonkeyPatch) -> Keys:
    """An administrator's access key in the environment."""
    use(cloud.plane.administrator.environment, monkeypatch)
    return cloud.plane.administrator


def use(variables: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def new_name() -> str:
    return f"models/{uuid4().hex[:12]}"


def make_repository(cloud: Amazon, *, immutable: bool = False) -> str:
    name = new_name()
    mutability = "IMMUTABLE" if immutable else "MUTABLE"
    cloud.plane.client("ecr").create_repository(repositoryName=name, imageTagMutability=mutability)
    return name


def push_to(name: str, *, host: str = HOST, tag: str = COMMIT, **options: object) -> Push:
    repository = Repository(f"{host}/{name}")
    return Push(
        repositories=(repository,),
        layout_folder=Path("/nowhere"),
        options={repository: RegistryOptions(**options)},  # type: ignore[arg-type]  # as pipeline.yaml has them
        tag=Tag(tag),
    )


def push(stage: Push, image: BuiltImage, desk: Desk) -> PushedReference:
    (reference,) = stage.run(Artifacts(image), desk).references
    return reference


def check(stage: Push, desk: Desk) -> Check:
    (found,) = stage.check(desk)
    return found


def test_what_was_pushed_is_described_by_amazon_and_read_back_by_crane(
    cloud: Amazon, logged_in: Keys, image: BuiltImage, desk: Desk, crane: Crane
) -> None:
    stage = push_to(make_repository(cloud, immutable=True))
    plan = check(stage, desk)
    pushed = push(stage, image, desk)
    assert plan.passed, plan
    assert plan.found == (
        "logged in as AWS (from the AWS credentials of this environment); the repository is there; "
        f"its tags are immutable; the tag {COMMIT} is free"
    )
    assert pushed.evidence is not None
    assert (pushed.evidence.manifests_compared, pushed.evidence.blobs_found) == (1, 3)
    assert pushed.evidence.asked.endswith("Amazon ECR: DescribeImages")
    assert (pushed.evidence.tags, pushed.evidence.media_type) == ((COMMIT,), image.media_type)
    assert "DescribeImages" in cloud.plane.calls

    crane.log_in(HOST, "AWS", cloud.ecr.password())
    reference = f"{pushed.repository}:{COMMIT}"
    assert crane("digest", reference) == image.digest
    assert json.loads(crane("manifest", reference))["layers"]
    crane("pull", "--format=oci", reference, str(desk.folder / "copy"))  # every blob, which S3 gives
    weights = desk.folder / "copy" / "blobs" / "sha256" / image.model_layers[0].descriptor.digest.encoded
    assert weights.stat().st_size == image.model_size_bytes
    assert not cloud.registry.of("PATCH")


def test_an_index_of_several_platforms_is_pushed_and_described(
    cloud: Amazon, logged_in: Keys, tmp_path: Path, desk: Desk, crane: Crane
) -> None:
    platforms = ("linux/amd64", "linux/arm64")
    image = make_image(tmp_path / "index", {"app.py": b"1"}, platforms=platforms)
    name = make_repository(cloud, immutable=True)
    pushed = push(push_to(name), image, desk)
    assert pushed.evidence is not None
    assert (pushed.evidence.manifests_compared, pushed.evidence.tags) == (3, (COMMIT,))
    crane.log_in(HOST, "AWS", cloud.ecr.password())
    assert crane("digest", f"{pushed.repository}:{COMMIT}") == image.digest
    tagged = [each.path for each in cloud.registry.of("PUT", "/manifests/") if "sha256:" not in each.path]
    assert tagged == [f"/v2/{name}/manifests/{COMMIT}"]


def test_the_same_digest_under_an_immutable_tag_is_success(
    cloud: Amazon, logged_in: Keys, image: BuiltImage, desk: Desk
) -> None:
    stage = push_to(make_repository(cloud, immutable=True))
    push(stage, image, desk)
    assert check(stage, desk).found.endswith(f"the tag {COMMIT} is taken by {image.digest}")
    again = push(stage, image, desk)
    assert again.tag_existed
    assert again.bytes_sent == 0


def test_another_digest_under_an_immutable_tag_is_a_conflict(
    cloud: Amazon, logged_in: Keys, image: BuiltImage, desk: Desk, tmp_path: Path
) -> None:
    stage = push_to(make_repository(cloud, immutable=True))
    push(stage, image, desk)
    other = make_image(tmp_path / "other", {"app.py": b"2"})
    with pytest.raises(TagConflict, match=f"exists with {image.digest}") as caught:
        push(stage, other, desk)
    assert caught.value.exit_code == 7


def test_a_moving_tag_and_an_immutable_repository_do_not_go_together(
    cloud: Amazon, logged_in: Keys, desk: Desk
) -> None:
    found = check(push_to(make_repository(cloud, immutable=True), tag=f"{COMMIT}-dirty"), desk)
    assert found.problem is Problem.TAG
    assert "Commit your changes" in found.advice


def test_a_repository_that_is_missing_is_told_with_the_command_that_makes_it(
    cloud: Amazon, logged_in: Keys, image: BuiltImage, desk: Desk
) -> None:
    name = new_name()
    found = check(push_to(name), desk)
    command = (
        "aws ecr create-repository --region eu-west-1 --registry-id 123456789012 "
        f"--repository-name {name} --image-tag-mutability IMMUTABLE"
    )
    assert found.problem is Problem.REMOTE
    assert "does not exist" in found.found
    assert command in found.advice
    with pytest.raises(RemoteError, match="does not exist in eu-west-1 of account 123456789012") as caught:
        push(push_to(name), image, desk)
    assert command in caught.value.advice
    assert not cloud.registry.of("POST")


def test_a_repository_is_made_as_configured(
    cloud: Amazon, logged_in: Keys, image: BuiltImage, desk: Desk, tmp_path: Path
) -> None:
    rule = {
        "rulePriority": 1,
        "selection": {"tagStatus": "untagged", "countType": "imageCountMoreThan", "countNumber": 5},
        "action": {"type": "expire"},
    }
    (tmp_path / "lifecycle.json").write_text(json.dumps({"rules": [rule]}))
    name = new_name()
    stage = push_to(
        name,
        create=True,
        immutable=True,
        scan_on_push=True,
        encryption="KMS",
        tags={"team": "ml"},
        lifecycle=tmp_path / "lifecycle.json",
    )
    assert "the repository is missing: the push makes it" in check(stage, desk).found
    push(stage, image, desk)
    client = cloud.plane.client("ecr")
    made = client.describe_repositories(repositoryNames=[name])["repositories"][0]
    assert made["imageTagMutability"] == "IMMUTABLE"
    assert made["imageScanningConfiguration"] == {"scanOnPush": True}
    assert made["encryptionConfiguration"]["encryptionType"] == "KMS"
    tags = client.list_tags_for_resource(resourceArn=made["repositoryArn"])["tags"]
    assert tags == [{"Key": "team", "Value": "ml"}]
    policy = client.get_lifecycle_policy(repositoryName=name)["lifecyclePolicyText"]
    assert json.loads(policy) == {"rules": [rule]}
    assert "ECR scans on push" in check(stage, desk).found


def test_the_doctor_makes_no_repository_that_is_left_to_the_push(
    cloud: Amazon, logged_in: Keys, desk: Desk
) -> None:
    (found,) = push_to(new_name(), create=True).diagnose(desk, write=True)
    assert found.passed, found
    assert "no upload was tried: the repository has to be made first" in found.found
    assert not cloud.registry.of("POST")


def test_a_repository_that_somebody_else_made_meanwhile_is_left_as_it_is(
    cloud: Amazon, logged_in: Keys, tmp_path: Path
) -> None:
    (tmp_path / "lifecycle.json").write_text('{"rules": []}')
    options = RegistryOptions(create=True, immutable=True, lifecycle=tmp_path / "lifecycle.json")
    registry = recognise(HOST, options=options)
    assert isinstance(registry, EcrRegistry)
    name = make_repository(cloud)
    assert not registry.api.create_repository(name, options)
    client = cloud.plane.client("ecr")
    (kept,) = client.describe_repositories(repositoryNames=[name])["repositories"]
    assert kept["imageTagMutability"] == "MUTABLE"
    with pytest.raises(client.exceptions.LifecyclePolicyNotFoundException):
        client.get_lifecycle_policy(repositoryName=name)


def test_a_lifecycle_policy_that_cannot_be_read_makes_nothing(
    cloud: Amazon, logged_in: Keys, image: BuiltImage, desk: Desk, tmp_path: Path
) -> None:
    stage = push_to(new_name(), create=True, lifecycle=tmp_path / "missing.json")
    with pytest.raises(ConfigurationError, match="lifecycle policy"):
        push(stage, image, desk)
    assert "CreateRepository" not in cloud.plane.calls


def test_a_creation_template_makes_the_repository(cloud: Amazon, logged_in: Keys, desk: Desk) -> None:
    cloud.plane.templates.append({"prefix": "models", "appliedFor": ["CREATE_ON_PUSH"]})
    assert "the repository is missing: the push makes it" in check(push_to(new_name()), desk).found


@pytest.mark.parametrize("at", ["PUT /blobs/uploads/", "PUT /manifests/", "HEAD /blobs/"])
def test_a_password_that_ends_in_mid_push_is_asked_for_anew(
    cloud: Amazon, logged_in: Keys, image: BuiltImage, desk: Desk, at: str
) -> None:
    stage = push_to(make_repository(cloud))
    cloud.ecr.expire_at = at
    pushed = push(stage, image, desk)
    assert pushed.digest == image.digest
    assert cloud.plane.calls.count("GetAuthorizationToken") == 2


def test_a_password_says_when_it_ends(cloud: Amazon, logged_in: Keys) -> None:
    credentials = recognise(HOST).credentials()
    assert credentials is not None
    assert credentials.expires_at is not None
    left = credentials.expires_at - datetime.now(UTC)
    assert abs(left - timedelta(hours=12)) < timedelta(minutes=1)


def test_a_password_that_seems_to_have_ended_years_ago_is_used_until_it_is_refused(
    cloud: Amazon, logged_in: Keys, image: BuiltImage, desk: Desk
) -> None:
    cloud.plane.moto_passwords = True
    push(push_to(make_repository(cloud)), image, desk)
    assert cloud.plane.calls.count("GetAuthorizationToken") == 1
    assert desk.redact(MOTO_PASSWORD) == "***"


def test_a_password_that_stays_expired_is_an_error_and_no_loop(
    cloud: Amazon, logged_in: Keys, image: BuiltImage, desk: Desk
) -> None:
    stage = push_to(make_repository(cloud))
    cloud.plane.expired.add(MOTO_PASSWORD)
    cloud.plane.before = lambda asked: (
        asked.forward() if cloud.plane.calls[-1] == "GetAuthorizationToken" else None
    )
    found = check(stage, desk)
    assert f"{HOST}: cannot log in: DENIED (Your authorization token has expired." in found.found
    assert "aws sts get-caller-identity" in found.advice
    assert cloud.plane.calls.count("GetAuthorizationToken") == 2
    with pytest.raises(RemoteError, match="403 Forbidden"):
        push(stage, image, desk)
    assert len(cloud.registry.asked) < 8


def test_blobs_are_mounted_only_where_the_account_says_so(
    cloud: Amazon, logged_in: Keys, image: BuiltImage, desk: Desk
) -> None:
    source = make_repository(cloud)
    push(push_to(source), image, desk)
    from_there = (Repository(f"{HOST}/{source}"),)
    cloud.registry.asked.clear()
    first = push(replace(push_to(make_repository(cloud)), mount_from=from_there), image, desk)
    assert {blob.how for blob in first.blobs} == {"uploaded"}
    assert not [each for each in cloud.registry.asked if "mount=" in each.target]
    cloud.plane.settings["BLOB_MOUNTING"] = "ENABLED"
    second = push(replace(push_to(make_repository(cloud)), mount_from=from_there), image, desk)
    assert {blob.how for blob in second.blobs} == {"mounted"}


def test_a_throttled_registry_is_asked_again(
    cloud: Amazon, logged_in: Keys, image: BuiltImage, desk: Desk
) -> None:
    stage = push_to(make_repository(cloud))
    cloud.ecr.before += [refused(429, "TOOMANYREQUESTS", "Rate exceeded")] * 2
    assert push(stage, image, desk).digest == image.digest


def answering(
    operation: str, reply: Reply, cloud: Amazon, times: int = 100
) -> Callable[[Asked], Reply | None]:
    left = [times]

    def answer(_: Asked) -> Reply | None:
        if cloud.plane.calls[-1] != operation or left[0] == 0:
            return None
        left[0] -= 1
        return reply

    return answer


def test_a_throttled_api_is_asked_again_and_then_told(cloud: Amazon, logged_in: Keys, desk: Desk) -> None:
    stage = push_to(make_repository(cloud))
    busy = aws_refusal("ThrottlingException", "Rate exceeded")
    cloud.plane.before = answering("GetAuthorizationToken", busy, cloud, times=2)
    assert check(stage, desk).passed
    cloud.plane.before = answering("GetAuthorizationToken", busy, cloud)
    with pytest.raises(TemporaryRemoteError, match=r"AWS is busy \(ThrottlingException: Rate exceeded\)"):
        recognise(HOST).credentials()


@pytest.mark.parametrize(("hours", "words"), [(3, "180 minutes ahead of"), (-3, "180 minutes behind")])
def test_a_wrong_clock_is_named_with_its_difference(
    cloud: Amazon, logged_in: Keys, desk: Desk, hours: int, words: str
) -> None:
    theirs = format_datetime(datetime.now(UTC) - timedelta(hours=hours), usegmt=True)
    said = "Signature expired: 20261122T080000Z is now earlier than 20261122T105500Z"
    reply = aws_refusal("InvalidSignatureException", said, date=theirs)
    cloud.plane.before = answering("GetAuthorizationToken", reply, cloud)
    found = check(push_to(make_repository(cloud)), desk)
    assert found.problem is Problem.REMOTE
    assert f"the clock of this machine is {words} AWS's" in found.found
    assert "timedatectl" in found.advice


def test_credentials_that_have_expired_say_so(cloud: Amazon, logged_in: Keys, desk: Desk) -> None:
    reply = aws_refusal("ExpiredTokenException", "The security token included in the request is expired")
    cloud.plane.before = answering("GetAuthorizationToken", reply, cloud)
    found = check(push_to(make_repository(cloud)), desk)
    assert "the AWS credentials have expired" in found.found
    assert "`aws sso login`" in found.advice


def test_credentials_that_are_wrong_are_told_apart(
    cloud: Amazon, monkeypatch: pytest.MonkeyPatch, desk: Desk
) -> None:
    stage, user = push_to(make_repository(cloud)), cloud.plane.make_user(*ADMINISTRATOR)
    with cloud.plane.enforcing():
        use(Keys(user.identifier, "wrong").environment, monkeypatch)
        secret = check(stage, desk)
        use(Keys("AKIANOBODY", "wrong").environment, monkeypatch)
        key = check(stage, desk)
        use(user.environment, monkeypatch)
        right = check(stage, desk)
    assert "the secret beside it is a wrong one" in secret.found
    assert "Copy the secret access key anew" in secret.advice
    assert "AWS does not know these credentials in eu-west-1" in key.found
    assert "AWS_SESSION_TOKEN" in key.advice
    for found in (secret, key):
        assert found.problem is Problem.REMOTE
        assert "`aws configure list`" in found.advice
    assert right.passed, right


def test_no_credentials_at_all_are_told_with_the_ways_to_get_them(cloud: Amazon, desk: Desk) -> None:
    found = check(push_to(make_repository(cloud)), desk)
    assert "there are no AWS credentials" in found.found
    assert "`id-token: write`" in found.advice


def test_a_permission_that_is_missing_is_named(
    cloud: Amazon, monkeypatch: pytest.MonkeyPatch, image: BuiltImage, desk: Desk
) -> None:
    with cloud.plane.enforcing():
        use(cloud.plane.make_user("ecr:DescribeRepositories").environment, monkeypatch)
        login = check(push_to(make_repository(cloud)), desk)
        use(
            cloud.plane.make_user("ecr:GetAuthorizationToken", "ecr:DescribeRepositories").environment,
            monkeypatch,
        )
        with pytest.raises(RemoteError, match="AWS does not allow ecr:CreateRepository") as caught:
            push(push_to(new_name(), create=True), image, desk)
    assert "AWS does not allow ecr:GetAuthorizationToken" in login.found
    assert "Allow ecr:CreateRepository in the IAM policy" in caught.value.advice


def test_a_user_who_may_push_and_not_describe_pushes_and_the_record_says_so(
    cloud: Amazon, monkeypatch: pytest.MonkeyPatch, image: BuiltImage, desk: Desk
) -> None:
    stage = push_to(make_repository(cloud))
    with cloud.plane.enforcing():
        use(cloud.plane.make_user("ecr:GetAuthorizationToken").environment, monkeypatch)
        found = check(stage, desk)
        pushed = push(stage, image, desk)
    assert found.passed
    assert "ECR's API does not tell more" in found.found
    assert pushed.evidence is not None
    assert "AWS does not allow ecr:DescribeImages" in pushed.evidence.notes[0]


@pytest.mark.parametrize("action", ["ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:PutImage"])
def test_a_permission_that_the_registry_misses_is_named(
    cloud: Amazon, logged_in: Keys, image: BuiltImage, desk: Desk, action: str
) -> None:
    cloud.ecr.denied.add(action)
    with pytest.raises(RemoteError, match=f"AWS does not allow {action}") as caught:
        push(push_to(make_repository(cloud)), image, desk)
    assert caught.value.message.count(f"{HOST}: ") == 1
    assert f"Allow {action} in the IAM policy" in caught.value.advice


def test_a_region_that_does_not_exist_is_told_with_the_nearest(
    cloud: Amazon, logged_in: Keys, desk: Desk, online: Internet
) -> None:
    host = HOST.replace("eu-west-1", "eu-wst-1")
    found = check(push_to("models/x", host=host), desk)
    assert found.problem is Problem.REMOTE
    assert "AWS has no region 'eu-wst-1': did you mean 'eu-west-1'?" in found.advice
    refused = online.proxy.refused
    assert set(refused) == {host}
    refused.clear()  # the other tests' internet is the same one, and they expect that nobody else is asked


def test_a_repository_of_another_region_is_missing_there(cloud: Amazon, logged_in: Keys, desk: Desk) -> None:
    name = make_repository(cloud)
    found = check(push_to(name, host=HOST.replace("eu-west-1", "eu-west-3")), desk)
    assert "--region eu-west-3" in found.advice
    assert "Is the region right?" in found.advice


def test_a_job_on_github_is_let_in_by_its_role(
    cloud: Amazon, image: BuiltImage, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = push_to(make_repository(cloud), login=LoginOptions(role=ROLE))
    with cloud.plane.identity_provider.github_runner() as variables:
        use(variables, monkeypatch)
        found = check(stage, desk)
        pushed = push(stage, image, desk)
    assert f"(from {ROLE}, by GitHub's OpenID Connect)" in found.found
    assert pushed.digest == image.digest
    assert "AssumeRoleWithWebIdentity" in cloud.plane.calls


def test_a_session_that_ends_in_mid_push_is_renewed_with_a_new_token_of_the_job(
    cloud: Amazon, image: BuiltImage, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = push_to(make_repository(cloud), login=LoginOptions(role=ROLE))
    cloud.plane.session_lifetime_s = 120  # boto3 renews what has less than ten minutes left
    cloud.plane.shown.clear()
    with cloud.plane.identity_provider.github_runner() as variables:
        use(variables, monkeypatch)
        push(stage, image, desk)
        assert len(set(cloud.plane.shown)) == len(cloud.plane.shown) > 1
        cloud.plane.session_lifetime_s = -60
        with pytest.raises(RemoteError, match="over on arrival") as caught:
            push(stage, image, desk)
    assert "timedatectl" in caught.value.advice


def test_a_job_on_gitlab_is_let_in_by_the_token_in_its_variable(
    cloud: Amazon, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ID_TOKEN", cloud.plane.identity_provider.token("sts.amazonaws.com"))
    login = LoginOptions(role=ROLE, id_token_variable="AWS_ID_TOKEN")
    found = check(push_to(make_repository(cloud), login=login), desk)
    assert found.passed, found
    assert f"(from {ROLE}, by $AWS_ID_TOKEN)" in found.found


def test_a_token_in_a_file_is_taken_by_the_sdks_own_chain(
    cloud: Amazon, desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(cloud.plane.identity_provider.token("sts.amazonaws.com"))
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    assert check(push_to(make_repository(cloud)), desk).passed


def test_an_identity_token_for_somebody_else_is_told_with_its_audience(
    cloud: Amazon, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = LoginOptions(role=ROLE, audience="https://vault.example")
    with cloud.plane.identity_provider.github_runner() as variables:
        use(variables, monkeypatch)
        found = check(push_to(make_repository(cloud), login=login), desk)
    assert "AWS does not accept the audience of the job's identity token" in found.found
    assert "It is 'sts.amazonaws.com' as a rule" in found.advice
    assert "aws iam add-client-id-to-open-id-connect-provider" in found.advice
    assert "aud 'https://vault.example'" in found.advice
    assert "sub 'repo:team/digits:ref:refs/heads/main'" in found.advice


def test_a_role_that_does_not_trust_the_job_is_told_with_who_the_job_is(
    cloud: Amazon, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = LoginOptions(role=f"{ROLE}-of-others")
    with cloud.plane.identity_provider.github_runner() as variables:
        use(variables, monkeypatch)
        found = check(push_to(make_repository(cloud), login=other), desk)
    with IdentityProvider().github_runner() as variables:  # a provider that AWS does not know
        use(variables, monkeypatch)
        forged = check(push_to(make_repository(cloud), login=LoginOptions(role=ROLE)), desk)
    assert f"AWS does not let this job assume {ROLE}-of-others" in found.found
    assert f"aws iam get-role --role-name {ROLE.rpartition('/')[2]}-of-others" in found.advice
    assert "sub 'repo:team/digits:ref:refs/heads/main'" in found.advice
    assert "AWS does not trust whoever signed the job's identity token" in forged.found
    assert "Signature verification failed" in forged.found
    issuer = "https://token.actions.githubusercontent.com"
    assert f"aws iam create-open-id-connect-provider --url {issuer} --client-id-list" in forged.advice


def test_an_identity_token_that_has_ended_is_told_as_such(
    cloud: Amazon, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = cloud.plane.identity_provider.token("sts.amazonaws.com", lifetime_s=-60)
    monkeypatch.setenv("AWS_ID_TOKEN", token)
    login = LoginOptions(role=ROLE, id_token_variable="AWS_ID_TOKEN")
    found = check(push_to(make_repository(cloud), login=login), desk)
    assert "the job's identity token had ended when AWS saw it" in found.found
    assert "`timeout:`" in found.advice


def test_amazon_was_asked_through_the_proxy(
    cloud: Amazon, logged_in: Keys, online: Internet, desk: Desk
) -> None:
    online.proxy.connected.clear()
    assert check(push_to(make_repository(cloud)), desk).passed
    assert {"api.ecr.eu-west-1.amazonaws.com", HOST} <= set(online.proxy.connected)


def test_our_authorization_does_not_go_to_s3(
    cloud: Amazon, logged_in: Keys, image: BuiltImage, desk: Desk
) -> None:
    repository = Repository(f"{HOST}/{make_repository(cloud)}")
    push(push_to(repository.path), image, desk)
    registry, config = recognise(HOST), image.platforms[0].config
    with contextlib.closing(Transport(registry.endpoint, registry.credentials, desk.redact.add)) as transport:
        client = RepositoryClient(repository=repository, transport=transport, uploads=registry.uploads)
        content = client.read_blob(config.digest)  # S3 says 400 to an Authorization header
    assert len(content) == config.size_bytes
    (asked,) = cloud.store.asked
    assert "Authorization" not in asked.headers


def test_a_registry_that_stays_throttled_is_told(
    cloud: Amazon, logged_in: Keys, image: BuiltImage, desk: Desk
) -> None:
    stage = push_to(make_repository(cloud))
    cloud.ecr.before += [refused(429, "TOOMANYREQUESTS", "Rate exceeded", Retry_After="600")]
    with pytest.raises(TemporaryRemoteError, match="429 Too Many Requests") as caught:
        push(stage, image, desk)
    assert "limits how often it may be asked. Run again in 10 minutes" in caught.value.advice


@pytest.mark.parametrize("action", ["ecr:BatchGetImage", "ecr:BatchCheckLayerAvailability"])
def test_a_question_that_is_refused_without_a_word_is_told_with_its_action(
    cloud: Amazon, logged_in: Keys, image: BuiltImage, desk: Desk, action: str
) -> None:
    cloud.ecr.denied.add(action)
    with pytest.raises(RemoteError, match="403 Forbidden") as caught:
        push(push_to(make_repository(cloud)), image, desk)
    assert f"As a rule {action} is missing in the IAM policy" in caught.value.advice


def test_a_login_of_dockers_own_is_enough_for_a_push(
    cloud: Amazon, image: BuiltImage, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGISTRY_USERNAME", "AWS")
    monkeypatch.setenv("REGISTRY_PASSWORD", cloud.ecr.password())
    pushed = push(push_to(make_repository(cloud)), image, desk)
    assert pushed.evidence is not None
    assert "there are no AWS credentials" in pushed.evidence.notes[0]


def test_an_authority_that_is_not_trusted_is_told(
    cloud: Amazon, logged_in: Keys, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name)
    found = check(push_to(make_repository(cloud)), desk)
    assert "no trusted TLS connection" in found.found
    with pytest.raises(RemoteError, match="no trusted TLS connection to AWS") as caught:
        recognise(HOST).credentials()
    assert "AWS_CA_BUNDLE" in caught.value.advice


def test_an_api_that_cannot_be_reached_is_temporary(
    cloud: Amazon, logged_in: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with pytest.raises(TemporaryRemoteError, match="could not be reached") as caught:
        recognise(HOST).credentials()
    assert "HTTPS_PROXY" in caught.value.advice


def test_what_amazons_scanner_found_is_evidence(
    cloud: Amazon, logged_in: Keys, image: BuiltImage, desk: Desk
) -> None:
    name = make_repository(cloud)
    first = push(push_to(name), image, desk).evidence
    assert first is not None
    assert first.scan is None
    client = cloud.plane.client("ecr")
    client.start_image_scan(repositoryName=name, imageId={"imageTag": COMMIT})
    again = push(push_to(name), image, desk)
    assert again.evidence is not None
    scan = again.evidence.scan
    assert scan is not None
    (found,) = scan.vulnerabilities
    assert (found.id, found.severity, found.package) == ("CVE-9999-9999", Severity.HIGH, "moto_fake")
    assert scan.digest == Digest(image.digest)
    assert "Amazon ECR basic scanning: 1 high (none with a fix)" in told_by(again)


def test_the_policy_of_the_documentation_is_enough_and_not_too_much(
    cloud: Amazon, monkeypatch: pytest.MonkeyPatch, image: BuiltImage, desk: Desk
) -> None:
    (policy,) = [each for each in documents() if "ecr:PutImage" in json.dumps(each)]
    allowed = {action for statement in policy["Statement"] for action in statement["Action"]}
    cloud.registry.asked.clear()
    with cloud.plane.enforcing():
        use(cloud.plane.make_user(*sorted(allowed)).environment, monkeypatch)
        stage = push_to(new_name(), create=True, tags={"team": "ml"}, lifecycle=lifecycle(desk.folder))
        assert check(stage, desk).passed
        pushed = push(stage, image, desk)
        assert recognise(HOST).mounts is False
        assert not check(push_to(new_name()), desk).passed  # after a look at the creation templates
        with_source = replace(stage, mount_from=(pushed.repository,))
        assert [each.found for each in with_source.check(desk)][1:] == ["there"]
    assert pushed.evidence is not None
    assert pushed.evidence.tags == (COMMIT,)
    used = {f"ecr:{operation}" for operation in cloud.plane.calls} | cloud.ecr.used
    beside = {"ecr:TagResource", "ecr:CompleteLayerUpload", "ecr:GetDownloadUrlForLayer"}
    assert used <= allowed
    assert allowed - used <= beside  # what AWS asks for on the side of the calls that are seen here


def documents() -> list[dict[str, Any]]:
    """Return the JSON of the documentation."""
    text = (Path(__file__).parents[3] / "docs" / "registries.md").read_text()
    return [json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL)]


def lifecycle(folder: Path) -> Path:
    """Write the lifecycle policy of the documentation down."""
    (policy,) = [each for each in documents() if "rules" in each]
    (folder / "lifecycle.json").write_text(json.dumps(policy))
    return folder / "lifecycle.json"


def test_the_public_registrys_password_comes_from_its_own_api(
    cloud: Amazon, online: Internet, logged_in: Keys, desk: Desk
) -> None:
    def api(asked: Asked) -> Reply:
        assert asked.headers["X-Amz-Target"] == "SpencerFrontendService.GetAuthorizationToken"
        token = base64.b64encode(b"AWS:public password").decode()
        answer = {"authorizationData": {"authorizationToken": token, "expiresAt": time.time() + 3600}}
        return Reply(200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(answer).encode())

    def registry(asked: Asked) -> Reply:
        given = asked.headers.get("Authorization")
        if given == f"Basic {base64.b64encode(b'AWS:public password').decode()}":
            return Reply(200 if asked.path == "/v2/" else 404)
        return refused(401, "UNAUTHORIZED", WWW_Authenticate='Basic realm="https://public.ecr.aws/"')

    online.serve(("api.ecr-public.us-east-1.amazonaws.com",), api)
    online.serve(("public.ecr.aws",), registry)
    found = check(push_to("team/digits", host="public.ecr.aws"), desk)
    assert found.passed, found
    assert "logged in as AWS" in found.found


def test_an_error_of_any_kind_is_one_of_ours(cloud: Amazon, logged_in: Keys, desk: Desk) -> None:
    repository = Repository(f"{HOST}/x")  # boto3 refuses it before it asks
    with pytest.raises(PipelineError, match="cannot look for the repository: Invalid length"):
        recognise(HOST).prepare(repository, desk)
