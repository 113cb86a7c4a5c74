"""What is said of an image, one function for each predicate type.

Sources: SLSA v1.0 provenance and VSA; in-toto test-result v0.1; cosign's vulnerability predicate v1.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pipeline.model import (
    Artifact,
    BenchmarkReport,
    BuiltImage,
    Sbom,
    ScanReport,
    Source,
    SuiteReport,
    Verdict,
)
from pipeline.reference import Digest
from stages.attestations.evidence import ATTESTED, EVIDENCE, VERDICTS, embed
from stages.attestations.materials import commit, materials
from stages.attestations.types import BUILD, CYCLONEDX, SPDX

Predicate = dict[str, Any]
SBOM_TYPES = {"cyclonedx": CYCLONEDX, "spdx": SPDX}
LEVELS = ("SLSA_BUILD_LEVEL_1",)
"""There is provenance, and it tells how the image was built; more only the builder's owner can promise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Builder:
    """Who builds, as the provenance names it, and for which run."""

    id: str
    version: str
    invocation: str = ""
    """Address of the CI job; default: the run's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySet:
    """The policies that the run was judged by."""

    uri: str
    digest: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What all predicates of one run share."""

    builder: Builder
    source: Source
    run_name: str
    now: datetime
    parameters: Mapping[str, object] = field(default_factory=dict)
    """What the configuration says, secrets masked."""

    @property
    def invocation(self) -> str:
        """What tells this run from others."""
        return self.builder.invocation or self.run_name


def provenance(
    image: BuiltImage,
    stored: Iterable[Artifact],
    attested: Sequence[tuple[str, Digest]],
    around: Circumstances,
) -> Predicate:
    """Return how the image was made (SLSA v1), with the evidence and what else has to be attested of it."""
    metadata = {"invocationId": around.invocation, "finishedOn": _time(around.now)}
    if (started := started_at(around.run_name)) is not None:
        metadata["startedOn"] = _time(started)
    return {
        "buildDefinition": {
            "buildType": BUILD,
            "externalParameters": {"source": commit(around.source), "configuration": around.parameters},
            "internalParameters": {"builder": image.builder.model_dump(mode="json")},
            "resolvedDependencies": materials(around.source, image),
        },
        "runDetails": {"builder": _builder(around.builder), "metadata": metadata},
        EVIDENCE: embed(stored, around.now),
        ATTESTED: [{"predicateType": kind, "subject": subject} for kind, subject in attested],
    }


def test_result(report: SuiteReport, around: Circumstances) -> Predicate:
    """Return what the tests said."""
    return {
        "result": "PASSED" if report.exit_code == 0 else "FAILED",
        "configuration": [commit(around.source)],
        "failedTests": [failure.name for failure in report.failures],
        EVIDENCE: embed([report], around.now),
    }


def vulnerabilities(report: ScanReport, around: Circumstances) -> Predicate:
    """Return what the scanner found."""
    counts = Counter(found.severity for found in report.vulnerabilities)
    database = report.database
    return {
        "invocation": {
            "parameters": [],
            "uri": around.invocation,
            "event_id": around.run_name,
            "builder.id": around.builder.id,
        },
        "scanner": {
            "uri": f"pkg:generic/{report.scanner.name}@{report.scanner.version}",
            "version": report.scanner.version,
            "db": {
                "uri": database.repository,
                "version": str(database.schema_version),
                "lastUpdate": _time(database.updated_at),
            },
            "result": {"counts": {str(severity): count for severity, count in sorted(counts.items())}},
        },
        "metadata": {
            "scanStartedOn": _time(report.scanned_at),
            "scanFinishedOn": _time(report.scanned_at),
        },
        EVIDENCE: embed([report], around.now),
    }


def benchmark(report: BenchmarkReport, around: Circumstances) -> Predicate:
    """Return what the server did under load; the whole report stands below."""
    latency = report.latency.model_dump(mode="json") if report.latency is not None else None
    return {
        "protocol": report.protocol,
        "rate_rps": report.rate_rps,
        "throughput_rps": report.throughput_rps,
        "errors": report.errors,
        "latency": latency,
        EVIDENCE: embed([report], around.now),
    }


def bill_of_materials(sbom: Sbom, content: bytes) -> tuple[str, Predicate] | None:
    """Return the type and the document of an SBOM; None where the file is no longer what the report says."""
    if Digest.of(content) != sbom.digest:
        return None
    document = json.loads(content)
    return (SBOM_TYPES[sbom.format], document) if isinstance(document, dict) else None


def summary(
    resource: str,
    verdicts: Sequence[Verdict],
    inputs: Iterable[Digest],
    policies: PolicySet,
    around: Circumstances,
) -> Predicate:
    """Return how the policies judged (SLSA verification summary), with every verdict."""
    passed = not any(verdict.refuses for verdict in verdicts)
    return {
        "verifier": _builder(around.builder),
        "timeVerified": _time(around.now),
        "resourceUri": resource,
        "policy": {"uri": policies.uri, "digest": {"sha256": policies.digest.encoded}},
        "inputAttestations": [{"digest": {"sha256": each.encoded}} for each in inputs],
        "verificationResult": "PASSED" if passed else "FAILED",
        "verifiedLevels": list(LEVELS) if passed else ["FAILED"],
        "slsaVersion": "1.0",
        VERDICTS: [verdict.model_dump(mode="json") for verdict in verdicts],
    }


def started_at(run_name: str) -> datetime | None:
    """Return when a run began, which its name says; None for a name of another kind."""
    try:
        return datetime.strptime(run_name[: len("20260101T000000")], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def _builder(builder: Builder) -> Predicate:
    return {"id": builder.id, "version": {"model-image-pipeline": builder.version}}


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
