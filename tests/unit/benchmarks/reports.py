"""Reports of made-up measures."""

from __future__ import annotations

from benchmarks.results import Machine, Measure, Report, Sample

MIB = 1 << 20
MACHINE = Machine(
    date="2026-01-01 00:00 UTC",
    commit="0123456789ab",
    processor="a processor",
    processors=2,
    memory_bytes=16 << 30,
    system="a system",
    disk="ext4",
    tools={"curl": "8.0"},
)


def sample(  # noqa: PLR0913 - each of them is plain at the call
    peer: str,
    wall_s: float,
    *,
    scenario: str = "cold",
    size_bytes: int = 256 * MIB,
    round_number: int = 1,
    written_bytes: int = 0,
    memory_bytes: int = 0,
) -> Sample:
    measure = Measure(
        wall_s=wall_s,
        sent_bytes=1000,
        received_bytes=10,
        written_bytes=written_bytes,
        device_bytes=0,
        memory_bytes=memory_bytes,
        engine_memory_bytes=0,
    )
    return Sample(size_bytes=size_bytes, scenario=scenario, peer=peer, round=round_number, measure=measure)


def left_out(peer: str, note: str, *, scenario: str = "cold", size_bytes: int = 256 * MIB) -> Sample:
    return Sample(size_bytes=size_bytes, scenario=scenario, peer=peer, round=1, note=note)


def report(*samples: Sample) -> Report:
    return Report(
        machine=MACHINE, command="python benchmarks/delivery.py", rounds=3, peers={}, samples=samples
    )
