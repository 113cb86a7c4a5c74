"""Memory of a container, from control groups as both kernels' interfaces lay them out."""

import re
import time
from pathlib import Path

import pytest

from stages.servers.memory import ControlGroup, EngineStatistics, PeakMemory, find_source, parse_size

ID = "491ae61e83105166c4d244ea2361a96dedee25ac26dee94b91ea3478f3e1056a"
V1_MOUNTS = (
    "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n"
    "cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0\n"
    "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n"
)
V2_MOUNTS = "proc /proc proc rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n"


def write(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


@pytest.fixture
def version_1(tmp_path: Path) -> Path:
    """A machine whose memory controller is in version 1, with the empty hierarchy of version 2 beside it."""
    group = f"sys/fs/cgroup/memory/docker/{ID}"
    (tmp_path / f"sys/fs/cgroup/unified/docker/{ID}").mkdir(parents=True)
    return write(
        tmp_path,
        {
            "proc/42/cgroup": f"1:cpu:/docker/{ID}\n4:memory:/docker/{ID}\n0::/docker/{ID}\n",
            "proc/self/mounts": V1_MOUNTS,
            f"{group}/memory.usage_in_bytes": "10000\n",
            f"{group}/memory.stat": "cache 7\ninactive_file 1\ntotal_inactive_file 4000\n",
        },
    )


@pytest.fixture
def version_2(tmp_path: Path) -> Path:
    """A machine with version 2 and systemd's names."""
    group = f"sys/fs/cgroup/system.slice/docker-{ID}.scope"
    return write(
        tmp_path,
        {
            "proc/42/cgroup": f"0::/system.slice/docker-{ID}.scope\n",
            "proc/self/mounts": V2_MOUNTS,
            f"{group}/memory.current": "10000\n",
            f"{group}/memory.stat": "anon 5\ninactive_file 3000\nactive_file 9\n",
        },
    )


def test_version_1_is_usage_without_inactive_file(version_1: Path) -> None:
    source = find_source(ID, 42, version_1)
    assert (source.name, source.read()) == ("cgroup v1", 6000)


def test_version_2_is_usage_without_inactive_file(version_2: Path) -> None:
    source = find_source(ID, 42, version_2)
    assert (source.name, source.read()) == ("cgroup v2", 7000)


@pytest.mark.parametrize("pid", [0, 42, 43])
def test_a_process_that_is_not_the_containers_is_not_measured(version_2: Path, pid: int) -> None:
    (version_2 / "proc/42/cgroup").write_text("0::/user.slice\n")
    assert isinstance(find_source(ID, pid, version_2), EngineStatistics)


def test_a_group_that_is_not_mounted_here_is_not_measured(version_2: Path) -> None:
    (version_2 / "proc/self/mounts").write_text("proc /proc proc rw 0 0\n")
    assert isinstance(find_source(ID, 42, version_2), EngineStatistics)


def test_the_peak_is_kept_when_the_use_falls_again(version_2: Path) -> None:
    source = find_source(ID, 42, version_2)
    assert isinstance(source, ControlGroup)
    with PeakMemory(source) as memory:
        source.usage.write_text("90000")
        wait_for(memory, 87000)
        source.usage.write_text("20000")
        time.sleep(0.3)
    assert memory.peak_bytes == 87000
    assert memory.doubts() == ()


def test_a_container_that_is_gone_leaves_the_peak_so_far(version_2: Path) -> None:
    source = find_source(ID, 42, version_2)
    assert isinstance(source, ControlGroup)
    with PeakMemory(source) as memory:
        wait_for(memory, 7000)
        source.usage.unlink()
        time.sleep(0.3)
    assert memory.peak_bytes == 7000
    assert memory.doubts() == ("the container's memory could not be read from cgroup v2 until the end",)


def test_one_bad_read_does_not_end_the_sampling(version_2: Path) -> None:
    source = find_source(ID, 42, version_2)
    assert isinstance(source, ControlGroup)
    with PeakMemory(source) as memory:
        wait_for(memory, 7000)
        source.usage.write_text("nothing yet")
        time.sleep(0.3)
        source.usage.write_text("90000")
        wait_for(memory, 87000)
        time.sleep(1)
    assert memory.doubts() == ()


def test_reads_that_mostly_fail_are_a_doubt(version_2: Path) -> None:
    source = find_source(ID, 42, version_2)
    assert isinstance(source, ControlGroup)
    source.usage.write_text("nothing yet")
    with PeakMemory(source) as memory:
        time.sleep(1)
        source.usage.write_text("10000")
        wait_for(memory, 7000)
    (doubt,) = memory.doubts()
    assert re.search(r"could not be read from cgroup v2 \d+ of \d+ times", doubt)


def test_memory_that_could_not_be_read_is_a_doubt(version_2: Path) -> None:
    source = find_source(ID, 42, version_2)
    assert isinstance(source, ControlGroup)
    source.usage.unlink()
    with PeakMemory(source) as memory:
        pass
    assert "could not be read" in memory.doubts()[0]


def wait_for(memory: PeakMemory, peak_bytes: int) -> None:
    deadline = time.monotonic() + 10
    while memory.peak_bytes != peak_bytes and time.monotonic() < deadline:
        time.sleep(0.01)
    assert memory.peak_bytes == peak_bytes


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("0B", 0),
        ("512B", 512),
        ("1.5kB", 1500),
        ("12.5MiB ", 13107200),
        ("1GiB", 1024**3),
        ("2TiB", 2 * 1024**4),
    ],
)
def test_sizes_of_the_engine_are_understood(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["", "--", "MiB", "12 parsecs"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no size"):
        parse_size(text)
