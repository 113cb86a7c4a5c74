"""What a CI host gets of a run that has come to its end: each part is a reading of the record."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from pipeline.ci.gitlab import GitLab
from pipeline.ci.interface import Host
from pipeline.ci.local import Local
from pipeline.ci.streams import tell
from pipeline.record import Record, Runs
from pipeline.redaction import Redactor
from pipeline.report.annotate import annotations
from pipeline.report.gitlab import write_reports
from pipeline.report.markdown import comment, summary
from pipeline.report.outputs import outputs
from pipeline.report.sarif import write_sarif

FOLDER = "ci"
"""Below `.pipeline`: what the host names no file for."""

IN_CI = """\
in CI on a branch: the same, with outputs, a summary and annotations for GitHub or GitLab
in CI for a pull or merge request: push and manifests are only previewed, and one comment tells the outcome"""


def say_what_ci_does(host: Host, console: Console) -> None:
    """Tell somebody at their own machine what would be different elsewhere."""
    if isinstance(host, Local):
        console.print(IN_CI, style="dim", highlight=False, soft_wrap=True)


def publish(  # noqa: PLR0913 - each comes from somebody else
    host: Host, record: Record, runs: Runs, console: Console, redact: Redactor, *, key: str
) -> None:
    """Hand the host annotations, outputs, reports, summary and comment; `key` tells several deliveries apart.

    The findings as SARIF stand in the run's folder, wherever it runs.

    Raises:
        DiskFull: a file that the host named cannot be written.
    """
    folder, path = runs.folder / FOLDER, runs.path(record.run)
    found_in = write_sarif(record, path.parent, redact)
    if isinstance(host, Local):
        return
    found = tuple(
        replace(one, title=redact(one.title), message=redact(one.message)) for one in annotations(record)
    )
    tell(console.file, host.annotations(found))
    host.write_outputs(outputs(record, path, found_in), folder)
    if isinstance(host, GitLab):
        top = Path(os.environ.get("CI_PROJECT_DIR") or Path.cwd())
        write_reports(record, path.parent, found, into=folder, top=top, redact=redact)
    host.write_summary(redact(summary(record, path)), folder)
    if host.proposal is not None and (done := host.comment(redact(comment(record, path)), _short(key))):
        console.print(done, style="dim", highlight=False, markup=False, soft_wrap=True)


def _short(key: str) -> str:
    """Return a key that does not depend on where the checkout is, nor shows a name."""
    here = os.environ.get("GITHUB_WORKSPACE") or os.environ.get("CI_PROJECT_DIR") or str(Path.cwd())
    return hashlib.sha256(key.replace(str(Path(here).resolve()), "").encode()).hexdigest()[:16]
