"""Does all that is in the image stand under a licence that is allowed?"""

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, Self

from license_expression import (
    LicenseSymbol,
    LicenseWithExceptionSymbol,
    Licensing,
    get_spdx_licensing,
)
from pydantic import AfterValidator, model_validator

from pipeline.model import Artifact, License, Reason, ScanReport, Verdict
from policies.names import same_package
from policies.rule import Options, Rule, Word, listed, plural
from policies.secrets import LOOK, NOBODY_LOOKED


@cache
def _licensing() -> Licensing:
    return get_spdx_licensing()


def parse(text: str) -> Any | None:  # a tree of boolean.py, which has no types
    """Return an SPDX expression; None where it is none, or names a licence that SPDX does not know."""
    try:
        return _licensing().parse(text, validate=True, strict=True)
    except Exception:  # of its own kinds, or whatever its parser stumbles over: `( OR MIT`
        return None


def _pattern(value: str) -> str:
    """Return a pattern as it is, and the name of a licence as SPDX writes it today: so findings are read."""
    if "*" in value:
        if not any(_fits(name, value) for name in _licensing().known_symbols):
            raise ValueError("no SPDX licence fits this pattern; https://spdx.org/licenses lists them")
        return value
    if (tree := parse(value)) is None:
        raise ValueError("no SPDX licence goes by this name; https://spdx.org/licenses lists them")
    if not isinstance(tree, LicenseSymbol | LicenseWithExceptionSymbol):
        raise ValueError("this is an expression of several licences; name each of them by itself")
    return str(tree)


Patterns = tuple[Annotated[str, AfterValidator(_pattern)], ...]


class LicenseException(Options):
    """A package whose licence is accepted, whatever it is."""

    package: Word
    """The package; `*` stands for any characters."""
    reason: Word
    """Why it is no trouble here."""


class LicensesRule(Rule):
    """Every package, and every file with a licence of its own, stands under a licence that is allowed."""

    rule: Literal["licenses"]
    allow: Patterns | None = None
    """SPDX identifiers that are allowed, such as MIT, Apache-2.0, BSD-*; default: all that are not denied."""
    deny: Patterns = ()
    """SPDX identifiers that are not, such as AGPL-*."""
    unknown: Literal["refuse", "allow"] = "refuse"
    """What follows where a package names no licence, or one that SPDX does not know."""
    exceptions: tuple[LicenseException, ...] = ()
    """Packages that do not count."""

    judges: ClassVar[type[Artifact]] = ScanReport
    why: ClassVar[str] = (
        "A licence may ask for what the company does not give: the source of a service (AGPL), a fee, no "
        "commercial use. `A OR B` is allowed where one of them is, `A AND B` where both are."
    )
    example: ClassVar[str] = """\
rule: licenses
allow: [MIT, Apache-2.0, "BSD-*", PSF-2.0]
unknown: refuse
exceptions:
  - {package: our-company-tools, reason: ours}
"""
    remedy: ClassVar[str] = "Replace the package, or ask the people who may decide, and write an exception."
    exception: ClassVar[str] = "exceptions: [{package: …, reason: …}]"

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.allow is None and not self.deny and self.unknown == "allow":
            raise ValueError("everything is allowed; write `allow:`, `deny:` or `unknown: refuse`")
        return self

    def judge(self, artifact: ScanReport) -> Verdict:
        """Return the verdict on the licences of a scan."""
        if artifact.licenses is None:
            reason = Reason(message=NOBODY_LOOKED.format(what="licences"), advice=LOOK.format(key="licenses"))
            return self.verdict((reason,), "nobody looked")
        counted = [one for one in artifact.licenses if not self._excepted(one)]
        reasons = (*self._unknown(counted), *self._refused(counted))
        return self.verdict(reasons, f"{plural(len(counted), 'licence')} looked at")

    def _excepted(self, found: License) -> bool:
        return any(same_package(found.package or found.path, one.package) for one in self.exceptions)

    def _unknown(self, found: Iterable[License]) -> Iterator[Reason]:
        unknown = [one for one in found if parse(one.license) is None]
        if unknown and self.unknown == "refuse":
            yield self._reason(
                unknown, f"{plural(len(unknown), 'licence')} that nobody knows", "known ones are required"
            )

    def _refused(self, found: Iterable[License]) -> Iterator[Reason]:
        known = [(one, tree) for one in found if (tree := parse(one.license)) is not None]
        refused = [one for one, tree in known if not allows(tree, self.allow, self.deny)]
        if refused:
            allowed = "" if self.allow is None else f"allowed are {', '.join(self.allow) or 'none'}"
            denied = f"denied are {', '.join(self.deny)}" if self.deny else ""
            limit = "; ".join(filter(None, (allowed, denied)))
            yield self._reason(refused, f"{plural(len(refused), 'licence')} refused", limit)

    def _reason(self, found: list[License], what: str, limit: str) -> Reason:
        told = listed(
            f"{one.package or one.path} {one.installed_version}".strip() + f" ({one.license or 'none'})"
            for one in found
        )
        name = found[0].package or found[0].path
        exception = self.exception_text(f"`exceptions: [{{package: {name}, reason: …}}]`")
        return Reason(message=f"{what}; {limit}: {told}", advice=f"{self.remedy} {exception}")


def allows(tree: Any, allow: tuple[str, ...] | None, deny: tuple[str, ...]) -> bool:
    """Tell whether one way to fulfil an expression is allowed."""
    if isinstance(tree, LicenseSymbol | LicenseWithExceptionSymbol):
        return _allows(str(tree), allow, deny)
    parts = [allows(part, allow, deny) for part in tree.args]
    return any(parts) if tree.operator.strip() == "OR" else all(parts)


def _allows(name: str, allow: tuple[str, ...] | None, deny: tuple[str, ...]) -> bool:
    names = {name, name.partition(" WITH ")[0]}  # an exception only ever permits more
    if any(_fits(each, one) for each in names for one in deny):
        return False
    return allow is None or any(_fits(each, one) for each in names for one in allow)


def _fits(name: str, pattern: str) -> bool:
    return fnmatchcase(name.lower(), pattern.lower())
