"""What is new: the findings of the image that is deployed now, looked up in the same database.

They come from the list of its contents: a kept one, one that its signer attested, or else one made of its
application layers, which are pulled for that once. A list that nobody signed is not used: whoever may write
to the repository could hide a new finding by listing it as an old one.
"""

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import Interrupted, PipelineError, RemoteError
from pipeline.model import Baseline, BuiltImage, Check, ScanReport
from pipeline.reference import Reference
from stages.attestations.shelf import opened
from stages.attestations.types import CYCLONEDX
from stages.attestations.verification import Verifier
from stages.gitops.destination import Destination
from stages.gitops.promotion import deployed
from stages.oci.application_view import View, application_views
from stages.oci.layout import Layout
from stages.registries.connections import IMPATIENT, Registries, client, connect
from stages.registries.readiness import explained
from stages.scanners.baseline_image import DeployedImage, DeployedPlatform, read
from stages.scanners.interface import Findings, ListedView, Listing, Scanner
from stages.scanners.sbom import ENDINGS, Shelf, completed
from stages.scanners.sbom_subject import Subject

_NO_REPOSITORY = "`update:` names no GitOps repository, so nobody knows what is deployed"
_PULLED = "deployed"
"""The key of lists that were made here of what others had built."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployedBaseline:
    """Adds the findings of the deployed image to a report; where they cannot be had, why not, in words."""

    scanner: Scanner
    destination: Destination
    """Where the manifests name the image that is deployed."""
    registries: Registries
    shelf: Shelf
    verifier: Callable[[Desk], Verifier] | None = field(default=None, compare=False)
    """Whose attested lists are believed; None: nobody's."""

    def check(self, desk: Desk) -> tuple[Check, ...]:
        """Return nothing: a baseline that is missing stops nobody by itself."""
        del desk
        return ()

    def identity(self, have: Artifacts) -> None:
        """Return nothing: what is deployed is not known beforehand."""

    def added(self, report: ScanReport, have: Artifacts, desk: Desk) -> ScanReport:
        """Return the report with its baseline, or with why there is none."""
        try:
            baseline = self._baseline(report, have[BuiltImage], desk)
        except Interrupted:
            raise
        except (PipelineError, OSError) as error:
            why = (str(error).splitlines() or [type(error).__name__])[0]
            desk.say(f"nothing is known of what is deployed: {why}")
            return report.model_copy(update={"baseline_missing": why})
        return report.model_copy(update={"baseline": baseline})

    def _baseline(self, report: ScanReport, image: BuiltImage, desk: Desk) -> Baseline:
        application, model = self._standing(desk)
        if application.digest == image.digest:
            return Baseline(
                reference=str(application),
                how="same digest",
                vulnerabilities=report.vulnerabilities,
                size_bytes=image.size_bytes,
            )
        own = image.model_image
        weights_based = own is not None and own.application_size_bytes > 0
        wanted = (application, *([model] if weights_based and model is not None else []))
        work = desk.folder / "deployed"
        try:
            with contextlib.ExitStack() as stack:
                images = [stack.enter_context(self._opened(one, desk)) for one in wanted]
                views = tuple(self._views(images, Layout.open(image.layout), work, desk))
            findings = self.scanner.scan(views, desk)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        self._keep(images, findings)
        return Baseline(
            reference=str(application),
            how="scan" if any(view.sbom is None for view in views) else "sbom",
            database="" if findings.database == report.database else f"{findings.database.updated_at:%F %R}",
            vulnerabilities=findings.vulnerabilities,
            size_bytes=images[0].size_bytes,
        )

    def _standing(self, desk: Desk) -> tuple[Reference, Reference | None]:
        """Return what the manifests name: the application's image, and the weights' own where they do."""
        if self.destination.repository is None:
            raise RemoteError(_NO_REPOSITORY)
        found = dict.fromkeys(deployed(self.destination, desk))
        weights = self.destination.model_repositories
        models = [one for one in found if one.repository in weights]
        return _only([one for one in found if one not in models]), _only(models) if models else None

    @contextlib.contextmanager
    def _opened(self, reference: Reference, desk: Desk) -> Iterator[DeployedImage]:
        repository = reference.repository
        registry = self.registries.of(repository)
        with contextlib.closing(connect(registry, desk)) as transport, explained(registry, repository):
            reader = replace(client(repository, registry, transport, desk, IMPATIENT), actions="pull")
            yield read(reader, reference)

    def _views(self, images: list[DeployedImage], near: Layout, work: Path, desk: Desk) -> Iterator[View]:
        for number, image in enumerate(images):
            for one in image.platforms:
                name = f"deployed-{'model-' if number else ''}{one.platform.replace('/', '-')}"
                if not one.application_layers:
                    continue
                sbom = self._list(image, one, work / f"{name}.{ENDINGS['cyclonedx']}", desk)
                if sbom is not None:
                    yield View(one.platform, work / name, one.manifest.digest, sbom)
                    continue
                pulled = image.pull(one, Layout.create(work / "layout"), near, desk)
                prefix = name.removesuffix(one.platform.replace("/", "-"))
                yield from application_views(pulled, work, prefix)

    def _list(self, image: DeployedImage, one: DeployedPlatform, path: Path, desk: Desk) -> Path | None:
        """Return the list of a platform: ours, or else the signer's; None where there is none."""
        if not isinstance(self.scanner, Listing):
            return None
        if (kept := self.shelf.newest(one.manifest.digest)) is not None:
            return kept
        content = self._attested(image, one, desk)
        if content is None:
            return None
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def _attested(self, image: DeployedImage, one: DeployedPlatform, desk: Desk) -> bytes | None:
        """Return the list that the signer attested of a platform; None where that cannot be verified."""
        if self.verifier is None:
            return None
        try:
            with opened(self.registries, image.reference.repository, desk, write=False) as shelf:
                found = self.verifier(desk).sort(shelf, one.manifest.digest).newest(CYCLONEDX)
        except Interrupted:
            raise
        except PipelineError as error:
            desk.say(f"the list of what is deployed cannot be verified: {error.message}")
            return None
        return json.dumps(found.statement.predicate).encode() if found is not None else None

    def _keep(self, images: list[DeployedImage], findings: Findings) -> None:
        """Keep the lists that were made of pulled layers: the next comparison pulls nothing."""
        made = {one.view.manifest: one for one in findings.lists}
        for image in images:
            for one in image.platforms:
                if (listed := made.get(one.manifest.digest)) is not None:
                    self._keep_one(image, one, listed)

    def _keep_one(self, image: DeployedImage, one: DeployedPlatform, listed: ListedView) -> None:
        if (document := listed.documents.get("cyclonedx")) is None:
            return
        subject = Subject(
            name=image.reference.name,
            platform=one.platform,
            manifest=one.manifest.digest,
            config=one.config_digest,
            index=image.root.digest,
            created=_EPOCH,
        )
        path = self.shelf.path(one.manifest.digest, "cyclonedx", _PULLED)
        self.shelf.keep(path, completed(document, "cyclonedx", subject))


def _only(found: list[Reference]) -> Reference:
    digests = {one.digest for one in found}
    if len(digests) != 1:
        named = ", ".join(map(str, found)) or "no build"
        raise RemoteError(f"the manifests name {named}, so there is no one image to compare with")
    return found[0]
