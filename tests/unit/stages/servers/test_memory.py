"""What a container uses, from control groups as both kernels' interfaces lay them out."""

from pathlib import Path

import pytest

from stages.servers.memory import EngineStatistics, Usage, find_source, parse_size

ID = "491ae61e83105166c4d244ea2361a96dedee25ac26dee94b91ea3478f3e1056a"
V1_MOUNTS = (
    "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n"
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
    processor = f"sys/fs/cgroup/cpu,cpuacct/docker/{ID}"
    (tmp_path / f"sys/fs/cgroup/unified/docker/{ID}").mkdir(parents=True)
    return write(
        tmp_path,
        {
            "proc/42/cgroup": f"1:cpu,cpuacct:/docker/{ID}\n4:memory:/docker/{ID}\n0::/docker/{ID}\n",
            "proc/self/mounts": V1_MOUNTS,
            f"{group}/memory.usage_in_bytes": "10000\n",
            f"{group}/memory.stat": "cache 7\ninactive_file 1\ntotal_inactive_file 4000\ntotal_cache 5000\n",
            f"{group}/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
            f"{processor}/cpuacct.usage": "1500000000\n",
            f"{processor}/cpu.stat": "nr_periods 100\nnr_throttled 25\nthrottled_time 99\n",
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
            f"{group}/memory.stat": "anon 5\nfile 4500\ninactive_file 3000\nactive_file 9\n",
            f"{group}/memory.events": "low 0\noom 3\noom_kill 2\n",
            f"{group}/cpu.stat": "usage_usec 1500000\nnr_periods 100\nnr_throttled 25\n",
        },
    )


def test_version_1_is_usage_without_inactive_file(version_1: Path) -> None:
    source = find_source(ID, 42, version_1)
    assert (source.name, source.read()) == ("cgroup v1", _used(memory=6000, cache=5000))


def test_version_2_is_usage_without_inactive_file(version_2: Path) -> None:
    source = find_source(ID, 42, version_2)
    assert (source.name, source.read()) == ("cgroup v2", _used(memory=7000, cache=4500))


def _used(*, memory: int, cache: int) -> Usage:
    return Usage(memory_bytes=memory, page_cache_bytes=cache, cpu_s=1.5, periods=100, throttled=25, kills=2)


def test_what_a_kernel_does_not_count_is_unknown(version_2: Path) -> None:
    group = version_2 / f"sys/fs/cgroup/system.slice/docker-{ID}.scope"
    (group / "cpu.stat").unlink()
    (group / "memory.events").unlink()
    assert find_source(ID, 42, version_2).read() == Usage(memory_bytes=7000, page_cache_bytes=4500)


@pytest.mark.parametrize("pid", [0, 42, 43])
def test_a_process_that_is_not_the_containers_is_not_measured(version_2: Path, pid: int) -> None:
    (version_2 / "proc/42/cgroup").write_text("0::/user.slice\n")
    assert isinstance(find_source(ID, pid, version_2), EngineStatistics)


def test_a_group_that_is_not_mounted_here_is_not_measured(version_2: Path) -> None:
    (version_2 / "proc/self/mounts").write_text("proc /proc proc rw 0 0\n")
    assert isinstance(find_source(ID, 42, version_2), EngineStatistics)


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
