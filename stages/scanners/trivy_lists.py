"""Trivy's own lists of what is in an image, made of the report of a scan: nothing is looked at again."""

from collections.abc import Iterable
from pathlib import Path

from pipeline.desk import Desk
from pipeline.errors import StageFailed
from pipeline.model import SbomFormat
from pipeline.process import Command
from stages.scanners.program import Program
from stages.scanners.trivy_login import without_options

_NAMES: dict[SbomFormat, str] = {"cyclonedx": "cyclonedx", "spdx": "spdx-json"}
TIMEOUT_S = 120.0


def convert(
    program: Program, report: Path, formats: Iterable[SbomFormat], desk: Desk
) -> dict[SbomFormat, bytes]:
    """Return the lists that a report of Trivy's makes; it takes a tenth of a second each.

    Raises:
        StageFailed: Trivy cannot make one.
    """
    return {form: _convert(program, report, form, desk) for form in formats}


def _convert(program: Program, report: Path, form: SbomFormat, desk: Desk) -> bytes:
    made = report.with_suffix(f".{form}")
    outcome = desk.run(
        Command(
            arguments=(
                *(str(program.path), "convert", "--format", _NAMES[form], "--output", str(made)),
                *("--config", "", "--ignorefile", "", str(report)),
            ),
            cwd=desk.folder,
            environment=without_options(),
            timeout_s=TIMEOUT_S,
        ),
        log=f"{report.stem}-{form}",
    )
    try:
        if not outcome.succeeded:
            raise StageFailed(
                f"Trivy could not make the {form} list of contents: exit code {outcome.exit_code}",
                advice="Its last lines say why. `scan.sbom` says which lists are made.",
                tail=outcome.stderr[-4000:],
            )
        return made.read_bytes()
    finally:  # it repeats labels and history of the image; what is kept is made of it
        made.unlink(missing_ok=True)
