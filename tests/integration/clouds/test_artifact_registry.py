"""Google Artifact Registry under its real host names: the real libraries, its rules, and crane as witness."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from pipeline.desk import Desk
from pipeline.errors import RemoteError, TagConflict, TemporaryRemoteError
from pipeline.model import BuiltImage, Problem
from pipeline.reference import Repository
from stages.registries import recognise
from stages.registries.options import LoginOptions, RegistryOptions
from tests.support.clouds.artifact_registry import GCR, GCR_LOCATIONS, HOST, GoogleCloud
from tests.support.clouds.crane import Crane
from tests.support.clouds.google import (
    AUDIENCE,
    CREATE,
    DOWNLOAD,
    GET,
    IMAGE,
    POOL,
    PROJECT,
    UPLOAD,
    WRITER,
    Account,
    Refusal,
)
from tests.support.clouds.identity_provider import IdentityProvider
from tests.support.clouds.internet import Internet
from tests.support.clouds.pushing import check, push, push_to
from tests.support.loopback import Received, Reply, json_reply, refused, serving
from tests.support.small_image import COMMIT, make_image

WEIGHTS = hashlib.shake_256(b"weights of a cloud").digest(3_000_000)
LOCATION = HOST.removesuffix("-docker.pkg.dev")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    (tmp_path / "desk").mkdir()
    desk = Desk(folder=tmp_path / "desk", cache=tmp_path / "cache")
    yield desk
    desk.clear()


@pytest.fixture
def image(tmp_path: Path) -> BuiltImage:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights.bin").write_bytes(WEIGHTS)
    return make_image(tmp_path / "image", {"app.py": b"1"}, model=tmp_path / "model")


@pytest.fixture(autouse=True)
def clean_environment(online: Internet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials but those that a test gives, and nothing of the machine's own."""
    del online
    for name in list(os.environ):
        if name.startswith(("GOOGLE_", "GCE_", "REGISTRY_", "ACTIONS_ID_TOKEN")) or name == "CI":
            monkeypatch.delenv(name)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))


@pytest.fixture
def cloud(google_cloud: GoogleCloud, internet: Internet) -> Iterator[GoogleCloud]:
    """Google as it is at first; what a test changes in its behaviour is taken back."""
    internet.proxy.refused.clear()
    yield google_cloud
    google_cloud.rules.before.clear()
    google_cloud.rules.expire_at = None
    google_cloud.google.before = lambda _: None
    google_cloud.google.job.permissions = set(WRITER)
    google_cloud.google.repositories.clear()
    google_cloud.google.calls.clear()
    google_cloud.google.shown.clear()
    google_cloud.registry.asked.clear()
    assert internet.proxy.refused == []  # nothing was asked of anybody else


