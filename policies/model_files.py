"""Is anything in the model's files that runs code, breaks its format, or could not be read?"""

from collections.abc import Iterator
from datetime import date, timedelta
from fnmatch import fnmatchcase
from typing import ClassVar, Literal

from pipeline.interface import Case
from pipeline.model import Accepted, Artifact, ModelFileFinding, ModelFilesReport, Reason, ScanReport, Verdict
from policies.exceptions import since_when
from policies.model_words import Finding, Format
from policies.rule import Options, Rule, Word, listed, plural

SHOWN = 5
_UNLISTED = "pickle-unlisted-import"
_REMEDIES = {
    "pickle": "Save the weights in a format that holds no code: safetensors, ONNX, skops for scikit-learn.",
    "keras": "Replace the layer by one of Keras's own, or by a registered class in the application's code.",
    "unread": "Save the file again with its own library, plainly compressed or not at all.",
    "malformed": "Fetch or save the file again: no library writes it so.",
    "unsafe": "Do not load it; find out where it comes from.",
}


class ModelFileException(Options):
    """A finding that is accepted until a day, for a reason, by somebody."""

    path: Word
    """The file, as the finding names it; `*` stands for any characters."""
    code: Finding
    """The finding, such as pickle-import."""
    subject: Word = "*"
    """What it is about, such as the imported name; default: whatever it is."""
    reason: Word
    """Why it is no danger here."""
    owner: Word
    """Who decided so."""
    expires: date
    """The last day on which it holds."""

    def covers(self, found: ModelFileFinding) -> bool:
        """Tell whether this is the finding it was written for."""
        return (
            fnmatchcase(found.path, self.path)
            and found.code == self.code
            and fnmatchcase(found.subject, self.subject)
        )


