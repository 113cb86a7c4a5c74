"""Stages in several jobs: what one hands on to the next, and what the next one does not take."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.artifacts import Artifacts
from pipeline.handover import KEY, SEAL, seal
from pipeline.model import BuiltImage, ManifestUpdate, PushedImage
from pipeline.record import Record, Status
from tests.support.git_server import run_git
from tests.support.project import Project, remote_digest

HANDOVER = ".pipeline/handover"
RESUME = ("run", "--resume", HANDOVER)
SIGNED = "a key that the jobs of one delivery share"
Change = Callable[[Path, Project], None]


@pytest.fixture
def machines(project: Project, tmp_path: Path) -> Callable[[Project], Project]:
    """Return a fresh clone on "another machine", to which the last one's handover was carried."""
    count = iter(range(100))

    def next_machine(before: Project) -> Project:
        folder = tmp_path / f"machine-{next(count)}"
        run_git("clone", "--quiet", str(project.folder), str(folder))
        shutil.copytree(before.folder / HANDOVER, folder / HANDOVER)  # as CI does: no hard links
        return replace(before, folder=folder, environment=dict(before.environment))

    return next_machine


def statuses(record: Record) -> dict[str, str]:
    return {stage.name: stage.status for stage in record.stages}


def test_each_job_goes_on_where_the_one_before_ended(
    project: Project, machines: Callable[[Project], Project], skopeo: str
) -> None:
    project.environment[KEY] = SIGNED
    project.passes("run", "--until", "build")
    built = Artifacts(*project.record().made())[BuiltImage]
    carried = {path.name for path in (project.folder / HANDOVER / "image/blobs/sha256").iterdir()}
    assert built.digest.encoded in carried
    assert not carried & {layer.descriptor.digest.encoded for layer in built.model_layers}

    second = machines(project)
    shutil.rmtree(project.folder / ".pipeline")
    done = second.pipeline(*RESUME, "--from", "scan", "--until", "benchmark")
    assert done.returncode == 0, done.stdout + done.stderr
    record = second.record()
    assert statuses(record) == {
        "test": Status.REUSED,
        "build": Status.REUSED,
        "scan": Status.PASSED,
        "benchmark": Status.PASSED,
    }
    assert all(stage.verdicts for stage in record.stages)

    third = machines(second)
    done = third.pipeline(*RESUME, "--from", "push", "--until", "push")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (third.folder / HANDOVER / "image").exists()

    last = machines(third)
    done = last.pipeline(*RESUME)
    assert done.returncode == 0, done.stdout + done.stderr
    made = Artifacts(*last.record().made())
    assert made[PushedImage].digest == built.digest
    assert last.gitops.head() == made[ManifestUpdate].commit
    reference = f"{project.registry.address}/{project.name}/tiny:{built.tag}"
    assert remote_digest(skopeo, project, reference) == built.digest
    assert SIGNED not in json.dumps(last.record().model_dump(mode="json"))


