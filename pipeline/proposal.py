"""What a run for a pull or merge request may do: all that stays on this machine.

Nobody has accepted the change yet. Its run ends with a preview of the push and of the manifests; where the
job has no access even to look (a fork gets no secret), those stages are left out, and the reason is recorded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pipeline.interface import Stage
from pipeline.model import Artifact, AttestedImage, Check, ManifestUpdate, Problem, PushedImage, Skipped
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


def _reason(proposal: str, failed: Sequence[Check]) -> str:
    told = "; ".join(f"{one.subject}: {one.found}" for one in failed)
    return f"out of reach of {proposal}: {told}"
