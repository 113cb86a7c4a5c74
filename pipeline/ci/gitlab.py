"""GitLab: sections in the job's log, a dotenv report, a note on the merge request.

GitLab has no command that masks a value: what we say there is masked by our own redaction alone.
Source: GitLab, "Job logs" (collapsible sections), "Predefined CI/CD variables", "dotenv report".
"""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pipeline.ci.files import write
from pipeline.ci.interface import Output, Proposal
from pipeline.report.annotations import Annotation

OUTPUTS_FILE = "outputs.env"
SUMMARY_FILE = "summary.md"
MOST_VALUE_BYTES = 500
"""Of one variable: the eight together stay below the 5 kB that GitLab takes of a dotenv report."""

_APART = "\u200b"
_SECTION = re.compile(r"(section_)(?=start:|end:)")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")


@dataclass(frozen=True, kw_only=True)
class GitLab:
    """A job of GitLab CI."""

    environment: Mapping[str, str]
    name: ClassVar[str] = "GitLab"

    @property
    def proposal(self) -> Proposal | None:
        """The merge request that the job runs for, also in a child pipeline or a merge train."""
        told = self.environment.get
        source = told("CI_PIPELINE_SOURCE", "")
        outside = told("CI_EXTERNAL_PULL_REQUEST_IID", "")
        number = told("CI_MERGE_REQUEST_IID", "") or outside
        proposed = source in {"merge_request_event", "external_pull_request_event"}
        if not number and not proposed and not told("CI_MERGE_REQUEST_REF_PATH"):
            return None
        projects = told("CI_MERGE_REQUEST_SOURCE_PROJECT_ID", ""), told("CI_MERGE_REQUEST_PROJECT_ID", "")
        return Proposal(
            noun="pull request" if outside else "merge request",
            number=int(number) if number.isdecimal() else None,
            from_fork=projects[0] != projects[1],
        )

    def mask(self, secret: str) -> None:
        """Tell nobody: a job cannot."""

    def neutral(self, text: str) -> str:
        """Return text in which GitLab finds no section."""
        return _SECTION.sub(rf"\1{_APART}", text)

    def begin_group(self, name: str, title: str) -> str:
        """Return what opens a section, folded."""
        return f"\x1b[0Ksection_start:{int(time.time())}:{_id(name)}[collapsed=true]\r\x1b[0K{_line(title)}"

    def end_group(self, name: str) -> str:
        """Return what closes it."""
        return f"\x1b[0Ksection_end:{int(time.time())}:{_id(name)}\r\x1b[0K"

    def annotations(self, found: Sequence[Annotation]) -> str:
        """Return nothing: GitLab shows what stands in reports."""
        del found
        return ""

    def write_outputs(self, outputs: Mapping[Output, str], folder: Path) -> None:
        """Write a dotenv report: `pull-request` becomes PULL_REQUEST.

        It takes neither several lines nor quotes for a value; what is not plain ASCII is left out of it. Each
        path is told as `artifacts:` has to name it.
        """
        top = f"{self.environment.get('CI_PROJECT_DIR', '')}/"
        near = {
            name: v.removeprefix(top) if name in {"record", "sarif"} else v for name, v in outputs.items()
        }
        lines = [f"{name.upper().replace('-', '_')}={_value(value)}" for name, value in near.items()]
        write(folder / OUTPUTS_FILE, "\n".join(lines) + "\n")

    def write_summary(self, markdown: str, folder: Path) -> None:
        """Write the summary for a job's artefacts: GitLab's page of a job has no place for one."""
        write(folder / SUMMARY_FILE, markdown)

    def comment(self, markdown: str, key: str) -> str:
        """Write or update our note on the merge request, with GITLAB_TOKEN where that is given."""
        from pipeline.ci.gitlab_note import note

        return note(self.environment, self.proposal, markdown, key)


def _id(name: str) -> str:
    return "pipeline_" + re.sub(r"[^a-zA-Z0-9_.-]", "_", name)


def _line(text: str) -> str:
    return " ".join(_UNPRINTABLE.sub(" ", text).split())


def _value(value: str) -> str:
    """Return a value on one line; one that is too long is cut at a space, since half a name names another."""
    text = _UNPRINTABLE.sub("", " ".join(value.split()))
    return text if len(text) <= MOST_VALUE_BYTES else text[:MOST_VALUE_BYTES].rpartition(" ")[0]
