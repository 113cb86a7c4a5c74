"""The container that we run in: its id by what the engine mounts into it, its paths by what others do."""

import json
from pathlib import Path, PurePosixPath

import pytest

from pipeline.process import Command, Outcome
from stages.servers.engine import Engine
from stages.servers.job_container import JobContainer, own_id, own_places

ID = "8ffba71c3f0101733d1d19cffbb616bc3a63a157845b8c93ad2f75aecfcaf8e0"
OTHER = "e3661522f5b64a62922fe155406aa84064f6e979c028bfe87bb0664dcb99ef99"
HOSTNAME = {PurePosixPath("/etc/hostname"): f"/var/lib/docker/containers/{ID}/hostname"}
VOLUME = "/var/lib/docker/volumes/builds/_data"


def test_the_places_are_the_kernels(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    lines = (
        "97 80 254:0 /x/y /etc/hostname rw,relatime - ext4 /dev/vda rw",
        "98 80 0:5 / / rw - overlay o rw",
    )
    (tmp_path / "proc/self/mountinfo").write_text("\n".join(lines))
    assert own_places(tmp_path) == {PurePosixPath("/etc/hostname"): "/x/y", PurePosixPath("/"): "/"}
    assert own_places(tmp_path / "not Linux") == {}


@pytest.mark.parametrize("file", ["hostname", "hosts", "resolv.conf"])
def test_the_id_is_the_folder_of_the_files_that_the_engine_writes(file: str) -> None:
    source = f"/var/lib/containers/storage/overlay-containers/{ID}/userdata/{file}"
    layer = {PurePosixPath("/data"): f"/overlay/{OTHER}/diff"}
    assert own_id({**layer, PurePosixPath("/etc") / file: source}) == ID
    assert own_id(layer) is None


def found(places: dict[str, str], mounts: dict[str, str]) -> JobContainer:
    """Return our container as an engine with these sources, by their places, knows it."""
    listed = [{"Destination": place, "Source": source} for place, source in mounts.items()]
    known = json.dumps({"HostConfig": {"NetworkMode": "bridge"}, "Mounts": listed})

    def answer(command: Command) -> Outcome:
        assert command.arguments[-1] == ID
        return Outcome(command=command, exit_code=0, stdout=known, stderr="", duration_s=0)

    ours = {PurePosixPath(place): root for place, root in places.items()}
    job = JobContainer.find(Engine(answer), {**HOSTNAME, **ours})
    assert job is not None
    return job


def test_a_path_is_the_engines_where_something_is_mounted(tmp_path: Path) -> None:
    below, temporary = tmp_path / "cache", tmp_path / "cache" / "temporary"
    temporary.mkdir(parents=True)
    (tmp_path / "link").symlink_to(below / "weights")
    job = found(
        {"/": "/", str(tmp_path): VOLUME, str(below): "/cache", str(temporary): "/"},
        {str(tmp_path): VOLUME, str(below): "/srv/cache"},
    )
    assert job.outside(tmp_path / "model") == Path(VOLUME, "model")
    assert job.outside(below / "a/b") == Path("/srv/cache/a/b")
    assert job.outside(tmp_path / "link") == Path("/srv/cache/weights")
    assert job.outside(temporary / "model") is None  # a tmpfs, of which the engine does not tell
    assert job.outside(tmp_path.parent / f"{tmp_path.name}-other") is None


@pytest.mark.parametrize(
    ("source", "root", "known"),
    [
        (VOLUME, VOLUME, True),
        (VOLUME, "/volumes/builds/_data", True),  # /var/lib/docker is a disk of its own
        (VOLUME, f"/@root{VOLUME}", True),  # a subvolume of btrfs
        ("/mnt/disk", "/", True),
        ("/srv/other", "/srv/builds", False),  # that of the container whose network we have
        ("", "/", False),
    ],
)
def test_a_mount_of_another_container_is_not_taken_for_ours(source: str, root: str, known: bool) -> None:
    assert (found({"/builds": root}, {"/builds": source}).outside(Path("/builds/model")) is not None) is known


def test_outside_of_the_engines_containers_there_is_none() -> None:
    def unknown(command: Command) -> Outcome:
        return Outcome(command=command, exit_code=1, stdout="", stderr="No such container", duration_s=0)

    assert JobContainer.find(Engine(unknown), HOSTNAME) is None
    assert JobContainer.find(Engine(unknown), {}) is None


def test_a_borrowed_network_is_joined_at_its_owner() -> None:
    assert JobContainer(ID, "bridge", {}).network_holder == ID
    assert JobContainer(ID, f"container:{OTHER}", {}).network_holder == OTHER
