"""What an artifact says in one line, and how sizes and times are written for people."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import singledispatch
from statistics import median

from pipeline.model import (
    Artifact,
    Attestation,
    AttestedImage,
    BenchmarkReport,
    BuiltImage,
    ManifestUpdate,
    Pushed,
    PushedImage,
    PushedReference,
    RegistryAnswer,
    ScanReport,
    Severity,
    Skipped,
    SuiteReport,
    VerifiedImage,
    Vulnerability,
)
from pipeline.report import comparison


def size(count: float) -> str:
    """Return a number of bytes in decimal units, as registries and disks are sold."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def duration(seconds: float) -> str:
    """Return a duration: seconds with one decimal below a minute, minutes and seconds above."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"


def plural(count: int, noun: str) -> str:
    """Return a count with its noun: `1 test`, `2 tests`."""
    plural_noun = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural_noun}"


@singledispatch
def describe(artifact: Artifact) -> str:
    """Return what an artifact says, in one line."""
    return type(artifact).__name__


@describe.register
def _(report: SuiteReport) -> str:
    if report.counts is None:
        return f"exit code {report.exit_code}"
    counts = report.counts
    bad = counts.failed + counts.errors
    rest = (f"{bad} failed" if bad else "", f"{counts.skipped} skipped" if counts.skipped else "")
    return ", ".join(
        (f"{counts.passed} of {plural(counts.total, 'test')} passed", *(part for part in rest if part))
    )


@describe.register
def _(image: BuiltImage) -> str:
    parts = [f"sha256:{image.digest.short}", f"{size(image.application_size_bytes)} application"]
    if image.model_layers:
        parts.append(f"{size(image.model_size_bytes)} model")
    if (own := image.model_image) is not None:
        parts.append(f"{size(own.model_size_bytes)} model in {own.name} sha256:{own.digest.short}")
    if image.steps is not None and image.steps.steps:
        parts.append(f"{image.steps.cached} of {plural(image.steps.steps, 'step')} cached")
    notes = "".join(f"; cache {note}" for note in image.steps.notes) if image.steps is not None else ""
    return ", ".join((*parts, *(["dirty"] if image.dirty else []))) + notes


@describe.register
def _(report: ScanReport) -> str:
    hours = report.database_age.total_seconds() / 3600
    age = f"database {hours:.0f} h old" if hours >= 1 else "fresh database"
    text = f"{_findings(report.vulnerabilities)} in {plural(report.packages, 'package')}, {age}"
    unjudged = (f"{each.subject} {each.reason}" for each in report.unjudged)
    return "; ".join((text, *_new(report), *_model_files(report), *unjudged, *_told_by_registries(report)))


def _new(report: ScanReport) -> Iterator[str]:
    """Yield how many findings the deployed image lacks, where somebody asked."""
    if report.baseline is not None and (new := report.new_vulnerabilities) is not None:
        yield f"{len({found.flaw for found in new}) or 'none'} new since {report.baseline.name}"
    elif report.baseline_missing:
        yield f"what is new is unknown: {report.baseline_missing}"


def _model_files(report: ScanReport) -> Iterator[str]:
    """Yield how many model files were looked into, their formats, and how much was found in them."""
    if report.model_files is not None and report.model_files.files:
        formats = Counter(file.format for file in report.model_files.files)
        told = ", ".join(f"{count} {name}" for name, count in formats.most_common(5))
        more = ", …" if len(formats) > 5 else ""
        findings = report.model_files.findings
        found = plural(len(findings), "finding") if findings else "no findings"
        yield f"{plural(len(report.model_files.files), 'model file')} ({told}{more}): {found}"


NOT_READ = {
    "no image": "does not have this image yet",
    "no scan": "has not scanned it",
    "unfinished": "has not finished its scan",
}


def _told_by_registries(report: ScanReport) -> Iterator[str]:
    """Yield what each registry's own scanner found, or why nothing is known from it; platforms together."""
    told: dict[tuple[str, str], list[RegistryAnswer]] = {}
    for answer in report.registries:
        told.setdefault((answer.repository, answer.status), []).append(answer)
    for (repository, status), answers in told.items():
        notes = "".join(
            f" ({note})" for note in dict.fromkeys(note for each in answers for note in each.notes)
        )
        if status in NOT_READ:
            yield f"{repository} {NOT_READ[status]}{notes}"
            continue
        scanners = dict.fromkeys(each.scanner for each in answers)
        alone = sum(
            all(by.repository == repository for by in found.found_by)
            for found in report.vulnerabilities
            if found.found_by
        )
        count = plural(sum(each.findings for each in answers), "finding")
        yield f"{' and '.join(scanners)} of {repository}: {count}, {alone or 'none'} of its own{notes}"


def _findings(vulnerabilities: Sequence[Vulnerability]) -> str:
    if not vulnerabilities:
        return "no known vulnerability"
    counts = Counter(found.severity for found in vulnerabilities)
    fixable = sum(found.fixed_version is not None for found in vulnerabilities)
    told = ", ".join(f"{counts[severity]} {severity.lower()}" for severity in Severity if counts[severity])
    return f"{told} ({fixable or 'none'} with a fix)"


