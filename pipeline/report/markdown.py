"""The run in Markdown: as a job's summary, and shorter as the comment on a pull or merge request."""

from collections.abc import Iterator
from pathlib import Path

from pipeline.markup import code, fenced, plain
from pipeline.model import (
    AttestedImage,
    BenchmarkReport,
    BuiltImage,
    ManifestUpdate,
    PushedImage,
    ScanReport,
    SuiteReport,
)
from pipeline.record import Record, StageRecord, Status
from pipeline.report import comparison
from pipeline.report.benchmark import benchmark_rows
from pipeline.report.benchmark_charts import charts
from pipeline.report.chart import chart
from pipeline.report.news import news
from pipeline.report.phrases import describe, duration, plural, size

MARKS = {
    Status.PASSED: "✅",
    Status.REUSED: "♻️",
    Status.SKIPPED: "⏭️",
    Status.REFUSED: "⛔",
    Status.FAILED: "❌",
    Status.INTERRUPTED: "⏹️",
    Status.INCOMPLETE: "⚠️",
    Status.RUNNING: "…",
    Status.PLANNED: "·",
}
MOST_LISTED = 50
MOST_COMMENT_CHARACTERS = 60_000  # GitHub takes 65,536 of a comment
_MOST_DIFF_CHARACTERS = 200_000


def summary(record: Record, path: Path) -> str:
    """Return the whole story: verdict and reasons first, then stages, image, manifests, times and details."""
    parts = (
        *_head(record),
        *_stages(record),
        *_image(record),
        *news(record),
        *_benchmark(record),
        *comparison.markdown(record),
        *_manifests(record, _MOST_DIFF_CHARACTERS),
        *chart(record),
        *_details(record),
        _where(record, path),
    )
    return "\n".join(parts)


