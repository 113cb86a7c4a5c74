"""How long each stage took, as a chart that GitHub and GitLab draw (Mermaid, "Gantt diagrams")."""

import re
from collections.abc import Iterator

from pipeline.record import Record, StageRecord, Status

_KINDS = {
    Status.REFUSED: "crit, ",
    Status.FAILED: "crit, ",
    Status.INTERRUPTED: "crit, ",
    Status.REUSED: "done, ",
}


def chart(record: Record) -> Iterator[str]:
    """Yield the chart: one bar for each stage that ran, from the beginning of the run on."""
    bars = [bar for stage in record.stages if (bar := _bar(record, stage))]
    if bars:
        head = ("gantt", "  dateFormat x", "  axisFormat %M:%S")
        yield "```mermaid\n" + "\n".join((*head, *bars)) + "\n```\n"


def _bar(record: Record, stage: StageRecord) -> str:
    if stage.started_at is None or stage.duration_s is None:
        return ""
    begin = max(0, round((stage.started_at - record.started_at).total_seconds() * 1000))
    end = begin + max(1, round(stage.duration_s * 1000))
    name = re.sub(r"[^A-Za-z0-9 _-]", "_", stage.name) or "stage"
    return f"  {name} :{_KINDS.get(stage.status, '')}{begin}, {end}"
