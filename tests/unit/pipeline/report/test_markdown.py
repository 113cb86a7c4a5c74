import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.model import (
    Artifact,
    CaseCounts,
    CaseFailure,
    ChangeRequest,
    FileChange,
    Level,
    ManifestUpdate,
    PushedImage,
    PushedReference,
    Reason,
    Source,
    SuiteReport,
    Verdict,
)
from pipeline.record import Failure, Record, Setting, StageRecord, Status
from pipeline.reference import Digest, Repository, Tag
from pipeline.report.annotate import annotations
from pipeline.report.markdown import MOST_COMMENT_CHARACTERS, comment, summary
from pipeline.report.outputs import outputs
from tests.unit.policies.evidence import image

PATH = Path("/builds/x/.pipeline/runs/1/record.json")
NASTY = "| <img src=x> @everyone closes #1 </details> ``` ![x](http://x)\n# heading\x1b[2J"
BEGAN = datetime(2026, 11, 22, 10, tzinfo=UTC)


def stage(name: str, made: Artifact | None = None, **changes: object) -> StageRecord:
    """Return a stage that passed, unless it is changed."""
    artifact = made.model_dump(mode="json") if made is not None else None
    gives = type(made).__name__ if made is not None else "Artifact"
    entry = StageRecord(name=name, gives=gives, status=Status.PASSED, artifact=artifact)
    return entry.model_copy(update={"started_at": BEGAN, "duration_s": 1.5, **changes})


def record(*stages: StageRecord, **changes: object) -> Record:
    source = Source(root=Path("/builds/x"), commit="a" * 40, committed_at=BEGAN)
    made = Record(run="1", started_at=BEGAN, stages=stages, status=Status.PASSED, source=source)
    return made.model_copy(update={"finished_at": BEGAN + timedelta(seconds=9), **changes})


def suite(message: str = "assert 1 == 2") -> SuiteReport:
    return SuiteReport(
        command=("pytest",),
        exit_code=1,
        duration_s=1,
        counts=CaseCounts(total=2, passed=1, failed=1, errors=0, skipped=0),
        failures=(CaseFailure(name=f"test_{message}", message=message, file="tests/test_a.py", line=7),),
    )


def delivered() -> Record:
    repository = Repository("ghcr.io/team/digits")
    digest = Digest.of(b"manifest")
    pushed = PushedReference(
        repository=repository,
        tag=Tag("v1"),
        tags=(Tag("latest"),),
        digest=digest,
        tag_existed=False,
        duration_s=1,
    )
    update = ManifestUpdate(
        status="committed",
        commit="c" * 40,
        branch=NASTY,
        files=(FileChange(path=NASTY, fields=(), diff="-a\n+````\n+b\n"),),
        request=ChangeRequest(number=3, url="https://example.com/3", state="open", opened=True, branch="x"),
    )
    return record(
        stage("build", image()),
        stage("push", PushedImage(name="digits", tag=Tag("v1"), digest=digest, references=(pushed,))),
        stage("update", update),
    )


def verdict(level: Level, origin: str = "", message: str = "too many") -> Verdict:
    return Verdict(
        policy="limit", level=level, reasons=(Reason(message=message, advice="mend"),), origin=origin
    )


def test_a_delivery_says_what_went_where() -> None:
    text = summary(delivered(), PATH)
    assert text.startswith("### ✅ digits <code>aaaaaaaaaaaa</code>: passed")
    assert "| **digest** | <code>sha256:" in text
    assert "| **application** | 21.0 MB in layers of its own |" in text
    assert "| **model** | 105 MB |" in text
    assert "| ✅ | build | 1.5 s | passed |" in text
    assert "`````diff\n-a\n+````\n+b\n`````" in text


def test_refusals_come_first_and_warnings_after_them() -> None:
    verdicts = (verdict(Level.WARN, message="warned of"), verdict(Level.ENFORCE, "rules.yaml:3", NASTY))
    text = summary(
        record(stage("scan", verdicts=verdicts, status=Status.REFUSED), status=Status.REFUSED), PATH
    )
    order = [text.index(word) for word in ("**scan refused**", "**scan warning**", "| | stage |")]
    assert order == sorted(order)
    assert "<code>rules.yaml:3</code>" in text
    assert "| 1 refused |" in text


