"""Whose a container is: never somebody's who still lives."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from stages.servers.owner import FIRST_NAMESPACE, Owner

JOB = "3f2a9c1d77aa" + "0" * 52


@pytest.fixture
def ourselves() -> Owner:
    return Owner.ourselves(None)


def test_an_owner_is_read_back_as_it_was_written(ourselves: Owner) -> None:
    assert Owner.parse(str(ourselves)) == ourselves
    assert ourselves.process == str(os.getpid())


@pytest.mark.parametrize("text", ["", "1", "a.b.c.d", "a.b..d.e", "a.b.c.d.e.f"])
def test_what_is_no_owner_is_nobody(text: str) -> None:
    assert Owner.parse(text) is None


def test_we_live(ourselves: Owner) -> None:
    assert not ourselves.is_dead(ourselves, ())


def test_a_process_that_ended_is_dead(ourselves: Owner) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        begun = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[19]
        owner = replace(ourselves, process=str(child.pid), begun=begun)
        assert not owner.is_dead(ourselves, ())
        child.kill()
    assert owner.is_dead(ourselves, ())


def test_another_process_with_the_same_id_is_another_owner(ourselves: Owner) -> None:
    assert replace(ourselves, begun="1").is_dead(ourselves, ())


@pytest.mark.parametrize(
    "other",
    [{"machine": "elsewhere"}, {"place": "4026532000"}, {"boot": "other", "place": "4026532000"}],
)
def test_who_cannot_be_seen_from_here_lives(ourselves: Owner, other: dict[str, str]) -> None:
    assert not replace(ourselves, begun="1", **other).is_dead(ourselves, ())


def test_before_the_machine_was_started_again_nobody_lived(ourselves: Owner) -> None:
    here = replace(ourselves, place=FIRST_NAMESPACE)
    assert replace(here, boot="earlier").is_dead(here, ())


def test_a_job_in_a_container_lives_as_long_as_that(ourselves: Owner) -> None:
    job = replace(Owner.ourselves(JOB), process="7", begun="1")
    assert job.place == "c3f2a9c1d77aa"
    assert not job.is_dead(ourselves, [JOB])
    assert job.is_dead(ourselves, ["0" * 64])
    assert job.is_dead(Owner.ourselves(JOB), [JOB])  # within the same container the process tells


def test_a_system_that_does_not_tell_when_a_process_began_leaves_it_alive(tmp_path: Path) -> None:
    ourselves = Owner.ourselves(None, tmp_path)  # no /proc, as on macOS
    assert not ourselves.is_dead(ourselves, (), tmp_path)
