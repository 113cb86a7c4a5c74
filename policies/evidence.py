"""Is all the evidence there, or was a stage left out that must not be?"""

from typing import ClassVar, Literal

from pipeline.model import Artifact, Reason, Skipped, Verdict
from policies.rule import Rule


class SkippedRule(Rule):
    """Only some stages may be left out, and only for a stated reason."""

    rule: Literal["skipped"]
    allowed: tuple[str, ...] = ()
    """Names of the stages that may be left out."""

    judges: ClassVar[type[Artifact]] = Skipped

    def judge(self, artifact: Skipped) -> Verdict:
        """Return the verdict on a stage that was left out."""
        stated = f"{artifact.stage} was left out: {artifact.reason.strip() or 'no reason given'}"
        if artifact.stage in self.allowed and artifact.reason.strip():
            return self.verdict((), stated)
        may = (
            f"only {', '.join(self.allowed)} may be left out" if self.allowed else "no stage may be left out"
        )
        reason = Reason(
            message=f"{stated}; {may}",
            advice=f"Remove `skip.{artifact.stage}` from pipeline.yaml so that the stage runs.",
        )
        return self.verdict((reason,), stated)
