"""An older build never replaces a newer one: a real registry tells what stands in a real repository."""

import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from pipeline.desk import Desk
from pipeline.errors import ConfigurationError, ManifestRefused, RemoteError
from pipeline.model import ManifestUpdate, Problem, Pushed, PushedImage
from pipeline.reference import Digest, Repository, Tag
from stages.gitops.destination import Destination
from stages.gitops.rollback import Rollback
from stages.manifests.interface import Target
from stages.oci.order_key import NAME, OrderKey
from stages.update import Update
from tests.support import keyed_images
from tests.support.delivering import made
from tests.support.git_server import GitServer
from tests.support.git_server import Repository as ServedRepository
from tests.support.registry import Registry

pytestmark = pytest.mark.integration

CreateRepository = Callable[[Path | None], ServedRepository]
NOW = datetime.now(UTC).replace(microsecond=0)
PATH = "apps/digits/kustomization.yaml"
OLD, MIDDLE, NEW = ("1" * 40, -3), ("2" * 40, -2), ("3" * 40, -1)
"""Commits, and their times in hours from now."""
Build = tuple[str, int]


class Place:
    """One image, the repository that deploys it, and who delivers."""

    def __init__(self, registry: Registry, name: str, served: ServedRepository, folder: Path) -> None:
        self.registry, self.name, self.served, self.folder = registry, name, served, folder
        self.image = Repository(f"{registry.address}/{name}")
        self.runs = 0

    def push(self, build: Build) -> Digest:
        commit, hours = build
        return keyed_images.push_build(self.registry, self.name, commit, NOW + timedelta(hours=hours))

    def deliver(self, build: Build, digest: Digest | None = None, **options: object) -> ManifestUpdate:
        commit, hours = build
        moment = (NOW + timedelta(hours=hours)).isoformat()
        have = made(self.image, commit, digest or self.push(build), moment)
        return self.update(**options).run(have, self.desk())

    def update(self, **options: object) -> Update:
        known = {"repositories": (self.image,), "targets": (Target(path=PATH),)}
        return Update(
            destination=Destination(
                image="digits",
                repository=self.served.url,
                **{**known, **options},  # type: ignore[arg-type]  # the fields of Destination
            )
        )

    def desk(self) -> Desk:
        self.runs += 1
        folder = self.folder / f"desk-{uuid4().hex}"
        folder.mkdir()
        return Desk(folder=folder, cache=folder, run_name=f"run-{self.runs:04d}")

    def stands(self) -> str:
        return self.served.read(PATH)

    def put(self, tag: str, digest: Digest | None = None, message: str = "By hand") -> None:
        content = self.folder / "content"
        file = content / PATH
        file.parent.mkdir(parents=True, exist_ok=True)
        pinned = f"  digest: {digest}\n" if digest is not None else ""
        file.write_text(
            "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nimages:\n"
            f'- name: {self.image}\n  newTag: "{tag}"\n{pinned}'
        )
        self.served.commit(content, message)


