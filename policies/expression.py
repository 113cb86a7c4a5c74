"""The escape hatch: one expression in CEL over all evidence, for what no rule can say."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import StringConstraints

from pipeline.errors import ConfigurationError
from pipeline.interface import Case
from pipeline.model import Artifact, Level, Reason, Verdict
from policies import cel
from policies.rule import Entry, Word

Expression = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]


class ExpressionRule(Entry):
    """Refuse what an expression in CEL (https://cel.dev) holds for."""

    rule: Literal["expression"]
    deny: Expression
    """What must not be so: an expression of `source`, `suite`, `image`, `scan`, `benchmark`, `push`, `update`
    and `now`. It is judged as soon as the last of those that it names is made."""
    message: Word | None = None
    """What to say then; default: the expression. What was measured is said in any case."""
    advice: Word | None = None
    """What mends it."""

    why: ClassVar[str] = (
        "Every organisation has a rule that nobody else has. Fields and types are checked when the "
        "configuration is read; what cannot be evaluated, since a value is missing, say, is refused; an "
        "expression that would take too many steps is stopped and refused. It needs the extra `cel`."
    )
    example: ClassVar[str] = """\
rule: expression
id: big-images-are-quick
deny: image.size_bytes > 8e9 && benchmark.cold_start.ready_ms > 60000
message: an image of more than 8 GB has to be ready within a minute
advice: Load the weights lazily, or use a smaller model.
"""
    remedy: ClassVar[str] = (
        "Whoever wrote the expression knows; its `advice` should say so. A value that may be missing is "
        "asked for with `has(benchmark.latency) && benchmark.latency.p99_ms > 80.0`."
    )
    exception: ClassVar[str] = "deny: … && image.name != 'this-one'"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpressionPolicy:
    """An expression that was checked, and where it stands."""

    rule: ExpressionRule
    program: cel.Program
    origin: str = ""

    @property
    def name(self) -> str:
        """The name in the pack and in the verdict."""
        return self.rule.id or self.rule.rule

    @property
    def level(self) -> Level:
        """What follows where it holds."""
        return self.rule.level

    @property
    def judges(self) -> type[Artifact]:
        """The evidence of the expression that is made last."""
        return self.program.judges

    def judge(self, artifact: Artifact) -> Verdict:
        """Return the verdict on an artifact of which nothing else is known."""
        return self.judge_in(artifact, Case.alone(artifact))

    def judge_in(self, artifact: Artifact, case: Case) -> Verdict:
        """Return the verdict on all that the expression names; what cannot be evaluated is refused."""
        del artifact
        denied, problem = self.program.holds(case)
        reasons: tuple[Reason, ...] = ()
        if problem:
            message = f"`{self.rule.deny}` cannot be evaluated ({problem}); it has to be false"
            advice = "A value that may be missing is asked for with has(…), as in `has(scan.baseline) && …`."
            reasons = (Reason(message=message, advice=advice),)
        elif denied:
            said = f"{self.rule.message}: " if self.rule.message else ""
            message = f"{said}`{self.rule.deny}` holds, and must not; {self.program.measured(case)}"
            reasons = (Reason(message=message, advice=self.rule.advice or "Ask whoever wrote the rule."),)
        where = f"Exception: `{self.rule.exception}` in the rule at {self.origin or 'its place'}."
        return Verdict(
            policy=self.name,
            level=self.level,
            reasons=tuple(one.model_copy(update={"advice": f"{one.advice} {where}"}) for one in reasons),
            summary=self.program.measured(case),
            origin=self.origin,
        )


def compiled(rule: ExpressionRule, origin: str, line: str) -> ExpressionPolicy:
    """Return the policy of an expression that stands at a line.

    Raises:
        ConfigurationError: it is no expression, names what is not there, or compares what cannot be compared.
        ToolMissing: the library is not installed.
    """
    try:
        return ExpressionPolicy(rule=rule, program=cel.compile_expression(rule.deny), origin=origin)
    except ValueError as error:
        raise ConfigurationError(
            f"{line}: deny: {rule.deny!r} - {error}",
            advice="`pipeline policy explain expression` lists the fields and their types.",
        ) from error
