"""What recorded runs have made: found by name, file or digest, and trusted for no other image."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline import stored
from pipeline.errors import ConfigurationError
from pipeline.model import ManifestUpdate, PushedImage, PushedReference, Source
from pipeline.record import FILE_NAME, Record, Runs, StageRecord, Status
from pipeline.reference import Digest, Repository, Tag
from tests.unit.pipeline.conftest import REPORT
from tests.unit.policies import evidence

MOMENT = datetime(2026, 11, 22, tzinfo=UTC)
REPOSITORY = Repository("registry.example.com/team/digits")


def image(digest: Digest, *, pushed: bool = True) -> PushedImage:
    reference = PushedReference(
        repository=REPOSITORY, tag=Tag("1"), digest=digest, tag_existed=False, duration_s=1
    )
    return PushedImage(name="digits", tag=Tag("1"), digest=digest, references=(reference,) if pushed else ())


def stage(name: str, made: object) -> StageRecord:
    assert isinstance(made, PushedImage | ManifestUpdate | type(REPORT) | type(evidence.image()))
    return StageRecord(
        name=name, gives=type(made).__name__, status=Status.PASSED, artifact=made.model_dump(mode="json")
    )


def keep(runs: Runs, name: str, *stages: StageRecord) -> Record:
    source = Source(root=Path("/tmp"), commit="a" * 40, committed_at=MOMENT)  # noqa: S108 - never looked at
    record = Record(run=name, started_at=MOMENT, source=source, stages=stages)
    folder = runs.create(name)
    (folder / FILE_NAME).write_text(record.model_dump_json())
    return record


ONE, OTHER = Digest.of(b"one"), Digest.of(b"other")


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    made = Runs(tmp_path)
    keep(made, "2026-1", stage("push", image(ONE)))
    keep(made, "2026-2", stage("push", image(OTHER)))
    keep(made, "2026-3", stage("push", image(ONE, pushed=False)))
    return made


def test_a_run_is_found_by_the_beginning_of_its_name_or_its_file(runs: Runs) -> None:
    assert stored.by_name(runs, "2026-2").run == "2026-2"
    assert stored.by_name(runs, str(runs.path("2026-1"))).run == "2026-1"
    assert stored.by_name(runs, None).run == "2026-3"
    with pytest.raises(ConfigurationError, match="no run called '1999'") as caught:
        stored.by_name(runs, "1999")
    assert "2026-3" in caught.value.advice


def test_a_beginning_that_several_runs_have_names_none_of_them(runs: Runs) -> None:
    with pytest.raises(ConfigurationError, match="3 runs begin with '2026-': 2026-3, 2026-2, 2026-1"):
        stored.by_name(runs, "2026-")
    keep(runs, "2026-10")
    assert stored.by_name(runs, "2026-1").run == "2026-1"  # the whole name of one


def test_what_goes_back_is_a_run_that_pushed_and_never_the_rollback_itself(runs: Runs) -> None:
    keep(runs, "2026-22", stage("rollback", ManifestUpdate(status="committed")))
    assert stored.delivery(runs, "2026-2").run == "2026-2"
    assert stored.delivery(runs, "latest").run == "2026-2"
    with pytest.raises(ConfigurationError, match="2 runs begin with '2026-': 2026-2, 2026-1"):
        stored.delivery(runs, "2026-")
    keep(runs, "2026-4", stage("push", image(ONE)))
    runs.path("2026-2").unlink()
    assert stored.delivery(runs, "2026-").run == "2026-4"  # all that is left has one digest
    with pytest.raises(ConfigurationError, match="no run called '1999'"):
        stored.delivery(runs, "1999")


def test_a_digest_that_is_cut_off_is_no_name_of_a_run() -> None:
    assert stored.digest_of(str(ONE)) == ONE
    assert stored.digest_of("20261122T0801") is None
    with pytest.raises(ConfigurationError, match="'sha256:1234': a digest is sha256: and 64 digits"):
        stored.digest_of("sha256:1234")


def test_an_image_is_found_by_its_digest_where_it_was_pushed(runs: Runs) -> None:
    found = stored.by_digest(runs, ONE)
    assert found is not None
    assert found.run == "2026-1"  # the newer one was a dry run
    assert stored.by_digest(runs, Digest.of(b"never")) is None


def test_a_broken_record_hides_no_other(runs: Runs) -> None:
    runs.path("2026-2").write_text("{")
    assert stored.by_digest(runs, ONE) is not None


def test_the_newest_image_may_be_one_that_was_only_built(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    with pytest.raises(ConfigurationError, match="has built an image"):
        stored.newest_image(runs)
    keep(runs, "1", stage("build", evidence.image()))
    keep(runs, "2", stage("test", REPORT))
    source, found = stored.newest_image(runs)
    assert (source.commit, found.digest, found.references) == ("a" * 40, evidence.image().digest, ())


def test_evidence_is_of_this_image_or_refused(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    built = evidence.image()
    update = ManifestUpdate(status="committed")
    whole = keep(
        runs,
        "1",
        stage("test", REPORT),
        stage("build", built),
        stage("push", image(built.digest)),
        stage("update", update),
    )
    found = stored.evidence(whole, built.digest)
    assert [(one.name, type(one.made)) for one in found] == [
        ("test", type(REPORT)),
        ("build", type(built)),
        ("push", PushedImage),
    ]
    with pytest.raises(ConfigurationError, match="its build is of") as caught:
        stored.evidence(whole, OTHER)
    assert "artifact of the CI job" in caught.value.advice
    with pytest.raises(ConfigurationError, match="no record tells how"):
        stored.evidence(None, ONE)
    with pytest.raises(ConfigurationError, match="has pushed nothing"):
        stored.evidence(keep(runs, "2", stage("test", REPORT)), ONE)


@pytest.mark.parametrize("name", [None, "latest", "20261122T12"])
def test_the_newest_run_is_called_latest_wherever_a_run_is_named(tmp_path: Path, name: str | None) -> None:
    runs = Runs(tmp_path)
    for run in ("20261122T100000.000Z", "20261122T120000.000Z", "20261122T110000.000Z"):
        keep(runs, run)
    assert stored.by_name(runs, name).run == "20261122T120000.000Z"
