import pytest

from pipeline.errors import ConfigurationError, DiskFull, PipelineError, RemoteError, ToolMissing
from pipeline.model import Check, Problem, Source
from pipeline.plan import Plan, make_plan, missing
from tests.unit.pipeline.conftest import Make, Measure


def plan(source: Source, until: str | None = None, **skip: str) -> Plan:
    return make_plan(source=source, stages=(Measure(), Make()), skip=skip, policies=(), until=until)


def test_stages_keep_their_order(source: Source) -> None:
    assert [stage.name for stage in plan(source).working] == ["measure", "make"]


def test_until_leaves_out_what_comes_later(source: Source) -> None:
    assert [stage.name for stage in plan(source, until="measure").stages] == ["measure"]


def test_evidence_may_be_left_out_for_a_reason(source: Source) -> None:
    made = plan(source, measure=" at night ")
    assert [stage.name for stage in made.working] == ["make"]
    assert made.skipped["measure"].reason == "at night"


def test_a_stage_is_not_left_out_without_a_reason(source: Source) -> None:
    with pytest.raises(ConfigurationError, match=r"skip\.measure: a stage is left out only with a reason"):
        plan(source, measure=" ")


def test_a_stage_whose_product_is_needed_cannot_be_left_out(source: Source) -> None:
    with pytest.raises(ConfigurationError, match="make needs SuiteReport, which no earlier stage"):
        make_plan(source=source, stages=(Make(), Measure()), skip={}, policies=())


def test_an_unknown_stage_is_answered_with_the_nearest(source: Source) -> None:
    with pytest.raises(ConfigurationError) as caught:
        plan(source, until="mesure")
    assert "Did you mean 'measure'?" in caught.value.advice


@pytest.mark.parametrize(
    ("problems", "kind"),
    [
        ([Problem.REMOTE], RemoteError),
        ([Problem.REMOTE, Problem.TOOL], ToolMissing),
        ([Problem.DISK, Problem.CONFIGURATION], ConfigurationError),
        ([Problem.DISK], DiskFull),
    ],
)
def test_everything_missing_is_listed_and_the_first_to_mend_decides(
    problems: list[Problem], kind: type[PipelineError]
) -> None:
    checks = [
        Check(subject=f"thing {n}", found="gone", problem=p, advice="get it") for n, p in enumerate(problems)
    ]
    error = missing([Check(subject="git", found="2.39"), *checks])
    assert type(error) is kind
    assert all(f"thing {number}: gone" in error.message for number in range(len(problems)))
    assert error.advice == "get it"


def test_each_missing_thing_is_followed_by_what_mends_it() -> None:
    said = (("secret", "set it"), ("registry", "log in"), ("other registry", "log in"), ("git", ""))
    error = missing(
        [Check(subject=name, found="gone", problem=Problem.REMOTE, advice=advice) for name, advice in said]
    )
    assert error is not None
    assert error.message.splitlines() == [
        "4 things are missing, nothing was started",
        "  - secret: gone",
        "      set it",
        "  - registry: gone",
        "  - other registry: gone",
        "      log in",
        "  - git: gone",
    ]


def test_nothing_missing_is_no_error() -> None:
    assert missing([Check(subject="git", found="2.39")]) is None
