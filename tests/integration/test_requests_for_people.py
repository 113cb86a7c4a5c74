"""Deliveries, rollbacks and canaries where people merge: one branch for each place."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.model import ManifestUpdate, Problem, Source
from pipeline.reference import Digest, Repository
from stages.gitops.destination import Destination
from stages.gitops.forge import Options
from stages.gitops.promotion import Promotion
from stages.gitops.rollback import Rollback
from stages.gitops.shift import Shift
from stages.manifests.interface import Target, Traffic
from stages.registries.connections import Registries
from stages.update import Update
from tests.support import keyed_images
from tests.support.delivering import made
from tests.support.forge import PATH as NAME
from tests.support.forge import Forge, running_forge
from tests.support.git_server import Repository as ServedRepository
from tests.support.git_server import running_git_server
from tests.support.registry import Registry

pytestmark = pytest.mark.integration

NOW = datetime.now(UTC).replace(microsecond=0)
PATH = "digits.yaml"
BRANCH = "model-image-pipeline/main/digits/digits-yaml"
MANIFEST = """\
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: digits
spec:
  predictor:
    containers:
      - name: kserve-container
        image: {image}:none-yet
"""


class Team:
    """One image, the repository that deploys it, and the host on which people merge."""

    def __init__(
        self, registry: Registry, name: str, served: ServedRepository, host: Forge, folder: Path
    ) -> None:
        self.registry, self.name, self.served, self.host, self.folder = registry, name, served, host, folder
        self.image = Repository(f"{registry.address}/{name}")

    def update(self, *, percent: int | None = None) -> Update:
        traffic = Traffic(percent) if percent is not None else None
        return Update(
            destination=Destination(
                image="digits",
                repositories=(self.image,),
                repository=self.served.url,
                targets=(Target(path=PATH, traffic=traffic),),
                request=Options(branch=BRANCH, provider="github", api_url=self.host.github),
            )
        )

    def push(self, hours: int) -> Digest:
        return keyed_images.push_build(
            self.registry, self.name, f"{-hours}" * 40, NOW + timedelta(hours=hours)
        )

    def made(self, hours: int, digest: Digest) -> Artifacts:
        return made(self.image, f"{-hours}" * 40, digest, (NOW + timedelta(hours=hours)).isoformat())

    def deliver(self, hours: int, digest: Digest, *, percent: int | None = None) -> ManifestUpdate:
        return self.update(percent=percent).run(self.made(hours, digest), self.desk())

    def merged(self, update: ManifestUpdate) -> None:
        assert update.status == "requested", update.note
        assert update.request is not None
        self.host.merge(update.request.number)

    def desk(self) -> Desk:
        folder = self.folder / f"desk-{uuid4().hex}"
        folder.mkdir()
        return Desk(folder=folder, cache=folder, run_name=f"run-{folder.name}")

    def alone(self, digest: Digest) -> Artifacts:
        return Artifacts(self.made(-1, digest)[Source])

    def proposed(self) -> str:
        return self.served.git("show", f"{BRANCH}:{PATH}")


@pytest.fixture
def team(
    registry: Registry, repository_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Team]:
    content = tmp_path / "content"
    content.mkdir()
    image = f"{registry.address}/{repository_name}"
    (content / PATH).write_text(MANIFEST.format(image=image))
    with running_git_server(tmp_path / "git") as server:
        served = server.create(NAME, content=content)
        monkeypatch.setenv("GITOPS_USERNAME", server.username)
        monkeypatch.setenv("GITOPS_PASSWORD", server.password)
        monkeypatch.setenv("REGISTRY_USERNAME", registry.username)
        monkeypatch.setenv("REGISTRY_PASSWORD", registry.password)
        with running_forge(served) as host:
            host.token = server.password
            yield Team(registry, repository_name, served, host, tmp_path)


def test_a_rollback_takes_the_place_of_a_newer_change_that_waits_and_holds_against_older_ones(
    team: Team,
) -> None:
    old, middle, new = (team.push(hours) for hours in (-4, -3, -1))
    team.merged(team.deliver(-4, old))
    team.merged(team.deliver(-3, middle))
    team.deliver(-1, new)
    assert str(new) in team.proposed()
    base = team.served.head()

    back = Rollback(destination=team.update().destination).run(team.alone(new), team.desk())

    assert (back.status, team.served.head()) == ("requested", base)
    assert str(old) in team.proposed()
    assert [change.state for change in team.host.changes].count("open") == 1
    late = team.deliver(-2, team.push(-2))
    assert (late.status, str(old) in team.proposed()) == ("superseded", True)
    team.merged(back)
    assert team.deliver(-2, team.push(-2)).status == "superseded"
    assert str(old) in team.served.read(PATH)


def test_what_somebody_asks_for_is_asked_again_though_it_was_closed(team: Team) -> None:
    old, new = team.push(-4), team.push(-2)
    team.merged(team.deliver(-4, old))
    team.merged(team.deliver(-2, new))
    rollback = Rollback(destination=team.update().destination)
    first = rollback.run(team.alone(new), team.desk())
    assert first.request is not None
    team.host.close(first.request.number)

    again = rollback.run(team.alone(new), team.desk())

    assert again.status == "requested"
    assert again.request is not None
    assert (again.request.opened, again.request.state) == (True, "open")


def test_a_canary_gets_more_requests_by_a_request(team: Team) -> None:
    old, new = team.push(-4), team.push(-2)
    team.merged(team.deliver(-4, old, percent=10))
    team.merged(team.deliver(-2, new, percent=10))
    assert "canaryTrafficPercent: 10" in team.served.read(PATH)
    shift = Shift(destination=team.update(percent=10).destination, percent=50)

    half = shift.run(team.alone(new), team.desk())
    assert "canaryTrafficPercent: 50" in team.proposed()
    assert half.request is not None
    team.host.close(half.request.number)
    team.merged(replace(shift, percent=100).run(team.alone(new), team.desk()))

    assert "canaryTrafficPercent: 50" not in team.served.read(PATH)
    assert str(new) in team.served.read(PATH)


def test_a_promotion_is_asked_for_with_its_proof(team: Team) -> None:
    digest = team.push(-2)
    have = team.made(-2, digest)
    promotion = Promotion(
        source_name="dev",
        target_name="prod",
        destination=team.update().destination,
        built=have[Source],
        registries=Registries(repositories=(team.image,)),
    )
    assert all(check.passed for check in promotion.check(team.desk()))

    asked = promotion.run(have, team.desk())

    assert asked.status == "requested"
    (change,) = team.host.changes
    assert change.title.startswith("digits: promote")
    assert "| **proof** | digits.yaml: " in change.body
    older = team.push(-3)
    late = replace(promotion, built=team.made(-3, older)[Source])
    assert late.run(team.made(-3, older), team.desk()).status == "superseded"
    assert str(digest) in team.proposed()


def test_the_checks_find_a_token_that_opens_no_requests(team: Team) -> None:
    team.host.may_push = False
    (failed,) = [
        check
        for check in Rollback(destination=team.update().destination).check(team.desk())
        if not check.passed
    ]
    assert failed.problem is Problem.REMOTE


def test_a_dry_run_writes_nothing_anywhere(team: Team) -> None:
    digest, desk = team.push(-2), team.desk()
    desk.dry_run = True
    team.merged(team.deliver(-4, team.push(-4)))
    before = team.served.git("for-each-ref"), list(team.host.writes)
    destination = team.update().destination
    told = [
        team.update().run(team.made(-2, digest), desk),
        Rollback(destination=destination, to=digest).run(team.alone(digest), desk),
    ]
    assert [each.status for each in told] == ["preview", "preview"]
    assert (team.served.git("for-each-ref"), team.host.writes) == before
