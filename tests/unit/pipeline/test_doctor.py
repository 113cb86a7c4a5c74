"""The command `pipeline doctor`, as a user starts it, against registries on loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.cascade import FILE_NAME
from tests.support.loopback import MemoryRegistry, Received, Reply, Server, json_reply, refused, serving
from tests.support.registry import free_port

Doctor = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def memory() -> MemoryRegistry:
    return MemoryRegistry()


@pytest.fixture
def server(memory: MemoryRegistry) -> Iterator[Server]:
    with serving(memory) as running:
        yield running


@pytest.fixture
def doctor(tmp_path: Path) -> Doctor:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REGISTRY_")}
    environment["DOCKER_CONFIG"] = str(tmp_path / "docker")

    def run(registries: list[str], *flags: str, **variables: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / FILE_NAME).write_text(json.dumps({"image": "small", "registries": registries}))
        command = [sys.executable, "-m", "pipeline", "doctor", *flags]
        return subprocess.run(
            command,
            cwd=tmp_path,
            env={**environment, **variables},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_it_says_what_a_push_would_meet_and_sends_nothing(doctor: Doctor, server: Server) -> None:
    done = doctor([server.address])
    assert (done.returncode, done.stderr) == (0, "")
    told = "lets us in without a login; the repository is missing: the push makes it; blobs can be mounted"
    assert done.stdout == f"✔ registry {server.address}/small  {told}\n"
    assert {request.method for request in server.received} == {"GET"}


def test_with_write_it_cancels_what_it_uploads(
    doctor: Doctor, server: Server, memory: MemoryRegistry
) -> None:
    done = doctor([server.address], "--write")
    assert (done.returncode, done.stderr) == (0, "")
    assert "took 1 kB, and the upload was cancelled" in done.stdout
    sent = [(request.method, len(request.body)) for request in server.received if request.method != "GET"]
    assert sent == [("POST", 0), ("PATCH", 1024), ("DELETE", 0)]
    assert (memory.uploads, memory.blobs) == ({}, {})


@pytest.mark.parametrize(
    ("variables", "proposal"),
    [
        ({"GITHUB_ACTIONS": "true", "GITHUB_REF": "refs/pull/7/merge"}, "pull request #7"),
        ({"GITLAB_CI": "true", "CI_MERGE_REQUEST_IID": "7"}, "merge request #7"),
    ],
)
def test_for_a_proposal_it_writes_nothing_and_says_so(
    doctor: Doctor, server: Server, variables: dict[str, str], proposal: str
) -> None:
    done = doctor([server.address], "--write", **variables)
    assert (done.returncode, server.received) == (2, [])
    assert f"this job runs for {proposal}" in " ".join(done.stderr.split())
    assert doctor([server.address], **variables).returncode == 0


def test_a_registry_that_cannot_cancel_says_so(
    doctor: Doctor, server: Server, memory: MemoryRegistry
) -> None:
    memory.before = lambda request: refused(405, "UNSUPPORTED") if request.method == "DELETE" else None
    done = doctor([server.address], "--write")
    assert done.returncode == 0
    assert "took 1 kB; it cannot be cancelled here (405 Method Not Allowed)" in done.stdout


def test_a_login_without_the_right_to_delete_leaves_its_kilobyte_to_the_registry(
    doctor: Doctor, server: Server, memory: MemoryRegistry
) -> None:
    memory.before = lambda request: refused(403, "DENIED") if request.method == "DELETE" else None
    done = doctor([server.address], "--write")
    assert done.returncode == 0
    assert "took 1 kB; to cancel it takes the right to delete" in done.stdout


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "to cancel it takes the right to delete"), (503, "it was not cancelled (")],
)
def test_a_token_service_that_does_not_give_the_right_to_cancel_takes_nothing_from_the_proof(
    doctor: Doctor, server: Server, memory: MemoryRegistry, status: int, words: str
) -> None:
    def guard(request: Received) -> Reply | None:
        if request.path == "/token":
            return Reply(status) if ",delete" in str(request.query) else json_reply(200, {"token": "t"})
        if "Authorization" in request.headers:
            return None
        realm = f'Bearer realm="http://{request.headers["Host"]}/token"'
        return refused(401, "UNAUTHORIZED", WWW_Authenticate=realm)

    memory.before = guard
    done = doctor([server.address], "--write")
    assert f"took 1 kB; {words}" in done.stdout
    assert (done.returncode, done.stderr) == (0, "")


def test_a_registry_that_takes_whole_blobs_alone_gets_nothing(
    doctor: Doctor, server: Server, memory: MemoryRegistry
) -> None:
    memory.before = lambda request: refused(405, "UNSUPPORTED") if request.method == "PATCH" else None
    done = doctor([server.address], "--write")
    assert done.returncode == 0
    assert "which takes no part of a blob (405 Method Not Allowed), so nothing was sent" in done.stdout


def test_one_that_may_not_write_is_found_by_writing(
    doctor: Doctor, server: Server, memory: MemoryRegistry
) -> None:
    def read_only(request: Received) -> Reply | None:
        return refused(403, "DENIED", "read-only") if request.method == "POST" else None

    memory.before = read_only
    assert doctor([server.address]).returncode == 0
    done = doctor([server.address], "--write")
    assert done.returncode == 5
    assert "cannot begin an upload in small: DENIED (read-only)" in done.stdout
    assert "needs the right to push" in done.stderr


def test_all_registries_are_asked_whatever_one_says(doctor: Doctor, server: Server) -> None:
    absent = f"127.0.0.1:{free_port()}"
    done = doctor([absent, server.address])
    assert done.returncode == 5
    assert f"✘ registry {absent}/small" in done.stdout
    assert f"✔ registry {server.address}/small" in done.stdout
    assert "1 of 2 registries would not take a push" in done.stderr
    documents = json.loads(doctor([absent, server.address], "--json").stdout)
    assert [document["problem"] for document in documents] == ["remote", None]


def test_without_a_registry_there_is_nothing_to_examine(doctor: Doctor) -> None:
    done = doctor([])
    assert (done.returncode, done.stdout) == (
        0,
        "✔ registry  none is configured, so there is nothing to examine\n",
    )