@pytest.fixture
def account(cloud: GoogleCloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Account:
    """A service account that may push, logged in by its key file."""
    return log_in(cloud.google.make_account(), monkeypatch, tmp_path)


def log_in(account: Account, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Account:
    use_file(account.document, monkeypatch, folder)
    return account


def use_file(document: Mapping[str, object], monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    (folder / "credentials.json").write_text(json.dumps(document))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(folder / "credentials.json"))


def use(variables: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def make_repository(
    cloud: GoogleCloud, *, immutable: bool = False, form: str = "DOCKER", mode: int = 1
) -> str:
    """Make a repository, and return the name of an image in it."""
    name = f"models-{uuid4().hex[:12]}"
    cloud.google.make_repository(LOCATION, name, immutable=immutable, form=form, mode=mode)
    return f"{HOST}/{PROJECT}/{name}/team/digits"


def federated(file: Path, audience: str = f"//iam.googleapis.com/{POOL}") -> Mapping[str, object]:
    """Return what `gcloud iam workload-identity-pools create-cred-config` writes for a token in a file."""
    return {
        "type": "external_account",
        "audience": audience,
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": "https://sts.googleapis.com/v1/token",
        "credential_source": {"file": str(file)},
    }


def test_what_was_pushed_is_described_by_google_and_read_back_by_crane(
    cloud: GoogleCloud, account: Account, image: BuiltImage, desk: Desk, crane: Crane
) -> None:
    name = make_repository(cloud, immutable=True)
    stage = push_to(name)
    plan = check(stage, desk)
    pushed = push(stage, image, desk)
    assert plan.passed, plan
    assert plan.found == (
        f"logged in as oauth2accesstoken (from Google's application default credentials of {account.email}); "
        f"the repository is there; its tags are immutable; the tag {COMMIT} is free"
    )
    assert pushed.evidence is not None
    assert (pushed.evidence.manifests_compared, pushed.evidence.blobs_found) == (1, 3)
    assert pushed.evidence.asked.endswith("Google Artifact Registry: GetDockerImage")
    assert (pushed.evidence.tags, pushed.evidence.media_type) == ((COMMIT,), image.media_type)
    assert pushed.evidence.size_bytes is not None
    assert pushed.evidence.size_bytes > len(WEIGHTS)
    assert pushed.evidence.pushed_at is not None
    assert "GetDockerImage" in cloud.google.calls
    assert {HOST, "artifactregistry.googleapis.com", "oauth2.googleapis.com"} <= set(
        cloud.internet.proxy.connected
    )

    crane.log_in(HOST, "oauth2accesstoken", cloud.google.mint(account))
    reference = f"{name}:{COMMIT}"
    assert crane("digest", reference) == image.digest
    crane("pull", "--format=oci", reference, str(desk.folder / "copy"))
    weights = desk.folder / "copy" / "blobs" / "sha256" / image.model_layers[0].descriptor.digest.encoded
    assert weights.stat().st_size == image.model_size_bytes
    assert not cloud.registry.of("PATCH")


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("host", GCR_LOCATIONS)
def test_gcr_is_a_repository_of_artifact_registry(
    cloud: GoogleCloud, image: BuiltImage, desk: Desk, crane: Crane, host: str
) -> None:
    cloud.google.make_repository(GCR_LOCATIONS[host], host)
    name = f"{host}/{PROJECT}/digits-{uuid4().hex[:12]}"
    assert "the repository is there; its tags can be moved" in check(push_to(name), desk).found
    pushed = push(push_to(name), image, desk)
    assert pushed.evidence is not None
    assert pushed.evidence.tags == (COMMIT,)
    crane.log_in(host, "_json_key", json.dumps(cloud.google.make_account().document))
    assert crane("digest", f"{name}:{COMMIT}") == image.digest
    assert not cloud.registry.of("PATCH")


def test_gcr_makes_its_repository_with_the_first_push_where_that_is_allowed(
    cloud: GoogleCloud, account: Account, image: BuiltImage, desk: Desk
) -> None:
    name = f"{GCR}/{PROJECT}/digits-{uuid4().hex[:12]}"
    strict, creating = push_to(name), push_to(name, RegistryOptions(create=True))
    missing = check(strict, desk)
    assert "gcloud artifacts repositories create gcr.io --project=demo --location=us" in missing.advice
    assert "the repository is missing: the push makes it" in check(creating, desk).found
    with pytest.raises(RemoteError, match=f"does not allow {CREATE}") as caught:
        push(creating, image, desk)
    assert "roles/artifactregistry.createOnPushWriter" in caught.value.advice
    account.permissions.add(CREATE)
    assert push(creating, image, desk).digest == image.digest
    assert f"projects/{PROJECT}/locations/us/repositories/gcr.io" in cloud.google.repositories


def test_an_index_of_several_platforms_is_pushed_and_described(
    cloud: GoogleCloud, account: Account, tmp_path: Path, desk: Desk, crane: Crane
) -> None:
    image = make_image(tmp_path / "index", {"app.py": b"1"}, platforms=("linux/amd64", "linux/arm64"))
    name = make_repository(cloud, immutable=True)
    pushed = push(push_to(name), image, desk)
    assert pushed.evidence is not None
    assert (pushed.evidence.manifests_compared, pushed.evidence.tags) == (3, (COMMIT,))
    crane.log_in(HOST, "oauth2accesstoken", cloud.google.mint(account))
    assert crane("digest", f"{name}:{COMMIT}") == image.digest


def test_the_same_digest_under_an_immutable_tag_is_success(
    cloud: GoogleCloud, account: Account, image: BuiltImage, desk: Desk
) -> None:
    stage = push_to(make_repository(cloud, immutable=True))
    push(stage, image, desk)
    assert check(stage, desk).found.endswith(f"the tag {COMMIT} is taken by {image.digest}")
    again = push(stage, image, desk)
    assert again.tag_existed
    assert again.bytes_sent == 0


def test_another_digest_under_an_immutable_tag_is_a_conflict(
    cloud: GoogleCloud, account: Account, image: BuiltImage, desk: Desk, tmp_path: Path
) -> None:
    stage = push_to(make_repository(cloud, immutable=True))
    push(stage, image, desk)
    with pytest.raises(TagConflict, match=f"exists with {image.digest}") as caught:
        push(stage, make_image(tmp_path / "other", {"app.py": b"2"}), desk)
    assert caught.value.exit_code == 7


def test_a_moving_tag_and_an_immutable_repository_do_not_go_together(
    cloud: GoogleCloud, account: Account, desk: Desk
) -> None:
    found = check(push_to(make_repository(cloud, immutable=True), tag=f"{COMMIT}-dirty"), desk)
    assert found.problem is Problem.TAG


def test_a_repository_that_is_missing_is_told_with_the_command_that_makes_it(
    cloud: GoogleCloud, account: Account, image: BuiltImage, desk: Desk
) -> None:
    stage = push_to(f"{HOST}/{PROJECT}/absent/digits")
    command = (
        "gcloud artifacts repositories create absent --project=demo --location=europe-west1 "
        "--repository-format=docker --immutable-tags\n"
    )
    found = check(stage, desk)
    assert found.problem is Problem.REMOTE
    assert command in found.advice
    with pytest.raises(RemoteError, match="absent does not exist in europe-west1 of project demo") as caught:
        push(stage, image, desk)
    assert command in caught.value.advice
    assert not cloud.registry.of("POST")


def test_the_command_has_what_is_configured(cloud: GoogleCloud, account: Account, desk: Desk) -> None:
    key = "projects/demo/locations/europe-west1/keyRings/r/cryptoKeys/k"
    options = RegistryOptions(
        create=True, immutable=False, scan_on_push=False, encryption=key, tags={"team": "ml", "cost": "1"}
    )
    found = check(push_to(f"{HOST}/{PROJECT}/absent/digits", options), desk)
    command = (
        "--repository-format=docker --disable-vulnerability-scanning "
        f"--kms-key={key} --labels=team=ml,cost=1\n`create: true` is not for Artifact Registry"
    )
    assert command in found.advice


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize(
    ("made", "what"),
    [
        (("PYTHON", 1), "has the format PYTHON, and images need the format DOCKER"),
        (("DOCKER", 2), "is a virtual repository, which takes no pushes"),
        (("DOCKER", 3), "is a remote repository, which takes no pushes"),
    ],
)
def test_a_repository_for_something_else_is_refused_before_the_build(
    cloud: GoogleCloud, image: BuiltImage, desk: Desk, made: tuple[str, int], what: str
) -> None:
    stage = push_to(make_repository(cloud, form=made[0], mode=made[1]))
    found = check(stage, desk)
    assert found.problem is Problem.REMOTE
    assert what in found.found
    assert "gcloud artifacts repositories create NAME" in found.advice
    with pytest.raises(RemoteError, match=what):
        push(stage, image, desk)
    assert not cloud.registry.of("POST")


def test_a_path_without_a_repository_is_told_with_the_form(
    cloud: GoogleCloud, account: Account, desk: Desk
) -> None:
    found = check(push_to(f"{HOST}/{PROJECT}/digits"), desk)
    assert found.problem is Problem.CONFIGURATION
    assert f"{HOST}/PROJECT/REPOSITORY" in found.advice


@pytest.mark.parametrize(
    "at", ["POST /blobs/uploads/", "PUT /blobs/uploads/", "PUT /manifests/", "HEAD /blobs/"]
)
def test_a_token_that_ends_in_mid_push_is_asked_for_anew(
    cloud: GoogleCloud, account: Account, image: BuiltImage, desk: Desk, at: str
) -> None:
    stage = push_to(make_repository(cloud))
    cloud.rules.expire_at = at
    pushed = push(stage, image, desk)
    assert pushed.digest == image.digest
    assert cloud.google.calls.count("token") == 2


def test_a_token_says_when_it_ends(cloud: GoogleCloud, account: Account) -> None:
    credentials = recognise(HOST).credentials()
    assert credentials is not None
    assert credentials.expires_at is not None
    assert abs(credentials.expires_at - datetime.now(UTC) - timedelta(hours=1)) < timedelta(minutes=1)
    assert credentials.secret not in repr(credentials)


def test_blobs_are_mounted_from_another_image_of_the_host(
    cloud: GoogleCloud, account: Account, image: BuiltImage, desk: Desk
) -> None:
    source = make_repository(cloud)
    push(push_to(source), image, desk)
    stage = replace(push_to(make_repository(cloud)), mount_from=(Repository(source),))
    assert {blob.how for blob in push(stage, image, desk).blobs} == {"mounted"}


def test_a_throttled_registry_is_asked_again(
    cloud: GoogleCloud, account: Account, image: BuiltImage, desk: Desk
) -> None:
    stage = push_to(make_repository(cloud))
    cloud.rules.before += [refused(429, "TOOMANYREQUESTS", "Quota exceeded", Retry_After="0")] * 2
    assert push(stage, image, desk).digest == image.digest


def test_a_throttled_api_is_asked_again(cloud: GoogleCloud, account: Account, desk: Desk) -> None:
    busy = [Refusal(429, "RESOURCE_EXHAUSTED", "Quota exceeded for quota metric").reply] * 2
    cloud.google.before = lambda asked: busy.pop() if busy and "repositories" in asked.path else None
    assert check(push_to(make_repository(cloud)), desk).passed
    assert cloud.google.calls.count("GetRepository") == 3


def test_an_image_that_shows_up_late_is_waited_for_and_one_that_never_does_is_an_error(
    cloud: GoogleCloud, account: Account, image: BuiltImage, desk: Desk
) -> None:
    name = make_repository(cloud)
    stage, short = push_to(name), name.split("/")[2]
    absent = Refusal(404, "NOT_FOUND", "Requested entity was not found.").reply
    late = [absent]
    cloud.google.before = lambda asked: late.pop() if late and "/dockerImages/" in asked.path else None
    evidence = push(stage, image, desk).evidence
    assert evidence is not None
    assert evidence.tags == (COMMIT,)
    cloud.google.before = lambda asked: absent if "/dockerImages/" in asked.path else None
    with pytest.raises(TemporaryRemoteError, match="GetDockerImage says that it is not known"):
        push(stage, image, desk)
    cloud.google.before = lambda _: None
    (described,) = [each for (where, _, _), each in cloud.google.images.items() if where.endswith(short)]
    described.tags.clear()
    with pytest.raises(TemporaryRemoteError, match=r"has the tags \(none\)"):
        push(stage, image, desk)


def test_a_key_of_an_account_that_is_gone_is_told(cloud: GoogleCloud, account: Account, desk: Desk) -> None:
    stage = push_to(make_repository(cloud))
    del cloud.google.accounts[account.email]
    found = check(stage, desk)
    assert found.problem is Problem.REMOTE
    assert f"Google knows no account {account.email}" in found.found
    assert "gcloud iam service-accounts list" in found.advice


def test_a_key_that_was_replaced_is_told(cloud: GoogleCloud, account: Account, desk: Desk) -> None:
    cloud.google.accounts[account.email] = Account(account.email)
    found = check(push_to(make_repository(cloud)), desk)
    assert f"Google does not accept the key of {account.email}" in found.found
    assert f"gcloud iam service-accounts keys list --iam-account={account.email}" in found.advice


def test_a_clock_that_is_off_is_told(cloud: GoogleCloud, account: Account, desk: Desk) -> None:
    said = "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."
    late = json_reply(400, {"error": "invalid_grant", "error_description": said})
    cloud.google.before = lambda asked: late if asked.path == "/token" else None
    found = check(push_to(make_repository(cloud)), desk)
    assert "the clock of this machine differs from Google's" in found.found
    assert "timedatectl" in found.advice


def test_no_credentials_at_all_are_told_with_the_ways_to_get_them(cloud: GoogleCloud, desk: Desk) -> None:
    found = check(push_to(make_repository(cloud)), desk)
    assert "there are no Google credentials" in found.found
    assert "gcloud auth application-default login" in found.advice


def test_a_credentials_file_that_is_none_is_told(
    cloud: GoogleCloud, desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "absent.json"))
    absent = check(push_to(make_repository(cloud)), desk)
    use_file({"type": "unheard_of"}, monkeypatch, tmp_path)
    strange = check(push_to(make_repository(cloud)), desk)
    for found in (absent, strange):
        assert found.problem is Problem.CONFIGURATION
        assert "the credentials that GOOGLE_APPLICATION_CREDENTIALS names" in found.found


def test_a_persons_login_is_taken_until_it_ends(
    cloud: GoogleCloud, desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cloud.google.refresh_tokens["1//refresh"] = "me@example.com"
    user = {"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "1//refresh"}
    use_file(user, monkeypatch, tmp_path)
    good = check(push_to(make_repository(cloud)), desk)
    cloud.google.refresh_tokens.clear()
    ended = check(push_to(make_repository(cloud)), desk)
    assert good.passed, good
    assert "has ended" in ended.found
    assert "gcloud auth application-default login" in ended.advice


@pytest.mark.parametrize("missing", [UPLOAD, DOWNLOAD])
def test_a_permission_that_is_missing_is_named_with_its_role(
    cloud: GoogleCloud, account: Account, image: BuiltImage, desk: Desk, missing: str
) -> None:
    stage = push_to(make_repository(cloud))
    account.permissions.discard(missing)
    plan = check(stage, desk)
    assert plan.problem is Problem.REMOTE
    assert f"Google does not allow {missing}" in plan.found
    short = stage.repositories[0].path.split("/")[1]
    command = f"add-iam-policy-binding {short} --project=demo --location={LOCATION} --role=roles/"
    assert "Grant roles/artifactregistry.writer" in plan.advice
    assert command in plan.advice
    with pytest.raises(RemoteError, match=f"Google does not allow {missing}") as caught:
        push(stage, image, desk)
    assert "Grant roles/artifactregistry.writer" in caught.value.advice
    assert command in caught.value.advice
    assert caught.value.message.count(f"{HOST}: ") == 1


def test_who_may_not_look_at_the_repository_pushes_all_the_same(
    cloud: GoogleCloud, account: Account, image: BuiltImage, desk: Desk
) -> None:
    stage = push_to(make_repository(cloud))
    account.permissions.discard(GET)
    plan = check(stage, desk)
    assert plan.passed
    assert f"Artifact Registry's API does not tell more: {HOST}: Google does not allow {GET}" in plan.found
    assert push(stage, image, desk).digest == image.digest


def test_a_password_of_somebody_else_is_not_judged_by_what_the_api_says_of_us(
    cloud: GoogleCloud, account: Account, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = json.dumps(cloud.google.make_account().document)
    use({"REGISTRY_USERNAME": "_json_key", "REGISTRY_PASSWORD": key}, monkeypatch)
    account.permissions.discard(UPLOAD)
    assert check(push_to(make_repository(cloud)), desk).passed


def test_an_account_without_any_permission_is_told_in_the_plan(
    cloud: GoogleCloud, account: Account, desk: Desk
) -> None:
    account.permissions.clear()
    found = check(push_to(make_repository(cloud)), desk)
    assert found.problem is Problem.REMOTE
    assert f"Google does not allow {GET}" in found.found
    assert "or repository that does not exist" in found.advice


def test_the_documented_permissions_are_those_that_a_push_takes() -> None:
    text = (Path(__file__).parents[3] / "docs" / "registries.md").read_text()
    assert set(re.findall(r"artifactregistry\.(?:repositories|dockerimages)\.\w+", text)) == WRITER
    # and with no others everything in this file passes


def test_who_may_push_and_not_describe_pushes_and_the_record_says_so(
    cloud: GoogleCloud, account: Account, image: BuiltImage, desk: Desk
) -> None:
    account.permissions.discard(IMAGE)
    pushed = push(push_to(make_repository(cloud)), image, desk)
    assert pushed.evidence is not None
    assert f"Google does not allow {IMAGE}" in pushed.evidence.notes[0]


def test_an_api_that_is_disabled_is_told_with_the_command(
    cloud: GoogleCloud, account: Account, desk: Desk
) -> None:
    said = (
        "Artifact Registry API has not been used in project demo before or it is disabled. Enable it by "
        "visiting https://console.developers.google.com/ then retry."
    )
    disabled = Refusal(403, "PERMISSION_DENIED", said, "SERVICE_DISABLED").reply
    cloud.google.before = lambda asked: disabled if "repositories" in asked.path else None
    found = check(push_to(make_repository(cloud)), desk)
    assert found.advice == "gcloud services enable artifactregistry.googleapis.com --project=demo"


def test_a_job_on_github_is_let_in_by_the_pool(
    cloud: GoogleCloud, image: BuiltImage, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = push_to(make_repository(cloud), RegistryOptions(login=LoginOptions(provider=POOL)))
    cloud.rules.expire_at = "PUT /blobs/"
    with cloud.google.identity_provider.github_runner() as variables:
        use(variables, monkeypatch)
        found = check(stage, desk)
        pushed = push(stage, image, desk)
    assert "(from github, by GitHub's OpenID Connect)" in found.found
    assert pushed.digest == image.digest
    # for the plan, for the push's questions, for its uploads, and when the token ended
    assert len(cloud.google.shown) == len(set(cloud.google.shown)) == 4


def test_a_job_acts_as_a_service_account_that_trusts_it(
    cloud: GoogleCloud, image: BuiltImage, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    google = cloud.google
    account = google.make_account()
    google.job.permissions = {f"act as {account.email}"}
    login = LoginOptions(
        provider=f"//iam.googleapis.com/{POOL}", service_account=account.email, id_token_variable="GCP_TOKEN"
    )
    monkeypatch.setenv("GCP_TOKEN", google.identity_provider.token(AUDIENCE))
    stage = push_to(make_repository(cloud), RegistryOptions(login=login))
    assert f"(from {account.email}, by $GCP_TOKEN)" in check(stage, desk).found
    assert push(stage, image, desk).digest == image.digest
    google.job.permissions.clear()
    refused_by_google = check(stage, desk)
    assert "Google does not allow iam.serviceAccounts.getAccessToken" in refused_by_google.found
    assert account.email in refused_by_google.found
    assert "roles/iam.workloadIdentityUser" in refused_by_google.advice


def test_a_credentials_file_for_federation_is_taken_by_the_librarys_own_chain(
    cloud: GoogleCloud, image: BuiltImage, desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(cloud.google.identity_provider.token(AUDIENCE))
    use_file(federated(tmp_path / "token"), monkeypatch, tmp_path)
    stage = push_to(make_repository(cloud))
    assert check(stage, desk).passed
    assert push(stage, image, desk).digest == image.digest


def test_an_identity_token_for_somebody_else_is_told_with_its_audience(
    cloud: GoogleCloud, desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    login = LoginOptions(provider=POOL, audience="https://vault.example")
    with cloud.google.identity_provider.github_runner() as variables:
        use(variables, monkeypatch)
        job = check(push_to(make_repository(cloud), RegistryOptions(login=login)), desk)
    (tmp_path / "token").write_text(cloud.google.identity_provider.token("https://vault.example"))
    use_file(federated(tmp_path / "token"), monkeypatch, tmp_path)
    file = check(push_to(make_repository(cloud)), desk)
    for found in (job, file):
        assert found.problem is Problem.REMOTE
        assert "Google does not accept the audience of the job's identity token" in found.found
        assert found.found.count("[https://vault.example]") == 1
    assert "sub 'repo:team/digits:ref:refs/heads/main'" in job.advice


def test_a_job_that_the_pool_does_not_let_in_is_told_who_it_is(
    cloud: GoogleCloud, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = cloud.google.identity_provider.token(AUDIENCE, subject="repo:fork/digits:pull_request")
    monkeypatch.setenv("GCP_TOKEN", token)
    login = LoginOptions(provider=POOL, id_token_variable="GCP_TOKEN")
    stage = push_to(make_repository(cloud), RegistryOptions(login=login))
    condition = check(stage, desk)
    monkeypatch.setenv(
        "GCP_TOKEN", IdentityProvider().token(AUDIENCE)
    )  # of a provider that Google does not know
    forged = check(stage, desk)
    other = replace(login, provider=POOL.replace("github", "gitlab"))
    unknown = check(push_to(make_repository(cloud), RegistryOptions(login=other)), desk)
    assert "the workload identity provider does not let this job in" in condition.found
    assert "sub 'repo:fork/digits:pull_request'" in condition.advice
    assert "Google does not trust whoever signed the job's identity token" in forged.found
    assert f"providers describe {POOL} --format='value(oidc.issuerUri)'" in forged.advice
    assert "Google does not know the workload identity provider" in unknown.found


def test_a_location_that_does_not_exist_is_told_with_the_command_that_lists_them(
    cloud: GoogleCloud, account: Account, desk: Desk, internet: Internet
) -> None:
    host = HOST.replace("europe-west1", "europe-wst1")
    found = check(push_to(f"{host}/{PROJECT}/models/digits"), desk)
    internet.proxy.refused.clear()
    assert found.problem is Problem.REMOTE
    assert f"{host} could not be reached" in found.found
    assert "Is europe-wst1 a location of Artifact Registry? `gcloud artifacts locations list`" in found.advice


def test_a_repository_of_another_location_is_missing_there(
    cloud: GoogleCloud, account: Account, desk: Desk
) -> None:
    name = make_repository(cloud)
    found = check(push_to(name.replace("europe-west1", "us")), desk)
    assert "--location=us " in found.advice
    assert "Are project and location right?" in found.advice


def test_a_login_of_dockers_own_is_enough_for_a_push(
    cloud: GoogleCloud, image: BuiltImage, desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key = json.dumps(cloud.google.make_account().document)
    name = make_repository(cloud)
    crane = Crane(tmp_path / "docker", {})
    crane.folder.mkdir()
    crane.log_in(HOST, "_json_key", key)
    by_docker = push(push_to(name), image, desk)
    use({"REGISTRY_USERNAME": "_json_key", "REGISTRY_PASSWORD": key}, monkeypatch)
    found = check(push_to(name), desk)
    assert by_docker.evidence is not None
    assert "there are no Google credentials" in by_docker.evidence.notes[0]
    assert "logged in as _json_key (from REGISTRY_USERNAME" in found.found


def test_a_wrong_password_is_told_with_where_it_came_from(
    cloud: GoogleCloud, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    use({"REGISTRY_USERNAME": "oauth2accesstoken", "REGISTRY_PASSWORD": "ya29.old"}, monkeypatch)
    found = check(push_to(make_repository(cloud)), desk)
    assert "refused the password of user 'oauth2accesstoken'" in found.found
    assert "REGISTRY_USERNAME" in found.advice


def test_an_authority_that_is_not_trusted_is_told(
    cloud: GoogleCloud, account: Account, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name)
    assert "no trusted TLS connection" in check(push_to(make_repository(cloud)), desk).found
    with pytest.raises(RemoteError, match="no trusted TLS connection to Google") as caught:
        recognise(HOST).credentials()
    assert "REQUESTS_CA_BUNDLE" in caught.value.advice
    assert not isinstance(caught.value, TemporaryRemoteError)


def test_an_api_that_cannot_be_reached_is_temporary(
    cloud: GoogleCloud, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with pytest.raises(TemporaryRemoteError, match="could not be reached") as caught:
        recognise(HOST).credentials()
    assert "HTTPS_PROXY" in caught.value.advice


def run_python(program: str, **environment: str) -> list[str]:
    command = [sys.executable, "-c", program]
    variables = {**os.environ, **environment}
    return subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=60, env=variables
    ).stdout.splitlines()


def test_on_googles_own_machines_the_metadata_server_logs_in() -> None:
    def answer(request: Received) -> Reply:
        answers: dict[str, object] = {
            "/computeMetadata/v1/instance/service-accounts/default/": {"email": "vm@demo", "scopes": ["x"]},
            "/computeMetadata/v1/instance/service-accounts/default/token": {
                "access_token": "ya29.vm",
                "expires_in": 3000,
                "token_type": "Bearer",
            },
        }
        found = answers.get(request.path, "demo")
        return json_reply(200, found, Metadata_Flavor="Google")

    program = (
        "from stages.registries import recognise\n"
        f"found = recognise({HOST!r}).credentials()\n"
        "print(found.username); print(found.secret); print(found.origin)\n"
    )
    with serving(answer) as server:  # google-auth reads these when it is imported: so in a process of its own
        printed = run_python(
            program, NO_GCE_CHECK="", GCE_METADATA_HOST=server.address, GCE_METADATA_IP=server.address
        )
    assert printed[:2] == ["oauth2accesstoken", "ya29.vm"]
    assert printed[2].startswith("Google's application default credentials")