def _warm(report: BenchmarkReport) -> str:
    warm = [start.ready_ms for start in report.starts[1:]]
    return f" (warm {median(warm) / 1000:.1f} s)" if warm else ""


@describe.register
def _(report: BenchmarkReport) -> str:
    latency = (
        "no answer"
        if report.latency is None
        else f"p50 {report.latency.p50_ms:.1f} ms, p99 {report.latency.p99_ms:.1f} ms"
    )
    parts = (
        latency,
        f"{report.throughput_rps:.0f} requests/s",
        plural(report.errors, "error"),
        f"ready in {report.cold_start.ready_ms / 1000:.1f} s{_warm(report)}",
        f"peak {size(report.peak_memory_bytes)}",
        *(("killed as it did not stop",) if report.shutdown is not None and report.shutdown.killed else ()),
        *((f"reached by {report.route}",) if report.route not in {"", report.LOOPBACK} else ()),
        *comparison.in_words(report),
    )
    return ", ".join(parts)


@describe.register
def _(image: PushedImage) -> str:
    if image.layout is not None:
        return f"no registry configured: OCI image layout in {image.layout}"
    own = image.model_image
    failures = (*image.failures, *(own.failures if own is not None else ()))
    failed = [f"not {', '.join(each.repository for each in failures)}"] if failures else []
    if not image.references:
        return "; ".join(("nothing was pushed", *failed))
    weights = [f"model {_sent(own)}"] if own is not None and own.references else []
    return "; ".join((_sent(image), *weights, *failed))


def _sent(image: Pushed) -> str:
    sent = sum(reference.bytes_sent for reference in image.references)
    mounted = sum(reference.bytes_mounted for reference in image.references)
    existed = sum(reference.bytes_saved for reference in image.references) - mounted
    where = ", ".join(f"{reference.repository}" for reference in image.references)
    known = " (tag was there)" if all(reference.tag_existed for reference in image.references) else ""
    parts = ((mounted, "mounted"), (existed, "already there"))
    apart = ", ".join(f"{size(count)} {how}" for count, how in parts if count)
    saved = f"{size(mounted + existed)} saved{f' ({apart})' if apart else ''}"
    return f"{where}: {size(sent)} sent, {saved}{known}"


def told_by(reference: PushedReference) -> str:
    """Return what else names the image, and how it is known that the registry has it."""
    also = f"also {', '.join(reference.tags)}; " if reference.tags else ""
    held = reference.evidence
    if held is None:
        return also.removesuffix("; ")
    manifests, blobs = plural(held.manifests_compared, "manifest"), plural(held.blobs_found, "blob")
    notes = "".join(f"; {note}" for note in held.notes)
    if held.scan is not None:
        notes += f"; {held.scan.scanner.name}: {_findings(held.scan.vulnerabilities)}"
    return f"{also}read back: {manifests} compared, {blobs} found ({held.asked}){notes}"


@describe.register
def _(attested: AttestedImage) -> str:
    if attested.status == "unpublished":
        return "nothing to sign: the image is in no registry"
    if attested.status == "preview":
        return f"not signed; a run would sign with {attested.signer}: {', '.join(attested.planned)}"
    reused = sum(each.reused and not each.is_signature for each in attested.attestations)
    again = f" ({reused} from an earlier run)" if reused else ""
    notes = "".join(f"; {note}" for note in attested.notes)
    return f"signed, {_attestations(attested.attestations)} verified{again}, by {attested.signer}{notes}"


@describe.register
def _(image: VerifiedImage) -> str:
    return f"signed by {image.signer}, {_attestations(image.attestations)} verified"


def _attestations(found: Sequence[Attestation]) -> str:
    """Return how many there are, without signatures, which attest nothing."""
    return plural(sum(not each.is_signature for each in found), "attestation")


@describe.register
def _(update: ManifestUpdate) -> str:
    files = ", ".join(file.path for file in update.files)
    if (asked := update.request) is not None:
        how = "closed by people" if update.status == "declined" else "opened" if asked.opened else "updated"
        return f"request #{asked.number} {how}: {asked.url}{f': {files}' if files else ''}"
    if update.status == "committed":
        forced = " (by force)" if update.forced else ""
        return f"{(update.commit or '')[:12]} on {update.branch}: {files}{forced}{_rolled_out(update)}"
    if update.status == "unchanged":
        return f"the manifests name this digest already{_rolled_out(update)}"
    if update.status == "superseded":
        newer = next(found for found in update.before if found.order == "newer")
        return f"superseded: {newer.place} names a newer build already"
    if update.status == "preview":
        return f"not written: {files}" if files else "nothing would change"
    return "no target configured"


def _rolled_out(update: ManifestUpdate) -> str:
    """Return what became of the commit in the cluster, if somebody waited for it."""
    rollout = update.rollout
    if rollout is None:
        return ""
    words = {
        "live": "live after",
        "degraded": f"{rollout.subject} is broken after",
        "timeout": "not live after",
    }
    undone = f", rolled back by {rollout.undone_by[:12]}" if rollout.undone_by is not None else ""
    return f"; {words[rollout.status]} {rollout.duration_s:.0f} s{undone}"


@describe.register
def _(skipped: Skipped) -> str:
    return f"{'not done' if skipped.out_of_reach else 'left out'}: {skipped.reason}"
