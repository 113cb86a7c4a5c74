from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import pytest

from pipeline.desk import Desk
from pipeline.errors import ConfigurationError, PipelineError, RemoteError, StageFailed, TemporaryRemoteError
from stages.models import recognise
from stages.models.huggingface import HuggingFaceFiles
from stages.models.interface import SourceFile
from stages.models.model import Model
from tests.support.cutting_relay import cutting_relay
from tests.support.hub import Hub, running_hub

CONTENT = {
    "model.safetensors": bytes(range(256)) * 12_000,
    "config.json": b"{}",
    "onnx/ä name, 100%25.txt": b"small",
    "empty": b"",
}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with running_hub(f"team/digits-{uuid4().hex[:8]}") as running:
        running.commit(CONTENT)
        monkeypatch.setenv("HF_ENDPOINT", running.server.url)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield running


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(folder=tmp_path, cache=tmp_path / "cache")


def files_of(hub: Hub, revision: str = "main") -> HuggingFaceFiles:
    found = recognise(f"hf://{hub.repository}@{revision}", Path())
    assert isinstance(found, HuggingFaceFiles)
    return found


def listed(files: HuggingFaceFiles, desk: Desk, path: str = "model.safetensors") -> SourceFile:
    return next(file for file in files.list(desk) if file.path == path)


def test_every_file_is_listed_and_read(hub: Hub, desk: Desk) -> None:
    files = files_of(hub)
    found = files.list(desk)
    assert {file.path: b"".join(files.read(file)) for file in found} == CONTENT


def test_a_big_file_is_known_by_its_digest_before_it_is_read(hub: Hub, desk: Desk) -> None:
    files = files_of(hub)
    digest = f"sha256:{sha256(CONTENT['model.safetensors']).hexdigest()}"
    assert listed(files, desk).digest == digest
    small = listed(files, desk, "config.json")
    assert small.digest is None
    assert small.identity.startswith("git:")


@pytest.mark.parametrize("offset", [1, 1 << 20, 3_071_999, 3_072_000])
def test_it_reads_from_any_byte_on(hub: Hub, desk: Desk, offset: int) -> None:
    files = files_of(hub)
    assert b"".join(files.read(listed(files, desk), offset)) == CONTENT["model.safetensors"][offset:]


def test_a_branch_that_moves_while_we_work_gives_one_commit(hub: Hub, desk: Desk) -> None:
    files = files_of(hub)
    before = files.list(desk)
    hub.commit({name: content[::-1] + b"!" for name, content in CONTENT.items()})
    assert files.list(desk) == before
    assert {file.path: b"".join(files.read(file)) for file in before} == CONTENT


def test_a_commit_pins_the_files(hub: Hub, desk: Desk) -> None:
    commit = files_of(hub).pin()
    hub.commit({"other": b""})
    pinned = files_of(hub).at(commit)
    assert pinned.name == f"hf://{hub.repository}@{commit}"
    assert pinned.pin() == commit
    assert {file.path for file in pinned.list(desk)} == CONTENT.keys()


def test_the_token_goes_to_the_hub_and_not_to_its_content_network(
    hub: Hub, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.token = "hf_secret"
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    files = files_of(hub)
    assert b"".join(files.read(listed(files, desk))) == CONTENT["model.safetensors"]
    told = {
        request.path.split("/")[1]: {k.lower(): v for k, v in request.headers.items()}.get("authorization")
        for request in hub.server.received
    }
    assert told == {"api": "Bearer hf_secret", "team": "Bearer hf_secret", "store": None}


def test_bytes_that_are_not_what_their_name_says_never_become_a_layer(hub: Hub, desk: Desk) -> None:
    hub.damaged = True
    with pytest.raises(StageFailed, match=r"model\.safetensors is sha256:.*and its source says"):
        Model(files=files_of(hub), path="/models/digits").layers(desk)


def test_a_body_that_is_cut_goes_on_where_it_stopped(
    hub: Hub, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cutting_relay(hub.port) as relay:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{relay.port}")
        hub.content = {name: {"small.bin": b"x" * 1000} for name in hub.content}
        files = files_of(hub)
        file = listed(files, desk, "small.bin")
        relay.cuts = [700]
        assert b"".join(files.read(file)) == b"x" * 1000
    assert relay.broken == 1


@pytest.mark.parametrize(
    ("spoil", "kind", "message"),
    [
        ({"token": "hf_secret"}, ConfigurationError, "or you may not see it"),
        ({"gated": True}, RemoteError, "is gated"),
        ({"repository": "team/another"}, ConfigurationError, "there is no"),
        ({"branches": {}}, ConfigurationError, "there is no"),
    ],
)
def test_a_refusal_says_what_to_do(
    hub: Hub, desk: Desk, spoil: dict[str, object], kind: type[PipelineError], message: str
) -> None:
    files = files_of(hub)
    for name, value in spoil.items():
        setattr(hub, name, value)
    with pytest.raises(kind, match=message) as caught:
        files.list(desk)
    assert caught.value.advice


def test_a_hub_that_nobody_answers_at_is_worth_another_try(
    hub: Hub, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(TemporaryRemoteError, match="could not be reached"):
        files_of(hub).list(desk)


def test_a_file_that_is_gone_is_named(hub: Hub, desk: Desk) -> None:
    files = files_of(hub)
    file = replace(listed(files, desk), path="gone.bin")
    with pytest.raises(StageFailed, match=r"gone\.bin changed since it was listed"):
        b"".join(files.read(file))
