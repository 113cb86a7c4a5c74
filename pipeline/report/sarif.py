"""The findings as SARIF, for GitHub's code scanning and editors: one run for each tool.

Findings in an image lie in no file of the repository. They stand at the line of pipeline.yaml that names the
image, which hardly ever changes: GitHub knows a finding again by its rule and the text at its line. So each
package that has a flaw is a rule of its own, and we leave GitHub's own fingerprint to GitHub.

Sources: OASIS SARIF 2.1.0; GitHub, "SARIF support for code scanning" and "SARIF results exceed one or more
limits".
"""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.model import BuiltImage
from pipeline.record import Record, write_text
from pipeline.redaction import Redactor
from pipeline.report.sarif_findings import Finding, ToolRun, tool_runs

FILE_NAME = "report.sarif"
SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
MOST_RESULTS = 5_000
"""In one run; GitHub shows no more, and refuses a file that has more than five times as many."""
MOST_BYTES = 10_000_000
"""Compressed: GitHub takes no larger file."""
FINGERPRINT = "modelImagePipeline/v1"
_LONGEST = 1_000


def write_sarif(record: Record, run: Path, redact: Redactor) -> Path | None:
    """Write the findings of a run into its folder; None where it has looked for none.

    Raises:
        DiskFull: the file system has no room.
    """
    text = sarif(record)
    if text is None:
        return None
    write_text(run / FILE_NAME, redact(text))
    return run / FILE_NAME


def sarif(record: Record) -> str | None:
    """Return the findings of a run as SARIF; None where nothing was looked for."""
    runs = tool_runs(record)
    if not runs:
        return None
    most = MOST_RESULTS
    while True:
        text = json.dumps(_document(record, runs, most), ensure_ascii=False, indent=1) + "\n"
        if most == 1 or len(gzip.compress(text.encode(), 1)) <= MOST_BYTES:
            return text
        most = max(1, most // 2)


def _document(record: Record, runs: Sequence[ToolRun], most: int) -> dict[str, Any]:
    name = next((made.name for made in record.made() if isinstance(made, BuiltImage)), "delivery")
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [_run(one, f"model-image-pipeline/{name}/{one.name}/", record, most) for one in runs],
    }


def _run(run: ToolRun, category: str, record: Record, most: int) -> dict[str, Any]:
    shown = sorted(run.findings, key=lambda one: one.rank)[:most]
    rules = {one.rule: one for one in shown}
    places = {rule: number for number, rule in enumerate(rules)}
    left = len(run.findings) - len(shown)
    source = record.source
    url = source.repository_url if source is not None else None
    return {
        "tool": {
            "driver": {
                "name": run.title,
                **({"semanticVersion": run.version} if run.version else {}),
                "informationUri": run.url,
                "rules": [_rule(one) for one in rules.values()],
            }
        },
        "automationDetails": {"id": category},
        "invocations": [
            {
                "executionSuccessful": True,
                **({"toolExecutionNotifications": [_left_out(left, record)]} if left else {}),
            }
        ],
        **(
            {"versionControlProvenance": [{"repositoryUri": url, "revisionId": source.commit}]}
            if source is not None and url is not None and url.startswith(("https://", "http://"))
            else {}
        ),
        "columnKind": "unicodeCodePoints",
        "results": [_result(one, places[one.rule]) for one in shown],
    }


def _left_out(count: int, record: Record) -> dict[str, Any]:
    text = f"{count:,} further findings are left out here; the record of the run {record.run} has all."
    return {"level": "warning", "message": {"text": text}}


def _rule(found: Finding) -> dict[str, Any]:
    properties: dict[str, Any] = {"tags": list(found.tags)[:10]}
    if found.score is not None:
        properties |= {"security-severity": f"{found.score:.1f}"}
    return {
        "id": found.rule,
        "shortDescription": {"text": _cut(found.title)},
        "fullDescription": {"text": _cut(found.description or found.title)},
        "help": {"text": found.remedy, "markdown": found.markdown},
        **({"helpUri": found.url} if found.url else {}),
        "defaultConfiguration": {"level": found.level},
        "properties": properties,
    }


def _result(found: Finding, rule: int) -> dict[str, Any]:
    inside = {"logicalLocations": [{"fullyQualifiedName": found.inside, "kind": found.kind}]}
    region = {"startLine": found.line, **({"startColumn": found.column} if found.column else {})}
    return {
        "ruleId": found.rule,
        "ruleIndex": rule,
        "level": found.level,
        "message": {"text": _cut(found.message)},
        "locations": [
            {
                "physicalLocation": {"artifactLocation": {"uri": found.uri}, "region": region},
                **(inside if found.inside else {}),
            }
        ],
        "partialFingerprints": {FINGERPRINT: found.fingerprint},
        **({"baselineState": found.state} if found.state else {}),
        **({"suppressions": [_suppression(found)]} if found.accepted else {}),
    }


def _suppression(found: Finding) -> dict[str, str]:
    return {"kind": "external", "status": "accepted", "justification": _cut(found.accepted)}


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
