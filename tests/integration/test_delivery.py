"""The whole way, as a user runs it: a commit becomes a GitOps commit, or stops where it should."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.artifacts import Artifacts
from pipeline.model import BuiltImage, DiskForecast, ManifestUpdate, PushedImage, SuiteReport
from pipeline.record import Record, Runs, Status
from tests.support.example import UNHURRIED
from tests.support.git_server import run_git
from tests.support.project import TINY, Project, answers_half, remote_digest

STAGES = ("test", "build", "scan", "benchmark", "push", "update")
SCREEN_LINES = 45
Change = Callable[[Project], None]


def test_a_commit_becomes_a_gitops_commit(
    project: Project, tmp_path: Path, skopeo: str, kubectl: str
) -> None:
    done = project.pipeline("run")
    assert done.returncode == 0, done.stdout
    record = project.record()
    assert [(stage.name, stage.status) for stage in record.stages] == [
        (name, Status.PASSED) for name in STAGES
    ]
    made = Artifacts(*record.made())
    built, pushed, update = made[BuiltImage], made[PushedImage], made[ManifestUpdate]
    commit = run_git("-C", str(project.folder), "rev-parse", "HEAD").strip()
    repository = f"{project.registry.address}/{project.name}/tiny"
    reference = f"{repository}:{commit}@{built.digest}"

    found = remote_digest(skopeo, project, f"{repository}:{commit}")
    assert found == built.digest == pushed.digest
    assert project.gitops.head() == update.commit
    checkout = tmp_path / "checkout"
    run_git("clone", "--quiet", project.gitops.url, str(checkout))
    rendered = subprocess.run(
        [kubectl, "kustomize", str(checkout / "apps/tiny")], check=True, capture_output=True, text=True
    ).stdout
    assert f"image: {reference}" in rendered
    assert reference in done.stdout
    assert project.containers() == ""
    assert pulled_answers_half(reference, project)


def pulled_answers_half(reference: str, project: Project) -> bool:
    """Pull the image by its digest, start it as any runtime does, and ask its server."""
    registry = project.registry
    docker_login = ["docker", "login", "--username", registry.username, "--password-stdin", registry.address]
    subprocess.run(docker_login, input=registry.password, text=True, check=True, capture_output=True)
    return answers_half(reference)


def test_again_at_once_everything_is_reused_and_nothing_is_written(project: Project) -> None:
    project.environment.update(UNHURRIED)  # numbers that must not be trusted are not taken again
    project.passes("run")
    head = project.gitops.head()
    done = project.pipeline("run")
    assert done.returncode == 0
    record = project.record()
    assert {stage.name: stage.status for stage in record.stages if stage.status is Status.REUSED}.keys() == {
        "test",
        "build",
        "scan",
        "benchmark",
    }
    assert done.stdout.count("reused from") == 4
    made = Artifacts(*record.made())
    reference = made[PushedImage].references[0]
    assert reference.tag_existed
    assert reference.bytes_sent == 0
    assert made[ManifestUpdate].status == "unchanged"
    assert project.gitops.head() == head


def test_a_change_of_code_does_not_move_the_weights(project: Project) -> None:
    project.set(skip={"scan": "only the push matters here", "benchmark": "so it does"})
    (project.folder / "model" / "big.bin").write_bytes(os.urandom(3_000_000))
    project.commit()
    project.passes("run")
    project.write("serve.py", (project.folder / "serve.py").read_text() + "\n# a comment\n")
    project.passes("run")
    reference = Artifacts(*project.record().made())[PushedImage].references[0]
    assert reference.bytes_sent < 20_000
    assert reference.bytes_saved > 3_000_000


def red_test(project: Project) -> None:
    project.write("check.py", "raise SystemExit('the accuracy is 0.31')")


def broken_dockerfile(project: Project) -> None:
    project.write("Dockerfile", "FROM python:3.11-slim\nRUN echo building && false\n")


def planted_vulnerability(project: Project) -> None:
    metadata = "Metadata-Version: 2.1\nName: PyYAML\nVersion: 5.3\n"
    folder = "/usr/lib/python3/dist-packages/PyYAML-5.3.dist-info"
    (project.folder / "METADATA").write_text(metadata)
    dockerfile = (project.folder / "Dockerfile").read_text()
    project.write("Dockerfile", dockerfile.replace("USER", f"COPY METADATA {folder}/METADATA\nUSER"))


def impossible_budget(project: Project) -> None:
    project.set(policies=[{"rule": "performance", "maximum_p99_ms": 0.001}])


def wrong_registry_password(project: Project) -> None:
    project.environment["REGISTRY_PASSWORD"] = "wrong-password"


def rejected_push(project: Project) -> None:
    project.gitops.reject_pushes("only the release bot may push here")


def no_engine(project: Project) -> None:
    project.environment["DOCKER_HOST"] = "unix:///nowhere/docker.sock"


def malformed_yaml(project: Project) -> None:
    project.write("pipeline.yaml", "image: [tiny\n")


@pytest.mark.parametrize(
    ("change", "exit_code", "stage", "words"),
    [
        (red_test, 1, "test", "the accuracy is 0.31"),
        (broken_dockerfile, 1, "build", "Dockerfile:2"),
        (planted_vulnerability, 3, "scan", "CVE-2020-14343"),
        (impossible_budget, 3, "benchmark", "0.001 ms"),
        (wrong_registry_password, 5, None, "password"),
        (rejected_push, 5, "update", "only the release bot may push here"),
        (no_engine, 4, None, "/nowhere/docker.sock"),
        (malformed_yaml, 2, None, "pipeline.yaml:2"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_each_stage_made_to_fail_stops_there(
    project: Project, change: Change, exit_code: int, stage: str | None, words: str
) -> None:
    head = project.gitops.head()
    change(project)
    done = project.pipeline("run")
    assert done.returncode == exit_code, done.stdout
    assert words in done.stdout
    assert len(done.stdout.splitlines()) <= SCREEN_LINES
    assert f"exit code {exit_code} " in done.stdout
    record = project.record()
    assert record.failure is not None
    assert record.failure.exit_code == exit_code
    assert record.failure.advice or exit_code == 1
    assert record.finished_at is not None
    later = STAGES[STAGES.index(stage) + 1 :] if stage else STAGES
    states = {entry.name: entry.status for entry in record.stages}
    assert all(states[name] is Status.PLANNED for name in later if states)
    if stage:
        assert states[stage] in {Status.FAILED, Status.REFUSED}
    assert (project.tags() == []) is (stage != "update")
    assert project.gitops.head() == head
    assert project.containers() == ""


def on_small_disk(project: Project, script: str) -> tuple[str, ...]:
    """Return what runs a script in which `.pipeline` is a file system of its own and "$@" a pipeline run."""
    (project.folder / ".pipeline").mkdir()
    root = () if os.geteuid() == 0 else ("sudo", "-n", "-E")
    return (*root, "unshare", "--mount", "sh", "-c", script, "sh")


def forecast_at(record: Record, place: Path) -> DiskForecast:
    return next(check.disk for check in record.checks if check.disk and check.disk.mount_point == place)


def test_a_full_disk_is_told_before_any_work(project: Project) -> None:
    place = project.folder / ".pipeline"
    script = f"mount -t tmpfs -o size=64m none '{place}' && {{ \"$@\" --json; }}"
    done = project.pipeline("run", prefix=on_small_disk(project, script))
    assert done.returncode == 6, done.stdout + done.stderr
    assert "nothing was started" in done.stderr
    numbers = r"6\d\.\d MB free, at least 1\.2 GB needed \(scanner database 1\.0 GB, "
    told = rf"disk at {re.escape(str(place))}: {numbers}"
    assert re.search(told, done.stderr)
    assert "The most is for: scanner database" in done.stderr
    record = Record.model_validate_json(done.stdout)
    assert all(stage.status is Status.PLANNED for stage in record.stages)
    forecast = forecast_at(record, place)
    assert forecast.free_bytes is not None
    assert (
        forecast.free_bytes < 2**26 < forecast.needed_bytes == sum(one.size_bytes for one in forecast.needs)
    )
    assert {"image layers", "records and logs", "scanner database"} == {one.purpose for one in forecast.needs}
    elsewhere = [check.disk for check in record.checks if check.disk and check.disk is not forecast]
    assert {"engine", "context"} <= {need.purpose for disk in elsewhere for need in disk.needs}
    assert project.tags() == []


def test_what_an_earlier_run_left_needs_no_room(project: Project) -> None:
    """On a disk on which hardly more than the records has room, a run passes until something changed."""
    place = project.folder / ".pipeline"
    script = f"""
    mount -t tmpfs -o size=2g none '{place}' && "$@" >/dev/null || exit 90
    used=$(df -BM --output=used '{place}' | tail -1 | tr -dc 0-9)
    mount -o remount,size=$((used + 120))m '{place}' && "$@" || exit 91
    echo '# another' >> serve.py
    git commit --quiet --all --message 'another' || exit 92
    exec "$@"
    """
    done = project.pipeline("run", prefix=on_small_disk(project, script))
    assert done.returncode == 6, done.stdout + done.stderr
    passed, refused = done.stdout.split("exit code 6")[0].split("record ", 1)
    assert passed.count("reused from") >= 3  # a benchmark that this machine disturbed is made again
    assert f"disk at {place}: " in refused
    assert "(records and logs 100 MB, image layers " in refused


def test_an_interruption_leaves_nothing_behind(project: Project) -> None:
    project.set(benchmark__duration_s="60")
    command = [sys.executable, "-I", "-m", "pipeline", "run"]
    environment = {**os.environ, **project.environment}
    with subprocess.Popen(
        command, cwd=project.folder, env=environment, stdout=subprocess.PIPE, text=True
    ) as child:
        while not (Runs(project.folder).names() and project.containers()):
            assert child.poll() is None
            time.sleep(0.1)
        child.send_signal(signal.SIGINT)
        output, _ = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "exit code 130" in output
    assert project.containers() == ""
    record = project.record()
    assert record.status is Status.INTERRUPTED
    states = [entry.status for entry in record.stages]
    assert states[3:] == [Status.INTERRUPTED, Status.PLANNED, Status.PLANNED]
    assert project.tags() == []


def test_a_dry_run_shows_the_edit_and_lets_nothing_leave(project: Project) -> None:
    head = project.gitops.head()
    done = project.pipeline("run", "--dry-run")
    assert done.returncode == 0, done.stdout
    assert "+    newTag:" in done.stdout
    assert "dry run: nothing left this machine" in done.stdout
    assert project.tags() == []
    assert project.gitops.head() == head


def test_until_stops_after_a_stage(project: Project) -> None:
    project.environment["REGISTRY_PASSWORD"] = "not needed yet"
    done = project.pipeline("run", "--until", "build", "--json")
    assert done.returncode == 0, done.stderr
    record = Record.model_validate_json(done.stdout)
    assert [stage.name for stage in record.stages] == ["test", "build"]
    assert isinstance(record.made()[0], SuiteReport)


def test_with_an_engine_alone_the_image_is_a_folder_and_the_edit_a_diff(
    project: Project, skopeo: str
) -> None:
    for name in ("PIPELINE_REGISTRIES", "PIPELINE_UPDATE__REPOSITORY"):
        del project.environment[name]
    shutil.copytree(TINY / "gitops" / "apps", project.folder / "apps")
    overlay = project.folder / "apps" / "tiny" / "kustomization.yaml"
    overlay.write_text(overlay.read_text().replace("IMAGE", "tiny"))
    project.commit()
    done = project.pipeline("run")
    assert done.returncode == 0, done.stdout
    made = Artifacts(*project.record().made())[PushedImage]
    layout = f"oci:{made.layout}:{made.tag}"
    command = [skopeo, "inspect", "--format={{.Digest}}", layout]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == made.digest
    assert "no registry configured" in done.stdout
    assert f"+    digest: {made.digest}" in done.stdout
    assert "none" in overlay.read_text()


def test_a_tag_that_names_another_digest_is_a_conflict(project: Project) -> None:
    project.set(tag="v1", skip={"scan": "only the tag matters here", "benchmark": "so it does"})
    project.passes("run")
    head = project.gitops.head()
    project.write("serve.py", (project.folder / "serve.py").read_text() + "\n# another\n")
    done = project.pipeline("run")
    assert done.returncode == 7, done.stdout
    assert project.gitops.head() == head


def test_the_production_pack_refuses_a_dirty_tree(project: Project) -> None:
    project.set(policies="production")
    (project.folder / "serve.py").write_text(
        (project.folder / "serve.py").read_text() + "\n# not committed\n"
    )
    done = project.pipeline("run")
    assert done.returncode == 3, done.stdout
    record = project.record()
    assert record.stages[1].status is Status.REFUSED
    assert project.tags() == []
