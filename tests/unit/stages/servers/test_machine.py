"""The kind of machine, and how quiet it was."""

import time
from pathlib import Path

import pytest

from stages.servers.engine import EngineFacts
from stages.servers.machine import Ticks, Watch, frequency_mhz, kind_of, spread
from stages.servers.reach import Reach

FACTS = EngineFacts("28.5.2", "linux/amd64", 8, "unix:///var/run/docker.sock")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(
        "processor\t: 0\nmodel name\t: Tester 9000\ncpu MHz\t\t: 2000.0\n\n"
        "processor\t: 1\nmodel name\t: Tester 9000\ncpu MHz\t\t: 3000.0\n"
    )
    (tmp_path / "proc/meminfo").write_text("MemTotal:       16777216 kB\nMemFree: 1 kB\n")
    (tmp_path / "proc/stat").write_text("cpu  100 0 100 700 0 0 0 100 5 5\ncpu0 1 1 1 1\n")
    return tmp_path


def test_a_kind_of_machine_is_its_processor_cores_and_memory(machine: Path) -> None:
    kind = kind_of(FACTS, Reach(), machine)
    assert kind.startswith("Tester 9000, ")
    assert kind.endswith("16 GiB, engine with 8 cores")
    assert kind_of(FACTS, Reach(address="10.0.0.7"), machine).startswith("engine elsewhere, linux/amd64, 8")


def test_time_that_the_host_took_away_is_a_share_of_all(machine: Path) -> None:
    before = Ticks.now(machine)
    (machine / "proc/stat").write_text("cpu  150 0 100 720 0 0 0 130 5 5\n")
    after = Ticks.now(machine)
    assert before is not None
    assert after is not None
    assert after.stolen_since(before) == pytest.approx(0.3)


def test_the_frequency_is_the_mean(machine: Path) -> None:
    assert frequency_mhz(machine) == 2500


def test_what_a_system_does_not_tell_is_unknown(tmp_path: Path) -> None:
    assert Ticks.now(tmp_path) is None
    assert frequency_mhz(tmp_path) is None
    assert kind_of(FACTS, Reach(), tmp_path)


def test_pieces_of_work_that_take_the_same_have_no_spread() -> None:
    assert spread([2.0] * 10) == 0
    assert spread([1.0, 3.0] * 5) == pytest.approx(0.5)
    assert spread([1.0] * 4) is None


def test_the_work_goes_on_during_the_measurement() -> None:
    with Watch("here") as watch:
        time.sleep(1.2)
    found = watch.machine()
    assert found.kind == "here"
    assert found.calibration_spread is not None
    assert found.calibration_spread >= 0