def test_jobs_side_by_side_hand_on_to_one(
    project: Project, machines: Callable[[Project], Project], skopeo: str
) -> None:
    project.environment[KEY] = SIGNED
    project.passes("run", "--until", "build")
    built = Artifacts(*project.record().made())[BuiltImage]
    last = machines(project)
    flags = ["--from", "push"]
    for stage in ("scan", "benchmark"):
        job = machines(project)
        done = job.pipeline(*RESUME, "--from", stage, "--until", stage)
        assert done.returncode == 0, done.stdout + done.stderr
        assert list(statuses(job.record())) == ["test", "build", stage]
        shutil.copytree(job.folder / HANDOVER, last.folder / f"{HANDOVER}-{stage}")
        flags += ["--resume", f"{HANDOVER}-{stage}"]
    shutil.rmtree(last.folder / HANDOVER)

    alone = last.pipeline("run", *flags[:4])
    assert (alone.returncode, "benchmark was not run in the run" in alone.stdout + alone.stderr) == (2, True)
    plan = last.pipeline("plan", *flags)
    assert plan.returncode == 0, plan.stdout + plan.stderr
    assert plan.stdout.count("taken over from the run") == 4
    assert last.tags() == []
    done = last.pipeline("run", *flags)
    assert done.returncode == 0, done.stdout + done.stderr
    assert Artifacts(*last.record().made())[PushedImage].digest == built.digest
    froms = {stage.name: stage.reused_from for stage in last.record().stages if stage.reused_from}
    assert froms["scan"] != froms["benchmark"]
    assert {verdict.policy for stage in last.record().stages for verdict in stage.verdicts} >= {
        *("suite", "image", "vulnerabilities", "performance")
    }

    other = json.loads((last.folder / f"{HANDOVER}-scan/record.json").read_text())
    artifact("build", other)["digest"] = f"sha256:{'0' * 64}"
    (last.folder / f"{HANDOVER}-scan/record.json").write_text(json.dumps(other))
    seal(last.folder / f"{HANDOVER}-scan/record.json", SIGNED)
    for verb in ("plan", "run"):
        refused = last.pipeline(verb, *flags)
        told = " ".join((refused.stdout + refused.stderr).split())
        assert (refused.returncode, "have different results of build" in told) == (2, True)


def test_a_run_of_this_machine_goes_on_after_a_failure(project: Project) -> None:
    project.set(policies=[{"rule": "image", "maximum_size": "1KiB"}])
    assert project.pipeline("run").returncode == 3
    done = project.pipeline("run", "--resume", project.record().run, "--from", "scan")
    assert (done.returncode, "build ended as refused" in done.stderr + done.stdout) == (2, True)
    project.set(policies="[]")
    del project.environment["PIPELINE_POLICIES"]
    project.passes("run", "--until", "build")
    name = project.record().run
    done = project.pipeline("run", "--resume", name, "--until", "scan", "--dry-run")
    assert done.returncode == 0, done.stdout
    assert project.record().stage("build").reused_from == name  # type: ignore[union-attr] # it is there
    project.set(policies=[{"rule": "image", "maximum_size": "1KiB"}])
    assert project.pipeline("run", "--resume", name, "--from", "scan").returncode == 3  # judged again


def edited(change: Callable[[dict[str, Any]], object], *, sealed: bool = False) -> Change:
    def edit(folder: Path, _: Project) -> None:
        path = folder / "record.json"
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document))
        if sealed:
            seal(path, None)

    return edit


