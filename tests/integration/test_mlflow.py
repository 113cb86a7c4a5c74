"""Weights of MLflow: its own client against its own server, with artifacts there and in an object store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from pipeline.desk import Desk
from pipeline.errors import ConfigurationError, RemoteError, StageFailed, TemporaryRemoteError
from stages.models import recognise
from stages.models.interface import Files
from stages.models.mlflow import MlflowFiles
from stages.models.model import Model
from tests.support.cutting_relay import cutting_relay
from tests.support.fault_proxy import fault_proxy
from tests.support.faults import Fault
from tests.support.mlflow_server import MlflowServer, running_mlflow
from tests.support.object_stores import BUCKET, running_store

pytestmark = [
    pytest.mark.integration,
    # MLflow's own, on import and at the end of its telemetry
    pytest.mark.filterwarnings("default::DeprecationWarning", "default::FutureWarning"),
]

CONTENT = {
    "weights.bin": bytes(range(256)) * 12_000,
    "part/ä name, 100%.json": b"{}",
    "part/empty": b"",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with running_mlflow(tmp_path_factory.mktemp("mlflow")) as running:
        yield running


@pytest.fixture(autouse=True)
def environment(server: MlflowServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(folder=tmp_path, cache=tmp_path / "cache")


@pytest.fixture
def name() -> str:
    return f"digits-{uuid4().hex[:8]}"


def files_of(source: str, revision: str | None = None) -> Files:
    return recognise(source, Path("/nowhere"), revision)


def read_all(files: Files, desk: Desk) -> dict[str, bytes]:
    return {file.path: b"".join(files.read(file)) for file in files.list(desk)}


def test_a_version_is_listed_and_read(server: MlflowServer, desk: Desk, name: str) -> None:
    version = server.register(name, server.log_run(CONTENT))
    assert read_all(files_of(f"models:/{name}/{version}"), desk) == CONTENT


def test_a_run_is_listed_and_read(server: MlflowServer, desk: Desk) -> None:
    run = server.log_run(CONTENT)
    assert read_all(files_of(f"runs:/{run}/model"), desk) == CONTENT
    whole = read_all(files_of(f"runs:/{run}"), desk)
    assert whole == {f"model/{path}": content for path, content in CONTENT.items()}


@pytest.mark.parametrize("offset", [1, 1 << 20, 3_071_999, 3_072_000])
def test_it_reads_from_any_byte_on(server: MlflowServer, desk: Desk, offset: int) -> None:
    files = files_of(f"runs:/{server.log_run(CONTENT)}/model")
    file = next(file for file in files.list(desk) if file.path == "weights.bin")
    assert b"".join(files.read(file, offset)) == CONTENT["weights.bin"][offset:]


def test_an_alias_is_pinned_to_its_version(server: MlflowServer, desk: Desk, name: str) -> None:
    first = server.register(name, server.log_run(CONTENT), alias="champion")
    files = files_of(f"models:/{name}@champion")
    assert isinstance(files, MlflowFiles)
    assert files.pin() == first
    second = server.register(name, server.log_run({"other.bin": b"other"}), alias="champion")
    assert files.pin() == second != first
    assert read_all(files.at(first), desk) == CONTENT
    assert read_all(files_of(f"models:/{name}"), desk) == {"other.bin": b"other"}


def test_the_locked_version_is_not_read_again(
    server: MlflowServer, desk: Desk, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    version = server.register(name, server.log_run(CONTENT))
    model = Model(files=files_of(f"models:/{name}/{version}"), path="/models/digits")
    lock = model.locked("mlflow", version, desk)
    layers = model.layers(desk)
    with fault_proxy(server.port) as proxy:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{proxy.port}")
        elsewhere = Desk(folder=tmp_path, cache=tmp_path / "another machine")
        assert replace(model, lock=lock).layers(elsewhere) == layers
        assert proxy.seen
        assert not [seen for seen in proxy.seen if "weights.bin" in seen.path]


def test_what_a_run_may_write_again_is_not_remembered(server: MlflowServer, desk: Desk, name: str) -> None:
    run = server.log_run(CONTENT)
    version = server.register(name, run)
    assert not any(file.settled for file in files_of(f"runs:/{run}/model").list(desk))
    assert all(file.settled for file in files_of(f"models:/{name}/{version}").list(desk))


def test_a_body_that_is_cut_goes_on_where_it_stopped(
    server: MlflowServer, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = server.log_run(CONTENT)
    with cutting_relay(server.port) as relay:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{relay.port}")
        files = files_of(f"runs:/{run}/model")
        file = next(file for file in files.list(desk) if file.path == "weights.bin")
        relay.cuts = [1_500_000, 700_000]
        assert b"".join(files.read(file)) == CONTENT["weights.bin"]
    assert relay.broken == 2


def test_artifacts_in_an_object_store_are_read_there(
    server: MlflowServer, desk: Desk, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with running_store("s3", tmp_path) as store:
        for variable, value in store.environment.items():
            monkeypatch.setenv(variable, value)
        run = server.log_run(CONTENT, destination=f"s3://{BUCKET}/mlflow")
        version = server.register(name, run)
        files = files_of(f"models:/{name}/{version}")
        assert {file.identity.partition(":")[0] for file in files.list(desk)} == {"etag"}
        assert read_all(files, desk) == CONTENT


@pytest.mark.parametrize(
    "source",
    ["models:/no-such-model/1", "models:/no-such-model@champion", "models:/none", "runs:/0a1b/model"],
)
def test_what_is_not_there_is_a_mistake_in_the_configuration(source: str, desk: Desk) -> None:
    with pytest.raises(ConfigurationError, match="there is no"):
        files_of(source).list(desk)


def test_a_run_without_such_a_folder_has_no_artifact(server: MlflowServer, desk: Desk) -> None:
    with pytest.raises(ConfigurationError, match="has no artifact"):
        files_of(f"runs:/{server.log_run(CONTENT)}/elsewhere").list(desk)


def test_artifacts_in_a_folder_of_the_server_are_not_ours_to_read(
    server: MlflowServer, desk: Desk, tmp_path: Path
) -> None:
    run = server.log_run(CONTENT, destination=f"file://{tmp_path}/artifacts")
    with pytest.raises(ConfigurationError, match="only the server itself can read"):
        files_of(f"runs:/{run}/model").list(desk)


def test_a_file_that_is_gone_is_named(server: MlflowServer, desk: Desk) -> None:
    files = files_of(f"runs:/{server.log_run(CONTENT)}/model")
    file = replace(files.list(desk)[0], path="gone.bin", size_bytes=1)
    with pytest.raises(StageFailed, match=r"gone\.bin changed since it was listed"):
        list(files.read(file))


@pytest.mark.parametrize("status", [401, 403])
def test_a_server_that_refuses_is_answered_with_advice(
    server: MlflowServer, desk: Desk, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    with fault_proxy(server.port, lambda _: Fault("answer", status=status)) as proxy:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(RemoteError, match="refuses") as caught:
            files_of("models:/digits/1").list(desk)
    assert "MLFLOW_TRACKING_TOKEN" in caught.value.advice


def test_a_server_that_nobody_answers_at_is_worth_another_try(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    with pytest.raises(TemporaryRemoteError, match="could not be asked"):
        files_of("models:/digits/1").list(desk)


def test_no_server_is_named(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with pytest.raises(ConfigurationError, match="nothing says which MLflow server"):
        files_of("models:/digits/1").list(desk)
