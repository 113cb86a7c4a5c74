"""A small image that was pushed and attested, and what somebody else may do to that in a registry."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from pipeline.artifacts import Artifacts
from pipeline.cli import main
from pipeline.compose_attest import judge_by
from pipeline.desk import Desk
from pipeline.model import (
    AttestedImage,
    Sbom,
    ScanReport,
    Skipped,
    Source,
    SuiteReport,
    Tool,
    VulnerabilityDatabase,
)
from pipeline.redaction import Redactor
from pipeline.reference import Digest, Repository
from policies import load_policies
from stages.attest import Attest
from stages.attestations.bundle import Bundle
from stages.attestations.predicates import Builder, PolicySet
from stages.attestations.shelf import Shelf, opened
from stages.attestations.signing import Services, Signing, Trust
from stages.push import Push
from stages.registries.connections import Registries
from tests.support import cosign
from tests.support.cosign import KeyPair
from tests.support.registry import Registry
from tests.support.small_image import COMMIT, make_image

RULES = [{"rule": "suite"}, {"rule": "vulnerabilities", "maximum": {"CRITICAL": 0}}, {"rule": "skipped"}]
ALLOWED = {"rule": "skipped", "allowed": ["benchmark"]}
OFFLINE = Services(transparency_log=False)


class Delivered:
    """A small image that was pushed, and everything that is known of it."""

    def __init__(
        self, folder: Path, registry: Registry, *, repositories: int = 1, platforms: tuple[str, ...]
    ) -> None:
        name = uuid4().hex[:8]
        self.folder = folder
        self.repositories = tuple(
            Repository(f"{registry.address}/{name}/{number}") for number in range(repositories)
        )
        self.registries = Registries(repositories=self.repositories)
        model = folder / "model"
        model.mkdir(parents=True)
        (model / "weights.bin").write_bytes(hashlib.shake_256(name.encode()).digest(1000))
        self.image = make_image(folder / "layout", {"app": name.encode()}, model=model, platforms=platforms)
        self.cache = folder / "cache"
        source = Source(
            root=folder,
            commit=COMMIT,
            committed_at=datetime(2026, 1, 1, tzinfo=UTC),
            branch="main",
            repository_url="https://git.example.com/team/model.git",
        )
        pushing = Push(repositories=self.repositories, layout_folder=folder / "none")
        pushed = pushing.run(Artifacts(self.image), self.desk("push"))
        self.have = Artifacts(
            source,
            SuiteReport(command=("pytest",), exit_code=0, duration_s=2.5),
            self.image,
            self._scan(),
            Skipped(stage="benchmark", gives="BenchmarkReport", reason="no server in it"),
            pushed,
        )

    @property
    def reference(self) -> str:
        return f"{self.repositories[0]}@{self.image.digest}"

    def desk(self, name: str, redact: Redactor | None = None) -> Desk:
        folder = self.folder / f"{name}-{uuid4().hex[:6]}"
        folder.mkdir()
        return Desk(
            folder=folder,
            cache=self.cache,
            run_name="20260101T120000.000Z-0123456789ab",
            redact=redact or Redactor(),
        )

    def attest(self, stage: Attest, *, redact: Redactor | None = None) -> AttestedImage:
        desk = self.desk("attest", redact)
        try:
            return stage.run(self.have, desk)
        finally:
            desk.clear()

    @contextlib.contextmanager
    def shelf(self, repository: Repository | None = None) -> Iterator[Shelf]:
        place_ = repository or self.repositories[0]
        with opened(self.registries, place_, self.desk("shelf"), write=True) as shelf:
            yield shelf

    def bundles(
        self, subject: Digest | None = None, repository: Repository | None = None
    ) -> tuple[Bundle, ...]:
        with self.shelf(repository) as shelf:
            placed = shelf.placed(subject or self.image.digest)
        return tuple(each.bundle for each in placed if each.bundle is not None)

    def _scan(self) -> ScanReport:
        return ScanReport(
            digest=self.image.digest,
            scanner=Tool(name="trivy", version="0.76.0"),
            scanned_at=datetime.now(UTC),
            database=VulnerabilityDatabase(
                repository="example.com/db:2", schema_version=2, updated_at=datetime.now(UTC)
            ),
            packages=3,
            sboms=tuple(self._sboms()) if len(self.image.platforms) > 1 else (),
        )

    def _sboms(self) -> Iterator[Sbom]:
        forms = {"cyclonedx": {"bomFormat": "CycloneDX"}, "spdx": {"spdxVersion": "SPDX-2.3"}}
        self.cache.mkdir(exist_ok=True)
        for platform in self.image.platforms:
            for form, document in forms.items():
                content = json.dumps({**document, "of": platform.platform}).encode()
                path = Path(f"{form}-{platform.platform.replace('/', '-')}.json")
                (self.cache / path).write_bytes(content)
                yield Sbom.model_validate(
                    {
                        "format": form,
                        "platform": platform.platform,
                        "subject": platform.manifest.digest,
                        "path": path,
                        "digest": Digest.of(content),
                        "components": 3,
                    }
                )


Deliver = Callable[..., Delivered]


def stage_of(delivered: Delivered, key: KeyPair, parameters: Mapping[str, object] | None = None) -> Attest:
    return Attest(
        signing=Signing(key=str(key.private), services=OFFLINE),
        trust=Trust(key=str(key.public), transparency_log=False),
        builder=Builder(id="https://ci.example.com/workflow", version="1"),
        policies=PolicySet(uri="pack:test", digest=Digest.of(b"rules")),
        judge=judge_by(load_policies([*RULES[:2], ALLOWED], delivered.folder)),
        registries=delivered.registries,
        parameters=parameters or {},
    )


def verified(
    reference: str, key: KeyPair, *further: str, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    """Run `pipeline verify` on what is another machine: in a folder without pipeline.yaml and records."""
    code = main(["verify", reference, "--key", str(key.public), "--no-transparency-log", *further])
    said = capsys.readouterr()
    return code, said.out + said.err


def empty_root(folder: Path) -> Path:
    path = folder / "trusted-root.json"
    done = cosign.cosign("trusted-root", "create", "--out", str(path), docker_config=folder)
    assert done.returncode == 0, done.stderr
    return path


def statements(done: Any) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    payloads = (json.loads(line)["payload"] for line in done.stdout.splitlines() if line.strip())
    return [json.loads(base64.b64decode(payload)) for payload in payloads]


def relisted(delivered: Delivered, own_registry: Registry, keep: Callable[[Bundle], bool]) -> None:
    """Write the list of referrers anew, as whoever may push can: with some of them alone."""
    digest = delivered.image.digest
    with delivered.shelf() as shelf:
        kept = {
            each.referrer for each in shelf.placed(digest) if each.bundle is not None and keep(each.bundle)
        }
    path = f"{delivered.repositories[0].path}/manifests/{digest.replace(':', '-')}"
    kind = "application/vnd.oci.image.index.v1+json"
    with own_registry.session() as session:
        index = session.get(own_registry.url(path), headers={"Accept": kind}, timeout=10).json()
        index["manifests"] = [each for each in index["manifests"] if each["digest"] in kept]
        session.put(
            own_registry.url(path), json=index, headers={"Content-Type": kind}, timeout=10
        ).raise_for_status()


def is_not(kind: str) -> Callable[[Bundle], bool]:
    return lambda bundle: bundle.statement.predicate_type != kind


def place(delivered: Delivered, bundle: Bundle) -> None:
    with delivered.shelf() as shelf:
        shelf.put(shelf.manifest(delivered.image.digest), bundle)


def of_kind(delivered: Delivered, kind: str) -> Bundle:
    (found,) = (each for each in delivered.bundles() if each.statement.predicate_type == kind)
    return found


def rewritten(bundle: Bundle) -> Bundle:
    """Return a bundle that says something else under the old signature."""
    document = json.loads(bundle.content)
    payload = base64.b64decode(document["dsseEnvelope"]["payload"]).replace(b'"PASSED"', b'"passed"')
    document["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
    return Bundle.parse(json.dumps(document).encode())


def certified(bundle: Bundle) -> Bundle:
    """Return a bundle with what is no certificate in place of the key."""
    document = json.loads(bundle.content)
    document["verificationMaterial"] = {"certificate": {"rawBytes": "YWJj"}}
    return replace(bundle, content=json.dumps(document).encode())


def said_to_be(bundle: Bundle, kind: str) -> Bundle:
    """Return a bundle whose statement is of another type, in its bytes alone."""
    document = json.loads(bundle.content)
    statement = json.loads(base64.b64decode(document["dsseEnvelope"]["payload"]))
    payload = json.dumps({**statement, "predicateType": kind}).encode()
    document["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
    return replace(bundle, content=json.dumps(document).encode())
