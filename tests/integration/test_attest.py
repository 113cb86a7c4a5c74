"""Signatures and attestations in a real registry: verified by cosign itself, and broken on purpose."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import threading
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
from pipeline.errors import ConfigurationError, RemoteError
from pipeline.model import (
    AttestedImage,
    ModelImage,
    Problem,
    Pushed,
    PushedImage,
    Sbom,
    ScanReport,
    Skipped,
    Source,
    SuiteReport,
    Tool,
    VulnerabilityDatabase,
)
from pipeline.record import Status
from pipeline.redaction import Redactor
from pipeline.reference import Digest, Repository
from policies import load_policies
from stages.attest import Attest
from stages.attestations.bundle import Bundle
from stages.attestations.cosign import Cosign
from stages.attestations.predicates import Builder, PolicySet
from stages.attestations.shelf import Shelf, opened
from stages.attestations.signing import Services, Signing, Trust
from stages.attestations.types import (
    BENCHMARK,
    CYCLONEDX,
    PROVENANCE,
    SIGNATURE,
    SPDX,
    SUMMARY,
    TEST_RESULT,
    VULNERABILITIES,
)
from stages.push import Push
from stages.registries.connections import Registries
from tests.integration.test_environments import CONFIGURATION, KUSTOMIZATION
from tests.support import cosign
from tests.support.cosign import KeyPair
from tests.support.git_server import Repository as GitRepository
from tests.support.project import Project
from tests.support.registry import Registry, running_registry, write_docker_config
from tests.support.small_image import COMMIT, make_image
from tests.unit.policies.evidence import benchmark

RULES = [{"rule": "suite"}, {"rule": "vulnerabilities", "maximum": {"CRITICAL": 0}}, {"rule": "skipped"}]
ALLOWED = {"rule": "skipped", "allowed": ["benchmark"]}
OFFLINE = Services(transparency_log=False)


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("attested")


@pytest.fixture(scope="module")
def own_registry(storage: Path) -> Iterator[Registry]:
    """A registry of this module's own, since some tests change what it stores behind its back."""
    with running_registry(storage) as running:
        yield running


@pytest.fixture(scope="module")
def login(own_registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_docker_config(tmp_path_factory.mktemp("login"), own_registry)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> KeyPair:
    cosign.ensure_cosign()
    return cosign.make_key(tmp_path_factory.mktemp("key"))


@pytest.fixture(scope="module")
def foreign_key(tmp_path_factory: pytest.TempPathFactory) -> KeyPair:
    cosign.ensure_cosign()
    return cosign.make_key(tmp_path_factory.mktemp("foreign"))


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch, own_registry: Registry) -> None:
    monkeypatch.setenv("COSIGN_PASSWORD", cosign.PASSWORD)
    monkeypatch.setenv("REGISTRY_USERNAME", own_registry.username)
    monkeypatch.setenv("REGISTRY_PASSWORD", own_registry.password)


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
    def shelf(self) -> Iterator[Shelf]:
        with opened(self.registries, self.repositories[0], self.desk("shelf"), write=True) as shelf:
            yield shelf

    def bundles(self, subject: Digest | None = None) -> tuple[Bundle, ...]:
        with self.shelf() as shelf:
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


@pytest.fixture
def deliver(tmp_path: Path, own_registry: Registry) -> Deliver:
    def make(*, repositories: int = 1, platforms: tuple[str, ...] = ("linux/amd64",)) -> Delivered:
        return Delivered(
            tmp_path / uuid4().hex[:6], own_registry, repositories=repositories, platforms=platforms
        )

    return make


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


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / "rules.yaml").write_text(json.dumps({"rules": [*RULES[:2], ALLOWED]}))
    (folder / "strict.yaml").write_text(json.dumps({"rules": RULES}))
    return folder


def empty_root(folder: Path) -> Path:
    path = folder / "trusted-root.json"
    done = cosign.cosign("trusted-root", "create", "--out", str(path), docker_config=folder)
    assert done.returncode == 0, done.stderr
    return path


def statements(done: Any) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    payloads = (json.loads(line)["payload"] for line in done.stdout.splitlines() if line.strip())
    return [json.loads(base64.b64decode(payload)) for payload in payloads]


