"""What the commands about policies need: packs, recorded runs judged again, what each rule is."""

import difflib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pipeline.artifacts import Artifacts
from pipeline.errors import ConfigurationError
from pipeline.interface import Policy
from pipeline.judgement import judge
from pipeline.model import (
    Artifact,
    BenchmarkReport,
    BuiltImage,
    Destinations,
    ManifestUpdate,
    PushedImage,
    ScanReport,
    Skipped,
    SuiteReport,
    Value,
    Verdict,
)
from pipeline.record import Record
from pipeline.reference import Repository
from policies import RULES, load_policies
from policies.document import document
from policies.explain import explain as explain_rule
from policies.explain import fields, overview
from policies.pack import find, installed, packs, read

EVIDENCE: Mapping[type[Artifact], str] = {
    SuiteReport: "tests",
    BuiltImage: "an image",
    ScanReport: "a scan",
    BenchmarkReport: "a benchmark",
}
"""What every delivery has, and how people call it."""


class Judged(Value):
    """What the policies say of what one stage made."""

    stage: str
    verdicts: tuple[Verdict, ...]


class Judgement(Value):
    """A recorded run, judged again."""

    run: str
    policies: str
    judged_at: datetime
    stages: tuple[Judged, ...]
    missing: tuple[str, ...]
    """Evidence that a policy judges, and that the run has neither found nor left out for a reason."""

    @property
    def refused(self) -> bool:
        """Tell whether an enforced rule refuses it, or has nothing that it could judge."""
        return bool(self.missing) or self.reasons > 0

    @property
    def reasons(self) -> int:
        """Return how many enforced rules refuse what it has found."""
        return sum(verdict.refuses for stage in self.stages for verdict in stage.verdicts)


@dataclass(frozen=True, slots=True)
class Line:
    """One entry of a pack, for a list."""

    id: str
    rule: str
    level: str
    origin: str


def judge_again(record: Record, policies: tuple[Policy, ...], name: str, now: datetime) -> Judgement:
    """Return what policies say of a recorded run: of what was found then, as of now where a rule asks."""
    have = Artifacts(*([record.source] if record.source is not None else []))
    judged: list[Judged] = []
    for stage in record.stages:
        made = stage.made()
        if made is None:
            continue
        have = have.plus(made)
        verdicts = [
            verdict
            for one in (made, *_bound(stage.name, made))
            for verdict in judge(one, policies, have=have, now=now)
        ]
        judged.append(Judged(stage=stage.name, verdicts=tuple(verdicts)))
    missing = lacking(record.made(), policies)
    return Judgement(run=record.run, policies=name, judged_at=now, stages=tuple(judged), missing=missing)


def lacking(made: Collection[Artifact], policies: Collection[Policy]) -> tuple[str, ...]:
    """Return what the policies judge of every delivery, and nobody has made or left out for a reason."""
    left_out = {one.gives for one in made if isinstance(one, Skipped) and not one.out_of_reach}
    return tuple(
        told
        for kind, told in EVIDENCE.items()
        if any(issubclass(kind, policy.judges) for policy in policies)
        and kind.__name__ not in left_out
        and not any(isinstance(one, kind) for one in made)
    )


def _bound(stage: str, made: Artifact) -> Iterator[Destinations]:
    """Yield where a recorded stage has sent what it had."""
    if isinstance(made, PushedImage):
        images = (made, *([made.model_image] if made.model_image is not None else []))
        there = [reference.repository for image in images for reference in image.references]
        yield Destinations(stage=stage, repositories=tuple(dict.fromkeys(map(Repository, there))))
    elif isinstance(made, ManifestUpdate) and made.repository_url is not None:
        yield Destinations(
            stage=stage,
            gitops=made.repository_url,
            gitops_branch=made.branch,
            targets=tuple(file.path for file in made.files),
        )


def policies_of(choice: str, folder: Path) -> tuple[Policy, ...]:
    """Return the policies of a pack, or of a file relative to the folder."""
    return load_policies(choice, folder)


def pack_names() -> tuple[tuple[str, str], ...]:
    """Return every pack that goes by a name, and what it is for."""
    return tuple((name, read(find(name, Path())).description) for name in (*packs(), *installed()))


def pack_lines(choice: str, folder: Path) -> tuple[Line, ...]:
    """Return all that a pack comes to, with what it extends."""
    return tuple(
        Line(one.id, one.rule.rule, one.rule.level, one.origin) for one in read(find(choice, folder)).rules
    )


def explain(rule: str | None) -> str:
    """Return what a rule is, or all of them in a line each, in Markdown.

    Raises:
        ConfigurationError: there is no such rule.
    """
    if rule is None:
        return f"{overview()}\n\n`pipeline policy explain RULE` says more of one."
    if rule not in RULES:
        near = difflib.get_close_matches(rule, RULES, n=1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        raise ConfigurationError(
            f"there is no rule called {rule!r}", advice=f"{hint}There are {', '.join(RULES)}."
        )
    return f"{explain_rule(rule)}\n{fields()}" if rule == "expression" else explain_rule(rule)


def page() -> str:
    """Return docs/policies.md."""
    return document()
