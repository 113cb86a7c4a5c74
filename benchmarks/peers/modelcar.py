"""oci-modelcar, which pushes a model of the Hugging Face Hub: measured after its download."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from benchmarks.bench import Bench
from benchmarks.peers.interface import Project
from tests.support.commands import cache_folder, run_logged
from tests.support.engine import ImageStore
from tests.support.errors import SetupError
from tests.support.loopback import Received, Reply, serving

PACKAGE = "oci-modelcar==1.3.0"
MODEL = "bench/model"
COMMIT = "0" * 40
WORKERS = 4  # as many blobs at a time as we send


@dataclass(frozen=True, slots=True)
class Modelcar:
    """`oci-modelcar push` with the files already in its spool folder; it knows weights only, and no code."""

    name: ClassVar[str] = "modelcar"
    what: ClassVar[str] = (
        f"`oci-modelcar push --workers {WORKERS}` with the model already in its spool folder; weights only"
    )
    store: ClassVar[ImageStore | None] = None
    scenarios: ClassVar[frozenset[str]] = frozenset({"cold", "nothing", "shard", "move"})

    def missing(self) -> str | None:
        """See `Peer.missing`."""
        if _program().exists():
            return None
        log = cache_folder() / "logs" / "modelcar.log"
        advice = "see the log"
        try:
            run_logged([sys.executable, "-m", "venv", str(_environment())], log=log, advice=advice)
            pip = str(_environment() / "bin" / "pip")
            run_logged([pip, "install", "--quiet", PACKAGE], log=log, advice=advice, timeout_s=180)
        except SetupError as error:
            shutil.rmtree(_environment(), ignore_errors=True)
            return error.message.splitlines()[0]
        return None

    def prepare(self, bench: Bench, project: Project) -> None:
        """Put the weights where the tool's download leaves them, and note what a hub says of them."""
        del bench
        sources = project.folder / "spool" / "sources"
        shutil.rmtree(sources, ignore_errors=True)
        sources.mkdir(parents=True)
        for name in project.model_files:
            os.link(project.folder / name, sources / Path(name).name)
        tree = [_entry(path) for path in sorted(sources.iterdir())]
        (project.folder / "tree.json").write_text(json.dumps(tree))

    def deliver(self, bench: Bench, project: Project, scenario: str) -> None:
        """See `Peer.deliver`."""
        del scenario
        tree = (project.folder / "tree.json").read_bytes()
        # The name of a commit changes with its content.
        commit = hashlib.sha1(tree, usedforsecurity=False).hexdigest()

        def answer(request: Received) -> Reply | None:
            known = re.fullmatch(rf"/api/models/{MODEL}/(revision|tree)/[^/]+", request.path)
            if known is None:
                return None
            info = json.dumps({"id": MODEL, "sha": commit, "siblings": []}).encode()
            body = tree if known[1] == "tree" else info
            return Reply(200, {"Content-Type": "application/json"}, body)

        with serving(answer) as hub:
            bench.run(
                *(_program(), "push", "--hf-repo", MODEL, "--hf-endpoint", f"http://{hub.address}"),
                *("--registry", project.host, "--target-repo", project.repository.partition("/")[2]),
                *("--target-tag", project.tag, "--workers", str(WORKERS)),
                *("--spool-dir", project.folder / "spool"),
                folder=project.folder,
                variables={
                    "OCI_USERNAME": bench.registry.username,
                    "OCI_PASSWORD": bench.registry.password,
                    "HF_HUB_DISABLE_TELEMETRY": "1",
                },
            )


def _environment() -> Path:
    return cache_folder() / "benchmarks" / "oci-modelcar"


def _program() -> Path:
    return _environment() / "bin" / "oci-modelcar"


def _entry(path: Path) -> dict[str, object]:
    size_bytes = path.stat().st_size
    entry: dict[str, object] = {"type": "file", "path": path.name, "size": size_bytes, "oid": COMMIT}
    if path.suffix == ".safetensors":
        printed = subprocess.run(["sha256sum", path], check=True, capture_output=True, text=True).stdout
        entry["lfs"] = {"oid": printed.split()[0], "size": size_bytes, "pointerSize": 134}
    return entry