@pytest.mark.parametrize("render", [summary, comment])
def test_hostile_names_stay_text(render: object) -> None:
    failure = Failure(kind="StageFailed", message=NASTY, advice=NASTY, tail=NASTY, exit_code=1)
    verdicts = (verdict(Level.ENFORCE, NASTY, NASTY),)
    hostile = record(stage("test", suite(NASTY), verdicts=verdicts), *delivered().stages, failure=failure)
    text = summary(hostile, PATH) if render is summary else comment(hostile, PATH)
    outside = re.sub(r"^(`{3,}).*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    outside = re.sub(r"<code>[^<\n]*</code>", "", outside)  # in code nothing is a reference
    assert not re.search(r"<img|@everyone|#1|!\[|\x1b|^# ", outside, re.MULTILINE)
    assert outside.count("<details>") == outside.count("</details>")
    assert "\x1b" not in text


def test_the_chart_has_a_bar_for_each_stage_that_ran() -> None:
    ran = stage("te:st;#1", status=Status.FAILED, started_at=BEGAN + timedelta(seconds=2))
    text = summary(record(ran, stage("push", status=Status.PLANNED, started_at=None, duration_s=None)), PATH)
    assert "  te_st__1 :crit, 2000, 3500\n```" in text


def test_a_comment_stays_within_what_a_comment_may_hold() -> None:
    diff = "+x\n" * 100_000
    files = tuple(FileChange(path=f"{n}.yaml", fields=(), diff=diff) for n in range(3))
    verdicts = tuple(verdict(Level.ENFORCE, message="y" * 3000) for _ in range(60))
    update = ManifestUpdate(status="preview", files=files)
    long = record(stage("scan", verdicts=verdicts), stage("update", update))
    assert len(comment(long, PATH)) < 65_536
    assert comment(long, PATH).startswith("_Shortened: ")  # where no cut part can hide it
    assert len(comment(record(stage("update", update)), PATH)) < MOST_COMMENT_CHARACTERS
    assert "too long to be shown" in comment(record(stage("update", update)), PATH)


def test_outputs_are_for_programs() -> None:
    told = outputs(delivered(), PATH)
    digest = str(Digest.of(b"manifest"))
    assert told == {
        "verdict": "passed",
        "digest": digest,
        "image": f"ghcr.io/team/digits@{digest}",
        "tags": "v1\nlatest",
        "commit": "c" * 40,
        "pull-request": "https://example.com/3",
        "record": str(PATH),
        "sarif": "",
    }


def test_outputs_of_a_promotion_are_of_the_environment_that_it_reached() -> None:
    pushed = next(made for made in delivered().made() if isinstance(made, PushedImage))
    there = f"ghcr.io/team/prod@{pushed.digest}"
    update = ManifestUpdate(status="committed", commit="c" * 40, image=there)
    told = outputs(record(stage("push", pushed), stage("promote", update)), PATH)
    assert (told["image"], told["digest"], told["tags"]) == (there, str(pushed.digest), "v1")
    only_shown = ManifestUpdate(status="preview")
    assert outputs(record(stage("push", pushed), stage("promote", only_shown)), PATH)["image"] == ""


def test_of_a_run_that_made_nothing_only_the_verdict_is_known() -> None:
    told = outputs(record(status=Status.REFUSED), PATH)
    assert {name for name, value in told.items() if value} == {"verdict", "record"}
    assert told["verdict"] == "refused"


def test_a_failed_test_is_an_annotation_at_its_line_and_said_once() -> None:
    failure = Failure(kind="StageFailed", message="1 of 2 tests failed", exit_code=1)
    (found,) = annotations(record(stage("test", suite(), status=Status.FAILED), failure=failure))
    assert (found.level, found.file, found.line) == ("error", "/builds/x/tests/test_a.py", 7)
    assert found.message == "test_assert 1 == 2: assert 1 == 2"


@pytest.mark.parametrize(
    ("origin", "place"),
    [
        ("rules/ours.yaml:3", ("/builds/x/rules/ours.yaml", 3)),
        ("pack baseline:12", ("/builds/x/pipeline.yaml", 9)),
        ("", ("/builds/x/pipeline.yaml", 9)),
    ],
)
def test_a_refusal_stands_at_the_rule_or_where_the_pack_was_chosen(
    origin: str, place: tuple[str, int]
) -> None:
    settings = (Setting(key="policies", value="baseline", origin="pipeline.yaml:9"),)
    verdicts = (verdict(Level.WARN, origin), verdict(Level.ENFORCE, origin))
    found = annotations(record(stage("scan", verdicts=verdicts), configuration=settings))
    assert [one.level for one in found] == ["error", "warning"]
    assert {(one.file, one.line) for one in found} == {place}


def test_each_mistake_in_the_configuration_stands_at_its_own_line() -> None:
    message = "two mistakes\n  pipeline.yaml:2: registres: unknown key\n  pipeline.yaml:5: image: wrong"
    failure = Failure(kind="ConfigurationError", message=message, exit_code=2)
    assert [one.line for one in annotations(record(failure=failure))] == [2, 5]


def test_a_manifest_that_is_refused_stands_at_its_target() -> None:
    failure = Failure(kind="ManifestRefused", message="apps/x: names no such image", exit_code=8)
    settings = (Setting(key="update.targets", value=[], origin="pipeline.yaml:14"),)
    (found,) = annotations(record(failure=failure, configuration=settings))
    assert (found.file, found.line) == ("/builds/x/pipeline.yaml", 14)


def test_a_run_that_was_stopped_has_nothing_to_annotate() -> None:
    failure = Failure(kind="Interrupted", message="interrupted", exit_code=130)
    assert annotations(record(failure=failure)) == ()