def comment(record: Record, path: Path) -> str:
    """Return what the reviewer of a change wants to know, within what a comment may hold."""
    most = MOST_COMMENT_CHARACTERS
    first = [
        *_head(record),
        *_stages(record),
        *_image(record),
        *news(record),
        *comparison.markdown(record),
    ]
    room = most - sum(len(part) + 1 for part in first)
    text = "\n".join([*first, *_manifests(record, room // 2), _where(record, path)])
    if len(text) <= most:
        return text
    cut = text[:most].rpartition("\n")[0]
    return f"_Shortened: the job's summary and the record have more._\n\n{cut}"


def _head(record: Record) -> Iterator[str]:
    yield f"### {MARKS[record.status]} {_title(record)}\n"
    if record.proposal is not None:
        yield f"For {plain(record.proposal)}: nothing was pushed and no manifest was written.\n"
    elif record.dry_run:
        yield "A dry run: nothing left the machine.\n"
    yield from _reasons(record)
    if record.failure is not None and record.failure.kind != "PolicyRefused":
        yield f"**{plain(record.failure.kind)}**\n"
        yield fenced("\n\n".join(filter(None, (record.failure.message, record.failure.advice))))


def _title(record: Record) -> str:
    subject = next((plain(made.name) for made in record.made() if isinstance(made, BuiltImage)), "delivery")
    commit = f" {code(record.source.commit[:12])}" if record.source is not None else ""
    lacking = f", {plain(' and '.join(record.out_of_reach))} not done" if record.out_of_reach else ""
    return f"{subject}{commit}: {record.status}{lacking}"


def _reasons(record: Record) -> Iterator[str]:
    """Yield what the policies have against it, refusals before warnings."""
    said = [
        (stage.name, verdict) for stage in record.stages for verdict in stage.verdicts if not verdict.passed
    ]
    lines: list[str] = []
    for stage, verdict in sorted(said, key=lambda one: not one[1].refuses):
        word = "refused" if verdict.refuses else "warning"
        for reason in verdict.reasons:
            place = f" ({code(verdict.origin)})" if verdict.origin else ""
            lines.append(f"- **{stage} {word}** by {plain(verdict.policy)}{place}: {plain(reason.message)}")
            if reason.advice and verdict.refuses:
                lines.append(f"  {plain(reason.advice)}")
    notes = [(stage.name, note) for stage in record.stages for one in stage.verdicts for note in one.notes]
    lines += [f"- **{stage} note**: {plain(note)}" for stage, note in dict.fromkeys(notes)]
    if lines:
        yield "\n".join(_first(lines)) + "\n"


def _stages(record: Record) -> Iterator[str]:
    if not record.stages:
        return
    rows = ["| | stage | time | verdict | result |", "|---|---|---:|---|---|"]
    yield "\n".join((*rows, *(_row(stage) for stage in record.stages))) + "\n"


def _row(stage: StageRecord) -> str:
    made = stage.made()
    took = "" if stage.duration_s is None else duration(stage.duration_s)
    refused = sum(len(one.reasons) for one in stage.verdicts if one.refuses)
    warned = sum(len(one.reasons) for one in stage.verdicts if not one.passed and not one.refuses)
    verdict = "not run" if stage.status is Status.PLANNED else str(stage.status)
    if refused:
        verdict = f"{refused} refused"
    elif warned:
        verdict = f"{stage.status}, {plural(warned, 'warning')}"
    result = plain(describe(made)) if made is not None else ""
    return f"| {MARKS[stage.status]} | {plain(stage.name)} | {took} | {verdict} | {result} |"


def _image(record: Record) -> Iterator[str]:
    """Yield what was built and where it is, with sizes; beside it what the manifests named before."""
    rows: list[tuple[str, str]] = []
    for made in record.made():
        if isinstance(made, BuiltImage):
            rows.append(("digest", code(str(made.digest))))
            rows.append(("application", f"{size(made.application_size_bytes)} in layers of its own"))
            weights = sum(layer.descriptor.size_bytes for layer in made.weights)
            rows += [("model", size(weights))] if made.weights else []
            rows += [("platforms", plain(", ".join(one.platform for one in made.platforms)))]
        if isinstance(made, PushedImage):
            rows += [("pushed", code(str(one))) for one in made.references]
            rows += [
                ("not pushed", f"{code(str(one.repository))}: {plain(one.message)}") for one in made.failures
            ]
        if isinstance(made, AttestedImage):
            rows += [("signed", plain(describe(made)))]
            rows += [("verify", code(made.command))] if made.command else []
        if isinstance(made, ManifestUpdate):
            rows += [
                ("before", f"{code(one.reference)} at {code(one.place)}, {one.order}") for one in made.before
            ]
    if rows:
        table = (f"| **{name}** | {text} |" for name, text in rows)
        yield "\n".join(("| | |", "|---|---|", *table)) + "\n"


def _benchmark(record: Record) -> Iterator[str]:
    for made in record.made():
        if isinstance(made, BenchmarkReport):
            rows = (f"| **{plain(name)}** | {plain(text)} |" for name, text in benchmark_rows(made))
            yield "\n".join(("| | |", "|---|---|", *rows)) + "\n"
            yield from charts(made)


def _manifests(record: Record, room: int) -> Iterator[str]:
    for made in record.made():
        if not isinstance(made, ManifestUpdate):
            continue
        title = f"Manifests: {plain(describe(made))}"
        blocks = [f"**{title}**\n", *([plain(made.note) + "\n"] if made.note else [])]
        for file in made.files:
            block = fenced(file.diff, "diff")
            if len(block) > room:
                block = f"{code(file.path)}: the diff is too long to be shown here.\n"
            room -= len(block)
            blocks.append(block)
        yield "\n".join(blocks)


def _details(record: Record) -> Iterator[str]:
    for made in record.made():
        if isinstance(made, SuiteReport) and made.failures:
            yield _folded(
                plural(len(made.failures), "failed test"),
                [
                    f"- {code(f'{one.file}:{one.line}' if one.file else one.name)} {plain(one.message)}"
                    for one in made.failures
                ],
            )
        if isinstance(made, ScanReport) and made.vulnerabilities:
            title = f"{len(made.vulnerabilities):,} vulnerabilities"
            lines = [
                f"- {one.severity} {plain(one.id)} {plain(one.package)} {plain(one.installed_version)}"
                f"{f', fixed in {plain(one.fixed_version)}' if one.fixed_version else ''}"
                for one in made.vulnerabilities
            ]
            yield _folded(title, lines)
    failed = [one for one in record.checks if not one.passed]
    if failed:
        yield _folded("Checks", [f"- {plain(one.subject)}: {plain(one.found)}" for one in failed])
    if record.failure is not None and record.failure.tail:
        yield f"<details><summary>End of the output</summary>\n\n{fenced(record.failure.tail)}\n</details>\n"


def _folded(title: str, lines: list[str]) -> str:
    text = "\n".join(_first(lines))
    return f"<details><summary>{title}</summary>\n\n{text}\n\n</details>\n"


def _where(record: Record, path: Path) -> str:
    return f"<sub>run {code(record.run)}, {duration(record.duration_s)}; record {code(str(path))}</sub>\n"


def _first(lines: list[str]) -> list[str]:
    """Return as many lines as people read, and how many more there are."""
    left = len(lines) - MOST_LISTED
    return lines if left <= 0 else [*lines[:MOST_LISTED], f"- and {left:,} more, which the record has"]
