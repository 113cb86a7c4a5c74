"""What is new since the deployed image, in Markdown: findings that came, findings that went, and its size."""

from collections.abc import Iterator, Sequence

from pipeline.markup import code, plain
from pipeline.model import BuiltImage, ScanReport, Severity, Vulnerability
from pipeline.record import Record
from pipeline.report.phrases import plural, size

MOST_LISTED = 20
_RANKS = {severity: number for number, severity in enumerate(Severity)}


def news(record: Record) -> Iterator[str]:
    """Yield what a run found out about it; nothing where nobody asked."""
    report = next((made for made in record.made() if isinstance(made, ScanReport)), None)
    if report is None:
        return
    if report.baseline is None:
        if report.baseline_missing:
            yield (
                "**New since what is deployed:** unknown, so every finding counts as new."
                f" {_sentence(plain(report.baseline_missing))}\n"
            )
        return
    new, gone = _once(report.new_vulnerabilities or ()), _once(report.gone_vulnerabilities or ())
    title = f"New since what is deployed ({code(report.baseline.name)}):"
    counts = f"{plural(len(new), 'finding')}; {len(gone) or 'none'} gone{_grown(record, report)}"
    yield f"**{title}** {counts}\n"
    lines = [*(f"- {_told(one)}" for one in new[:MOST_LISTED])]
    if (left := len(new) - MOST_LISTED) > 0:
        lines.append(f"- and {left:,} more, which the record has")
    if gone:
        more = f" and {len(gone) - MOST_LISTED:,} more" if len(gone) > MOST_LISTED else ""
        names = ", ".join(f"{plain(one.id)} in {plain(one.package)}" for one in gone[:MOST_LISTED])
        lines.append(f"- gone: {names}{more}")
    if lines:
        yield "\n".join(lines) + "\n"


def _once(found: Sequence[Vulnerability]) -> list[Vulnerability]:
    """Return each flaw once, wherever its package lies, the worst first."""
    flaws = {one.flaw: one for one in found}
    return sorted(flaws.values(), key=lambda one: (_RANKS[one.severity], one.package, one.id))


def _told(found: Vulnerability) -> str:
    fix = f", fixed in {plain(found.fixed_version)}" if found.fixed_version else ", no fix known"
    exploited = ", known to be exploited" if found.known_exploited is not None else ""
    package = f"{plain(found.package)} {plain(found.installed_version)}"
    return f"{found.severity} {plain(found.id)} in {package}{fix}{exploited}"


def _grown(record: Record, report: ScanReport) -> str:
    """Return how the image's compressed size changed, where both are known."""
    image = next((made for made in record.made() if isinstance(made, BuiltImage)), None)
    before = report.baseline.size_bytes if report.baseline is not None else None
    if image is None or before is None:
        return "; its size is unknown"
    if image.size_bytes == before:
        return f"; its size stays {size(before)}"
    sign = "+" if image.size_bytes > before else "-"
    change = f"{sign}{size(abs(image.size_bytes - before))}"
    return f"; {size(before)} became {size(image.size_bytes)} ({change}), compressed"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."