@pytest.fixture
def place(  # noqa: PLR0913, PLR0917 - the real parts
    registry: Registry,
    repository_name: str,
    create_repository: CreateRepository,
    git_server: GitServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Place:
    monkeypatch.setenv("GITOPS_USERNAME", git_server.username)
    monkeypatch.setenv("GITOPS_PASSWORD", git_server.password)
    monkeypatch.setenv("REGISTRY_USERNAME", registry.username)
    monkeypatch.setenv("REGISTRY_PASSWORD", registry.password)
    found = Place(registry, repository_name, create_repository(None), tmp_path)
    found.put("none-yet")
    return found


def test_the_newer_build_stands_whoever_comes_first(place: Place) -> None:
    assert place.deliver(MIDDLE).status == "committed"
    newest = place.push(NEW)
    assert place.deliver(NEW, newest).status == "committed"
    head = place.served.head()

    late = place.deliver(OLD)

    assert (late.status, late.commit, place.served.head()) == ("superseded", None, head)
    assert str(newest) in place.stands()
    (standing,) = late.before
    assert (standing.order, standing.place) == ("newer", f"{PATH}:4")
    assert f"superseded: {PATH}:4 names {place.image}:{NEW[0]}@{newest}" in late.note


def test_a_placeholder_is_replaced_without_a_question(place: Place) -> None:
    first = place.deliver(OLD)
    assert (first.status, first.before[0].order) == ("committed", "first")
    assert place.update().check(place.desk())[-1].passed


@pytest.mark.parametrize("how", ["digest", "tag"])
def test_an_image_of_another_tool_is_replaced_when_somebody_says_so(place: Place, how: str) -> None:
    digest = keyed_images.push(
        place.registry,
        place.name,
        "v1",
        annotations={"org.opencontainers.image.created": "2020-01-01T00:00:00Z"},
    )
    place.put("v1", digest if how == "digest" else None)

    check = place.update().check(place.desk())[-1]
    with pytest.raises(ConfigurationError, match="carries no order key"):
        place.deliver(NEW)
    forced = place.deliver(NEW, forced=True)

    assert check.problem is Problem.CONFIGURATION
    assert "`pipeline run --force`" in check.advice
    assert (forced.status, forced.forced) == ("committed", True)
    assert "Occasion: forced" in place.served.git("log", "-1", "--format=%B")
    later = ("4" * 40, 1)
    assert place.deliver(later).status == "committed"


def test_warn_writes_and_says_what_it_did_not_know(place: Place) -> None:
    place.put("v1", keyed_images.push(place.registry, place.name, "v1"))
    made = place.deliver(NEW, order="warn")
    assert made.status == "committed"
    assert "carries no order key" in made.note


def test_a_digest_that_is_gone_is_unknown(place: Place) -> None:
    place.put("v1", Digest.of(b"deleted"))
    with pytest.raises(ConfigurationError, match="is not in its registry any more"):
        place.deliver(NEW)


@pytest.mark.parametrize("where", ["annotations", "labels", "index"])
def test_the_key_is_found_in_annotations_and_labels_and_below_an_index(place: Place, where: str) -> None:
    said = {NAME: str(OrderKey.at(NOW, "9" * 40))}
    digest = keyed_images.push(
        place.registry,
        place.name,
        "v9",
        annotations=said if where == "annotations" else None,
        labels=said if where != "annotations" else None,
        index=where == "index",
    )
    place.put("v9", digest)
    assert place.deliver(NEW).status == "superseded"


def test_a_tag_alone_is_looked_up(place: Place) -> None:
    place.push(NEW)
    place.put(NEW[0])
    assert place.deliver(MIDDLE).status == "superseded"


def test_a_forced_delivery_is_not_undone_by_a_build_that_was_under_way(place: Place) -> None:
    old = place.push(OLD)
    place.deliver(NEW)
    assert place.deliver(OLD, old, forced=True).status == "committed"

    under_way = place.deliver(("4" * 40, 0))

    assert under_way.status == "superseded"
    assert "deployed by force at" in under_way.note
    assert str(old) in place.stands()
    assert place.deliver(("5" * 40, 1)).status == "committed"


def test_of_two_builds_of_one_commit_the_later_run_stands(place: Place) -> None:
    one = place.push(NEW)
    said = {NAME: str(OrderKey.at(NOW + timedelta(hours=NEW[1]), NEW[0]))}
    other = keyed_images.push(place.registry, place.name, "again", annotations=said, labels={"b": "c"})
    assert place.deliver(NEW, one).status == "committed"
    assert place.deliver(NEW, other).status == "committed"
    place.runs = 0  # the first run again, which is late
    assert place.deliver(NEW, one).status == "superseded"


@pytest.mark.parametrize("filters", ["true", "false"])
def test_commits_are_read_from_servers_with_and_without_filters(place: Place, filters: str) -> None:
    place.served.git("config", "uploadpack.allowFilter", filters)
    place.deliver(OLD, forced=True)
    for number in range(3):
        content = place.folder / "content"
        (content / f"other-{number}").write_text("x")
        (content / PATH).write_text(place.stands())
        place.served.commit(content, "Somebody else")
    assert place.deliver(NEW).status == "superseded"


def test_a_commit_by_a_slow_clock_on_top_hides_no_rollback(place: Place) -> None:
    old, new = place.push(OLD), place.push(NEW)
    place.deliver(OLD, old)
    place.deliver(MIDDLE)
    have = made(place.image, NEW[0], new, NOW.isoformat())
    Rollback(destination=place.update().destination).run(have, place.desk())
    tree = place.served.git("rev-parse", "main^{tree}")
    behind = {"GIT_COMMITTER_DATE": (NOW + timedelta(hours=NEW[1], minutes=-10)).isoformat()}
    arguments = ("commit-tree", tree, "-p", "main", "-m", "By hand")
    place.served.git("update-ref", "refs/heads/main", place.served.git(*arguments, environment=behind))

    assert place.deliver(NEW, new).status == "superseded"
    assert str(old) in place.stands()


def test_a_signed_head_is_read_by_somebody_who_has_signatures_shown(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.deliver(OLD)
    key = tmp_path / "signer"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    tree = place.served.git("rev-parse", "main^{tree}")
    signing = ("-c", "gpg.format=ssh", "-c", f"user.signingKey={key}")
    signed = place.served.git(*signing, "commit-tree", "-S", tree, "-p", "main", "-m", "Signed")
    place.served.git("update-ref", "refs/heads/main", signed)
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "log.showSignature")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "true")

    assert place.deliver(NEW).status == "committed"


