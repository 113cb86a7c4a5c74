"""Who we are at a store of weights: found where each store's own tools find it."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from uuid import uuid4

import pytest

from pipeline.desk import Desk
from pipeline.errors import RemoteError
from pipeline.model import Problem
from stages.models import recognise
from tests.support.certificates import Authority
from tests.support.fault_proxy import FaultProxy, fault_proxy
from tests.support.faults import Fault, Seen
from tests.support.hub import running_hub
from tests.support.loopback import json_reply, serving
from tests.support.mlflow_server import MlflowServer, running_mlflow
from tests.support.object_stores import AZURE_ACCOUNT, BUCKET, Kind, ObjectStore, running_store

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
KEY = {"AccessKeyId": "AKIACONTAINER", "SecretAccessKey": "secret", "Token": "session", "Version": 1}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Kind], ObjectStore]]:
    """Starts each kind of store once, when a test first asks for it."""
    with ExitStack() as running:
        yield cache(lambda kind: running.enter_context(running_store(kind, tmp_path_factory.mktemp(kind))))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(folder=tmp_path, cache=tmp_path / "cache")


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Forget who the machine is to any store."""
    for name in os.environ:
        if name.startswith(("AWS_", "AZURE_", "HF_", "MLFLOW_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


# --- S3 ------------------------------------------------------------------------------------------------


@pytest.fixture
def s3(start: Callable[[Kind], ObjectStore], monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """S3 and STS, with one object, behind a proxy that sees who asks."""
    store = start("s3")
    store.put("digits/model.bin", b"12345")
    with fault_proxy(store.port) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.port}")
        yield proxy


def credentials_file(folder: Path) -> Mapping[str, str]:
    (folder / ".aws").mkdir()
    (folder / ".aws/credentials").write_text(
        "[default]\naws_access_key_id = AKIAOTHER\naws_secret_access_key = x\n"
        "[weights]\naws_access_key_id = AKIASHARED\naws_secret_access_key = secret\n"
    )
    (folder / ".aws/config").write_text("[profile weights]\nregion = eu-central-1\n")
    return {"AWS_PROFILE": "weights"}


def role_of_a_profile(folder: Path) -> Mapping[str, str]:
    credentials_file(folder)
    (folder / ".aws/config").write_text(
        "[profile reader]\nrole_arn = arn:aws:iam::123456789012:role/reader\nsource_profile = weights\n"
        "region = eu-central-1\n"
    )
    return {"AWS_PROFILE": "reader"}


def web_identity(folder: Path) -> Mapping[str, str]:
    (folder / "identity-token").write_text("what the cluster says of the job")
    return {
        "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/weights",
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(folder / "identity-token"),
        "AWS_DEFAULT_REGION": "eu-central-1",
    }


def program(folder: Path) -> Mapping[str, str]:
    path = folder / "who-am-i"
    path.write_text(f"#!/bin/sh\necho '{json.dumps(KEY | {'AccessKeyId': 'AKIAPROGRAM'})}'\n")
    path.chmod(stat.S_IRWXU)
    (folder / "config").write_text(f"[default]\ncredential_process = {path}\nregion = eu-central-1\n")
    return {"AWS_CONFIG_FILE": str(folder / "config")}


@pytest.mark.parametrize(
    ("login", "key"),
    [
        (credentials_file, "AKIASHARED"),
        (role_of_a_profile, "ASIA"),  # a key of a session, which STS made
        (web_identity, "ASIA"),
        (program, "AKIAPROGRAM"),
    ],
)
def test_aws_credentials_are_those_of_the_aws_tools(
    s3: FaultProxy,
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
    login: Callable[[Path], Mapping[str, str]],
    key: str,
) -> None:
    for name, value in login(desk.folder).items():
        monkeypatch.setenv(name, value)
    (file,) = recognise(f"s3://{BUCKET}/digits", Path()).list(desk)
    assert file.path == "model.bin"
    authorization = authorizations(s3.of("GET", f"/{BUCKET}"))[-1]
    assert f"Credential={key}" in authorization
    assert "/eu-central-1/s3/" in authorization


def test_a_container_s_credentials_are_asked_for(
    s3: FaultProxy, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    expires = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    with serving(lambda _: json_reply(200, KEY | {"Expiration": expires})) as agent:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{agent.url}/credentials")
        monkeypatch.setenv("AWS_REGION", "eu-west-3")
        assert recognise(f"s3://{BUCKET}/digits", Path()).list(desk)
    (seen,) = s3.of("GET", f"/{BUCKET}")
    assert "Credential=AKIACONTAINER/" in authorizations([seen])[0]
    assert "/eu-west-3/s3/" in authorizations([seen])[0]
    assert {name.lower(): value for name, value in seen.headers.items()}["x-amz-security-token"] == "session"


def test_it_logs_in_once_for_all_files(s3: FaultProxy, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in web_identity(desk.folder).items():
        monkeypatch.setenv(name, value)
    files = recognise(f"s3://{BUCKET}/digits", Path())
    read = [b"".join(files.read(file)) for _ in range(3) for file in files.list(desk)]
    assert read == [b"12345"] * 3
    assert len(s3.of("POST")) == 1


def test_nobody_reads_as_nobody(s3: FaultProxy, desk: Desk) -> None:
    assert recognise(f"s3://{BUCKET}/digits", Path()).list(desk)  # as of a public bucket
    assert authorizations(s3.of("GET", f"/{BUCKET}")) == [""]


def test_a_role_that_may_not_be_taken_is_named(
    s3: FaultProxy, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in web_identity(desk.folder).items():
        monkeypatch.setenv(name, value)
    denied = b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>Not authorized</Message></Error>"
    s3.plan = lambda seen: Fault("answer", status=403, body=denied + b"</ErrorResponse>")
    with pytest.raises(RemoteError, match=r"no credentials: .*AccessDenied.*AssumeRoleWithWebIdentity"):
        recognise(f"s3://{BUCKET}/digits", Path()).list(desk)


def test_a_store_with_a_certificate_of_its_own_authority_is_trusted(
    tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority.create(tmp_path / "authority")
    with running_store("s3", tmp_path, tls=authority) as store:
        store.put("digits/model.bin", b"12345")
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        (check,) = recognise(f"s3://{BUCKET}/digits", Path()).check(desk)
        assert (check.problem, "is not trusted (UnknownIssuer)" in check.found) == (Problem.REMOTE, True)
        assert "AWS_CA_BUNDLE" in check.advice
        monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.certificate))
        assert recognise(f"s3://{BUCKET}/digits", Path()).list(desk)


def authorizations(seen: list[Seen]) -> list[str]:
    return [
        {name.lower(): value for name, value in each.headers.items()}.get("authorization", "")
        for each in seen
    ]


# --- Azure ---------------------------------------------------------------------------------------------


def as_key(endpoint: str, key: str) -> Mapping[str, str]:
    variables = {"AZURE_STORAGE_ACCOUNT": AZURE_ACCOUNT, "AZURE_STORAGE_KEY": key}  # what `az` reads
    return variables | {"AZURE_STORAGE_ENDPOINT": endpoint}


def as_connection_string(endpoint: str, key: str) -> Mapping[str, str]:
    account = f"DefaultEndpointsProtocol=http;AccountName={AZURE_ACCOUNT};AccountKey={key}"
    return {"AZURE_STORAGE_CONNECTION_STRING": f"{account};BlobEndpoint={endpoint}/;"}


def as_signature(endpoint: str, key: str) -> Mapping[str, str]:
    from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas

    signature = generate_account_sas(
        AZURE_ACCOUNT,
        key,
        ResourceTypes(container=True, object=True),
        AccountSasPermissions(read=True, list=True),
        datetime.now(UTC) + timedelta(hours=1),
    )
    account = {"AZURE_STORAGE_ACCOUNT_NAME": AZURE_ACCOUNT, "AZURE_STORAGE_ENDPOINT": endpoint}
    return account | {"AZURE_STORAGE_SAS_TOKEN": signature}


@pytest.mark.parametrize("login", [as_key, as_connection_string, as_signature])
def test_azure_credentials_are_those_of_its_tools(
    start: Callable[[Kind], ObjectStore],
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
    login: Callable[[str, str], Mapping[str, str]],
) -> None:
    store = start("az")
    store.put("digits/model.bin", b"12345")
    known = store.environment
    variables = login(known["AZURE_STORAGE_ENDPOINT"], known["AZURE_STORAGE_ACCOUNT_KEY"])
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert [file.path for file in recognise(f"az://{BUCKET}/digits", Path()).list(desk)] == ["model.bin"]
    named = f"https://{AZURE_ACCOUNT}.blob.core.windows.net/{BUCKET}/digits"
    assert [file.path for file in recognise(named, Path()).list(desk)] == ["model.bin"]


# --- MLflow and Hugging Face ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with running_mlflow(tmp_path_factory.mktemp("mlflow")) as running:
        yield running


@pytest.mark.filterwarnings("default::DeprecationWarning", "default::FutureWarning")
@pytest.mark.parametrize(
    ("variables", "header"),
    [
        ({"MLFLOW_TRACKING_USERNAME": "ci", "MLFLOW_TRACKING_PASSWORD": "word"}, "Basic Y2k6d29yZA=="),
        ({"MLFLOW_TRACKING_TOKEN": "token"}, "Bearer token"),
    ],
)
def test_mlflow_s_login_is_shown_on_every_request(
    mlflow: MlflowServer,
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
    variables: Mapping[str, str],
    header: str,
) -> None:
    name = f"digits-{uuid4().hex[:8]}"
    version = mlflow.register(name, mlflow.log_run({"model.bin": b"12345"}))

    def ask_who_it_is(seen: Seen) -> Fault | None:
        return None if authorizations([seen]) == [header] else Fault("answer", status=401)

    with fault_proxy(mlflow.port, ask_who_it_is) as proxy:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        files = recognise(f"models:/{name}/{version}", Path())
        with pytest.raises(RemoteError, match="refuses"):
            files.list(desk)
        for variable, value in variables.items():
            monkeypatch.setenv(variable, value)
        read = {file.path: b"".join(files.read(file)) for file in files.list(desk)}
    assert read == {"model.bin": b"12345"}


READ_MODEL = """
from pathlib import Path
from pipeline.desk import Desk
from stages.models import recognise
files = recognise("hf://team/private", Path())
print([b"".join(files.read(file)).decode() for file in files.list(Desk(folder=Path(), cache=Path()))])
"""


@pytest.mark.parametrize("login", ["HF_TOKEN", "HF_HOME", "HF_TOKEN_PATH", "HOME"])
def test_hugging_face_s_token_is_found_where_its_tools_keep_it(tmp_path: Path, login: str) -> None:
    places = {"HF_HOME": "token", "HF_TOKEN_PATH": "", "HOME": ".cache/huggingface/token"}
    environment = {name: value for name, value in os.environ.items() if name != "XDG_CACHE_HOME"}
    if login in places:
        path = tmp_path / "place" / places[login]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("hf_secret\n")
    with running_hub("team/private") as hub:
        hub.commit({"config.json": b"{}"})
        hub.token = "hf_secret"
        value = "hf_secret" if login == "HF_TOKEN" else str(tmp_path / "place")
        environment |= {"HF_ENDPOINT": hub.server.url, login: value}
        done = subprocess.run(
            [sys.executable, "-c", READ_MODEL],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.stdout == "['{}']\n", done.stderr
