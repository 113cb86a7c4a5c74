"""From YAML to policies: a pack by its name, a file by its path, or rules written into pipeline.yaml."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.errors import ConfigurationError
from pipeline.interface import Policy
from pipeline.model import Artifact
from pipeline.yaml_source import Place, Tree, validate
from policies import pack
from policies.combine import AllOf, AnyOf
from policies.expression import ExpressionRule, compiled
from policies.pack import PACKS, Placed, Resolved, Where, packs
from policies.rule import Options
from policies.rules import AnyRule, CombinedRule, Rules
from policies.vulnerabilities import VulnerabilitiesRule

__all__ = ["PACKS", "files_of", "load_policies", "packs"]
Choice = str | Sequence[object] | Mapping[str, object]


class _Inline(Options):
    policies: Rules


def load_policies(choice: Choice, base: Path, source: Tree | None = None) -> tuple[Policy, ...]:
    """Return the policies of a pack (`baseline`), of a file (`./ours.yaml`, relative to `base`), or of rules.

    `source` is the tree of the pipeline.yaml that holds rules or a pack under `policies`: it tells the lines.

    Raises:
        ConfigurationError: there is no such pack or file, or a rule is wrong.
        ToolMissing: an expression needs a library that is not installed.
    """
    resolved = _resolve(choice, base, source)
    return tuple(_policy(one.rule, one, resolved) for one in resolved.rules)


def files_of(choice: Choice, base: Path) -> tuple[Path, ...]:
    """Return the files that a choice is made of, each once: packs, what they extend, VEX documents.

    Raises:
        ConfigurationError: as `load_policies`.
    """
    resolved = _resolve(choice, base, None)
    where = _where(choice, base, None)
    named = (one.folder / name for one in resolved.rules for name in _vex(one.rule))
    return tuple(dict.fromkeys((*(pack.files_of(where) if where is not None else ()), *named)))


def _vex(rule: AnyRule) -> tuple[str, ...]:
    if isinstance(rule, CombinedRule):
        return tuple(name for one in rule.rules for name in _vex(one))
    return rule.vex if isinstance(rule, VulnerabilitiesRule) else ()


def _where(choice: Choice, base: Path, source: Tree | None) -> Where | None:
    """Return where a pack stands; None for a list of rules, which is none."""
    if isinstance(choice, str):
        return _found(choice, base, source)
    if not isinstance(choice, Mapping):
        return None
    tree = source.only("policies") if source else Tree("pipeline.yaml", {"policies": dict(choice)}, {})
    return Where(tree, base, str(base / tree.name), ("policies",))


def _resolve(choice: Choice, base: Path, source: Tree | None) -> Resolved:
    if (where := _where(choice, base, source)) is not None:
        return pack.read(where)
    assert not isinstance(choice, str)  # noqa: S101 - it is a list
    tree = source.only("policies") if source else Tree("pipeline.yaml", {"policies": [*choice]}, {})
    rules = validate(_Inline, tree).policies
    placed = tuple(Placed(rule, tree, ("policies", number), base) for number, rule in enumerate(rules))
    if replacing := next((one for one in placed if one.rule.replaces), None):
        raise ConfigurationError(
            f"{replacing.origin}: a list of rules extends no pack, so there is nothing to replace",
            advice="Write a mapping: `policies: {extends: production, rules: […]}`.",
        )
    return Resolved(placed)


def _found(choice: str, base: Path, source: Tree | None) -> Where:
    try:
        return pack.find(choice, base)
    except ConfigurationError as error:
        if source is None:
            raise
        origin = source.origin(("policies",))
        raise ConfigurationError(f"{origin}: {error.message}", advice=error.advice) from error


def _policy(rule: AnyRule, placed: Placed, resolved: Resolved) -> Policy:
    origin = placed.origin
    if isinstance(rule, CombinedRule):
        return _combined(rule, placed, resolved)
    if isinstance(rule, ExpressionRule):
        return compiled(rule, origin, placed.tree.origin((*placed.place, "deny")))
    if isinstance(rule, VulnerabilitiesRule):
        said = (*resolved.statements, *pack.statements(rule.vex, placed.folder))
        first = next((one for one in resolved.rules if isinstance(one.rule, VulnerabilitiesRule)), placed)
        rule = rule.accepting(resolved.exceptions, said, tells=first is placed)
    return rule.standing_at(origin)


def _combined(rule: CombinedRule, placed: Placed, resolved: Resolved) -> Policy:
    inside: Place = (*placed.place, "rules")
    policies = tuple(
        _policy(one, Placed(one, placed.tree, (*inside, number), placed.folder), resolved)
        for number, one in enumerate(rule.rules)
    )
    judged = {policy.judges for policy in policies}
    if len(judged) != 1:
        names = ", ".join(sorted(map(_name, judged))) or "nothing"
        raise ConfigurationError(
            f"{placed.origin}: {rule.rule} needs rules about one kind of evidence; these are about {names}",
            advice="Put rules about different evidence into different entries.",
        )
    combination = AllOf if rule.rule == "all_of" else AnyOf
    return combination(
        policies=policies,
        judges=judged.pop(),
        level=rule.level,
        origin=placed.origin,
        name=rule.id or rule.rule,
    )


def _name(kinds: type[Artifact] | tuple[type[Artifact], ...]) -> str:
    return kinds.__name__ if isinstance(kinds, type) else " or ".join(kind.__name__ for kind in kinds)
