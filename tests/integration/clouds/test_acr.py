"""Azure Container Registry under its real host name: the real SDK, its rules, and a client not ours."""

from __future__ import annotations

import base64
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

from pipeline.cascade import read_config
from pipeline.desk import Desk
from pipeline.errors import ConfigurationError, RemoteError, TagConflict, TemporaryRemoteError
from pipeline.model import BuiltImage, Problem
from pipeline.reference import Repository
from stages.registries import recognise
from stages.registries.acr import AcrRegistry
from stages.registries.options import LoginOptions, RegistryOptions
from tests.support.clouds.acr import HOST, NOBODY, Azure
from tests.support.clouds.crane import Crane
from tests.support.clouds.entra import AUDIENCE, REGISTRIES, TENANT, Application, refusal
from tests.support.clouds.identity_provider import IdentityProvider
from tests.support.clouds.internet import Internet
from tests.support.clouds.pushing import check, push, push_to
from tests.support.loopback import Reply, refused
from tests.support.small_image import COMMIT, make_image

ASKED = "OCI distribution API; Azure Container Registry: manifest properties"


@pytest.fixture
def cloud(microsoft_azure: Azure, internet: Internet) -> Iterator[Azure]:
    """Azure as it is at first; what a test changes in its behaviour is taken back."""
    internet.proxy.refused.clear()
    yield microsoft_azure
    acr, entra = microsoft_azure.acr, microsoft_azure.entra
    for each in (acr.before, acr.exchanging, acr.granted, acr.passwords, acr.properties.locked, entra.shown):
        each.clear()
    acr.properties.late, entra.lifetime_s = 0, 3600
    entra.assertions.clear()
    acr.expire_at, acr.firewall, acr.clock_ahead_s, acr.exchanges = None, False, 0, 0
    acr.allows = lambda repository, action: True
    entra.before = lambda _: None
    microsoft_azure.registry.asked.clear()
    assert internet.proxy.refused == []  # nothing was asked of anybody else


@pytest.fixture
def pusher(cloud: Azure, monkeypatch: pytest.MonkeyPatch) -> Application:
    """An application that may push, logged in by its secret."""
    return log_in(cloud.add("AcrPush"), monkeypatch)


def log_in(application: Application, monkeypatch: pytest.MonkeyPatch) -> Application:
    use(application.environment, monkeypatch)
    return application


