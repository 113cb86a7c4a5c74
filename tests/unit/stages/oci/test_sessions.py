from __future__ import annotations

import os
import time
from contextlib import closing
from pathlib import Path

from pipeline.reference import Digest, Repository
from stages.oci.sessions import LIFETIME_S, Sessions

DIGEST = Digest.of(b"blob")
HERE = Repository("registry.example.com/team/model")
PLACE = "https://registry.example.com/v2/team/model/blobs/uploads/1?_state=secret"


def remembered(sessions: Sessions, repository: Repository = HERE, digest: Digest = DIGEST) -> str | None:
    with closing(sessions.take(repository, digest)) as session:
        return session.location


def keep(sessions: Sessions, *places: str) -> None:
    with closing(sessions.take(HERE, DIGEST)) as session:
        for place in places:
            session.keep(place)


def test_the_last_place_is_remembered_for_its_blob_and_repository_alone(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path / "uploads")
    keep(sessions, PLACE + "&a=" + "x" * 100, PLACE)
    assert remembered(sessions) == PLACE
    assert remembered(sessions, digest=Digest.of(b"other")) is None
    assert remembered(sessions, repository=HERE.child("copy")) is None


def test_its_file_is_for_the_owner_alone(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path / "uploads")
    keep(sessions, PLACE)
    (path,) = (tmp_path / "uploads").iterdir()
    path.chmod(0o644)
    remembered(sessions)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o077 == 0


def test_one_run_at_a_time_holds_a_session(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path)
    keep(sessions, PLACE)
    with closing(sessions.take(HERE, DIGEST)) as first:
        with closing(sessions.take(HERE, DIGEST)) as second:
            assert second.location is None
            second.keep("elsewhere")
        assert first.location == PLACE
    assert remembered(sessions) == PLACE


def test_a_session_that_is_of_no_more_use_leaves_nothing(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path)
    keep(sessions, PLACE)
    with closing(sessions.take(HERE, DIGEST)) as session:
        session.forget()
    assert not list(tmp_path.iterdir())


def test_old_sessions_are_forgotten_and_removed(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path)
    keep(sessions, PLACE)
    (path,) = tmp_path.iterdir()
    long_ago = time.time() - LIFETIME_S - 60
    os.utime(path, (long_ago, long_ago))
    assert remembered(sessions) is None
    keep(sessions, PLACE)
    (path,) = tmp_path.iterdir()
    os.utime(path, (long_ago, long_ago))
    sessions.clean()
    assert not list(tmp_path.iterdir())


def test_without_a_folder_nothing_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for sessions in (Sessions(), Sessions(file / "uploads")):
        keep(sessions, PLACE)
        assert remembered(sessions) is None
