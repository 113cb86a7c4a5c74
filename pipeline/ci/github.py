"""GitHub: commands in what a step prints, files that the runner reads after it, one comment.

Source: GitHub, "Workflow commands". The runner looks for commands in standard error too, and there before it
looks at standard output; the latter is left to the record that `--json` prints.
"""

import json
import re
import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, get_args

from pipeline.ci.files import MOST_SUMMARY_BYTES, append, shortened
from pipeline.ci.interface import Output, Proposal
from pipeline.ci.streams import is_kept, tell
from pipeline.report.annotations import Annotation, Level

MOST_ANNOTATIONS = 10
"""Of each kind, from one step; GitHub drops the others without a word."""

_APART = "\u200b"  # zero width: people read the same, the runner finds no command
_COMMAND = re.compile(r"^((?:\s|\x1b\[[0-9;?]*[A-Za-z])*:)(?=:)", re.MULTILINE)
_OLD_COMMAND = re.compile(r"##(?=\[)")
_LINE_ENDS = re.compile(r"\r\n?|[\v\f\x1c-\x1e\x85\u2028\u2029]")


@dataclass(frozen=True, kw_only=True)
class GitHub:
    """A job on GitHub, or on a server of GitHub Enterprise."""

    environment: Mapping[str, str]
    name: ClassVar[str] = "GitHub"

    @cached_property
    def proposal(self) -> Proposal | None:
        """The pull request that the job runs for, whatever the event is called that started it."""
        event = self._event
        asked = _mapping(event.get("pull_request")) or _pull_request_of_issue(event)
        run = _mapping(event.get("workflow_run"))
        names = (self.environment.get("GITHUB_EVENT_NAME", ""), str(run.get("event", "")))
        reference = self.environment.get("GITHUB_REF", "")
        proposed = any(one.startswith(("pull_request", "merge_group")) for one in names)
        if not (asked or proposed or reference.startswith(("refs/pull/", "refs/heads/gh-readonly-queue/"))):
            return None
        number = asked.get("number") or next(iter(re.findall(r"^refs/pull/(\d+)/", reference)), None)
        return Proposal(
            noun="pull request" if number is not None else "change in the merge queue",
            number=int(str(number)) if number is not None else None,
            from_fork=_from_fork(asked) or _head_is_elsewhere(run),
        )

    def mask(self, secret: str) -> None:
        """Tell the runner a secret of one line, so that it shows `***` in its place, whoever prints it.

        Where standard error goes into a file, the runner does not read it, and the file may be kept: it is
        told nothing.
        """
        if not is_kept(sys.stderr):
            tell(sys.stderr, f"::add-mask::{escaped(secret)}")

    def neutral(self, text: str) -> str:
        """Return text in which the runner finds no command: neither at a line's start nor the old kind."""
        lines = _LINE_ENDS.sub("\n", text)
        return _OLD_COMMAND.sub(f"##{_APART}", _COMMAND.sub(rf"\1{_APART}", lines))

    def begin_group(self, name: str, title: str) -> str:
        """Return the command that opens a group."""
        del name
        return f"::group::{escaped(title)}"

    def end_group(self, name: str) -> str:
        """Return the command that closes it."""
        del name
        return "::endgroup::"

    def annotations(self, found: Sequence[Annotation]) -> str:
        """Return commands for as many annotations as GitHub shows, and how many there are beside them."""
        lines: list[str] = []
        for level in get_args(Level):
            all_of_it = [one for one in found if one.level == level]
            lines += [self._annotation(one) for one in all_of_it[:MOST_ANNOTATIONS]]
            if (left := len(all_of_it) - MOST_ANNOTATIONS) > 0:
                lines.append(f"{left} more {level}s are in the summary; GitHub shows {MOST_ANNOTATIONS}")
        return "\n".join(lines)

    def write_outputs(self, outputs: Mapping[Output, str], folder: Path) -> None:
        """Write the step's outputs, each between delimiters that nobody can know beforehand."""
        del folder
        if path := self.environment.get("GITHUB_OUTPUT"):
            append(Path(path), "".join(_output(name, value) for name, value in outputs.items()))

    def write_summary(self, markdown: str, folder: Path) -> None:
        """Write the step's summary; what is longer than GitHub takes ends with a pointer."""
        del folder
        if path := self.environment.get("GITHUB_STEP_SUMMARY"):
            before = Path(path).stat().st_size if Path(path).is_file() else 0  # GitHub shows all or nothing
            if text := shortened(markdown, MOST_SUMMARY_BYTES - before):
                append(Path(path), text)

    def comment(self, markdown: str, key: str) -> str:
        """Write or update our comment on the pull request, with GITHUB_TOKEN where that is given."""
        from pipeline.ci.github_comment import comment

        return comment(self.environment, self.proposal, markdown, key)

    @cached_property
    def _event(self) -> Mapping[str, object]:
        try:
            text = Path(self.environment.get("GITHUB_EVENT_PATH", "")).read_text(encoding="utf-8")
            return _mapping(json.loads(text))
        except (OSError, ValueError):
            return {}

    def _annotation(self, one: Annotation) -> str:
        properties = {"title": one.title}
        if one.file is not None:
            properties = {"file": self._path(one.file), "line": str(one.line or 1), **properties}
        told = ",".join(f"{key}={escaped_property(value)}" for key, value in properties.items())
        return f"::{one.level} {told}::{escaped(one.message)}"

    def _path(self, file: str) -> str:
        """Return a path as GitHub knows it: below the repository's root, wherever that is checked out."""
        path = Path(file).resolve()
        workspace = Path(self.environment.get("GITHUB_WORKSPACE") or Path.cwd()).resolve()
        root = next((folder for folder in path.parents if (folder / ".git").exists()), workspace)
        return path.relative_to(root).as_posix() if path.is_relative_to(root) else file


def escaped(value: str) -> str:
    """Return a value as it stands in a command."""
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def escaped_property(value: str) -> str:
    """Return a value as it stands among a command's properties."""
    return escaped(value).replace(":", "%3A").replace(",", "%2C")


def _output(name: str, value: str) -> str:
    delimiter = f"pipeline-{secrets.token_hex(16)}"
    return f"{name}<<{delimiter}\n{value}\n{delimiter}\n"


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _pull_request_of_issue(event: Mapping[str, object]) -> Mapping[str, object]:
    """Return what stands for a pull request where somebody commented on one."""
    issue = _mapping(event.get("issue"))
    return {"number": issue.get("number"), "head": {}} if issue.get("pull_request") else {}


def _from_fork(asked: Mapping[str, object]) -> bool:
    """Tell whether a pull request comes from another repository; from one that is gone, too."""
    if not asked:
        return False
    head, base = (
        _mapping(_mapping(asked.get(side)).get("repo")).get("full_name") for side in ("head", "base")
    )
    return head is None or head != base


def _head_is_elsewhere(run: Mapping[str, object]) -> bool:
    head, here = (_mapping(run.get(key)).get("full_name") for key in ("head_repository", "repository"))
    return bool(run) and head != here
