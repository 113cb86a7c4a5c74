"""Several policies as one; what each of them found is kept."""

from dataclasses import dataclass
from typing import Any

from pipeline.interface import Policy
from pipeline.model import Artifact, Level, Reason, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class _Combination:
    """Policies over one type of artifact; the level is that of the combination, not of its parts."""

    policies: tuple[Policy, ...]
    judges: type[Artifact]
    level: Level = Level.ENFORCE
    origin: str = ""

    def _verdict(
        self, name: str, reasons: tuple[Reason, ...], passed: list[Verdict], told: list[Verdict]
    ) -> Verdict:
        return Verdict(
            policy=name,
            level=self.level,
            reasons=reasons,
            summary="; ".join(verdict.summary for verdict in passed),
            notes=tuple(note for verdict in told for note in verdict.notes),
            origin=self.origin,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AllOf(_Combination):
    """Every policy has to accept; without any, nothing is accepted."""

    name: str = "all_of"

    def judge(self, artifact: Any) -> Verdict:
        """Return one verdict with the reasons of all."""
        verdicts = [policy.judge(artifact) for policy in self.policies]
        reasons = tuple(reason for verdict in verdicts for reason in verdict.reasons)
        return self._verdict(self.name, reasons if verdicts else (_empty(self.name),), verdicts, verdicts)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyOf(_Combination):
    """One policy has to accept; without any, nothing is accepted."""

    name: str = "any_of"

    def judge(self, artifact: Any) -> Verdict:
        """Return a passed verdict if one policy accepts, and otherwise the reasons of all."""
        verdicts = [policy.judge(artifact) for policy in self.policies]
        passed = [verdict for verdict in verdicts if verdict.passed]
        reasons = tuple(reason for verdict in verdicts for reason in verdict.reasons)
        if passed:
            return self._verdict(self.name, (), passed, verdicts)
        return self._verdict(self.name, reasons if verdicts else (_empty(self.name),), [], verdicts)


def _empty(name: str) -> Reason:
    return Reason(message=f"{name} has no rules, so it accepts nothing", advice="Write rules, or remove it.")