def test_an_older_build_in_another_registry_replaces_nothing_newer(place: Place) -> None:
    new = place.push(NEW)
    place.deliver(NEW, new)
    moved = Repository(f"{place.image}-moved")
    target = Target(path=PATH, image=str(place.image))
    update = place.update(repositories=(moved,), targets=(target,))

    def deliver(build: Build) -> ManifestUpdate:
        commit, hours = build
        moment = NOW + timedelta(hours=hours)
        digest = keyed_images.push_build(place.registry, f"{place.name}-moved", commit, moment)
        return update.run(made(moved, commit, digest, moment.isoformat()), place.desk())

    assert deliver(OLD).status == "superseded"
    assert str(new) in place.stands()
    assert deliver(("5" * 40, 0)).status == "committed"


def test_what_undoes_a_broken_image_leaves_the_one_that_came_meanwhile(place: Place) -> None:
    old, broken, mended = place.push(OLD), place.push(MIDDLE), place.push(NEW)
    place.deliver(OLD, old)
    place.deliver(MIDDLE, broken)
    rollback = Rollback(destination=place.update().destination, still=frozenset({str(broken)}))
    hook = place.served.path / "hooks" / "pre-receive"  # the push of the rollback loses against the delivery
    served = f"git --git-dir '{place.served.path}'"
    place.put(NEW[0], mended, "Mended")
    mend = place.served.head()
    place.served.git("update-ref", "refs/heads/main", f"{mend}^")
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(
        "#!/bin/sh\nunset GIT_QUARANTINE_PATH\n"
        f"{served} update-ref refs/heads/main {mend}\nrm '{hook}'\nexit 0\n"
    )
    hook.chmod(0o755)
    have = made(place.image, MIDDLE[0], broken, NOW.isoformat())

    with pytest.raises(ManifestRefused, match="another image stands there by now"):
        rollback.run(have, place.desk())

    assert place.served.head() == mend


def test_a_rollback_is_no_matter_of_clocks(place: Place) -> None:
    old, ahead = place.push(OLD), ("7" * 40, 2)
    place.deliver(OLD, old)
    broken = place.push(ahead)  # by the clock of another machine it is made in two hours
    place.deliver(ahead, broken)
    have = made(place.image, NEW[0], broken, NOW.isoformat())

    back = Rollback(destination=place.update().destination).run(have, place.desk())

    assert (back.status, str(old) in place.stands()) == ("committed", True)
    assert place.deliver(ahead, broken).status == "superseded"  # the same job once more


def test_a_rollback_holds_against_a_delivery_at_the_same_time(place: Place) -> None:
    old = place.push(OLD)
    place.deliver(OLD, old)
    place.deliver(MIDDLE)
    new = place.push(NEW)
    rollback = Rollback(destination=place.update().destination, to=old)
    have = made(place.image, NEW[0], new, NOW.isoformat())

    with ThreadPoolExecutor(2) as pool:
        back = pool.submit(rollback.run, have, place.desk())
        delivered = pool.submit(place.deliver, NEW, new)
        results = back.result().status, delivered.result().status

    assert str(old) in place.stands(), results
    assert results[0] == "committed"


def test_a_rollback_needs_something_to_go_back_to(place: Place) -> None:
    rollback = Rollback(destination=place.update().destination)
    have = made(place.image, NEW[0], Digest.of(b"x"), NOW.isoformat())
    with pytest.raises(ConfigurationError, match="no other image before"):
        rollback.run(have, place.desk())
    place.deliver(NEW)
    with pytest.raises(ConfigurationError, match="none-yet stood in the manifests"):
        rollback.run(have, place.desk())
    gone = replace(rollback, to=Digest.of(b"deleted"))
    with pytest.raises(RemoteError, match="is not in its registry any more"):
        gone.run(have, place.desk())


