"""`pipeline policy test`: cases that say what a pack shall make of some evidence."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import AwareDatetime, Field, ValidationError, model_validator

from pipeline.artifacts import Artifacts
from pipeline.documented import Documented
from pipeline.errors import ConfigurationError
from pipeline.interface import Policy
from pipeline.judgement import judge
from pipeline.model import Artifact, Skipped, Verdict
from pipeline.record import read_record
from pipeline.yaml_source import Place, Tree, load, validate
from policies import load_policies
from policies.samples import KINDS, sample

Outcome = Literal["passed", "warned", "refused"]


class By(Documented):
    """A rule that has to speak, and words that have to be in what it says."""

    rule: str
    """Its id in the pack."""
    message: str = ""
    """A part of one of its reasons."""


class PolicyCase(Documented):
    """Evidence, and what the pack shall make of it."""

    name: str
    """What is shown."""
    record: str | None = None
    """A record.json whose evidence is judged, relative to this file."""
    evidence: Mapping[str, Mapping[str, Any]] = Field(default={})
    """Parts of evidence, laid over the record's or over evidence that passes; what is named is judged."""
    skipped: Mapping[str, str] = Field(default={})
    """Stages that were left out, with the reason."""
    now: AwareDatetime | None = None
    """When it is judged; default: now."""
    expect: Outcome
    """What has to follow."""
    by: tuple[By, ...] = ()
    """Who has to say so; without it, anybody."""

    @model_validator(mode="after")
    def _some(self) -> Self:
        if unknown := [kind for kind in self.evidence if kind not in KINDS]:
            raise ValueError(f"there is no evidence {unknown[0]!r}; there are {', '.join(KINDS)}")
        if not (self.record or self.evidence or self.skipped):
            raise ValueError("there is nothing to judge; write `evidence:`, `skipped:` or `record:`")
        return self


class Cases(Documented):
    """A file of cases."""

    policies: str
    """The pack: by name, or a file relative to this one."""
    cases: tuple[PolicyCase, ...] = Field(min_length=1)
    """The cases."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a case."""

    name: str
    origin: str
    expected: str
    found: str
    reasons: tuple[str, ...]
    passed: bool


def case_files(path: Path) -> tuple[Path, ...]:
    """Return the file, or every test_*.yaml and *_test.yaml below the folder.

    Raises:
        ConfigurationError: there is none.
    """
    found = [path] if path.is_file() else sorted({*path.rglob("test_*.yaml"), *path.rglob("*_test.yaml")})
    if not found:
        raise ConfigurationError(
            f"there is no file test_*.yaml or *_test.yaml below {path}",
            advice="Name the file or folder of the cases; docs/policies.md shows what is in them.",
        )
    return tuple(found)


def run_cases(path: Path) -> Iterator[Result]:
    """Yield what became of each case of a file.

    Raises:
        ConfigurationError: the file, the pack or the evidence is wrong.
    """
    tree = load(path)
    said = validate(Cases, tree)
    policies = load_policies(said.policies, path.parent)
    for number, case in enumerate(said.cases):
        yield _result(case, policies, tree, ("cases", number), path.parent)


def _result(case: PolicyCase, policies: tuple[Policy, ...], tree: Tree, place: Place, folder: Path) -> Result:
    now = case.now or datetime.now(UTC)
    have, judged = _evidence(case, tree, place, folder, now)
    verdicts = [one for made in judged for one in judge(made, policies, have=have, now=now)]
    outcome = _outcome(verdicts)
    named = [by for by in case.by if not any(_speaks(by, one, case.expect) for one in verdicts)]
    expected = " and ".join(f"{by.rule}{f' with {by.message!r}' if by.message else ''}" for by in case.by)
    return Result(
        name=case.name,
        origin=tree.origin(place),
        expected=f"{case.expect}{f' by {expected}' if expected else ''}",
        found=outcome,
        reasons=tuple(_told(verdicts)),
        passed=outcome == case.expect and not named,
    )


def _evidence(
    case: PolicyCase, tree: Tree, place: Place, folder: Path, now: datetime
) -> tuple[Artifacts, tuple[Artifact, ...]]:
    """Return all that is known, and what of it is judged."""
    stored = read_record(folder / case.record) if case.record is not None else None
    recorded = () if stored is None else (*([stored.source] if stored.source else []), *stored.made())
    base: dict[type[Artifact], Artifact] = {type(one): one for one in recorded}
    made: dict[str, Artifact] = {}
    for kind, type_ in KINDS.items():
        changes = case.evidence.get(kind, {})
        try:
            made[kind] = sample(kind, changes, now, base.get(type_))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise ConfigurationError(
                f"{tree.origin((*place, 'evidence', kind))}: evidence.{kind}.{where}: {first['msg']}",
                advice="`pipeline policy explain expression` lists the fields of all evidence.",
            ) from error
    left_out = [Skipped(stage=stage, gives="", reason=reason) for stage, reason in case.skipped.items()]
    judged = [one for kind, one in made.items() if kind in case.evidence or KINDS[kind] in base]
    return Artifacts(*made.values()), (*judged, *left_out)


def _outcome(verdicts: list[Verdict]) -> Outcome:
    if any(verdict.refuses for verdict in verdicts):
        return "refused"
    return "passed" if all(verdict.passed for verdict in verdicts) else "warned"


def _speaks(by: By, verdict: Verdict, expected: Outcome) -> bool:
    """Tell whether this is the verdict that is expected of a rule."""
    if verdict.policy != by.rule or _outcome([verdict]) != expected:
        return False
    said = [reason.message for reason in verdict.reasons] or [verdict.summary]
    return any(by.message in one for one in said)


def _told(verdicts: list[Verdict]) -> Iterator[str]:
    for verdict in verdicts:
        for reason in verdict.reasons:
            yield f"{_outcome([verdict])} by {verdict.policy} ({verdict.origin}): {reason.message}"
