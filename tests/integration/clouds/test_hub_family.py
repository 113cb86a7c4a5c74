"""Docker Hub, GHCR, GitLab and Harbor under their real host names, read back by a client that is not ours."""

from __future__ import annotations

import base64
import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from pipeline.desk import Desk
from pipeline.errors import RemoteError, TagConflict, TemporaryRemoteError
from pipeline.model import BuiltImage, Problem
from pipeline.reference import Repository
from stages.oci.chunked import CHUNK_BYTES
from stages.oci.distribution import RepositoryClient
from stages.oci.transport import Transport
from stages.registries import recognise
from tests.support.clouds.crane import Crane
from tests.support.clouds.hub_family import (
    DOCKER_HUB,
    FAMILY,
    GHCR,
    GITLAB,
    HARBOR,
    IDENTITY,
    PASSWORD,
    READER,
    WRITER,
    Kin,
    Running,
)
from tests.support.clouds.internet import Internet
from tests.support.clouds.pushing import check, push, push_to
from tests.support.loopback import Reply, json_reply
from tests.support.small_image import COMMIT, make_image

BUSY = Reply(429, {"Content-Type": "text/plain", "Retry-After": "1"}, b"Too Many Requests (HAP429).\n")
BUSY_FOR_AN_HOUR = replace(BUSY, headers={"Retry-After": "3600"})

HINTS = {
    DOCKER_HUB: ("two-factor authentication", "An access token needs Read & Write"),
    GHCR: ("GITHUB_TOKEN ends with its job", "`packages: write`"),
    GITLAB: ("CI_REGISTRY_PASSWORD", "A job may push to its own project's registry"),
    HARBOR: ("docker login harbor.example.com", "say the same of a project that does not exist"),
}

with_login = pytest.mark.usefixtures("logged_in")
any_of_them = pytest.mark.parametrize("kin", FAMILY, ids=lambda kin: kin.host)


@pytest.fixture
def family(hub_family: Mapping[Kin, Running], internet: Internet) -> Iterator[Mapping[Kin, Running]]:
    """All of them as they are at first; what a test changes in their behaviour is taken back."""
    internet.proxy.refused.clear()
    yield hub_family
    for each in hub_family.values():
        each.rules.reset()
        each.front.asked.clear()
        each.store.asked.clear()
    assert internet.proxy.refused == []  # nothing was asked of anybody else


