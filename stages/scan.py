"""The third stage: known vulnerabilities in the packages of the image, weights aside."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import PipelineError
from pipeline.interface import Storing
from pipeline.model import Artifact, BuiltImage, Check, DiskNeed, ScanReport
from pipeline.reference import Digest
from stages.oci.application_view import View, application_views
from stages.scanners.interface import Addition, Listing, OutsideScanners, Scanner
from stages.scanners.merging import Answer, merged
from stages.scanners.sbom import Sboms


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """Let a scanner look into the application layers of every platform, and into the model image's base.

    Registries may be asked what their own scanners found in the very same manifests. What else is to be found
    out (about the Dockerfile, say) comes after that, one addition after the other.
    """

    scanner: Scanner
    outside: OutsideScanners | None = None
    sboms: Sboms | None = None
    """Makes lists of what is in the image, and finds those that were made before; None: nobody wants any."""
    additions: tuple[Addition, ...] = ()
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC), compare=False)

    name: ClassVar[str] = "scan"
    needs: ClassVar[tuple[type[Artifact], ...]] = (BuiltImage,)
    gives: ClassVar[type[ScanReport]] = ScanReport

    def check(self, desk: Desk) -> tuple[Check, ...]:
        """Tell whether the scanner and its database are there, and whether registries let us ask."""
        outside = self.outside.check() if self.outside is not None else ()
        further = (check for addition in self.additions for check in addition.check(desk))
        return (*self.scanner.check(desk), *outside, *further)

    def disk_needs(self, have: Artifacts, desk: Desk) -> tuple[DiskNeed, ...]:
        """Return what scanner and additions need; the layers are shared with the build by hard links."""
        storing = (addition for addition in self.additions if isinstance(addition, Storing))
        further = (need for addition in storing for need in addition.disk_needs(have, desk))
        return (*self.scanner.disk_needs(desk), *further)

    def identity(self, have: Artifacts) -> str | None:
        """Return the digest of image, scanner, database and day (UTC); None where the database will change.

        A report is judged as of the day on which it was made (age of the database, of known fixes), so
        it must not be taken again on another one. Where registries are asked, only they know what they have
        found since: None.
        """
        scanner = self.scanner.identity()
        further = tuple(addition.identity(have) for addition in self.additions)
        if scanner is None or self.outside is not None or None in further:
            return None
        today = self.now().astimezone(UTC).date()
        image = have[BuiltImage]
        layers = [one.application_layers for one in image.model_image.platforms] if image.model_image else []
        base = "".join(f"\n{layer.digest}" for platform in layers for layer in platform)
        rest = "".join(f"\n{one}" for one in (*further, self.sboms.identity if self.sboms else ""))
        return Digest.of(f"{image.digest}\n{self.scanner.name}\n{scanner}\n{today}{base}{rest}".encode())

    def run(self, have: Artifacts, desk: Desk) -> ScanReport:
        """Return what the scanner found.

        Raises:
            PipelineError: the scanner could not look, or a registry does not let us ask. Without findings it
                did, but for what is `unjudged`, and for registries that have no scan to read (`registries`).
        """
        image = have[BuiltImage]
        folder = desk.folder / "application"
        desk.on_exit(lambda: shutil.rmtree(folder, ignore_errors=True))
        views = (*application_views(image, folder), *_base_views(image, folder))
        findings = self.scanner.scan(self._listed_before(image, views), desk)
        report = ScanReport(
            digest=image.digest,
            scanner=findings.scanner,
            scanned_at=self.now(),
            database=findings.database,
            packages=findings.packages,
            vulnerabilities=findings.vulnerabilities,
            unjudged=findings.unjudged,
            secrets=findings.secrets,
            licenses=findings.licenses,
            misconfigurations=findings.misconfigurations,
        )
        if self.sboms is not None:
            report = self.sboms.added(report, image, findings.lists, desk)
        if self.outside is not None:
            report = _with_answers(report, self.outside, image, desk)
        for addition in self.additions:
            report = addition.added(report, have, desk)
        return report

    def usable(self, made: Artifact) -> bool:
        """Tell whether the lists that an earlier result names are still there."""
        lists = made.sboms if isinstance(made, ScanReport) else ()
        return self.sboms is None or all((self.sboms.shelf.cache / one.path).is_file() for one in lists)

    def _listed_before(self, image: BuiltImage, views: tuple[View, ...]) -> tuple[View, ...]:
        """Return the views with the lists of an earlier scan, if those tell all that is looked for."""
        scanner = self.scanner
        if self.sboms is None or not isinstance(scanner, Listing) or scanner.needs_layers:
            return views
        return tuple(
            replace(view, sbom=self.sboms.known(image, view.manifest, scanner.tool)) for view in views
        )


def _base_views(image: BuiltImage, folder: Path) -> tuple[View, ...]:
    """Return views of what the weights' own image begins with; it may be nothing."""
    own = image.model_image
    return application_views(own, folder, "model-") if own is not None and own.application_size_bytes else ()


def _with_answers(report: ScanReport, outside: OutsideScanners, image: BuiltImage, desk: Desk) -> ScanReport:
    """Return the report with what others found; where one of them fails, the error has what is known."""
    answers: list[Answer] = []
    try:
        answers.extend(outside.ask(image, desk))
    except PipelineError as error:
        error.made = merged(report, answers)
        raise
    return merged(report, answers)
