"""What the tests share: the trained model, the held-out digits and one running server."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from digits.network import CONFIG_FILE, Network
from train import MODEL_FOLDER, Split, split_digits

EXAMPLE = Path(__file__).parent.parent
READY_DEADLINE_SECONDS = 60


@pytest.fixture(scope="session")
def model_folder() -> Path:
    """The folder that train.py wrote."""
    if not (MODEL_FOLDER / CONFIG_FILE).exists():
        pytest.fail("model/ is missing; run `make prepare` first")
    return MODEL_FOLDER


@pytest.fixture(scope="session")
def network(model_folder: Path) -> Network:
    return Network.load(model_folder)


@pytest.fixture(scope="session")
def split() -> Split:
    return split_digits()


@pytest.fixture(scope="session")
def server(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real MLServer, as the image starts it, on free ports of this machine."""
    http_port, grpc_port, metrics_port = free_ports(3)
    environment = os.environ | {
        "MLSERVER_MODEL_URI": str(model_folder),
        "MLSERVER_HOST": "127.0.0.1",
        "MLSERVER_HTTP_PORT": str(http_port),
        "MLSERVER_GRPC_PORT": str(grpc_port),
        "MLSERVER_METRICS_PORT": str(metrics_port),
    }
    command = [str(Path(sys.executable).with_name("mlserver")), "start", "."]
    log = tmp_path_factory.mktemp("server") / "log.txt"
    with (
        log.open("w") as output,
        subprocess.Popen(command, cwd=EXAMPLE, env=environment, stdout=output, stderr=output) as process,
    ):
        try:
            address = f"http://127.0.0.1:{http_port}"
            wait_until_ready(address, process, log)
            yield address
        finally:
            process.terminate()


def free_ports(count: int) -> list[int]:
    """Return ports that nothing listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in sockets]
    for listener in sockets:
        listener.close()
    return ports


def wait_until_ready(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return when the model is ready; fail with the server's log when it ended or takes too long."""
    deadline = time.monotonic() + READY_DEADLINE_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urlopen(f"{address}/v2/models/digits/ready", timeout=5):
                return
        except URLError:
            time.sleep(0.1)
    pytest.fail(f"the server did not become ready:\n{log.read_text()}")
