"""What a run for a pull or merge request may do: all that stays on this machine.

Nobody has accepted the change yet. Its run ends with a preview of the push and of the manifests; where the
job has no access even to look (a fork gets no secret), those stages are left out, and the reason is recorded.

The same holds for evidence: a scan whose database asks for a login that the job may not have is not done. The
run goes on, says so as a warning, and ends as incomplete; its exit code is 0, for the author can do nothing
about it, and nothing is published before the same stage has run for a branch, where its lack is an error.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pipeline.errors import LoginMissing, PipelineError
from pipeline.interface import Stage
from pipeline.model import (
    Artifact,
    AttestedImage,
    Check,
    Evidence,
    Level,
    ManifestUpdate,
    Problem,
    PushedImage,
    Reason,
    Skipped,
    Verdict,
)
from pipeline.plan import Answers, Plan

PUBLISHED: tuple[type[Artifact], ...] = (PushedImage, AttestedImage, ManifestUpdate)
"""What stages make that change something outside of this machine."""


@dataclass(frozen=True, slots=True)
class Reach:
    """The plan without the stages that are out of the job's reach, and why each of them is."""

    plan: Plan
    answers: Answers
    left_out: Mapping[str, Skipped]


def publishes(stage: Stage) -> bool:
    """Tell whether a stage changes something outside of this machine."""
    return issubclass(stage.gives, PUBLISHED)


def within_reach(plan: Plan, answers: Answers, proposal: str) -> Reach:
    """Return the plan up to the first publishing stage that cannot even look.

    A manifest that cannot be edited stays an error: it is the change that has to be mended.
    """
    for number, stage in enumerate(plan.stages):
        failed = [one for one in answers.by_stage.get(stage.name, ()) if not one.passed]
        if not publishes(stage) or not failed or any(one.problem is Problem.MANIFEST for one in failed):
            continue
        reason = _reason(proposal, failed)
        rest = {
            one.name: Skipped(stage=one.name, gives=one.gives.__name__, reason=reason)
            for one in plan.stages[number:]
        }
        known = {name: checks for name, checks in answers.by_stage.items() if name not in rest}
        return Reach(replace(plan, stages=plan.stages[:number]), replace(answers, by_stage=known), rest)
    return Reach(plan, answers, {})


def instead_of(stage: Stage, proposal: str | None, error: PipelineError) -> Skipped | None:
    """Return what stands for evidence that the job for a proposal has no login for; None where it should.

    What a stage has found all the same (`error.made`) is not given up: then it has failed.
    """
    lacking = isinstance(error, LoginMissing) and error.made is None
    if proposal is None or not lacking or not issubclass(stage.gives, Evidence):
        return None
    reason = f"out of reach of {proposal}: {error.message}"
    return Skipped(stage=stage.name, gives=stage.gives.__name__, reason=reason, out_of_reach=True)


def warning(left_out: Skipped) -> Verdict:
    """Return what is said of evidence that was out of reach: nobody's policy, but nobody may overlook it."""
    advice = "Nothing is delivered before it was done for a branch, whose jobs have the login."
    return Verdict(
        policy="reach",
        level=Level.WARN,
        reasons=(Reason(message=f"{left_out.stage} was not done: {left_out.reason}", advice=advice),),
    )


def _reason(proposal: str, failed: Sequence[Check]) -> str:
    told = "; ".join(f"{one.subject}: {one.found}" for one in failed)
    return f"out of reach of {proposal}: {told}"
