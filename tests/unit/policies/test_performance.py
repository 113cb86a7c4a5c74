"""What no benchmark passes with, however quick it was: wrong answers, failures, workers that were killed."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.model import BenchmarkReport, LoadResult, Resources, Sweep
from policies.load import load_policies
from tests.unit.policies.evidence import benchmark
from tests.unit.policies.test_rules import judge, messages


def load(**changes: Any) -> LoadResult:
    usual = LoadResult(
        shape="constant", rate_rps=20, duration_s=10, requests=200, errors=0, throughput_rps=19.9
    )
    return usual.model_copy(update=changes)


EIGHT = load(shape="closed", rate_rps=None, concurrency=8, throughput_rps=80.0)


def report(**changes: Any) -> BenchmarkReport:
    return benchmark().model_copy(update={"load": load(), **changes})


WRONG = {"errors": 3, "errors_by_kind": {"wrong answer": 3}, "wrong_answers": 3, "checked_answers": 20}


@pytest.mark.parametrize(
    ("made", "where"),
    [
        (report(load=load(**WRONG)), "20/s"),
        (report(further_loads=(EIGHT.model_copy(update=WRONG),)), "8 clients"),
        (
            report(sweep=Sweep(budget_p99_ms=9, best_rps=20, steps=(load(shape="poisson", **WRONG),))),
            "20/s at random",
        ),
    ],
)
def test_a_wrong_answer_is_refused_under_any_load_and_whatever_errors_may_be(
    made: BenchmarkReport, where: str
) -> None:
    rule = "rule: performance, maximum_error_share: 0.5"
    said = f"of the answers that were compared 3 of 20 with {where} are wrong; none may be"
    assert messages(f"{{{rule}}}", made) == [said]
    assert judge(f"{{{rule}, maximum_wrong_answers: 3}}", made).passed
    (fewer,) = messages(f"{{{rule}, maximum_wrong_answers: 2}}", made)
    assert fewer.endswith("at most 2 may be")


def test_a_load_that_was_asked_for_may_not_fail_and_a_sweep_goes_on_until_something_does() -> None:
    failing = {"errors": 4, "errors_by_kind": {"HTTP 500": 3, "timeout": 1}}
    made = report(further_loads=(EIGHT.model_copy(update=failing),))
    assert messages("{rule: performance}", made) == [
        "with 8 clients 4 of 200 requests failed (2.00%); at most 0.00% may: 3 HTTP 500, 1 timeout"
    ]
    assert judge("{rule: performance, maximum_error_share: 0.02}", made).passed
    swept = Sweep(budget_p99_ms=9, best_rps=20, steps=(load(**failing),))
    assert judge("{rule: performance}", report(sweep=swept)).passed


def test_a_worker_that_was_killed_for_its_memory_is_refused() -> None:
    made = report(resources=Resources(out_of_memory_kills=2))
    (said,) = messages("{rule: performance}", made)
    assert said == (
        "2 of the container's processes were killed for want of memory, while the server lived on; "
        "none may be"
    )
    assert judge("{rule: performance, maximum_memory_kills: 2}", made).passed
    assert judge("{rule: performance}", report(resources=Resources())).passed


@pytest.mark.parametrize(
    "more", [{"further_loads": (EIGHT,)}, {"sweep": Sweep(budget_p99_ms=50, best_rps=90.0)}]
)
def test_a_throughput_is_shown_by_any_load_or_a_sweep(more: dict[str, Any]) -> None:
    assert judge("{rule: performance, minimum_throughput_rps: 75}", report(**more)).passed
    (said,) = messages("{rule: performance, minimum_throughput_rps: 100}", report(**more))
    assert said.endswith("good answers/s; at least 100 are needed")


@pytest.mark.parametrize(
    ("shown", "requests", "passes"), [(49.6, 500, True), (48.0, 500, False), (48.4, 488, True)]
)
def test_a_load_that_was_answered_as_it_was_due_shows_the_rate_that_was_asked_for(
    shown: float, requests: int, passes: bool
) -> None:
    """Its last answers come after its end, and a load at random has a few requests more or fewer."""
    made = load(rate_rps=50, requests=requests, throughput_rps=shown)
    rule = "{rule: performance, minimum_throughput_rps: 50}"
    told = benchmark().model_copy(update={"rate_rps": 50, "throughput_rps": shown, "load": made})
    assert judge(rule, told).passed is passes
    failing = told.model_copy(update={"load": made.model_copy(update={"errors": 1})})
    assert not judge(rule, failing).passed


def test_the_packs_of_ours_refuse_wrong_answers() -> None:
    for pack in ("baseline", "production"):
        made = report(further_loads=(EIGHT.model_copy(update={**WRONG, "errors": 0}),))
        judges = [each for each in load_policies(pack, Path()) if each.judges is BenchmarkReport]
        refused = [reason.message for each in judges for reason in each.judge(made).reasons]
        assert len([told for told in refused if "3 of 20 with 8 clients are wrong" in told]) == 1
