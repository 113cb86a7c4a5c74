"""Is the model one that may be served: its formats, its card, its licence?"""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import ClassVar, Literal

from pydantic import field_validator

from pipeline.model import Artifact, Reason, ScanReport, Verdict
from policies.licenses import Patterns, allows, parse
from policies.model_words import Format
from policies.rule import Rule, listed


class ModelRule(Rule):
    """What the model's files are, and what its card says."""

    rule: Literal["model"]
    formats: tuple[Format, ...] | None = None
    """Formats of files that are allowed, recognised by content: safetensors, onnx, …; `*` stands for any
    characters. Default: any."""
    card_required: bool = False
    """Whether there has to be a model card: README.md among the model's files."""
    licenses: Patterns | None = None
    """SPDX identifiers of licences that the card may name; a card without one, or none, is refused then."""

    judges: ClassVar[type[Artifact]] = ScanReport
    why: ClassVar[str] = (
        "Some formats run code when they are loaded, whoever wrote it; and what a model was trained on and "
        "may be used for stands in its card, or nobody knows."
    )
    example: ClassVar[str] = """\
rule: model
formats: [safetensors, onnx, json, text]
card_required: true
licenses: [Apache-2.0, MIT]
"""
    remedy: ClassVar[str] = (
        "Convert the weights (to safetensors, say), and put a README.md beside them whose front matter says "
        "`license: apache-2.0`."
    )
    exception: ClassVar[str] = "one more of formats or licenses, card_required: false"

    @field_validator("formats")
    @classmethod
    def _some(cls, formats: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if formats == ():
            raise ValueError("with no format at all no model is allowed; leave the key out to allow any")
        return formats

    def judge(self, artifact: ScanReport) -> Verdict:
        """Return the verdict on the model of a scanned image."""
        files = artifact.model_files.files if artifact.model_files is not None else ()
        formats = dict.fromkeys(one.format for one in files)
        reasons = (*self._of_formats(artifact), *self._of_card(artifact))
        card = artifact.model_card
        told = f", licence {card.license or 'not said'}" if card is not None else ", no card"
        return self.verdict(reasons, f"{', '.join(formats) or 'no files looked into'}{told}")

    def _of_formats(self, report: ScanReport) -> Iterator[Reason]:
        if self.formats is None:
            return
        allowed = ", ".join(self.formats)
        if report.model_files is None:
            yield Reason(
                message=f"nobody looked into the model's files; allowed are {allowed}",
                advice="Let the scan look into them: `scan.model_files: true` in pipeline.yaml.",
            )
            return
        others = [
            one
            for one in report.model_files.files
            if not any(fnmatchcase(one.format, each) for each in self.formats)
        ]
        if others:
            told = listed(f"{one.path} ({one.format})" for one in others)
            yield Reason(
                message=f"files of other formats: {told}; allowed are {allowed}",
                advice="Convert them, or leave them out: `model.exclude`. "
                + self.exception_text(f"`{others[0].format}` in `formats:`"),
            )

    def _of_card(self, report: ScanReport) -> Iterator[Reason]:
        card = report.model_card
        if card is None and (self.card_required or self.licenses is not None):
            yield Reason(
                message="the model has no card that was read; one is required",
                advice="Put a README.md beside the weights, with `license:` in its front matter.",
            )
        if card is None or self.licenses is None:
            return
        tree = parse(card.license)
        if tree is None or not allows(tree, self.licenses, ()):
            yield Reason(
                message=f"the model's card {card.path} names the licence {card.license or '(none)'};"
                f" allowed are {', '.join(self.licenses) or 'none'}",
                advice="Use a model that may be used so; a card that says it wrongly is mended at its "
                "source.",
            )
