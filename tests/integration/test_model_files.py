"""Hostile model files in a real delivery: the run ends at the scan, and nothing is pushed."""

from pipeline.model import ScanReport
from tests.support.hostile_pickles import HARMLESS, SYSTEM
from tests.support.project import Project


def report_of(project: Project) -> ScanReport:
    return next(made for made in project.record().made() if isinstance(made, ScanReport))


def test_a_hostile_pickle_is_refused_before_anything_is_pushed(project: Project) -> None:
    (project.folder / "model" / "extra.pkl").write_bytes(SYSTEM)
    (project.folder / "model" / "fine.pkl").write_bytes(HARMLESS)
    project.commit()
    project.set(policies=[{"rule": "model_files"}])
    done = project.pipeline("run")
    assert done.returncode == 3, done.stdout
    assert "loading it imports os.system" in done.stdout
    assert "exceptions: [{path: extra.pkl, code: pickle-import, subject: os.system" in done.stdout
    assert project.tags() == []
    project.set(
        policies=[
            {
                "rule": "model_files",
                "exceptions": [
                    {
                        "path": "extra.pkl",
                        "code": "pickle-import",
                        "reason": "a test",
                        "owner": "tests",
                        "expires": "2999-01-01",
                    }
                ],
            }
        ]
    )
    accepted = project.pipeline("run", "--until", "scan")
    assert accepted.returncode == 0, accepted.stdout
    assert "3 model files" in accepted.stdout


def test_a_pickle_that_the_dockerfile_copies_is_refused_too(project: Project) -> None:
    (project.folder / "threshold.dat").write_bytes(b"\x80\x02" + SYSTEM)
    dockerfile = project.folder / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace("USER", "COPY threshold.dat /app/\nUSER"))
    project.commit()
    project.set(policies=[{"rule": "model_files"}])
    done = project.pipeline("run", "--until", "scan")
    assert done.returncode == 3, done.stdout
    assert "/app/threshold.dat (pickle): loading it imports os.system" in done.stdout
    files = report_of(project).model_files
    assert files is not None
    assert [file.format for file in files.files] == ["text", "pickle"]