def test_cosign_verifies_everything_that_was_attested_in_every_repository(
    deliver: Deliver, key: KeyPair, login: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    delivered = deliver(repositories=2, platforms=("linux/amd64", "linux/arm64"))
    load = benchmark().model_copy(update={"digest": delivered.image.digest})
    delivered.have = delivered.have.plus(load)
    redact = Redactor()
    redact.add("hunter22")
    parameters = {"build.args": {"TOKEN": "hunter22"}, "image": "small"}

    made = delivered.attest(stage_of(delivered, key, parameters), redact=redact)

    assert (made.status, made.verified) == ("attested", True)
    assert [each.predicate_type for each in made.attestations] == [
        SIGNATURE,
        TEST_RESULT,
        VULNERABILITIES,
        BENCHMARK,
        *(CYCLONEDX, SPDX) * 2,
        PROVENANCE,
        SUMMARY,
    ]
    children = [platform.manifest.digest for platform in delivered.image.platforms]
    for repository in delivered.repositories:
        for digest in (delivered.image.digest, *children):
            done = cosign.verify(f"{repository}@{digest}", key, login)
            assert done.returncode == 0, done.stderr
            assert SIGNATURE in {entry["critical"]["type"] for entry in json.loads(done.stdout)}
        of_index = f"{repository}@{delivered.image.digest}"
        for kind in ("slsaprovenance1", TEST_RESULT, "vuln", BENCHMARK, SUMMARY):
            (said,) = statements(cosign.verify_attestation(of_index, kind, key, login))
            assert said["subject"][0]["digest"]["sha256"] == delivered.image.digest.encoded
            if kind == BENCHMARK:
                assert said["predicate"]["latency"] == load.model_dump(mode="json")["latency"]
        for digest in children:
            for kind in ("cyclonedx", "spdxjson"):
                (said,) = statements(cosign.verify_attestation(f"{repository}@{digest}", kind, key, login))
                assert said["subject"] == [{"name": "small", "digest": {"sha256": digest.encoded}}]
    (provenance,) = (
        each.statement.predicate
        for each in delivered.bundles()
        if each.statement.predicate_type == PROVENANCE
    )
    definition = provenance["buildDefinition"]
    materials = {each["name"]: each for each in definition["resolvedDependencies"]}
    weights = (delivered.folder / "model" / "weights.bin").read_bytes()
    assert materials["weights.bin"]["digest"] == {"sha256": Digest.of(weights).encoded}
    assert materials["weights.bin"]["annotations"]["source"] == "model"
    assert materials["source"] == {
        "name": "source",
        "uri": "git+https://git.example.com/team/model.git@main",
        "digest": {"gitCommit": COMMIT},
    }
    assert definition["externalParameters"]["configuration"]["build.args"] == {"TOKEN": "***"}
    assert provenance["runDetails"]["metadata"]["startedOn"] == "2026-01-01T12:00:00Z"
    assert str(delivered.folder) not in json.dumps(provenance)

    (elsewhere / "fast.yaml").write_text(
        json.dumps({"rules": [{"rule": "performance", "maximum_p99_ms": 1}]})
    )
    code, said_of_us = verified(delivered.reference, key, "--policies", "./fast.yaml", capsys=capsys)
    assert code == 3, said_of_us
    assert "40" in said_of_us  # the benchmark that was attested is judged elsewhere


def test_the_same_is_not_signed_twice_but_by_another_key_or_with_other_words_it_is(
    deliver: Deliver, key: KeyPair, foreign_key: KeyPair
) -> None:
    delivered = deliver()
    first = delivered.attest(stage_of(delivered, key))
    before = {each.digest for each in delivered.bundles()}

    again = delivered.attest(stage_of(delivered, key))

    assert [each.reused for each in first.attestations] == [False] * len(first.attestations)
    assert [each.reused for each in again.attestations] == [True] * len(first.attestations)
    assert {each.digest for each in delivered.bundles()} == before

    delivered.have = delivered.have.plus(SuiteReport(command=("pytest", "-x"), exit_code=0, duration_s=9))
    changed = delivered.attest(stage_of(delivered, key))
    new = {each.predicate_type for each in changed.attestations if not each.reused}
    assert new == {TEST_RESULT, SUMMARY}  # the summary names what it judged

    other = delivered.attest(stage_of(delivered, foreign_key))
    assert not any(each.reused for each in other.attestations)


def test_verify_on_another_machine_judges_what_was_attested(
    deliver: Deliver, key: KeyPair, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    delivered = deliver(platforms=("linux/amd64", "linux/arm64"))
    made = delivered.attest(stage_of(delivered, key))
    tagged = f"{delivered.repositories[0]}:{delivered.image.tag}"

    code, said = verified(tagged, key, "--policies", "./rules.yaml", capsys=capsys)
    assert code == 0, said
    assert delivered.image.digest in said
    assert not (elsewhere / ".pipeline").exists()
    assert f"{len(made.attestations) - 1} attestations verified" in said

    code, said = verified(delivered.reference, key, "--policies", "./strict.yaml", capsys=capsys)
    assert code == 3, said
    assert "benchmark was left out: no server in it; no stage may be left out" in said

    code, said = verified(delivered.reference, key, "--policies", "./rules.yaml", "--json", capsys=capsys)
    document = json.loads(said)
    assert (code, document["passed"]) == (0, True)
    assert document["evidence"] == ["Source", "BuiltImage", "Skipped", "SuiteReport", "ScanReport"]

    platform = f"{delivered.repositories[0]}@{delivered.image.platforms[1].manifest.digest}"
    code, said = verified(platform, key, capsys=capsys)
    assert code == 9, said
    assert f"attested of the whole image: {delivered.reference}" in said

    assert verified(f"{delivered.repositories[0]}:nothing", key, capsys=capsys)[0] == 5
    assert main(["verify", delivered.reference]) == 2
    assert "nobody says whose signatures are believed" in capsys.readouterr().err
    assert main(["verify", delivered.reference, "--identity", "https://ci"]) == 2
    assert "together with `issuer`" in capsys.readouterr().err
    root = empty_root(elsewhere)  # else cosign asks the public one
    logged = ["verify", delivered.reference, "--key", str(key.public), "--trusted-root", str(root)]
    assert main(logged) == 9
    assert "no entry in the transparency log" in capsys.readouterr().err


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


def test_a_changed_byte_is_told(  # noqa: PLR0913, PLR0917 - the real parts
    deliver: Deliver,
    key: KeyPair,
    own_registry: Registry,
    storage: Path,
    elsewhere: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    delivered = deliver()
    delivered.attest(stage_of(delivered, key))
    bundle = of_kind(delivered, VULNERABILITIES)
    (blob,) = (storage / "storage").rglob(f"{bundle.digest.encoded}/data")
    content = blob.read_bytes()
    blob.write_bytes(content.replace(b"payload", b"pAyload", 1))
    code, said = verified(delivered.reference, key, "--policies", "./rules.yaml", capsys=capsys)
    blob.write_bytes(content)
    assert code == 9, said
    assert "there is no vulnerabilities that holds; one is there: its bytes are not those" in said

    honest = of_kind(delivered, TEST_RESULT)
    relisted(delivered, own_registry, lambda each: each.digest != honest.digest)
    place(delivered, rewritten(honest))
    code, said = verified(delivered.reference, key, "--policies", "./rules.yaml", capsys=capsys)
    assert code == 9, said
    assert "no test result that holds; one is there: its signature does not fit what it says" in said


def test_a_foreign_key_is_told(  # noqa: PLR0913, PLR0917 - the real parts
    deliver: Deliver,
    key: KeyPair,
    foreign_key: KeyPair,
    login: Path,
    elsewhere: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    delivered = deliver()
    delivered.attest(stage_of(delivered, foreign_key))

    code, said = verified(delivered.reference, key, capsys=capsys)
    assert code == 9, said
    assert "no signature that holds; one is there: it is signed with another key" in said
    assert cosign.verify(delivered.reference, key, login).returncode != 0

    delivered.attest(stage_of(delivered, key))  # what others lay beside an image takes nothing from ours
    code, said = verified(delivered.reference, key, "--policies", "./rules.yaml", capsys=capsys)
    assert code == 0, said
    assert "ignored: provenance" in said


def test_a_swapped_digest_is_told(
    deliver: Deliver, key: KeyPair, login: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = deliver(), deliver()
    good.attest(stage_of(good, key))
    for bundle in good.bundles():
        place(bad, bundle)

    code, said = verified(bad.reference, key, capsys=capsys)

    assert code == 9, said
    assert "no signature that holds; one is there: it is about another digest" in said
    assert cosign.verify(bad.reference, key, login).returncode != 0


def test_what_was_taken_away_is_missed(
    deliver: Deliver,
    key: KeyPair,
    own_registry: Registry,
    elsewhere: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    delivered = deliver()
    code, said = verified(delivered.reference, key, capsys=capsys)
    assert code == 9, said
    assert "there is no signature" in said

    delivered.attest(stage_of(delivered, key))
    for kind, word in ((VULNERABILITIES, "vulnerabilities"), (PROVENANCE, "provenance")):
        relisted(delivered, own_registry, is_not(kind))
        code, said = verified(delivered.reference, key, capsys=capsys)
        assert code == 9, said
        assert f"there is no {word}" in said

    healed = delivered.attest(stage_of(delivered, key))
    assert {each.predicate_type for each in healed.attestations if not each.reused} >= {VULNERABILITIES}
    assert verified(delivered.reference, key, "--policies", "./rules.yaml", capsys=capsys)[0] == 0


def test_two_writers_of_one_digest_lose_nothing(deliver: Deliver, key: KeyPair, foreign_key: KeyPair) -> None:
    delivered = deliver()
    made: list[AttestedImage] = []
    writers = [
        threading.Thread(target=lambda one=one: made.append(delivered.attest(stage_of(delivered, one))))
        for one in (key, foreign_key)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    there = {each.digest for each in delivered.bundles()}
    assert len(made) == 2
    assert {each.bundle for image in made for each in image.attestations} == there


def test_the_weights_own_image_is_signed_too(
    deliver: Deliver, key: KeyPair, login: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    delivered, weights = deliver(), deliver()
    (place_,) = weights.repositories
    names = ModelImage.model_fields.keys() - {"mounted_at"}
    own = ModelImage(**{name: getattr(weights.image, name) for name in names}, mounted_at="/mnt/models")
    there = dict(weights.have[PushedImage])
    del there["model_image"]
    pushed = delivered.have[PushedImage].model_copy(update={"model_image": Pushed(**there)})
    built = delivered.image.model_copy(update={"model_image": own})
    delivered.have = delivered.have.plus(built).plus(pushed)

    made = delivered.attest(stage_of(delivered, key))

    reference = f"{place_}@{own.digest}"
    assert [each.predicate_type for each in made.attestations if each.subject == own.digest] == [
        SIGNATURE,
        PROVENANCE,
    ]
    assert cosign.verify(reference, key, login).returncode == 0
    code, said = verified(reference, key, "--policies", "./rules.yaml", capsys=capsys)
    assert code == 0, said
    assert verified(delivered.reference, key, "--policies", "./rules.yaml", capsys=capsys)[0] == 0


def test_what_is_missing_is_told_before_any_work(
    deliver: Deliver, key: KeyPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivered = deliver()
    stage, desk = stage_of(delivered, key), delivered.desk("check")

    *_, fine = stage.check(desk)
    assert fine.passed
    assert "SHA256:" in fine.found

    monkeypatch.setenv("COSIGN_PASSWORD", "wrong")
    *_, wrong = stage.check(desk)
    assert wrong.problem is Problem.CONFIGURATION
    assert "COSIGN_PASSWORD" in wrong.advice
    with pytest.raises(ConfigurationError, match="is not that of the key"):
        delivered.attest(stage)
    assert delivered.bundles() == ()

    absent = replace(stage, cosign=Cosign(program=str(tmp_path / "cosign")))
    (missing,) = absent.check(desk)
    assert missing.problem is Problem.TOOL
    assert "Install cosign" in missing.advice
    assert all(check.passed for check in absent.check(replace(desk, dry_run=True)))

    keyless = replace(stage, signing=Signing(), trust=Trust())
    *_, nobody = keyless.check(desk)
    assert nobody.problem is Problem.CONFIGURATION
    assert "id-token: write" in nobody.advice
    kms = replace(stage, signing=Signing(key="awskms:///alias/model", services=OFFLINE))
    for name, value in (("ACCESS_KEY_ID", "x"), ("SECRET_ACCESS_KEY", "x"), ("REGION", "eu-central-1")):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    *_, unreachable = kms.check(desk)
    assert unreachable.problem is Problem.REMOTE


def test_a_log_that_does_not_answer_ends_the_run(
    deliver: Deliver, key: KeyPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivered = deliver()
    root = empty_root(tmp_path)
    own = Services(rekor="http://127.0.0.1:1")
    stage = stage_of(delivered, key)
    stage = replace(stage, signing=replace(stage.signing, services=own, trusted_root=root))

    with pytest.raises(RemoteError, match="a service does not answer") as told:
        delivered.attest(stage)
    root.write_text("no JSON")
    with pytest.raises(ConfigurationError, match="is no trusted root"):
        delivered.attest(stage)

    assert "transparency_log: false" in told.value.advice
    assert delivered.bundles() == ()


@pytest.fixture
def team(
    project: Project,
    create_repository: Callable[[Path | None], GitRepository],
    tmp_path: Path,
    key: KeyPair,
    foreign_key: KeyPair,
) -> Project:
    """A project whose deliveries are signed, and whose production believes only what is signed."""
    content = tmp_path / "environments"
    for place_ in ("dev", "prod", "strict"):
        folder = content / "apps" / place_
        folder.mkdir(parents=True)
        suffix = "-prod" if place_ == "prod" else ""
        image = f"{project.registry.address}/{project.name}{suffix}/tiny"
        (folder / "kustomization.yaml").write_text(KUSTOMIZATION.format(image=image))
    gitops = create_repository(content)
    for name in ("PIPELINE_REGISTRIES", "PIPELINE_UPDATE__REPOSITORY"):
        del project.environment[name]
    made = Project(project.folder, project.name, project.registry, gitops, project.environment)
    made.environment["COSIGN_PASSWORD"] = cosign.PASSWORD
    text = CONFIGURATION.format(registry=project.registry.address, name=project.name, gitops=gitops.url)
    for name, one in (("prod", key), ("strict", key), ("other", foreign_key)):
        believed = f"    verify: {{key: {one.public}, transparency_log: false}}\n"
        if name == "other":
            text += f"  other:\n{believed}    update:\n      targets: [{{path: apps/strict}}]\n"
        else:
            text = text.replace(f"  {name}:\n", f"  {name}:\n{believed}")
    text += f"attest: {{key: {key.private}, transparency_log: false}}\n"
    made.write("pipeline.yaml", text)
    return made


def test_a_delivery_is_signed_before_it_is_deployed_and_promoted_only_as_such(
    team: Project, key: KeyPair, tmp_path: Path
) -> None:
    head = team.gitops.head()
    dry = team.pipeline("run", "-e", "dev", "--dry-run")
    assert dry.returncode == 0, dry.stdout + dry.stderr
    assert "not signed; a run would sign with" in dry.stdout

    failed = team.pipeline(
        *("run", "-e", "dev", "--set", "attest.transparency_log=true"),
        *("--set", "attest.rekor=http://127.0.0.1:1", "--set", f"attest.trusted_root={empty_root(tmp_path)}"),
    )
    assert failed.returncode == 5, failed.stdout + failed.stderr
    assert team.gitops.head() == head  # what is not signed is not deployed

    done = team.pipeline("run", "-e", "dev")
    assert done.returncode == 0, done.stdout + done.stderr
    record = team.record()
    (made,) = (each for each in record.made() if isinstance(each, AttestedImage))
    assert made.command in done.stdout
    image = f"{team.registry.address}/{team.name}/tiny@{made.digest}"
    login = write_docker_config(tmp_path / "login", team.registry)
    by_hand = cosign.cosign(*made.command.split()[1:], docker_config=login)
    assert by_hand.returncode == 0, by_hand.stderr
    (provenance,) = statements(cosign.verify_attestation(image, "slsaprovenance1", key, login))
    assert cosign.PASSWORD not in json.dumps(provenance)
    for secret in (cosign.PASSWORD, team.registry.password):
        for path in (team.folder / ".pipeline").rglob("*"):
            if path.is_file() and path.suffix in {".json", ".log"}:
                assert secret not in path.read_text(errors="replace"), path

    (team.folder / ".pipeline").rename(tmp_path / "gone")  # production's job knows no record
    foreign = team.pipeline("promote", "--from", "dev", "--to", "other")
    assert foreign.returncode == 9, foreign.stdout + foreign.stderr
    assert "signed with another key" in foreign.stdout + foreign.stderr
    refused = team.pipeline("promote", "--from", "dev", "--to", "strict")
    assert refused.returncode == 3, refused.stdout + refused.stderr
    assert "digest" not in team.gitops.read("apps/strict/kustomization.yaml")

    promoted = team.pipeline("promote", "--from", "dev", "--to", "prod")
    assert promoted.returncode == 0, promoted.stdout + promoted.stderr
    assert made.digest in team.gitops.read("apps/prod/kustomization.yaml")
    stages = [stage.name for stage in team.record().stages]
    assert stages == ["verify", "test", "build", "scan", "benchmark", "push", "promote"]
    assert team.record().status is Status.PASSED
