"""A real MLflow tracking server and model registry on loopback, with a database and artifacts of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from tests.support import detached
from tests.support.registry import free_port

LIFETIME_S = 3600
VARIABLES = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # needs programs that only its whole distribution has
}


@dataclass(frozen=True, slots=True)
class MlflowServer:
    """A server that answers."""

    port: int
    folder: Path

    @property
    def url(self) -> str:
        """What MLFLOW_TRACKING_URI says."""
        return f"http://127.0.0.1:{self.port}"

    def answers(self) -> bool:
        """Say whether the server is ready."""
        try:
            return requests.get(f"{self.url}/health", timeout=5).ok
        except requests.RequestException:
            return False

    def log_run(self, content: Mapping[str, bytes], destination: str | None = None) -> str:
        """Make a run with these files below `model`, kept at `destination`, and return its identifier."""
        from mlflow.tracking import MlflowClient

        client = MlflowClient(self.url)
        name = f"experiment {len(client.search_experiments())}"
        experiment = client.create_experiment(name, artifact_location=destination)
        run = str(client.create_run(experiment).info.run_id)
        files = self.folder / "logged" / run
        for path, data in content.items():
            (files / path).parent.mkdir(parents=True, exist_ok=True)
            (files / path).write_bytes(data)
        client.log_artifacts(run, str(files), "model")
        return run

    def register(self, model: str, run: str, alias: str | None = None) -> str:
        """Make a run's model the newest version of a registered one, and return the version."""
        from mlflow.tracking import MlflowClient

        client = MlflowClient(self.url)
        if not client.search_registered_models(f"name='{model}'"):
            client.create_registered_model(model)
        version = str(client.create_model_version(model, f"runs:/{run}/model", run_id=run).version)
        if alias is not None:
            client.set_registered_model_alias(model, alias, version)
        return version


@contextmanager
def running_mlflow(folder: Path) -> Iterator[MlflowServer]:
    """Run a server for as long as the `with` block lasts."""
    server = MlflowServer(free_port(), folder)
    command = (sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(server.port))
    places = (
        f"--backend-store-uri=sqlite:///{folder}/mlflow.db",
        f"--artifacts-destination={folder}/artifacts",
    )
    log = folder / "mlflow.log"
    process = detached.start(
        (*command, *places, "--workers=1"),
        log=log,
        lifetime_s=LIFETIME_S,
        environment={**os.environ, **VARIABLES},
    )
    try:
        detached.wait_until_ready("MLflow", server.answers, process=process, log=log, timeout_s=90)
        yield server
    finally:
        process.stop()
