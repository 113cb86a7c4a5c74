"""Every rule that can stand in a pack, by its name."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal, get_args

from pydantic import AfterValidator, Field

from policies.base_image import BaseImageRule
from policies.dockerfile import DockerfileRule
from policies.evidence import FreshnessRule, SkippedRule
from policies.expression import ExpressionRule
from policies.image import ImageRule
from policies.licenses import LicensesRule
from policies.misconfigurations import MisconfigurationsRule
from policies.model import ModelRule
from policies.model_files import ModelFilesRule
from policies.performance import PerformanceRule
from policies.provenance import DestinationsRule, ProvenanceRule
from policies.rule import Entry
from policies.scan import RegistryScanRule, UnjudgedRule, VulnerabilityDatabaseRule
from policies.secrets import SecretsRule
from policies.suite import SuiteRule
from policies.vulnerabilities import VulnerabilitiesRule


class CombinedRule(Entry):
    """Several rules over the same evidence as one: `all_of` or `any_of` of them have to be met."""

    rule: Literal["all_of", "any_of"]
    rules: tuple["AnyRule", ...]
    """The rules; their own levels do not count."""

    why: ClassVar[str] = "One requirement may be met in more than one way: a small image, or a quick one."
    example: ClassVar[str] = """\
rule: any_of
id: small-or-quick
rules:
  - {rule: performance, maximum_cold_start_ms: 5000}
  - {rule: performance, maximum_peak_memory: 1GiB}
"""
    remedy: ClassVar[str] = "Meet one of them (any_of), or all (all_of); the reasons of each are listed."
    exception: ClassVar[str] = "whatever one of its rules takes"


AnyRule = Annotated[
    SuiteRule
    | ImageRule
    | BaseImageRule
    | ProvenanceRule
    | VulnerabilitiesRule
    | VulnerabilityDatabaseRule
    | UnjudgedRule
    | RegistryScanRule
    | SecretsRule
    | LicensesRule
    | MisconfigurationsRule
    | DockerfileRule
    | ModelRule
    | ModelFilesRule
    | PerformanceRule
    | FreshnessRule
    | DestinationsRule
    | SkippedRule
    | ExpressionRule
    | CombinedRule,
    Field(discriminator="rule"),
]


CombinedRule.model_rebuild()


def _some(rules: tuple[AnyRule, ...]) -> tuple[AnyRule, ...]:
    if not rules:
        raise ValueError("there is no rule in it; write at least one")
    return rules


Rules = Annotated[tuple[AnyRule, ...], AfterValidator(_some)]


def _names(rule: type[Entry]) -> tuple[str, ...]:
    return get_args(rule.model_fields["rule"].annotation)


RULES: Mapping[str, type[Entry]] = MappingProxyType(
    {name: kind for kind in get_args(get_args(AnyRule)[0]) for name in _names(kind)}
)
"""Every rule by its name, in the order of the documentation."""