def artifact(name: str, document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(stage["artifact"] for stage in document["stages"] if stage["name"] == name)
    return found


def blobs(folder: Path) -> list[Path]:
    return sorted((folder / "image/blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)


def replaced_by_a_link(folder: Path, _: Project) -> None:
    blob = blobs(folder)[-1]
    blob.rename(folder / "elsewhere")
    blob.symlink_to(folder / "elsewhere")


def other_weights(_: Path, machine: Project) -> None:
    (machine.folder / "model" / "weight.txt").write_text("0.25")
    run_git("-C", str(machine.folder), "update-index", "--assume-unchanged", "model/weight.txt")


def hide_a_layer(document: dict[str, Any]) -> None:
    """Have the scanner look at less than what is pushed."""
    platform = artifact("build", document)["platforms"][0]
    platform["application_layers"] = platform["application_layers"][:-1]


REFUSALS: dict[str, tuple[Change, str]] = {
    "changed": (edited(lambda record: record.update(dry_run=True)), "is not what the run wrote"),
    "no seal": (
        lambda folder, _: (folder / SEAL).unlink(),
        "there is no .pipeline/handover/record.seal.json",
    ),
    "broken seal": (lambda folder, _: void((folder / SEAL).write_text("{")), "cannot be read"),
    "no record": (lambda folder, _: (folder / "record.json").unlink(), "there is no record.json in"),
    "no json": (lambda folder, _: void((folder / "record.json").write_text("{")), "is no record of a run"),
    "signed, no key": (
        lambda folder, _: seal(folder / "record.json", SIGNED),
        "is signed, and this job has no",
    ),
    "not signed": (lambda _, machine: machine.environment.update({KEY: SIGNED}), "is not signed, and"),
    "short key": (lambda _, machine: machine.environment.update({KEY: "short"}), "less than 16 characters"),
    "another commit": (lambda _, machine: machine.write("serve.py", "new"), "is of the commit"),
    "another work tree": (
        lambda _, machine: void((machine.folder / "new.txt").write_text("x")),
        "the work tree differs from that of the run",
    ),
    "another image": (lambda _, machine: machine.set(image="other"), "image: 'tiny' there, 'other' here"),
    "forged image": (
        edited(lambda record: artifact("build", record).update(name="other"), sealed=True),
        "is other, and tiny is to be delivered",
    ),
    "other settings": (
        lambda _, machine: machine.set(build__args={"A": "b"}),
        "the configuration is not that of the run",
    ),
    "failed stage": (
        edited(lambda record: record["stages"][0].update(status="failed"), sealed=True),
        "test ended as failed",
    ),
    "missing blob": (lambda folder, _: blobs(folder)[-1].unlink(), "is missing"),
    "changed blob": (lambda folder, _: void(blobs(folder)[-1].write_bytes(b"x")), "does not fit its digest"),
    "changed manifest": (
        lambda folder, _: void(blobs(folder)[0].write_bytes(b"x")),
        "does not fit its digest",
    ),
    "a link": (replaced_by_a_link, "is a link"),
    "no image": (lambda folder, _: shutil.rmtree(folder / "image"), "cannot be used"),
    "hidden layer": (edited(hide_a_layer, sealed=True), "tells of other layers"),
    "other weights": (other_weights, "are not those of the run"),
}


def void(_: object) -> None:
    """Do nothing more."""


def test_what_is_not_taken(project: Project, machines: Callable[[Project], Project]) -> None:
    project.passes("run", "--until", "build")
    shutil.move(project.folder / ".pipeline/cache", project.folder / ".pipeline/elsewhere")
    for what, (change, message) in REFUSALS.items():
        machine = machines(project)
        change(machine.folder / HANDOVER, machine)
        done = machine.pipeline(*RESUME, "--from", "scan")
        told = " ".join((done.stdout + done.stderr).split())
        assert (what, done.returncode, message in told) == (what, 2, True), (what, done.stdout, done.stderr)


def test_another_key_is_refused(project: Project, machines: Callable[[Project], Project]) -> None:
    project.environment[KEY] = SIGNED
    project.passes("run", "--until", "test")
    machine = machines(project)
    machine.environment[KEY] = "the key of somebody else"
    done = machine.pipeline(*RESUME)
    assert done.returncode == 2
    assert "is not signed with this" in done.stdout + done.stderr


def test_a_part_alone_is_refused(project: Project) -> None:
    done = project.pipeline("run", "--from", "scan")
    assert done.returncode == 2
    assert "--resume" in done.stdout + done.stderr
    project.passes("run", "--until", "test")
    done = project.pipeline(*RESUME, "--until", "test")
    assert (done.returncode, "nothing to go on with" in done.stdout + done.stderr) == (2, True)
    done = project.pipeline(*RESUME, "--from", "bild")
    assert (done.returncode, "no such stage" in done.stdout + done.stderr) == (2, True)


def test_the_push_of_a_dry_run_is_not_taken_over(project: Project) -> None:
    project.set(skip={"scan": "only the push matters here", "benchmark": "so it does"})
    project.passes("run", "--dry-run", "--until", "push")
    done = project.pipeline(*RESUME, "--from", "update")
    assert (done.returncode, "was a dry run" in done.stdout + done.stderr) == (2, True)
    project.passes(*RESUME, "--from", "update", "--dry-run")


def test_no_test_of_the_project_sees_the_key(project: Project) -> None:
    project.environment[KEY] = SIGNED
    project.set(test__command=f"sh -c 'test -z \"${KEY}\" && python3 check.py'")
    project.passes("run", "--until", "test")
