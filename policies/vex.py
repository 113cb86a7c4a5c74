"""VEX documents: what a supplier or a security team says of vulnerabilities that do not concern a product.

OpenVEX 0.2 (https://github.com/openvex/spec) and the vulnerabilities of CycloneDX 1.4 and later. A statement
counts where it says `not_affected` with a justification, or `fixed`, about this image or a package in it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from packageurl import PackageURL

from pipeline.errors import ConfigurationError
from pipeline.model import ScanReport, Vulnerability
from policies.names import is_package

MAXIMUM_BYTES = 64 * 1024 * 1024
TYPES: Mapping[str, frozenset[str]] = {
    "pypi": frozenset({"python-pkg", "pip", "pipenv", "poetry", "uv", "conda-pkg"}),
    "deb": frozenset({"debian", "ubuntu"}),
    "npm": frozenset({"node-pkg", "npm", "yarn", "pnpm"}),
    "golang": frozenset({"gobinary", "gomod"}),
    "maven": frozenset({"jar", "pom", "gradle", "sbt"}),
    "apk": frozenset({"alpine", "wolfi", "chainguard"}),
    "rpm": frozenset({"redhat", "centos", "rocky", "alma", "fedora", "oracle", "amazon", "photon",
                      "azurelinux", "cbl-mariner", "opensuse", "opensuse-leap", "opensuse-tumbleweed", "sles",
                      "slem"}),
    "cargo": frozenset({"cargo", "rustbinary"}),
    "gem": frozenset({"gemspec", "bundler"}),
    "nuget": frozenset({"nuget", "dotnet-core", "packages-props"}),
    "composer": frozenset({"composer", "composer-vendor"}),
    "conda": frozenset({"conda-pkg", "conda-environment"}),
}  # fmt: skip
"""purl type: the package types of the scanner that it stands for; others stand for that of their own name."""
DISTRIBUTIONS = frozenset({"deb", "apk", "rpm"})
"""Types whose namespace is no part of the name: it says which distribution's package it is."""
_FAMILIES = {
    "suse": frozenset({"sles", "slem"}),
    "opensuse": frozenset({"opensuse", "opensuse-leap", "opensuse-tumbleweed"}),
}
TAKING = {"not_affected", "fixed"}
CLOSED = {"resolved", "resolved_with_pedigree", "false_positive", "not_affected"}


@dataclass(frozen=True, slots=True)
class Product:
    """What a statement is about: an image, a package, or a package in an image."""

    purl: PackageURL | None
    digests: frozenset[str] = frozenset()
    parts: tuple[PackageURL, ...] = ()
    versions: frozenset[str] | None = None
    """The versions that it is about, where they are told beside the purl."""

    def meets(self, other: "Product") -> bool:
        """Tell whether what is said of another product may be said of this one too."""
        if self.digests & other.digests:
            return True
        one, two = self.purl, other.purl
        if one is None or two is None:
            return False
        same = (one.type, one.namespace, one.name) == (two.type, two.namespace, two.name)
        return same and (one.version == two.version or None in {one.version, two.version})

    def covers(self, found: Vulnerability, report: ScanReport) -> bool:
        """Tell whether a finding in an image is one in this product."""
        if self.purl is not None and self.purl.type not in {"oci", "docker"}:
            told = self.versions is None or found.installed_version in self.versions
            return told and _is(self.purl, found)
        if report.digest not in self.digests:
            return False
        return not self.parts or any(_is(part, found) for part in self.parts)


@dataclass(frozen=True, slots=True)
class VexStatement:
    """One vulnerability that does not concern some products, where that is said, and why."""

    names: frozenset[str]
    products: tuple[Product, ...]
    origin: str

    def covers(self, found: Vulnerability, report: ScanReport) -> bool:
        """Tell whether it is about this finding in this image."""
        return found.id.lower() in self.names and any(one.covers(found, report) for one in self.products)