@pytest.mark.parametrize("filters", ["true", "false"])
def test_what_was_deployed_before_is_found_far_back(place: Place, filters: str) -> None:
    place.served.git("config", "uploadpack.allowFilter", filters)
    old = place.push(OLD)
    place.deliver(OLD, old)
    place.deliver(NEW)
    content = place.folder / "content"
    (content / PATH).write_text(place.stands())
    for number in range(70):  # more than are looked at in the first step
        (content / "other").write_text(str(number))
        place.served.commit(content, "Somebody else")
    have = made(place.image, NEW[0], Digest.of(b"x"), NOW.isoformat())
    back = Rollback(destination=place.update().destination).run(have, place.desk())
    assert (back.status, str(old) in place.stands()) == ("committed", True)


def test_an_application_and_its_weights_go_back_and_give_way_together(place: Place) -> None:
    weights = Repository(f"{place.image}-model")
    update = place.update(
        model_image="digits-model",
        model_repositories=(weights,),
        targets=(Target(path=PATH), Target(path="apps/model.yaml", image=weights)),
    )
    manifest = "apiVersion: v1\nkind: Pod\nspec:\n  volumes:\n  - name: w\n    image:\n      reference: "
    (place.folder / "content/apps/model.yaml").write_text(f"{manifest}{weights}:none-yet\n")
    place.put("none-yet")

    def pair(build: Build) -> tuple[Digest, Digest, ManifestUpdate]:
        commit, hours = build
        code = place.push(build)
        model = keyed_images.push(place.registry, f"{place.name}-model", commit[:12])
        have = made(place.image, commit, code, (NOW + timedelta(hours=hours)).isoformat())
        reference = have[PushedImage].references[0]
        there = reference.model_copy(update={"repository": weights, "digest": model, "tag": Tag(commit[:12])})
        own = Pushed(name="digits-model", tag=there.tag, digest=model, references=(there,))
        both = have.plus(have[PushedImage].model_copy(update={"model_image": own}))
        return code, model, update.run(both, place.desk())

    def stand() -> tuple[str, str]:
        model = place.served.read("apps/model.yaml").strip().rpartition("@")[2]
        return place.stands().strip().rpartition("digest: ")[2], model

    old_code, old_model, first = pair(OLD)
    assert first.status == "committed"
    new_code, new_model, _ = pair(NEW)
    assert stand() == (new_code, new_model)
    *_, late = pair(MIDDLE)
    assert (late.status, stand()) == ("superseded", (new_code, new_model))

    have = made(place.image, NEW[0], new_code, NOW.isoformat())
    Rollback(destination=update.destination).run(have, place.desk())
    assert stand() == (old_code, old_model)
    *_, again = pair(NEW)
    assert (again.status, stand()) == ("superseded", (old_code, old_model))


@pytest.mark.parametrize("rounds", [4])
def test_a_race_of_processes_is_won_by_the_newer_build(place: Place, rounds: int) -> None:
    builds = {
        name: (commit, place.push((commit, hours)), hours)
        for name, (commit, hours) in {"old": OLD, "middle": MIDDLE, "new": NEW}.items()
    }
    for number in range(rounds):
        place.put("none-yet")
        names = list(builds) if number % 2 else list(reversed(builds))
        writers = [_writer(place, *builds[name], run=f"run-{number}-{name}") for name in names]
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
        results = {}
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.write("\n")
            writer.stdin.flush()
        for name, writer in zip(names, writers, strict=True):
            out, problem = writer.communicate(timeout=120)
            assert writer.returncode == 0, problem
            results[name] = json.loads(out)["status"]
        assert str(builds["new"][1]) in place.stands(), results
        assert results["new"] == "committed"


def _writer(place: Place, commit: str, digest: Digest, hours: int, run: str) -> "subprocess.Popen[str]":
    said = {
        "repository": place.image,
        "url": place.served.url,
        "path": PATH,
        "commit": commit,
        "digest": digest,
        "moment": (NOW + timedelta(hours=hours)).isoformat(),
        "run": run,
    }
    command = [sys.executable, "-m", "tests.support.delivering", json.dumps(said)]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, text=True, cwd=Path(__file__).parents[2], stdin=pipe, stdout=pipe, stderr=pipe
    )
