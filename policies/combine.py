"""Several policies as one; what each of them found is kept."""

from dataclasses import dataclass
from typing import Any

from pipeline.interface import Case, Policy, WideView
from pipeline.model import Artifact, Level, Reason, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class _Combination:
    """Policies over one type of artifact; the level is that of the combination, not of its parts."""

    policies: tuple[Policy, ...]
    judges: type[Artifact] | tuple[type[Artifact], ...]
    level: Level = Level.ENFORCE
    origin: str = ""
    name: str = ""

    def judge(self, artifact: Any) -> Verdict:
        """Return one verdict on an artifact of which nothing else is known."""
        return self.judge_in(artifact, Case.alone(artifact))

    def judge_in(self, artifact: Any, case: Case) -> Verdict:
        """Return one verdict; without any policy, nothing is accepted."""
        verdicts = [_ask(policy, artifact, case) for policy in self.policies]
        empty = Reason(
            message=f"{self.name} has no rules, so it accepts nothing", advice="Write rules, or remove it."
        )
        return Verdict(
            policy=self.name,
            level=self.level,
            reasons=self._reasons(verdicts) if verdicts else (empty,),
            summary="; ".join(verdict.summary for verdict in verdicts if verdict.passed),
            notes=tuple(note for verdict in verdicts for note in verdict.notes),
            accepted=tuple(dict.fromkeys(one for verdict in verdicts for one in verdict.accepted)),
            origin=self.origin,
        )

    def _reasons(self, verdicts: list[Verdict]) -> tuple[Reason, ...]:
        return tuple(reason for verdict in verdicts for reason in verdict.reasons)


@dataclass(frozen=True, slots=True, kw_only=True)
class AllOf(_Combination):
    """Every policy has to accept; the reasons of all are kept."""

    name: str = "all_of"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyOf(_Combination):
    """One policy has to accept; where none does, the reasons of all are kept."""

    name: str = "any_of"

    def _reasons(self, verdicts: list[Verdict]) -> tuple[Reason, ...]:
        if any(verdict.passed for verdict in verdicts):
            return ()
        return tuple(reason for verdict in verdicts for reason in verdict.reasons)


def _ask(policy: Policy, artifact: Any, case: Case) -> Verdict:
    return policy.judge_in(artifact, case) if isinstance(policy, WideView) else policy.judge(artifact)