def read_vex(path: Path, shown: str) -> tuple[VexStatement, ...]:
    """Return the statements of a document that take a finding away.

    Raises:
        ConfigurationError: the file cannot be read, is no such document, or gives no justification.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(MAXIMUM_BYTES + 1)
        if len(content) > MAXIMUM_BYTES:
            raise ValueError(f"it is larger than {MAXIMUM_BYTES} bytes")
        document = json.loads(content)
        if not isinstance(document, dict):
            raise ValueError("it is no mapping")
        if document.get("bomFormat") == "CycloneDX":
            return tuple(_of_cyclonedx(document, shown))
        if "openvex" in str(document.get("@context", "")):
            return tuple(_of_openvex(document, shown))
        raise ValueError("it is neither OpenVEX (`@context`) nor CycloneDX (`bomFormat`)")
    except OSError as error:
        raise ConfigurationError(
            f"vex: {shown} cannot be read: {error.strerror}",
            advice="Its path is relative to the file that names it.",
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigurationError(
            f"vex: {shown} is no VEX document that can be used: {error}",
            advice="Write one with vexctl (OpenVEX), or with a tool for CycloneDX.",
        ) from error


def _of_openvex(document: Mapping[str, Any], shown: str) -> Iterator[VexStatement]:
    entries, when = document["statements"], str(document.get("timestamp", ""))
    revoked = [
        ((_moment(one, when), number), _names(one), _products(one, document))
        for number, one in enumerate(entries)
        if one["status"] not in TAKING
    ]
    for number, one in enumerate(entries):
        status = one["status"]
        if status not in TAKING:
            continue
        if status == "not_affected" and not (one.get("justification") or one.get("impact_statement")):
            raise ValueError(f"statements[{number}] says not_affected without a justification")
        names, at = _names(one), (_moment(one, when), number)  # of two of one moment the later one counts
        later = [each for moment, others, told in revoked if moment > at and others & names for each in told]
        products = tuple(each for each in _products(one, document) if not any(map(each.meets, later)))
        why = one.get("justification") or one.get("impact_statement") or ""
        origin = f"{shown}: statements[{number}], {status} {why}".strip()
        yield VexStatement(names, products, origin)


def _names(statement: Mapping[str, Any]) -> frozenset[str]:
    told = statement["vulnerability"]
    return _lower([told] if isinstance(told, str) else [told["name"], *told.get("aliases", ())])


def _products(statement: Mapping[str, Any], document: Mapping[str, Any]) -> tuple[Product, ...]:
    return tuple(_openvex_product(each) for each in statement.get("products", document.get("products", ())))


def _moment(statement: Mapping[str, Any], default: str) -> datetime:
    """Return when it was said; what does not say so is the oldest, and is taken back by anything else."""
    told = str(statement.get("last_updated") or statement.get("timestamp") or default)
    made = datetime.fromisoformat(told) if told else datetime.min
    return made if made.tzinfo is not None else made.replace(tzinfo=UTC)


def _openvex_product(told: Mapping[str, Any] | str) -> Product:
    if isinstance(told, str):
        told = {"@id": told}
    purl = _purl(told.get("identifiers", {}).get("purl", told.get("@id", "")))
    hashes = told.get("hashes", {})
    digests = {f"sha256:{hashes[name]}" for name in ("sha-256", "sha256") if name in hashes}
    parts = (_purl(_identity(each)) for each in told.get("subcomponents", ()))
    return Product(purl, _digests(purl) | digests, tuple(part for part in parts if part is not None))


def _identity(told: Mapping[str, Any] | str) -> str:
    return (
        told if isinstance(told, str) else str(told.get("identifiers", {}).get("purl", told.get("@id", "")))
    )


def _of_cyclonedx(document: Mapping[str, Any], shown: str) -> Iterator[VexStatement]:
    for number, one in enumerate(document["vulnerabilities"]):
        analysis = one.get("analysis", {})
        if (state := analysis.get("state")) not in CLOSED:
            continue
        if state in {"not_affected", "false_positive"} and not (
            analysis.get("justification") or analysis.get("detail")
        ):
            raise ValueError(f"vulnerabilities[{number}] says {state} without a justification or detail")
        names = [one["id"], *(each["id"] for each in one.get("references", ()))]
        products = tuple(each for told in one.get("affects", ()) if (each := _cyclonedx_product(told)))
        why = analysis.get("justification") or analysis.get("detail") or ""
        origin = f"{shown}: vulnerabilities[{number}], {state} {why}".strip()
        yield VexStatement(_lower(names), products, origin)


def _cyclonedx_product(told: Mapping[str, Any]) -> Product | None:
    """Return what an entry of `affects` names; of its versions those that are said to be unaffected."""
    purl = _purl(told["ref"].rpartition("#")[2])
    if purl is None:
        return None
    if "versions" not in told:
        return Product(purl, _digests(purl))
    fine = [each for each in told["versions"] if each.get("status") == "unaffected"]
    return Product(purl, versions=frozenset(str(each["version"]) for each in fine if "version" in each))


def _purl(text: str) -> PackageURL | None:
    try:
        return PackageURL.from_string(text)
    except ValueError:
        return None


def _digests(purl: PackageURL | None) -> frozenset[str]:
    """Return the digest of an image that a purl names as its version, if so."""
    version = purl.version if purl is not None else None
    return frozenset({version} if version and version.startswith("sha256:") else ())


def _lower(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name.lower() for name in names)


def _is(purl: PackageURL, found: Vulnerability) -> bool:
    """Tell whether a purl names the package of a finding; without a version it names them all."""
    types = TYPES.get(purl.type, frozenset({purl.type}))
    names: tuple[str, ...] = (purl.name,)
    if purl.type in DISTRIBUTIONS and purl.namespace:
        types &= _FAMILIES.get(purl.namespace, frozenset({purl.namespace}))
    elif purl.namespace:
        names = (f"{purl.namespace}/{purl.name}", f"{purl.namespace}:{purl.name}")
    return (
        (not found.package_type or found.package_type in types)
        and any(is_package(found.package, name) for name in names)
        and (purl.version is None or purl.version == found.installed_version)
    )
