"""Weights in object stores: the library that users have, against servers that speak the clouds' protocols."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from pathlib import Path
from uuid import uuid4

import pytest
import requests

from pipeline.desk import Desk
from pipeline.errors import ConfigurationError, PipelineError, RemoteError, StageFailed
from pipeline.model import Problem
from stages.models import recognise
from stages.models.file import FolderFiles
from stages.models.interface import Files, SourceFile
from stages.models.model import Model
from stages.oci.model_layer import stream
from tests.support.cutting_relay import cutting_relay
from tests.support.fault_proxy import fault_proxy
from tests.support.faults import Fault
from tests.support.object_stores import AZURE_ACCOUNT, BUCKET, Kind, ObjectStore, running_store

pytestmark = pytest.mark.integration

CONTENT = {
    "weights.bin": bytes(range(256)) * 12_000,  # three pieces
    "part/empty": b"",
    "part/ä name, 100%25.json": b"{}",
}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Kind], ObjectStore]]:
    """Starts each kind of store once, when a test first asks for it."""
    with ExitStack() as running:
        yield cache(lambda kind: running.enter_context(running_store(kind, tmp_path_factory.mktemp(kind))))


@pytest.fixture(params=["s3", "gs", "az"])
def store(request: pytest.FixtureRequest, start: Callable[[Kind], ObjectStore]) -> ObjectStore:
    return start(request.param)


@pytest.fixture
def s3(start: Callable[[Kind], ObjectStore]) -> ObjectStore:
    return start("s3")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(folder=tmp_path, cache=tmp_path / "cache")


def use(variables: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def filled(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> str:
    """Put the model below a new prefix, and return the prefix."""
    use(store.environment, monkeypatch)
    prefix = f"digits/{uuid4().hex[:8]}"
    for path, content in CONTENT.items():
        store.put(f"{prefix}/{path}", content)
    store.put(f"{prefix}0/another.bin", b"another prefix that begins alike")
    return prefix


def files_below(store: ObjectStore, prefix: str) -> Files:
    return recognise(store.url(prefix), Path("/nowhere"))


def listed(files: Files, desk: Desk, path: str = "weights.bin") -> SourceFile:
    return next(file for file in files.list(desk) if file.path == path)


def read(files: Files, file: SourceFile, offset: int = 0) -> bytes:
    return b"".join(files.read(file, offset))


def test_every_object_is_listed_and_read(
    store: ObjectStore, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = files_below(store, filled(store, monkeypatch))
    found = files.list(desk)
    assert {file.path: file.size_bytes for file in found} == {
        path: len(content) for path, content in CONTENT.items()
    }
    assert {file.path: read(files, file) for file in found} == CONTENT
    assert all(len(piece) <= 1 << 20 for file in found for piece in files.read(file))


@pytest.mark.parametrize("offset", [1, 1 << 20, 3_071_999, 3_072_000])
def test_it_reads_from_any_byte_on(
    store: ObjectStore, desk: Desk, monkeypatch: pytest.MonkeyPatch, offset: int
) -> None:
    files = files_below(store, filled(store, monkeypatch))
    assert read(files, listed(files, desk), offset) == CONTENT["weights.bin"][offset:]


def test_it_gives_the_layers_that_a_folder_gives(
    store: ObjectStore, desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    files = files_below(store, filled(store, monkeypatch))
    for path, content in CONTENT.items():
        (tmp_path / "model" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "model" / path).write_bytes(content)
    remote = Model(files=files, path="/models/digits").layers(desk)
    local = Model(files=FolderFiles(folder=tmp_path / "model"), path="/models/digits").layers(desk)
    assert [layer.descriptor for layer in remote] == [layer.descriptor for layer in local]
    assert b"".join(stream(remote[0], files)) == b"".join(
        stream(local[0], FolderFiles(folder=tmp_path / "model"))
    )


def test_a_listed_object_keeps_its_identity_until_it_is_written(
    store: ObjectStore, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = filled(store, monkeypatch)
    files = files_below(store, prefix)
    before = listed(files, desk)
    assert listed(files, desk) == before
    store.put(f"{prefix}/weights.bin", CONTENT["weights.bin"][::-1])
    assert listed(files, desk).identity != before.identity
    with pytest.raises(StageFailed, match=r"weights\.bin changed since it was listed"):
        read(files, before)


def test_an_object_that_is_gone_is_named(
    store: ObjectStore, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = filled(store, monkeypatch)
    files = files_below(store, prefix)
    file = listed(files, desk)
    store.delete(f"{prefix}/weights.bin")
    with pytest.raises(StageFailed, match=r"weights\.bin changed since it was listed"):
        read(files, file)


def test_an_empty_prefix_is_no_model(store: ObjectStore, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(store, monkeypatch)
    (check,) = files_below(store, "nothing/here").check(desk)
    assert (check.problem, check.found) == (
        Problem.CONFIGURATION,
        f"there is no object below {store.url('nothing/here')}",
    )


def test_a_body_that_is_cut_goes_on_where_it_stopped(
    store: ObjectStore, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = filled(store, monkeypatch)
    with cutting_relay(store.port) as relay:
        use(store.environment_at(relay.port), monkeypatch)
        files = files_below(store, prefix)
        file = listed(files, desk)
        relay.cuts = [1_500_000, 700_000]
        assert read(files, file) == CONTENT["weights.bin"]
    assert relay.broken == 2


def test_a_store_that_nobody_answers_at_is_a_remote_problem(
    store: ObjectStore, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(store.environment_at(1), monkeypatch)  # nothing listens there
    (check,) = files_below(store, "digits/1").check(desk)
    assert check.problem is Problem.REMOTE
    assert check.found.endswith("Connection refused")
    assert "?" not in check.found


def test_a_bucket_that_does_not_exist_is_a_mistake_in_the_configuration(
    s3: ObjectStore, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(s3.environment, monkeypatch)
    (check,) = recognise("s3://no-such-bucket/digits", Path()).check(desk)
    assert check.problem is Problem.CONFIGURATION
    assert "NoSuchBucket" in check.found


def test_an_object_that_only_marks_a_folder_is_no_file(
    s3: ObjectStore, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = filled(s3, monkeypatch)
    s3.put(f"{prefix}/", b"")
    s3.put(f"{prefix}/part/", b"")
    assert {file.path for file in files_below(s3, prefix).list(desk)} == CONTENT.keys()


def test_credentials_that_are_not_let_in_are_refused_with_advice(
    s3: ObjectStore, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = filled(s3, monkeypatch)
    control = f"http://127.0.0.1:{s3.port}/moto-api/reset-auth"
    requests.post(control, data=b"0", timeout=10).raise_for_status()  # from now on it asks who we are
    try:
        with pytest.raises(RemoteError, match="refuses these credentials") as caught:
            files_below(s3, prefix).list(desk)
    finally:
        requests.post(control, data=b"inf", timeout=10).raise_for_status()
    assert "aws sts get-caller-identity" in caught.value.advice


def test_credentials_that_have_expired_say_so(
    s3: ObjectStore, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = filled(s3, monkeypatch)
    body = b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"
    with fault_proxy(s3.port, lambda _: Fault("answer", status=400, body=body)) as proxy:
        use(s3.environment_at(proxy.port), monkeypatch)
        with pytest.raises(RemoteError, match="have expired"):
            files_below(s3, prefix).list(desk)


def test_a_busy_store_is_asked_again(s3: ObjectStore, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    prefix = filled(s3, monkeypatch)
    with fault_proxy(s3.port) as proxy:
        proxy.plan = lambda _: Fault("answer", status=503) if len(proxy.seen) < 3 else None
        use(s3.environment_at(proxy.port), monkeypatch)
        assert len(files_below(s3, prefix).list(desk)) == len(CONTENT)
        assert len(proxy.seen) == 3


def test_a_profile_names_key_region_and_endpoint(
    s3: ObjectStore, desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    prefix = filled(s3, monkeypatch)
    for name in s3.environment:
        monkeypatch.delenv(name)
    (tmp_path / "config").write_text(
        f"[profile weights]\nregion = eu-west-1\nendpoint_url = http://127.0.0.1:{s3.port}\n"
        "aws_access_key_id = AKIAPROFILE\naws_secret_access_key = secret\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "weights")
    with fault_proxy(s3.port) as proxy:
        text = (tmp_path / "config").read_text().replace(str(s3.port), str(proxy.port))
        (tmp_path / "config").write_text(text)
        assert len(files_below(s3, prefix).list(desk)) == len(CONTENT)
        (seen,) = proxy.seen
    authorization = {name.lower(): value for name, value in seen.headers.items()}["authorization"]
    assert "AKIAPROFILE/" in authorization
    assert "/eu-west-1/s3/" in authorization


def test_azure_refuses_another_key(
    start: Callable[[Kind], ObjectStore], desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = filled(start("az"), monkeypatch)
    named = recognise(f"https://{AZURE_ACCOUNT}.blob.core.windows.net/{BUCKET}/{prefix}", Path())
    assert len(named.list(desk)) == len(CONTENT)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "b3RoZXI=")
    with pytest.raises(RemoteError, match="refuses these credentials"):
        named.list(desk)


def test_a_library_that_is_missing_is_named_with_its_install_line() -> None:
    from stages.models.extras import require

    with pytest.raises(PipelineError) as caught:
        require("no_such_library", "aws", "s3://bucket")
    assert caught.value.advice == "pip install 'model-image-pipeline[aws]'"
    assert caught.value.exit_code == 4


def test_a_file_that_was_listed_by_another_is_refused(
    s3: ObjectStore, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = files_below(s3, filled(s3, monkeypatch))
    file = replace(listed(files, desk), size_bytes=5)
    with pytest.raises((StageFailed, ConfigurationError)):
        read(files, file)
