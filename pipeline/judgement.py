"""Who judges what: every policy the artifacts of its own types."""

from datetime import datetime

from pipeline.artifacts import Artifacts
from pipeline.interface import Case, Policy, WideView
from pipeline.model import Artifact, Skipped, Verdict
from pipeline.proposal import warning


def judge(
    made: Artifact, policies: tuple[Policy, ...], *, have: Artifacts, now: datetime
) -> tuple[Verdict, ...]:
    """Return the verdict of every policy that judges this type of artifact.

    What was out of reach was nobody's decision: the policies judge what the delivery makes in its place.
    """
    if isinstance(made, Skipped) and made.out_of_reach:
        return (warning(made),)
    case = Case(have=have.plus(made), now=now)
    return tuple(verdict(policy, made, case) for policy in policies if isinstance(made, policy.judges))


def verdict(policy: Policy, made: Artifact, case: Case) -> Verdict:
    """Return the verdict of one policy, which sees as much of the case as it asks for."""
    return policy.judge_in(made, case) if isinstance(policy, WideView) else policy.judge(made)
