"""Everything that is said of one pushed image, in the order in which it is signed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.artifacts import Artifacts
from pipeline.model import (
    Artifact,
    BenchmarkReport,
    BuiltImage,
    Image,
    ScanReport,
    Source,
    SuiteReport,
    Verdict,
)
from pipeline.reference import Digest
from stages.attestations import predicates
from stages.attestations.evidence import portable
from stages.attestations.predicates import Circumstances, PolicySet
from stages.attestations.statement import Statement
from stages.attestations.types import (
    BENCHMARK,
    PROVENANCE,
    SIGNATURE,
    SUMMARY,
    TEST_RESULT,
    VULNERABILITIES,
)

EVIDENCE = (SuiteReport, ScanReport, BenchmarkReport)


@dataclass(frozen=True, slots=True)
class Said:
    """The statements about an image, and what could not be said."""

    statements: tuple[Statement, ...]
    notes: tuple[str, ...] = ()


def about_application(have: Artifacts, around: Circumstances, cache: Path) -> Said:
    """Return all but the summary: signature, evidence, SBOMs, and the provenance that lists them."""
    image, source = have[BuiltImage], have[Source]
    notes: list[str] = []
    said = [
        _signature(image),
        *_evidence(have, image, around),
        *_sboms(have.get(ScanReport), image, cache, notes),
    ]
    attested = [
        *((each.predicate_type, each.subjects[0]) for each in said[1:]),
        (SUMMARY, image.digest),
    ]
    left_out = [skipped for kind in EVIDENCE if (skipped := have.skipped(kind)) is not None]
    stored: list[Artifact] = [portable(source, source), portable(image, source), *left_out]
    provenance = predicates.provenance(image, stored, attested, around)
    said.append(_statement(PROVENANCE, image.name, image.digest, provenance))
    return Said(tuple(said), tuple(notes))


def about_weights(have: Artifacts, around: Circumstances) -> Said:
    """Return signature and provenance of the weights' own image; nothing where there is none."""
    image, source = have[BuiltImage], have[Source]
    own = image.model_image
    if own is None:
        return Said(())
    provenance = predicates.provenance(image, [portable(source, source)], (), around)
    return Said((_signature(own), _statement(PROVENANCE, own.name, own.digest, provenance)))


def summary(
    image: Image,
    verdicts: Sequence[Verdict],
    inputs: Sequence[Digest],
    policies: PolicySet,
    around: Circumstances,
) -> Statement:
    """Return how the policies judged the evidence in these bundles."""
    resource = f"pkg:oci/{image.name.rpartition('/')[2]}@{image.digest}"
    said = predicates.summary(resource, verdicts, inputs, policies, around)
    return _statement(SUMMARY, image.name, image.digest, said)


def kinds(have: Artifacts) -> tuple[str, ...]:
    """Return the predicate types that a run would sign, for a preview."""
    found = (
        (SuiteReport, TEST_RESULT),
        (ScanReport, VULNERABILITIES),
        (BenchmarkReport, BENCHMARK),
    )
    report = have.get(ScanReport)
    sboms = {predicates.SBOM_TYPES[each.format] for each in (report.sboms if report is not None else ())}
    made = (kind for artifact, kind in found if have.get(artifact) is not None)
    return (SIGNATURE, *made, *sorted(sboms), PROVENANCE, SUMMARY)


def _signature(image: Image) -> Statement:
    """Return the statement that cosign takes for a signature: of the index, and of each platform in it."""
    subjects = (image.digest, *(each.manifest.digest for each in image.platforms))
    return Statement(
        predicate_type=SIGNATURE, name=image.name, subjects=tuple(dict.fromkeys(subjects)), predicate={}
    )


def _evidence(have: Artifacts, image: BuiltImage, around: Circumstances) -> Iterator[Statement]:
    suite, scan, load = have.get(SuiteReport), have.get(ScanReport), have.get(BenchmarkReport)
    if suite is not None:
        yield _statement(TEST_RESULT, image.name, image.digest, predicates.test_result(suite, around))
    if scan is not None:
        yield _statement(VULNERABILITIES, image.name, image.digest, predicates.vulnerabilities(scan, around))
    if load is not None:
        yield _statement(BENCHMARK, image.name, image.digest, predicates.benchmark(load, around))


def _sboms(
    report: ScanReport | None, image: BuiltImage, cache: Path, notes: list[str]
) -> Iterator[Statement]:
    for sbom in report.sboms if report is not None else ():
        try:
            found = predicates.bill_of_materials(sbom, (cache / sbom.path).read_bytes())
        except (OSError, ValueError):
            found = None
        if found is None:
            notes.append(f"the {sbom.format} SBOM of {sbom.platform} is gone, so it is not attested")
            continue
        kind, document = found
        yield _statement(kind, image.name, sbom.subject, document)


def _statement(kind: str, name: str, digest: Digest, predicate: predicates.Predicate) -> Statement:
    return Statement(predicate_type=kind, name=name, subjects=(digest,), predicate=predicate)