class ModelFilesRule(Rule):
    """Nothing in the model's files runs code, breaks the rules of its format, or was left unread."""

    rule: Literal["model_files"]
    findings: tuple[Finding, ...] = ("unsafe", "malformed", "unread")
    """Kinds or codes of findings that are refused; `*` stands for any characters."""
    imports: tuple[Word, ...] = ()
    """Names of your own that pickles may import, such as `churn.features.*`; those that are known to run
    commands stay refused."""
    refused_formats: tuple[Format, ...] = ()
    """Formats that are refused, such as pickle or unknown; `*` stands for any characters."""
    required: bool = False
    """Whether it is refused that nobody looked into the files."""
    exceptions: tuple[ModelFileException, ...] = ()
    """Findings that are accepted for a while."""

    judges: ClassVar[type[Artifact]] = ScanReport
    why: ClassVar[str] = (
        "Loading a pickle runs whatever its author wrote, and other formats can hide one; a file that nobody "
        "could read to its end may hold anything."
    )
    example: ClassVar[str] = """\
rule: model_files
imports: ["churn.features.*"]
refused_formats: [unknown]
"""
    remedy: ClassVar[str] = (
        "Save the weights in a format that holds no code: safetensors, ONNX, skops for scikit-learn. "
        "Classes of your own that a pickle needs are named under `imports`."
    )
    exception: ClassVar[str] = (
        "exceptions: [{path: model.pkl, code: pickle-import, reason: …, owner: …, expires: 2027-01-31}]"
    )

    def judge_in(self, artifact: ScanReport, case: Case) -> Verdict:
        """Return the verdict on the model files of a scan; exceptions hold as of now."""
        report, today = artifact.model_files, case.now.date()
        if report is None:
            missing = Reason(
                message="nobody looked into the model's files; that is required",
                advice="Let the scan look into them: `scan.model_files: true` in pipeline.yaml.",
            )
            return self.verdict((missing,) if self.required else (), "nobody looked into the model's files")
        reasons = (*self._of_findings(report, today), *self._of_formats(report))
        verdict = self.verdict(reasons, summary(report), self._unused(report))
        accepted = (one for found in report.findings if (one := self._accepted(found, today)) is not None)
        return verdict.model_copy(update={"accepted": tuple(dict.fromkeys(accepted))})

    def _of_findings(self, report: ModelFilesReport, today: date) -> Iterator[Reason]:
        """Yield a reason for each file: its findings together."""
        refused: dict[str, list[ModelFileFinding]] = {}
        for found in report.findings:
            if self._counts(found, today):
                refused.setdefault(found.path, []).append(found)
        for path, found_there in refused.items():
            yield self._reason(path, found_there, today)

    def _counts(self, found: ModelFileFinding, today: date) -> bool:
        if not any(fnmatchcase(found.kind, one) or fnmatchcase(found.code, one) for one in self.findings):
            return False
        return self._accepted(found, today) is None

    def _accepted(self, found: ModelFileFinding, today: date) -> Accepted | None:
        """Return who accepts a finding, and why; None where nobody does."""
        about = {"id": found.code, "package": found.path, "subject": found.subject}
        if found.code == _UNLISTED and any(fnmatchcase(found.subject, one) for one in self.imports):
            return Accepted(**about, reason="named under `imports` of the rule")
        for one in self.exceptions:
            if one.covers(found) and one.expires >= today:
                return Accepted(**about, reason=one.reason, owner=one.owner, expires=one.expires)
        return None

    def _reason(self, path: str, findings: list[ModelFileFinding], today: date) -> Reason:
        first = findings[0]
        told = "; ".join(self._describe(one, today) for one in findings[:SHOWN])
        more = f"; and {len(findings) - SHOWN} more" if len(findings) > SHOWN else ""
        return Reason(
            message=f"{path} ({first.format}): {told}{more}; none is allowed",
            advice=f"{_remedy(first)} {self._way_out(path, findings, today)}",
        )

    def _describe(self, found: ModelFileFinding, today: date) -> str:
        where = f"{found.member}: " if found.member else ""
        text = f"{where}{found.message} [{found.kind}, {found.code}]"
        for one in self.exceptions:
            if one.covers(found) and one.expires < today:
                text += f" ({since_when(one.owner, one.expires, today)})"
        return text

    def _way_out(self, path: str, findings: list[ModelFileFinding], today: date) -> str:
        own = sorted({one.subject for one in findings if one.code == _UNLISTED})
        if own and all(one.code == _UNLISTED for one in findings):
            return self.exception_text(f"if these are your own classes, `imports: [{listed(own)}]`")
        first = findings[0]
        subject = f", subject: {first.subject}" if first.subject else ""
        return self.exception_text(
            f"`exceptions: [{{path: {path}, code: {first.code}{subject}, reason: …, owner: …,"
            f" expires: {today + timedelta(days=30)}}}]`"
        )

    def _of_formats(self, report: ModelFilesReport) -> Iterator[Reason]:
        files = [
            one for one in report.files if any(fnmatchcase(one.format, each) for each in self.refused_formats)
        ]
        if files:
            yield Reason(
                message=f"{plural(len(files), 'file')} of formats that are not allowed"
                f" ({', '.join(self.refused_formats)}):"
                f" {listed(f'{one.path} ({one.format})' for one in files)}",
                advice="Save them in another format (safetensors, ONNX, skops for scikit-learn), or leave out"
                " what the model does not need: `model.exclude`. "
                + self.exception_text("another list of `refused_formats:`"),
            )

    def _unused(self, report: ModelFilesReport) -> tuple[str, ...]:
        return tuple(
            f"the exception for {one.code} in {one.path} (by {one.owner}) covers nothing: remove it, or "
            "correct what it names"
            for one in self.exceptions
            if not any(one.covers(found) for found in report.findings)
        )


def summary(report: ModelFilesReport) -> str:
    """Return how many files there are, of which formats, and what was found in them."""
    counts: dict[str, int] = {}
    for one in report.files:
        counts[one.format] = counts.get(one.format, 0) + 1
    formats = listed((f"{count} {name}" for name, count in sorted(counts.items())), shown=6)
    found = plural(len(report.findings), "finding") if report.findings else "no findings"
    return f"{plural(len(report.files), 'model file')}{f' ({formats})' if formats else ''}, {found}"


def _remedy(found: ModelFileFinding) -> str:
    family = found.code.partition("-")[0]
    return _REMEDIES.get(family, _REMEDIES[found.kind])
