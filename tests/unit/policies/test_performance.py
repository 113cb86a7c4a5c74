"""What no benchmark passes with, however quick it was: wrong answers, failures, workers that were killed."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.model import BenchmarkReport, Latency, LoadResult, Resources, Sweep, TokenTimes
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


TOKENS = TokenTimes(
    tokens=1600,
    tokens_per_s=52.4,
    first_token=Latency(p50_ms=100, p95_ms=200, p99_ms=300, max_ms=400, mean_ms=110),
    per_token=Latency(p50_ms=10, p95_ms=20, p99_ms=30, max_ms=40, mean_ms=11),
    request_tokens_per_s=27.1,
    counted_by="usage",
)


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        (
            "maximum_first_token_p99_ms: 299",
            "the first token takes 300.0 ms (p99); at most 299 ms is allowed",
        ),
        ("maximum_token_p99_ms: 29", "each further token takes 30.0 ms (p99); at most 29 ms is allowed"),
        ("minimum_tokens_per_s: 53", "52.4 tokens/s; at least 53 are needed"),
    ],
)
def test_a_language_model_has_budgets_of_its_own(budget: str, said: str) -> None:
    made = report(load=load(tokens=TOKENS))
    assert messages(f"{{rule: performance, {budget}}}", made) == [said]
    wide = "maximum_first_token_p99_ms: 300, maximum_token_p99_ms: 30, minimum_tokens_per_s: 52.4"
    assert judge(f"{{rule: performance, {wide}}}", made).passed
    more = EIGHT.model_copy(update={"tokens": TOKENS.model_copy(update={"tokens_per_s": 80})})
    further = made.model_copy(update={"further_loads": (more,)})
    assert judge("{rule: performance, minimum_tokens_per_s: 53}", further).passed


def test_a_budget_of_tokens_is_not_kept_by_what_has_none() -> None:
    for budget in ("maximum_first_token_p99_ms: 5", "maximum_token_p99_ms: 5"):
        (said,) = messages(f"{{rule: performance, {budget}}}", report())
        assert said.endswith("token was not timed; the budget is 5 ms")
    assert messages("{rule: performance, minimum_tokens_per_s: 1}", report()) == [
        "0.0 tokens/s; at least 1 are needed"
    ]


def test_the_packs_of_ours_refuse_wrong_answers() -> None:
    for pack in ("baseline", "production"):
        made = report(further_loads=(EIGHT.model_copy(update={**WRONG, "errors": 0}),))
        judges = [each for each in load_policies(pack, Path()) if each.judges is BenchmarkReport]
        refused = [reason.message for each in judges for reason in each.judge(made).reasons]
        assert len([told for told in refused if "3 of 20 with 8 clients are wrong" in told]) == 1