def use(variables: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def new_name() -> str:
    return f"{HOST}/models/{uuid4().hex[:12]}"


def path_of(name: str) -> str:
    return name.removeprefix(f"{HOST}/")


def refresh_token(cloud: Azure, crane: Crane) -> None:
    """Log crane in as `az acr login` does."""
    credentials = recognise(HOST).credentials()
    assert credentials is not None
    crane.log_in(HOST, NOBODY, credentials.secret)


def test_what_was_pushed_is_described_by_azure_and_read_back_by_crane(
    cloud: Azure, pusher: Application, image: BuiltImage, desk: Desk, crane: Crane
) -> None:
    stage = push_to(new_name())
    plan = check(stage, desk)
    begin = datetime.now(UTC)
    pushed = push(stage, image, desk)
    assert plan.passed, plan
    assert plan.found.startswith(
        f"logged in as {pusher.client_id} (from the Azure credentials of this environment); "
        "the repository is missing: the push makes it"
    )
    assert pushed.evidence is not None
    assert (pushed.evidence.manifests_compared, pushed.evidence.blobs_found) == (1, 3)
    assert pushed.evidence.asked == ASKED
    assert (pushed.evidence.tags, pushed.evidence.media_type) == ((COMMIT,), image.media_type)
    assert pushed.evidence.size_bytes is not None
    assert pushed.evidence.size_bytes > image.model_size_bytes
    assert pushed.evidence.pushed_at is not None
    assert begin <= pushed.evidence.pushed_at <= datetime.now(UTC)

    refresh_token(cloud, crane)
    reference = f"{pushed.repository}:{COMMIT}"
    assert crane("digest", reference) == image.digest
    crane("pull", "--format=oci", reference, str(desk.folder / "copy"))  # every blob, which a storage gives
    weights = desk.folder / "copy" / "blobs" / "sha256" / image.model_layers[0].descriptor.digest.encoded
    assert weights.stat().st_size == image.model_size_bytes


def test_an_index_of_several_platforms_is_pushed_and_described(
    cloud: Azure, pusher: Application, tmp_path: Path, desk: Desk, crane: Crane
) -> None:
    platforms = ("linux/amd64", "linux/arm64")
    image = make_image(tmp_path / "index", {"app.py": b"1"}, platforms=platforms)
    pushed = push(push_to(new_name()), image, desk)
    assert pushed.evidence is not None
    assert (pushed.evidence.manifests_compared, pushed.evidence.tags) == (3, (COMMIT,))
    refresh_token(cloud, crane)
    assert crane("digest", f"{pushed.repository}:{COMMIT}") == image.digest
    tagged = [each.path for each in cloud.registry.of("PUT", "/manifests/") if "sha256:" not in each.path]
    assert tagged == [f"/v2/{pushed.repository.path}/manifests/{COMMIT}"]


def test_the_same_digest_under_the_tag_is_success_and_another_a_conflict(
    cloud: Azure, pusher: Application, image: BuiltImage, desk: Desk, tmp_path: Path
) -> None:
    stage = push_to(new_name())
    push(stage, image, desk)
    assert check(stage, desk).found.endswith(
        f"the repository is there; its tags can be moved; the tag {COMMIT} is taken by {image.digest}"
    )
    again = push(stage, image, desk)
    assert again.tag_existed
    assert again.bytes_sent == 0
    with pytest.raises(TagConflict, match=f"exists with {image.digest}") as caught:
        push(stage, make_image(tmp_path / "other", {"app.py": b"2"}), desk)
    assert caught.value.exit_code == 7


def lock(cloud: Azure, name: str, tag: str | None = None) -> None:
    """Lock a repository, or a tag in it, as somebody with more rights does: by the real SDK."""
    from azure.containerregistry import ContainerRegistryClient
    from azure.identity import ClientSecretCredential

    owner = cloud.add("Contributor")
    credential = ClientSecretCredential(TENANT, owner.client_id, owner.secret)
    with ContainerRegistryClient(f"https://{HOST}", credential) as client:
        if tag is None:
            client.update_repository_properties(path_of(name), can_write=False)
        else:
            client.update_tag_properties(path_of(name), tag, can_write=False)


def test_a_tag_that_is_locked_takes_no_other_digest(
    cloud: Azure, pusher: Application, image: BuiltImage, desk: Desk, tmp_path: Path
) -> None:
    name, tag = new_name(), f"{COMMIT}-dirty"
    stage = push_to(name, tag=tag)
    first = make_image(tmp_path / "first", {"app.py": b"1"}, tag=tag)
    push(stage, first, desk)
    lock(cloud, name, tag)
    plan = check(stage, desk)
    assert plan.problem is Problem.TAG
    assert "Commit your changes" in plan.advice
    assert push(stage, first, desk).tag_existed  # the same digest is there, locked or not
    with pytest.raises(TagConflict, match="immutable: it cannot move to") as caught:
        push(stage, make_image(tmp_path / "second", {"app.py": b"2"}, tag=tag), desk)
    assert caught.value.exit_code == 7


def test_a_locked_tag_of_ours_is_told_in_the_plan(
    cloud: Azure, pusher: Application, image: BuiltImage, desk: Desk
) -> None:
    name = new_name()
    push(push_to(name), image, desk)
    lock(cloud, name, COMMIT)
    plan = check(push_to(name), desk)
    assert plan.passed
    assert plan.found.endswith(f"is taken by {image.digest}; the tag {COMMIT} is locked")


def test_a_repository_that_is_locked_says_so_before_and_during_the_push(
    cloud: Azure, pusher: Application, image: BuiltImage, desk: Desk, tmp_path: Path
) -> None:
    name = new_name()
    push(push_to(name), image, desk)
    lock(cloud, name)
    stage, other = push_to(name, tag="v2"), make_image(tmp_path / "other", {"app.py": b"2"}, tag="v2")
    plan = check(stage, desk)
    assert plan.problem is Problem.REMOTE
    assert plan.found == f"{name} is locked: it takes no pushes"
    command = f"az acr repository update --name modelteam --repository {path_of(name)} --write-enabled true"
    assert command in plan.advice
    with pytest.raises(RemoteError, match="is locked: it takes no pushes"):
        push(stage, other, desk)


def test_an_image_that_azure_describes_a_moment_late_is_waited_for(
    cloud: Azure, pusher: Application, image: BuiltImage, desk: Desk
) -> None:
    cloud.acr.properties.late = 1
    pushed = push(push_to(new_name()), image, desk)
    assert pushed.evidence is not None
    assert pushed.evidence.tags == (COMMIT,)


def test_a_tag_that_azure_has_lost_is_no_success(
    cloud: Azure, pusher: Application, image: BuiltImage, desk: Desk
) -> None:
    cloud.acr.properties.late = 100
    with pytest.raises(TemporaryRemoteError, match=r"ACR says that it has the tags \(none\)"):
        push(push_to(new_name()), image, desk)


@pytest.mark.parametrize("at", ["PUT /blobs/uploads/", "PUT /manifests/", "HEAD /blobs/"])
def test_tokens_that_end_in_mid_push_are_asked_for_anew(
    cloud: Azure, pusher: Application, image: BuiltImage, desk: Desk, at: str
) -> None:
    cloud.acr.expire_at = at
    pushed = push(push_to(new_name()), image, desk)
    assert pushed.digest == image.digest
    assert pushed.evidence is not None
    assert pushed.evidence.asked == ASKED


def test_a_refresh_token_says_when_it_ends_whatever_the_registrys_clock_says(
    cloud: Azure, pusher: Application
) -> None:
    for ahead in (timedelta(), timedelta(hours=4), timedelta(hours=-4)):
        cloud.acr.clock_ahead_s = ahead.total_seconds()
        credentials = recognise(HOST).credentials()
        assert credentials is not None
        assert credentials.identity_token
        assert credentials.expires_at is not None
        left = credentials.expires_at - datetime.now(UTC)
        assert abs(left - timedelta(hours=3)) < timedelta(minutes=1)


def test_a_blob_is_mounted_with_a_right_to_its_source(
    cloud: Azure, pusher: Application, image: BuiltImage, desk: Desk
) -> None:
    source, target = new_name(), new_name()
    push(push_to(source), image, desk)
    cloud.acr.granted.clear()
    stage = replace(push_to(target), mount_from=(Repository(source),))
    pushed = push(stage, image, desk)
    assert {blob.how for blob in pushed.blobs} == {"mounted"}
    both = (f"repository:{path_of(source)}:pull", f"repository:{path_of(target)}:pull,push")
    assert tuple(sorted(both)) in cloud.acr.granted


def test_a_source_that_we_may_not_read_costs_the_mount_and_nothing_else(
    cloud: Azure, pusher: Application, image: BuiltImage, desk: Desk
) -> None:
    source, target = new_name(), new_name()
    push(push_to(source), image, desk)
    cloud.acr.allows = lambda repository, action: repository != path_of(source)
    stage = replace(push_to(target), mount_from=(Repository(source),))
    assert {blob.how for blob in push(stage, image, desk).blobs} == {"uploaded"}


def test_a_throttled_registry_is_asked_again_when_it_says(
    cloud: Azure, pusher: Application, image: BuiltImage, desk: Desk
) -> None:
    busy = refused(429, "TOOMANYREQUESTS", "too many requests to the registry", Retry_After="1")
    cloud.acr.before += [busy] * 2
    cloud.acr.exchanging += [busy]
    assert push(push_to(new_name()), image, desk).digest == image.digest


def test_a_registry_that_stays_throttled_is_told(
    cloud: Azure, pusher: Application, image: BuiltImage, desk: Desk
) -> None:
    cloud.acr.before += [refused(429, "TOOMANYREQUESTS", "too many requests", Retry_After="3600")] * 3
    with pytest.raises(TemporaryRemoteError, match="429 Too Many Requests") as caught:
        push(push_to(new_name()), image, desk)
    assert caught.value.retry_after_s == 3600


def test_a_role_that_is_missing_is_named(
    cloud: Azure, monkeypatch: pytest.MonkeyPatch, image: BuiltImage, desk: Desk
) -> None:
    reader = log_in(cloud.add("AcrPull"), monkeypatch)
    stage = push_to(new_name())
    pulls = check(stage, desk)
    with pytest.raises(RemoteError, match="cannot") as caught:
        push(stage, image, desk)
    log_in(cloud.add(None), monkeypatch)
    nothing = check(stage, desk)
    assert "may not push to" in pulls.found
    assert "the registry lets it do nothing" in nothing.found
    for advice in (pulls.advice, caught.value.advice, nothing.advice):
        assert "needs the role AcrPush" in advice
        assert "Container Registry Repository Writer" in advice
        assert "az acr show --name modelteam" in advice
    assert f"--role AcrPush --assignee {reader.client_id}" in pulls.advice


def test_a_condition_on_repositories_is_told_with_the_role_for_them(
    cloud: Azure, pusher: Application, desk: Desk
) -> None:
    cloud.acr.allows = lambda repository, action: not repository.startswith("models/")
    plan = check(push_to(new_name()), desk)
    assert plan.problem is Problem.REMOTE
    assert "Container Registry Repository Writer" in plan.advice


def test_an_identity_that_may_push_and_not_look_pushes_and_the_record_says_so(
    cloud: Azure, pusher: Application, image: BuiltImage, desk: Desk
) -> None:
    cloud.acr.allows = lambda repository, action: action != "metadata_read"
    stage = push_to(new_name())
    plan = check(stage, desk)
    pushed = push(stage, image, desk)
    assert plan.passed
    assert f"cannot look for the repository: {pusher.client_id} is not allowed to" in plan.found
    assert "ACR's API does not tell more" in plan.found
    assert pushed.evidence is not None
    assert "cannot look for the image" in pushed.evidence.notes[0]


def test_a_firewall_is_named(cloud: Azure, pusher: Application, desk: Desk) -> None:
    cloud.acr.firewall = True
    plan = check(push_to(new_name()), desk)
    assert "the registry's firewall does not let this machine through" in plan.found
    command = "az acr network-rule add --name modelteam --ip-address 203.0.113.7"
    assert command in plan.advice
    with pytest.raises(RemoteError, match="firewall") as caught:
        recognise(HOST).credentials()
    assert command in caught.value.advice


def test_a_registry_that_does_not_exist_is_told_with_the_command_that_lists_them(
    pusher: Application, desk: Desk, internet: Internet
) -> None:
    plan = check(push_to("modelteam.azurecr.us/models/x"), desk)
    internet.proxy.refused.clear()
    assert plan.problem is Problem.REMOTE
    assert "modelteam.azurecr.us could not be reached" in plan.found
    assert "`az acr list --query '[].loginServer'`" in plan.advice


def test_a_secret_that_is_wrong_is_told(
    cloud: Azure, pusher: Application, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "wrong")
    plan = check(push_to(new_name()), desk)
    assert plan.problem is Problem.REMOTE
    assert "Azure refused the secret or password: AADSTS7000215: Invalid client secret" in plan.found
    assert "AZURE_CLIENT_SECRET" in plan.advice


def test_an_application_or_tenant_that_nobody_knows_is_told(
    cloud: Azure, pusher: Application, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = push_to(new_name())
    monkeypatch.setenv("AZURE_CLIENT_ID", str(uuid4()))
    application = check(stage, desk)
    use({"AZURE_CLIENT_ID": pusher.client_id, "AZURE_TENANT_ID": str(uuid4())}, monkeypatch)
    tenant = check(stage, desk)
    assert "Azure does not know who we say we are: AADSTS700016" in application.found
    assert "Azure knows no such tenant" in tenant.found
    for found in (application, tenant):
        assert "AZURE_TENANT_ID" in found.advice


def test_a_wrong_clock_is_named(cloud: Azure, pusher: Application, desk: Desk) -> None:
    cloud.entra.before = lambda asked: (
        refusal(700024, "Client assertion is not within its valid time range.")
        if asked.method == "POST"
        else None
    )
    plan = check(push_to(new_name()), desk)
    assert "a token or signature of this job or machine is too old, or not valid yet" in plan.found
    assert "timedatectl" in plan.advice


def test_no_credentials_at_all_are_told_with_the_ways_to_get_them(cloud: Azure, desk: Desk) -> None:
    plan = check(push_to(new_name()), desk)
    assert plan.problem is Problem.REMOTE
    assert plan.found.endswith("no Azure credentials (AzureCliCredential: Azure CLI not found on path)")
    assert "`az login`" in plan.advice
    assert "`id-token: write`" in plan.advice


def test_azures_libraries_log_nothing_between_our_lines(pusher: Application) -> None:
    program = (
        "from stages.registries import recognise\n"
        "from pipeline.errors import RemoteError\n"
        "try:\n"
        f"    recognise({HOST!r}).credentials()\n"
        "except RemoteError as error:\n"
        "    print(error.message)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, "AZURE_CLIENT_SECRET": "wrong"},
    )
    assert "refused the secret" in done.stdout
    assert done.stderr == ""


def test_az_login_is_enough(
    cloud: Azure, desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    user = cloud.add("AcrPush")
    ends_at = datetime.now(UTC) + timedelta(hours=1)
    answer = {
        "accessToken": cloud.entra.issue(user, REGISTRIES),
        "expires_on": int(ends_at.timestamp()),
        "expiresOn": ends_at.strftime("%Y-%m-%d %H:%M:%S.%f"),
        "tenant": TENANT,
        "tokenType": "Bearer",
    }
    (tmp_path / "answer.json").write_text(json.dumps(answer))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "az").write_text(f"#!/bin/sh\ncat {tmp_path}/answer.json\n")
    (tmp_path / "bin" / "az").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    plan = check(push_to(new_name()), desk)
    assert plan.passed, plan
    assert f"logged in as {user.client_id}" in plan.found


def test_a_job_on_github_is_let_in_by_its_federated_credential(
    cloud: Azure, image: BuiltImage, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = cloud.add("AcrPush", federated=True)
    login = LoginOptions(client_id=job.client_id, tenant_id=TENANT)
    stage = push_to(new_name(), RegistryOptions(login=login))
    with cloud.entra.identity_provider.github_runner() as variables:
        use(variables, monkeypatch)
        plan = check(stage, desk)
        pushed = push(stage, image, desk)
    assert "(from GitHub's OpenID Connect, as a federated credential of Azure)" in plan.found
    assert pushed.evidence is not None
    assert pushed.evidence.asked == ASKED
    assert set(cloud.entra.shown) == {"client_assertion"}


def test_a_job_on_github_shows_a_new_token_whenever_azures_has_ended(
    cloud: Azure, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = cloud.add("AcrPush", federated=True)
    login = LoginOptions(client_id=job.client_id, tenant_id=TENANT)
    cloud.entra.lifetime_s = 0
    with cloud.entra.identity_provider.github_runner() as variables:
        use(variables, monkeypatch)
        registry = recognise(HOST, options=RegistryOptions(login=login))
        for _ in range(3):
            assert registry.credentials() is not None
    assert len(cloud.entra.assertions) == 3
    assert len(set(cloud.entra.assertions)) == 3


def test_the_variables_of_azures_own_actions_are_enough_on_github(
    cloud: Azure, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = cloud.add("AcrPush", federated=True)
    use(job.job_environment, monkeypatch)
    with cloud.entra.identity_provider.github_runner() as variables:
        use(variables, monkeypatch)
        assert check(push_to(new_name()), desk).passed
    assert cloud.entra.shown == ["client_assertion"] * len(cloud.entra.shown)


def test_a_job_on_gitlab_is_let_in_by_the_token_in_its_variable(
    cloud: Azure, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = cloud.add("AcrPush", federated=True)
    monkeypatch.setenv("AZURE_ID_TOKEN", cloud.entra.identity_provider.token("api://AzureADTokenExchange"))
    login = LoginOptions(client_id=job.client_id, tenant_id=TENANT, id_token_variable="AZURE_ID_TOKEN")
    plan = check(push_to(new_name(), RegistryOptions(login=login)), desk)
    assert plan.passed, plan
    assert "(from $AZURE_ID_TOKEN, as a federated credential of Azure)" in plan.found


def test_a_token_in_a_file_is_taken_by_the_sdks_own_chain(
    cloud: Azure, desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pod = cloud.add("AcrPush", federated=True)
    (tmp_path / "token").write_text(cloud.entra.identity_provider.token("api://AzureADTokenExchange"))
    use(pod.job_environment, monkeypatch)
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(tmp_path / "token"))
    plan = check(push_to(new_name()), desk)
    assert plan.passed, plan
    assert "client_assertion" in cloud.entra.shown


def test_an_identity_token_for_somebody_else_is_told_with_its_audience(
    cloud: Azure, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = cloud.add("AcrPush", federated=True)
    login = LoginOptions(client_id=job.client_id, tenant_id=TENANT, audience="https://vault.example")
    with cloud.entra.identity_provider.github_runner() as variables:
        use(variables, monkeypatch)
        plan = check(push_to(new_name(), RegistryOptions(login=login)), desk)
    assert "Azure does not accept the audience of the job's identity token" in plan.found
    assert "'api://AzureADTokenExchange'" in plan.advice
    assert "aud 'https://vault.example'" in plan.advice


def test_a_job_that_no_federated_credential_names_is_told_with_who_it_is(
    cloud: Azure, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = cloud.add("AcrPush")
    stage = push_to(
        new_name(), RegistryOptions(login=LoginOptions(client_id=job.client_id, tenant_id=TENANT))
    )
    with cloud.entra.identity_provider.github_runner() as variables:
        use(variables, monkeypatch)
        subject = check(stage, desk)
    with IdentityProvider().github_runner() as variables:  # a provider that Azure does not know
        use(variables, monkeypatch)
        forged = check(stage, desk)
    assert "Azure knows no federated credential for this job: AADSTS700213" in subject.found
    assert "sub 'repo:team/digits:ref:refs/heads/main'" in subject.advice
    assert "AADSTS700211" in forged.found


def test_a_login_that_does_not_say_who_the_job_is_is_a_mistake_of_the_configuration(
    cloud: Azure, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_ID_TOKEN", "a token")
    login = LoginOptions(id_token_variable="AZURE_ID_TOKEN")
    plan = check(push_to(new_name(), RegistryOptions(login=login)), desk)
    assert plan.problem is Problem.CONFIGURATION
    assert "login: {client_id: …, tenant_id: …}" in plan.advice


@pytest.mark.parametrize("by", ["environment", "docker"])
def test_a_token_of_the_registrys_own_comes_before_azures_identities(
    cloud: Azure, pusher: Application, desk: Desk, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    cloud.acr.passwords["push-token"] = "correct horse"
    if by == "environment":
        use({"REGISTRY_USERNAME": "push-token", "REGISTRY_PASSWORD": "correct horse"}, monkeypatch)
    else:
        docker_login("push-token", "correct horse")
    stage = push_to(new_name())
    assert "logged in as push-token" in check(stage, desk).found
    cloud.acr.passwords["push-token"] = "another"
    assert "refused the password of user 'push-token'" in check(stage, desk).found


def test_the_admin_user_is_enough_for_a_push(
    cloud: Azure, image: BuiltImage, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.acr.passwords["modelteam"] = "correct horse"
    use({"REGISTRY_USERNAME": "modelteam", "REGISTRY_PASSWORD": "correct horse"}, monkeypatch)
    pushed = push(push_to(new_name()), image, desk)
    assert pushed.evidence is not None
    assert "there are no Azure credentials" in pushed.evidence.notes[0]


def test_what_az_acr_login_left_behind_is_the_last_resort(
    cloud: Azure, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(cloud.add("AcrPush"), monkeypatch)
    credentials = recognise(HOST).credentials()
    assert credentials is not None
    docker_login(NOBODY, "an old token")
    assert check(push_to(new_name()), desk).found.startswith(f"logged in as {credentials.username}")
    docker_login(NOBODY, credentials.secret)
    for name in ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET"):
        monkeypatch.delenv(name)
    plan = check(push_to(new_name()), desk)
    assert plan.passed, plan
    assert f"logged in as {NOBODY}" in plan.found
    assert "there are no Azure credentials" in plan.found


def test_a_credential_helper_that_is_broken_matters_only_where_azure_knows_nobody(
    cloud: Azure, pusher: Application, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(os.environ["DOCKER_CONFIG"])
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"credsStore": "nowhere"}))
    assert f"logged in as {pusher.client_id}" in check(push_to(new_name()), desk).found
    monkeypatch.delenv("AZURE_CLIENT_SECRET")
    plan = check(push_to(new_name()), desk)
    assert plan.problem is Problem.TOOL
    assert "docker-credential-nowhere" in plan.found


def test_a_secret_in_the_environment_goes_before_the_jobs_token_unless_a_login_is_configured(
    cloud: Azure, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = log_in(cloud.add("AcrPush", federated=True), monkeypatch)
    with cloud.entra.identity_provider.github_runner() as variables:
        use(variables, monkeypatch)
        assert recognise(HOST).credentials() is not None
        assert set(cloud.entra.shown) == {"client_secret"}
        login = LoginOptions(client_id=job.client_id)
        assert recognise(HOST, options=RegistryOptions(login=login)).credentials() is not None
        assert cloud.entra.shown[-1] == "client_assertion"


def test_another_cloud_of_azure_has_an_entra_of_its_own(
    cloud: Azure, online: Internet, monkeypatch: pytest.MonkeyPatch
) -> None:
    online.serve(("login.chinacloudapi.cn",), cloud.entra)
    job = cloud.add("AcrPush", federated=True)
    login = LoginOptions(client_id=job.client_id, tenant_id=TENANT, audience=AUDIENCE)
    online.proxy.connected.clear()
    with cloud.entra.identity_provider.github_runner() as variables:
        use(variables, monkeypatch)
        there = recognise("modelteam.azurecr.cn", options=RegistryOptions(login=login))
        assert isinstance(there, AcrRegistry)
        assert there.api.session.access_token()
        expects = replace(login, audience=None)
        refusing = recognise("modelteam.azurecr.cn", options=RegistryOptions(login=expects))
        with pytest.raises(RemoteError, match="audience 'api://AzureADTokenExchangeChina'"):
            refusing.credentials()
    assert set(online.proxy.connected) == {"login.chinacloudapi.cn"}


def docker_login(username: str, password: str) -> None:
    """Write a login down, as `docker login` does."""
    folder = Path(os.environ["DOCKER_CONFIG"])
    folder.mkdir(exist_ok=True)
    encoded = base64.b64encode(f"{username}:{password}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {HOST: {"auth": encoded}}}))


def test_no_token_stands_in_a_log(cloud: Azure, pusher: Application, image: BuiltImage, desk: Desk) -> None:
    push(push_to(new_name()), image, desk)
    credentials = recognise(HOST).credentials()
    assert credentials is not None
    assert credentials.secret not in repr(credentials)
    sent = cloud.registry.of("PUT", "/manifests/")[0].headers["Authorization"].removeprefix("Bearer ")
    assert desk.redact(f"a {sent} b") == "a *** b"


def test_an_authority_that_is_not_trusted_is_told(
    cloud: Azure, pusher: Application, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name)
    assert "no trusted TLS connection" in check(push_to(new_name()), desk).found
    with pytest.raises(RemoteError, match="no trusted TLS connection to Azure") as caught:
        recognise(HOST).credentials()
    assert "REQUESTS_CA_BUNDLE" in caught.value.advice


def test_an_entra_that_cannot_be_reached_is_temporary(
    cloud: Azure, pusher: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with pytest.raises(TemporaryRemoteError, match="Azure could not be reached") as caught:
        recognise(HOST).credentials()
    assert "HTTPS_PROXY" in caught.value.advice


def test_what_acr_does_not_know_is_a_mistake_of_the_configuration(cloud: Azure, desk: Desk) -> None:
    options = RegistryOptions(immutable=True, scan_on_push=True)
    plan = check(push_to(new_name(), options), desk)
    assert plan.problem is Problem.CONFIGURATION
    assert "has no `immutable`, `scan_on_push`" in plan.found
    with pytest.raises(ConfigurationError):
        recognise(HOST, options=options)


def test_a_cloud_that_answers_nonsense_is_told(cloud: Azure, pusher: Application) -> None:
    cloud.acr.exchanging += [Reply(404, {}, b"<html>")]
    with pytest.raises(RemoteError, match="answered 404 Not Found to a login with Azure's token"):
        recognise(HOST).credentials()


def test_azure_was_asked_through_the_proxy(
    cloud: Azure, pusher: Application, online: Internet, desk: Desk
) -> None:
    online.proxy.connected.clear()
    check(push_to(new_name()), desk)
    assert {"login.microsoftonline.com", HOST} <= set(online.proxy.connected)


def test_the_documentations_federated_credential_and_login_let_the_job_in(
    cloud: Azure, desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = (Path(__file__).parents[3] / "docs" / "registries.md").read_text()
    azure = text.partition("## Azure Container Registry")[2].partition("\n## ")[0]
    (said,) = re.findall(r"token\.actions\S+ --audiences (\S+) \\\n  --subject (\S+)\n", azure)
    assert said == (AUDIENCE, cloud.entra.identity_provider.subject)
    (document,) = re.findall(r"```yaml\n# pipeline\.yaml\n(.*?)```", azure, re.DOTALL)
    (tmp_path / "pipeline.yaml").write_text(f"image: digits\n{document}")
    values = read_config(tmp_path / "pipeline.yaml", environment={}).values
    ((repository, section),) = values.registry_sections.items()
    assert repository == f"{HOST}/models/digits"
    job = cloud.add("AcrPush", federated=True)
    login = LoginOptions(**{**section.login.model_dump(), "client_id": job.client_id, "tenant_id": TENANT})
    with cloud.entra.identity_provider.github_runner() as variables:
        use(variables, monkeypatch)
        assert check(push_to(repository, RegistryOptions(login=login)), desk).passed
