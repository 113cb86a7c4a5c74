"""The proof in a delivery: of a blobless fetch, before every push, in the record, and in the plan."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import ManifestRefused
from pipeline.model import Problem, PushedImage, PushedReference, Source
from pipeline.reference import Digest, Repository, Tag
from stages.gitops.destination import Destination
from stages.manifests.editing import EditedFile
from stages.manifests.interface import Target
from stages.manifests.proof import Mode
from stages.manifests.tree import Tree
from stages.update import Update
from tests.support.git_server import GitServer
from tests.support.git_server import Repository as ServedRepository

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("credentials", "kubectl")]

CreateRepository = Callable[[Path | None], ServedRepository]
NAME = Repository("registry.example.com/team/digits")
COMMIT = "4f9c1d2e8a7b6c5d4e3f2a1b0c9d8e7f6a5b4c3d"
POD = "apiVersion: v1\nkind: Pod\nmetadata: {{name: digits}}\n"
POD += "spec: {{containers: [{{name: a, image: '{}:v1'}}]}}\n"


@pytest.fixture
def credentials(git_server: GitServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pipeline's user and password."""
    monkeypatch.setenv("GITOPS_USERNAME", git_server.username)
    monkeypatch.setenv("GITOPS_PASSWORD", git_server.password)


def overlay(create: CreateRepository, folder: Path, deployed: str) -> ServedRepository:
    """Return a repository with an overlay that sets our image, and a base that names another one, or it."""
    files = {
        "apps/digits/base/kustomization.yaml": "resources: [pod.yaml, link.yaml]\n",
        "apps/digits/base/pod.yaml": POD.format(deployed),
        "apps/digits/production/kustomization.yaml": (
            f"resources: [../base]\nimages:\n- name: {NAME}\n  newTag: v1\n"
        ),
        "shared/settings.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\n",
        "apps/other/broken.yaml": "{",
    }
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    (folder / "apps/digits/base/link.yaml").symlink_to("../../../shared/settings.yaml")
    return create(folder)


def update(remote: ServedRepository, proof: Mode = "auto") -> Update:
    return Update(
        destination=Destination(
            image="digits",
            repositories=(NAME,),
            repository=remote.url,
            targets=(Target(path="apps/digits/production"),),
            order="ignore",
            proof=proof,
        )
    )


def made() -> Artifacts:
    digest, tag = Digest.of(b"new"), Tag(COMMIT)
    pushed = PushedReference(repository=NAME, tag=tag, digest=digest, tag_existed=False, duration_s=1.0)
    return Artifacts(
        Source(root=Path(), commit=COMMIT, committed_at=datetime.now(UTC)),
        PushedImage(name="digits", tag=tag, digest=digest, references=(pushed,)),
    )


def desk(folder: Path) -> Desk:
    folder.mkdir(exist_ok=True)
    return Desk(folder=folder, cache=folder, run_name="20261122-080000-4f9c1d2e")


def test_a_commit_is_proved_from_the_few_files_that_it_needs(
    create_repository: CreateRepository, tmp_path: Path
) -> None:
    remote = overlay(create_repository, tmp_path / "content", NAME)
    stage = update(remote)
    assert all(check.passed for check in stage.check(desk(tmp_path / "check")))
    found = stage.run(made(), desk(tmp_path / "run"))
    assert found.status == "committed"
    (proof,) = found.proofs
    assert (proof.how, proof.folder) == ("kustomize", "apps/digits/production")
    assert (proof.documents, proof.changed, proof.note) == (2, 1, "")
    assert not list((tmp_path / "run").glob("proof-*"))


def test_a_failing_proof_stops_the_commit_and_the_plan_finds_it(
    create_repository: CreateRepository, tmp_path: Path
) -> None:
    remote = overlay(create_repository, tmp_path / "content", "registry.example.com/team/numbers")
    head = remote.head()
    failed = [check for check in update(remote).check(desk(tmp_path / "check")) if not check.passed]
    assert [(check.subject, check.problem) for check in failed] == [
        ("proof of apps/digits/production", Problem.MANIFEST)
    ]
    with pytest.raises(ManifestRefused, match="changes nothing that Kustomize renders"):
        update(remote).run(made(), desk(tmp_path / "run"))
    assert remote.head() == head
    assert update(remote, "off").run(made(), desk(tmp_path / "off")).proofs == ()
    assert remote.head() != head


def test_others_who_commit_meanwhile_cost_no_second_rendering(
    create_repository: CreateRepository, tmp_path: Path
) -> None:
    remote = overlay(create_repository, tmp_path / "content", NAME)
    moved = 0

    place = desk(tmp_path / "run")
    stage = update(remote)
    offers = stage._made(made()[PushedImage], dry_run=False)
    edit = stage.destination.edit(
        stage.destination.wishes(offers),
        stage._key(made()[Source], place),
        place,
        is_ancestor=lambda *_: None,
    )

    def interrupted(tree: Tree) -> tuple[EditedFile, ...]:
        nonlocal moved
        files = edit(tree)
        if not moved:
            moved += 1
            (tmp_path / "content/README").write_text("hello")
            remote.commit(tmp_path / "content", "Meanwhile")
        return files

    landing = stage.destination.git_branch().land(interrupted, "Update\n", place)
    assert (landing.commit is not None, landing.attempts) == (True, 2)
    assert (place.folder / "proof.log").read_text().count("kustomiz") == 2
