"""Thirty-two processes write to one branch at the same time, over HTTP: every write lands, and stays."""

from pathlib import Path

import yaml

from tests.integration.conftest import CreateRepository
from tests.support import ordered_race
from tests.support.git_server import GitServer
from tests.support.gitops_writer import OWN, REGISTRY, SAME, SHARED, digest, kustomization, manifests, race
from tests.support.registry import Registry

WRITERS = 32


def test_no_write_is_lost_when_many_processes_write_at_once(
    git_server: GitServer, create_repository: CreateRepository, tmp_path: Path
) -> None:
    for path, text in manifests(WRITERS).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    served = create_repository(tmp_path)
    begin = served.head()
    credentials = {"GITOPS_USERNAME": git_server.username, "GITOPS_PASSWORD": git_server.password}

    written = race(served.url, WRITERS, credentials)

    history = served.git("rev-list", "--reverse", f"{begin}..main").split()
    assert sorted(one.commit for one in written) == sorted(history)  # one commit each, in one line
    assert served.git("rev-list", "--merges", "--count", "main") == "0"
    assert max(one.attempts for one in written) > 1  # there was a race
    digests = {f"{REGISTRY}/model-{n}": digest(n) for n in range(WRITERS)}
    shared = yaml.safe_load(served.read(f"{SHARED}/kustomization.yaml"))["images"]
    assert {entry["name"]: entry["digest"] for entry in shared} == digests
    for number in range(WRITERS):
        (own,) = yaml.safe_load(served.read(f"{OWN.format(number)}/kustomization.yaml"))["images"]
        assert own["digest"] == digests[own["name"]]
    # the field that all of them write holds the last one's value, and each of them once held it
    by_commit = {one.commit: digest(one.number) for one in written}
    for commit in history:
        (same,) = yaml.safe_load(served.git("show", f"{commit}:{SAME}/kustomization.yaml"))["images"]
        assert same["digest"] == by_commit[commit]
    served.git("fsck", "--strict")


def test_the_newest_build_stands_when_builds_of_one_application_are_delivered_at_once(
    registry: Registry,
    docker_login: Path,
    git_server: GitServer,
    create_repository: CreateRepository,
    tmp_path: Path,
) -> None:
    applications = [(f"apps/app-{number}", f"{REGISTRY}/app-{number}") for number in range(2)]
    for path, image in applications:
        (tmp_path / path).mkdir(parents=True)
        (tmp_path / path / "kustomization.yaml").write_text(kustomization(image.rpartition("/")[2]))
    served = create_repository(tmp_path)
    begin = served.head()
    builds = ordered_race.push_builds(registry, applications, each=6)

    delivered = ordered_race.race(
        git_server, served.url, builds, {"DOCKER_CONFIG": str(docker_login)}, proof="off"
    )

    assert ordered_race.wrongs(served, begin, delivered) == ()
    assert max(one.attempts for one in delivered) > 1  # there was a race