@pytest.fixture
def logged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user of any of them who may push."""
    use_login(monkeypatch)


def use_login(monkeypatch: pytest.MonkeyPatch, user: str = WRITER, password: str = PASSWORD) -> None:
    monkeypatch.setenv("REGISTRY_USERNAME", user)
    monkeypatch.setenv("REGISTRY_PASSWORD", password)


def new_name(kin: Kin) -> str:
    return f"{kin.host}/team/{uuid4().hex[:12]}"


def path_of(name: str) -> str:
    return name.partition("/")[2]


@with_login
@any_of_them
def test_what_was_pushed_is_read_back_by_crane(
    family: Mapping[Kin, Running], kin: Kin, image: BuiltImage, desk: Desk, crane: Crane
) -> None:
    stage = push_to(new_name(kin))
    plan = check(stage, desk)
    pushed = push(stage, image, desk)
    assert plan.passed, plan
    assert plan.found.startswith(f"logged in as {WRITER} (from REGISTRY_USERNAME and")
    assert plan.found.endswith("the repository is missing: the push makes it")
    assert pushed.evidence is not None
    assert (pushed.evidence.manifests_compared, pushed.evidence.blobs_found) == (1, 3)
    crane.log_in("https://index.docker.io/v1/" if kin is DOCKER_HUB else kin.host, WRITER, PASSWORD)
    reference = f"{pushed.repository}:{COMMIT}"
    assert crane("digest", reference) == image.digest
    crane("pull", "--format=oci", reference, str(desk.folder / "copy"))
    weights = desk.folder / "copy" / "blobs" / "sha256" / image.model_layers[0].descriptor.digest.encoded
    assert weights.stat().st_size == image.model_size_bytes


@with_login
@any_of_them
def test_our_authorization_does_not_go_where_a_registry_sends_us(
    family: Mapping[Kin, Running], kin: Kin, image: BuiltImage, desk: Desk
) -> None:
    name = new_name(kin)
    push(push_to(name), image, desk)
    registry, config = recognise(kin.host), image.platforms[0].config
    with contextlib.closing(Transport(registry.endpoint, registry.credentials, desk.redact.add)) as transport:
        client = RepositoryClient(repository=Repository(name), transport=transport, uploads=registry.uploads)
        content = client.read_blob(config.digest)
    assert len(content) == config.size_bytes
    (asked,) = family[kin].store.asked
    assert asked.status == 200  # a store that is shown an Authorization header says 400


@with_login
@any_of_them
def test_the_same_digest_under_the_tag_is_success_and_another_a_conflict(
    family: Mapping[Kin, Running], kin: Kin, image: BuiltImage, desk: Desk
) -> None:
    stage = push_to(new_name(kin))
    push(stage, image, desk)
    plan = check(stage, desk)
    assert plan.found.endswith(f"the repository is there; the tag {COMMIT} is taken by {image.digest}")
    another = check(push_to(f"{stage.repositories[0]}", tag="another"), desk)
    assert another.found.endswith("the repository is there; the tag another is free")
    again = push(stage, image, desk)
    assert again.tag_existed
    assert again.bytes_sent == 0
    other = make_image(desk.folder / "other", {"app.py": b"2"})
    with pytest.raises(TagConflict, match=f"exists with {image.digest}") as caught:
        push(stage, other, desk)
    assert caught.value.exit_code == 7


@with_login
@any_of_them
@pytest.mark.parametrize("at", ["PUT /blobs/uploads/", "PUT /manifests/"])
def test_a_token_that_ends_in_mid_push_is_asked_for_anew(
    family: Mapping[Kin, Running], kin: Kin, at: str, image: BuiltImage, desk: Desk
) -> None:
    rules = family[kin].rules
    rules.expire_at = at
    assert push(push_to(new_name(kin)), image, desk).digest == image.digest
    assert rules.ended


@any_of_them
def test_a_wrong_password_and_a_missing_right_are_told_apart(
    family: Mapping[Kin, Running], kin: Kin, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = push_to(new_name(kin))
    use_login(monkeypatch, password="wrong")
    password = check(stage, desk)
    use_login(monkeypatch, user=READER)
    right = check(stage, desk)
    assert "refused the password of user 'ci'" in password.found
    assert "user 'reader' may not push to team/" in right.found
    for found, hint in zip((password, right), HINTS[kin], strict=True):
        assert found.problem is Problem.REMOTE
        assert "REGISTRY_USERNAME" in found.advice
        assert hint in found.advice


@with_login
@any_of_them
def test_a_blob_is_mounted_with_a_right_to_its_source_or_sent_without(
    family: Mapping[Kin, Running], kin: Kin, image: BuiltImage, desk: Desk
) -> None:
    source, target = new_name(kin), new_name(kin)
    push(push_to(source), image, desk)
    from_there = (Repository(source),)
    mounted = push(replace(push_to(target), mount_from=from_there), image, desk)
    assert {blob.how for blob in mounted.blobs} == {"mounted"}
    both = (f"repository:{path_of(source)}:pull", f"repository:{path_of(target)}:pull,push")
    assert tuple(sorted(both)) in family[kin].rules.granted
    family[kin].rules.allows = lambda repository, action: repository != path_of(source)
    sent = push(replace(push_to(new_name(kin)), mount_from=from_there), image, desk)
    assert {blob.how for blob in sent.blobs} == {"uploaded"}


@with_login
@any_of_them
def test_a_limit_of_requests_is_waited_for_as_long_as_it_says(
    family: Mapping[Kin, Running], kin: Kin, image: BuiltImage, desk: Desk
) -> None:
    rules = family[kin].rules
    rules.before += [BUSY, BUSY]
    rules.asking += [BUSY]
    said: list[str] = []
    patient = replace(desk, say=said.append)
    assert push(push_to(new_name(kin)), image, patient).digest == image.digest
    assert [line for line in said if "429 Too Many Requests" in line and "trying again in 1 s" in line]


@with_login
def test_a_limit_of_requests_that_lasts_ends_the_run_with_what_was_said(
    family: Mapping[Kin, Running], image: BuiltImage, desk: Desk
) -> None:
    rules = family[DOCKER_HUB].rules
    rules.before += [BUSY_FOR_AN_HOUR]
    with pytest.raises(TemporaryRemoteError, match="429 Too Many Requests") as caught:
        push(push_to(new_name(DOCKER_HUB)), image, desk)
    assert caught.value.retry_after_s == 3600
    assert "limits how often it may be asked. Run again in 60 minutes" in caught.value.advice
    assert caught.value.exit_code == 5
    rules.asking += [BUSY_FOR_AN_HOUR]
    with pytest.raises(TemporaryRemoteError, match=r"token service https://auth\.docker\.io/token says 429"):
        push(push_to(new_name(DOCKER_HUB)), image, desk)


def test_without_a_login_the_ways_to_get_one_are_told(family: Mapping[Kin, Running], desk: Desk) -> None:
    found = check(push_to(new_name(DOCKER_HUB)), desk)
    assert found.problem is Problem.REMOTE
    assert "docker.io: the registry asks for a login and there is none" in found.found
    assert "Run `docker login docker.io`" in found.advice


@with_login
def test_an_authority_that_is_not_trusted_is_told(
    family: Mapping[Kin, Running], desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name)
    assert check(push_to(new_name(GHCR)), desk).passed  # SSL_CERT_FILE names it too
    monkeypatch.delenv("SSL_CERT_FILE")
    found = check(push_to(new_name(GHCR)), desk)
    assert "ghcr.io: no trusted TLS connection" in found.found
    assert "REQUESTS_CA_BUNDLE or SSL_CERT_FILE" in found.advice


@with_login
def test_a_proxy_that_is_not_there_is_told(
    family: Mapping[Kin, Running], desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    found = check(push_to(new_name(GHCR)), desk)
    assert "ghcr.io could not be reached through the proxy" in found.found
    assert "Check HTTPS_PROXY" in found.advice


def test_docker_hub_is_asked_where_its_api_is_and_known_by_all_its_names(
    family: Mapping[Kin, Running], online: Internet, image: BuiltImage, desk: Desk
) -> None:
    docker_login("https://index.docker.io/v1/")
    online.proxy.connected.clear()
    for host in ("docker.io", "index.docker.io"):
        stage = push_to(f"{host}/team/{uuid4().hex[:12]}")
        assert f"logged in as {WRITER}" in check(stage, desk).found
        push(stage, image, desk)
    assert set(online.proxy.connected) == {"registry-1.docker.io", "auth.docker.io"}


def test_a_browser_login_of_docker_hub_is_an_identity_token(
    family: Mapping[Kin, Running], image: BuiltImage, desk: Desk
) -> None:
    docker_login("https://index.docker.io/v1/", identitytoken=IDENTITY)
    assert push(push_to(new_name(DOCKER_HUB)), image, desk).digest == image.digest
    assert family[DOCKER_HUB].front.of("POST", "/token")
    assert not family[DOCKER_HUB].front.of("GET", "/token")


def docker_login(key: str, **more: str) -> None:
    """Write a login down, as `docker login` does."""
    folder = Path(os.environ["DOCKER_CONFIG"])
    folder.mkdir()
    encoded = base64.b64encode(f"{WRITER}:{PASSWORD}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {key: {"auth": encoded, **more}}}))


@with_login
@pytest.mark.parametrize(("kin", "patches"), [(GHCR, 0), (HARBOR, 2)], ids=["ghcr.io", "harbor"])
def test_a_big_blob_goes_in_one_request_where_chunks_are_small_and_in_chunks_elsewhere(
    family: Mapping[Kin, Running], kin: Kin, patches: int, tmp_path: Path, desk: Desk
) -> None:
    (tmp_path / "model").mkdir()
    with (tmp_path / "model" / "weights.bin").open("wb") as weights:
        weights.truncate(CHUNK_BYTES + 1_000_000)
    image = make_image(tmp_path / "image", {"app.py": b"1"}, model=tmp_path / "model")
    pushed = push(push_to(new_name(kin)), image, desk)
    assert pushed.bytes_sent > CHUNK_BYTES  # and not a byte of it twice
    assert pushed.bytes_sent < CHUNK_BYTES + 1_100_000
    assert len(family[kin].front.of("PATCH")) == patches


@with_login
def test_an_immutable_tag_of_harbor_is_a_conflict(
    family: Mapping[Kin, Running], desk: Desk, tmp_path: Path
) -> None:
    tag = f"{COMMIT}-dirty"
    stage = push_to(new_name(HARBOR), tag=tag)
    push(stage, make_image(tmp_path / "first", {"app.py": b"1"}, tag=tag), desk)
    family[HARBOR].rules.immutable.add(tag)
    with pytest.raises(TagConflict, match="immutable: it cannot move to") as caught:
        push(stage, make_image(tmp_path / "second", {"app.py": b"2"}, tag=tag), desk)
    assert caught.value.exit_code == 7


@with_login
def test_a_token_service_that_gives_no_token_is_told(
    family: Mapping[Kin, Running], image: BuiltImage, desk: Desk
) -> None:
    family[HARBOR].rules.asking += [json_reply(200, {})]
    with pytest.raises(RemoteError, match="answered without a token"):
        push(push_to(new_name(HARBOR)), image, desk)
