"""The container that we run in: its id by what the engine mounts into it, its paths by what others do."""

from pathlib import Path, PurePosixPath

import pytest

from stages.servers.job_container import JobContainer, own_id

ID = "8ffba71c3f0101733d1d19cffbb616bc3a63a157845b8c93ad2f75aecfcaf8e0"
OTHER = "e3661522f5b64a62922fe155406aa84064f6e979c028bfe87bb0664dcb99ef99"


def mounted(root: Path, *lines: str) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/mountinfo").write_text(
        "".join(f"97 80 254:0 {line} - ext4 /dev/vda rw\n" for line in lines)
    )
    return root


@pytest.mark.parametrize(
    "source",
    [
        f"/var/lib/docker/containers/{ID}/hostname",
        f"/var/lib/containers/storage/overlay-containers/{ID}/userdata/hostname",
    ],
)
def test_the_id_is_the_folder_of_the_host_names_file(tmp_path: Path, source: str) -> None:
    layer = f"/overlay/{OTHER}/diff /data rw,relatime"
    assert own_id(mounted(tmp_path, layer, f"{source} /etc/hostname rw,relatime")) == ID


def test_outside_of_a_container_there_is_none(tmp_path: Path) -> None:
    assert own_id(tmp_path) is None
    assert own_id(mounted(tmp_path, "/ / rw,relatime", f"/{OTHER}/x /data rw")) is None


def job(mode: str = "bridge", **mounts: str) -> JobContainer:
    pairs = tuple((PurePosixPath(f"/{place}"), PurePosixPath(source)) for place, source in mounts.items())
    return JobContainer(ID, mode, pairs)


def test_a_path_is_the_engines_where_something_is_mounted(tmp_path: Path) -> None:
    outer = PurePosixPath("/var/lib/docker/volumes/builds/_data")
    below = tmp_path / "cache"
    below.mkdir()
    (tmp_path / "link").symlink_to(below / "weights")
    container = JobContainer(
        ID, "bridge", ((PurePosixPath(tmp_path), outer), (PurePosixPath(below), PurePosixPath("/srv/cache")))
    )
    assert container.outside(tmp_path / "model") == Path(outer / "model")
    assert container.outside(below / "a/b") == Path("/srv/cache/a/b")
    assert container.outside(tmp_path / "link") == Path("/srv/cache/weights")
    assert container.outside(tmp_path.parent / f"{tmp_path.name}-other") is None


def test_a_borrowed_network_is_joined_at_its_owner() -> None:
    assert job().network_holder == ID
    assert job(f"container:{OTHER}").network_holder == OTHER
    assert job("host").shares_loopback
    assert not job().shares_loopback
