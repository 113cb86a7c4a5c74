"""From YAML to policies: a pack by its name, a file by its path, or rules written into pipeline.yaml."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from pipeline.errors import ConfigurationError
from pipeline.interface import Policy
from pipeline.model import Level
from pipeline.yaml_source import Place, Tree, load, validate
from policies.combine import AllOf, AnyOf
from policies.evidence import SkippedRule
from policies.image import ImageRule
from policies.performance import PerformanceRule
from policies.rule import Options
from policies.suite import SuiteRule
from policies.vulnerabilities import UnjudgedRule, VulnerabilitiesRule, VulnerabilityDatabaseRule

PACKS = Path(__file__).parent / "packs"


class CombinedRule(Options):
    """Several rules over the same evidence as one: `all_of` or `any_of` of them have to be met."""

    rule: Literal["all_of", "any_of"]
    level: Level = Level.ENFORCE
    """What follows when it is not met; the levels of the rules inside do not count."""
    rules: tuple["AnyRule", ...]
    """The rules."""


AnyRule = Annotated[
    SuiteRule
    | ImageRule
    | VulnerabilitiesRule
    | VulnerabilityDatabaseRule
    | UnjudgedRule
    | PerformanceRule
    | SkippedRule
    | CombinedRule,
    Field(discriminator="rule"),
]


CombinedRule.model_rebuild()


def _some(rules: tuple[AnyRule, ...]) -> tuple[AnyRule, ...]:
    if not rules:
        raise ValueError("there is no rule in it; write at least one")
    return rules


Rules = Annotated[tuple[AnyRule, ...], AfterValidator(_some)]


class Pack(Options):
    """A file of rules."""

    description: str = ""
    """What the pack is for."""
    rules: Rules
    """The rules; all of them apply."""


class _Inline(Options):
    policies: Rules


def load_policies(
    choice: str | Sequence[object], base: Path, source: Tree | None = None
) -> tuple[Policy, ...]:
    """Return the policies of a pack (`baseline`), a file (`./ours.yaml`, relative to `base`) or a list.

    `source` is the tree of the pipeline.yaml that holds the list under `policies`: it tells the lines.

    Raises:
        ConfigurationError: there is no such pack or file, or a rule is wrong.
    """
    if not isinstance(choice, str):
        tree = source.only("policies") if source else Tree("pipeline.yaml", {"policies": [*choice]}, {})
        return _policies(validate(_Inline, tree).policies, tree, ("policies",))
    tree = _load_pack(choice, base)
    return _policies(validate(Pack, tree).rules, tree, ("rules",))


def packs() -> tuple[str, ...]:
    """Return the names of the packs that come with the pipeline."""
    return tuple(sorted(path.stem for path in PACKS.glob("*.yaml")))


def _load_pack(choice: str, base: Path) -> Tree:
    if "/" in choice or choice.endswith((".yaml", ".yml")):
        return load(base / choice, choice)
    if choice in packs():
        return load(PACKS / f"{choice}.yaml", f"pack {choice}")
    near = difflib.get_close_matches(choice, packs(), n=1)
    raise ConfigurationError(
        f"policies: {choice!r} is no pack; there are {', '.join(packs())}",
        advice=(f"Did you mean {near[0]!r}? " if near else "")
        + "A file of your own is named by its path, such as ./policies.yaml.",
    )


def _policies(rules: Sequence[AnyRule], tree: Tree, place: Place) -> tuple[Policy, ...]:
    return tuple(_policy(rule, tree, (*place, number)) for number, rule in enumerate(rules))


def _policy(rule: AnyRule, tree: Tree, place: Place) -> Policy:
    origin = tree.origin(place)
    if not isinstance(rule, CombinedRule):
        return rule.standing_at(origin)
    policies = _policies(rule.rules, tree, (*place, "rules"))
    judged = {policy.judges for policy in policies}
    if len(judged) != 1:
        names = ", ".join(sorted(kind.__name__ for kind in judged)) or "nothing"
        raise ConfigurationError(
            f"{origin}: {rule.rule} needs rules about one kind of evidence; these are about {names}",
            advice="Put rules about different evidence into different entries.",
        )
    combination = AllOf if rule.rule == "all_of" else AnyOf
    return combination(policies=policies, judges=judged.pop(), level=rule.level, origin=origin)
