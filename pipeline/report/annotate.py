"""The lines that a record speaks of: failed tests, refusals, mistakes in configuration and manifests."""

import os
import re
from collections.abc import Iterator
from typing import get_args

from pipeline.markup import visible
from pipeline.model import LintFinding, ScanReport, SuiteReport, Verdict
from pipeline.record import Failure, Record
from pipeline.report.annotations import Annotation, Level

_LEVELS: tuple[Level, ...] = get_args(Level)
_PLACE = re.compile(r"^\s*(?:- )?(?P<file>[\w./@+-]+\.(?:yaml|yml|lock|py|toml)):(?P<line>\d+)(?:: |$)")


def annotations(record: Record) -> tuple[Annotation, ...]:
    """Return what is said of lines, the worst first; a failure that concerns no line is said without one."""
    found = (*_failures(record), *_verdicts(record), *_ends(record), *_lint(record))
    return tuple(sorted(dict.fromkeys(found), key=lambda one: _LEVELS.index(one.level)))


def _failures(record: Record) -> Iterator[Annotation]:
    for made in record.made():
        for case in made.failures if isinstance(made, SuiteReport) else ():
            yield _annotation(record, "test failed", f"{case.name}: {case.message}", case.file, case.line)


def _verdicts(record: Record) -> Iterator[Annotation]:
    for stage in record.stages:
        for verdict in stage.verdicts:
            yield from _refusals(record, stage.name, verdict)


def _refusals(record: Record, stage: str, verdict: Verdict) -> Iterator[Annotation]:
    found = _PLACE.match(verdict.origin) or _setting(record, "policies")
    for reason in verdict.reasons:
        yield Annotation(
            level="error" if verdict.refuses else "warning",
            title=visible(f"{stage} {'refused' if verdict.refuses else 'warned of'} by {verdict.policy}"),
            message=_text(reason.message, reason.advice),
            file=_file(record, found["file"]) if found else None,
            line=int(found["line"]) if found else None,
        )


def _lint(record: Record) -> Iterator[Annotation]:
    """Yield what a linter says of the Dockerfile: advice; whether it stops a run is a policy's to say."""
    for made in record.made():
        report = made.dockerfile if isinstance(made, ScanReport) else None
        for found in report.findings if report is not None else ():
            yield Annotation(
                level=_lint_level(found),
                title=visible(found.code),
                message=_text(found.message, found.url or ""),
                file=os.path.normpath(_file(record, report.path)) if report is not None else None,
                line=found.line,
            )


def _lint_level(found: LintFinding) -> Level:
    return "warning" if found.level in {"error", "warning"} else "notice"


def _ends(record: Record) -> Iterator[Annotation]:
    """Yield the failure that ended the run, unless tests or policies have said it already."""
    failure = record.failure
    if failure is None or failure.kind in {"PolicyRefused", "Interrupted"}:
        return
    if failure.kind == "StageFailed" and any(_failures(record)):
        return
    lines = failure.message.splitlines()
    placed = [(line, found) for line in lines if (found := _PLACE.match(line))]
    for line, found in placed:
        said = line[found.end() :]
        yield _annotation(
            record, failure.kind, _text(said, failure.advice), found["file"], int(found["line"])
        )
    if not placed:
        yield _of_setting(record, failure)


def _of_setting(record: Record, failure: Failure) -> Annotation:
    """Return a failure beside the setting that it comes from: a manifest is of another repository."""
    found = _setting(record, "update.targets") if failure.kind == "ManifestRefused" else None
    text = _text(failure.message, failure.advice)
    line = int(found["line"]) if found else None
    return _annotation(record, failure.kind, text, found["file"] if found else None, line)


def _setting(record: Record, key: str) -> re.Match[str] | None:
    origins = (one.origin for one in record.configuration if one.key.split("[")[0].startswith(key))
    return next((found for origin in origins if (found := _PLACE.match(origin))), None)


def _annotation(record: Record, title: str, message: str, file: str | None, line: int | None) -> Annotation:
    place = _file(record, file) if file is not None else None
    return Annotation(level="error", title=title, message=visible(message), file=place, line=line)


def _file(record: Record, file: str) -> str:
    return str(record.source.root / file) if record.source is not None else file


def _text(message: str, advice: str) -> str:
    return visible("\n".join(part for part in (message, advice) if part))
