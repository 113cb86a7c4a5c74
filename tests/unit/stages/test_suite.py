"""The test stage on small real projects, each in a folder of its own."""

import shutil
import sys
import sysconfig
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.artifacts import Artifacts
from pipeline.desk import Desk
from pipeline.errors import StageFailed, ToolMissing
from pipeline.model import Problem, Source, SuiteReport
from pipeline.process import Command, run
from stages.suites.environment import UserEnvironment
from stages.test import Suite

PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
TWO_OF_THREE = """
import time, pytest

def test_good():
    time.sleep(0.01)

def test_bad():
    assert 1 + 1 == 3, "arithmetic"

@pytest.fixture
def broken():
    raise RuntimeError("no fixture")

def test_error(broken):
    pass

@pytest.mark.skip(reason="later")
def test_later():
    pass
"""


def source(root: Path, **more: object) -> Artifacts:
    facts = {"root": root, "commit": "a" * 40, "committed_at": datetime(2026, 1, 1, tzinfo=UTC)}
    return Artifacts(Source.model_validate({**facts, **more}))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    folder, cache = tmp_path / "run", tmp_path / "cache"
    folder.mkdir()
    cache.mkdir()
    return Desk(folder=folder, cache=cache)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "my project"  # a space: paths go through PYTEST_ADDOPTS
    root.mkdir()
    (root / "pytest.ini").write_text("[pytest]\n")
    return root


Script = Callable[[str], tuple[str, ...]]


@pytest.fixture
def script(project: Path) -> Script:
    def write(code: str) -> tuple[str, ...]:
        (project / "run_tests.py").write_text(code)
        return (sys.executable, "run_tests.py")

    return write


def test_counts_come_without_being_asked_for(project: Path, desk: Desk) -> None:
    (project / "test_it.py").write_text("def test_a(): pass\ndef test_b(): pass\n")
    report = Suite(command=PYTEST).run(source(project), desk)
    assert report.exit_code == 0
    assert report.counts is not None
    assert (report.counts.total, report.counts.passed) == (2, 2)
    assert "2 passed" in (desk.folder / "test.log").read_text()
    assert not list(project.glob("*.xml"))


def test_red_tests_stop_with_names_places_and_tail(project: Path, desk: Desk) -> None:
    (project / "test_it.py").write_text(TWO_OF_THREE)
    with pytest.raises(StageFailed) as caught:
        Suite(command=PYTEST).run(source(project), desk)
    assert caught.value.message == "2 of 4 tests failed"
    assert "arithmetic" in caught.value.tail
    made = caught.value.made
    assert isinstance(made, SuiteReport)
    assert made.counts is not None
    assert (made.counts.failed, made.counts.errors, made.counts.skipped, made.counts.passed) == (1, 1, 1, 1)
    bad = made.failures[0]
    assert (bad.name, bad.file, bad.line) == ("test_it::test_bad", "test_it.py", 8)
    assert "arithmetic" in bad.message
    assert made.slowest[0].name == "test_it::test_good"


def test_secrets_of_a_failing_test_are_masked(project: Path, desk: Desk) -> None:
    desk.redact.add("hunter2hunter2")
    (project / "test_it.py").write_text("def test_a(): assert 'hunter2hunter2' == ''\n")
    with pytest.raises(StageFailed) as caught:
        Suite(command=PYTEST).run(source(project), desk)
    assert isinstance(caught.value.made, SuiteReport)
    assert "hunter2" not in caught.value.made.model_dump_json() + caught.value.tail


def test_users_own_pytest_options_are_kept(project: Path, desk: Desk) -> None:
    (project / "test_it.py").write_text("def test_a(): pass\ndef test_b(): pass\n")
    report = Suite(command=PYTEST, environment={"PYTEST_ADDOPTS": "-k test_b"}).run(source(project), desk)
    assert report.counts is not None
    assert report.counts.total == 1


def test_no_tests_is_a_failure_of_its_own(project: Path, desk: Desk) -> None:
    with pytest.raises(StageFailed, match="pytest found no tests") as caught:
        Suite(command=PYTEST).run(source(project), desk)
    assert "skip:" in caught.value.advice


def test_any_command_will_do(script: Script, project: Path, desk: Desk) -> None:
    report = Suite(command=script("print('fine')")).run(source(project), desk)
    assert report.counts is None


def test_exit_code_without_a_report(script: Script, project: Path, desk: Desk) -> None:
    command = script("import sys\nprint('first')\nprint('gone wrong', file=sys.stderr)\nsys.exit(9)")
    with pytest.raises(StageFailed, match="exit code 9") as caught:
        Suite(command=command).run(source(project), desk)
    assert set(caught.value.tail.splitlines()) == {"first", "gone wrong"}


def test_time_limit_names_its_setting(script: Script, project: Path, desk: Desk) -> None:
    command = script("import time\nprint('begun', flush=True)\ntime.sleep(60)")
    with pytest.raises(StageFailed, match=r"longer than 0\.5 s") as caught:
        Suite(command=command, timeout_s=0.5).run(source(project), desk)
    assert "test.timeout_s" in caught.value.advice
    assert "begun" in caught.value.tail


def test_configured_junit_files_are_added_up(script: Script, project: Path, desk: Desk) -> None:
    one = "<testsuites><testsuite><testcase classname='c' name='n' time='1'/></testsuite></testsuites>"
    two = "<testsuite><testcase name='m'><failure message='no'/></testcase></testsuite>"
    code = f"""
from pathlib import Path
for number, content in enumerate(({one!r}, {two!r})):
    Path(f"out/{{number}}.xml").write_text(content)
"""
    (project / "out").mkdir()
    report = Suite(command=script(code), junit="out/*.xml").run(source(project), desk)
    assert report.counts is not None
    assert (report.counts.total, report.counts.failed) == (2, 1)


def test_junit_file_of_an_earlier_run_does_not_count(script: Script, project: Path, desk: Desk) -> None:
    (project / "old.xml").write_text("<testsuite><testcase name='m'/></testsuite>")
    with pytest.raises(StageFailed, match=r"wrote no JUnit file at test.junit: 'old.xml'") as caught:
        Suite(command=script("pass"), junit="old.xml").run(source(project), desk)
    assert isinstance(caught.value.made, SuiteReport)
    assert caught.value.made.counts is None


@pytest.mark.parametrize("content", ["<testsuite><testcase", "", "<html/>", "{}"])
def test_broken_junit_file_is_named(script: Script, project: Path, desk: Desk, content: str) -> None:
    with pytest.raises(StageFailed, match=r"broken.xml is not a JUnit file"):
        Suite(command=script(f"open('broken.xml', 'w').write({content!r})"), junit="broken.xml").run(
            source(project), desk
        )


def test_missing_program(project: Path, desk: Desk) -> None:
    suite = Suite(command=("no-such-program", "-q"), root=project)
    (check,) = suite.check(desk)
    assert check.problem is Problem.TOOL
    assert ".venv" in check.advice
    with pytest.raises(ToolMissing, match="no-such-program"):
        suite.run(source(project), desk)


def test_check_names_the_program(script: Script, project: Path, desk: Desk) -> None:
    (check,) = Suite(command=script("pass"), root=project).check(desk)
    assert check.passed
    assert check.found == sys.executable


def test_project_environment_comes_first(project: Path, desk: Desk) -> None:
    scripts = project / ".venv" / "bin"
    scripts.mkdir(parents=True)
    program = scripts / "my-tests"
    program.write_text('#!/bin/sh\necho "venv=$VIRTUAL_ENV"\n')
    program.chmod(0o755)
    suite = Suite(command=("my-tests",), root=project)
    assert suite.check(desk)[0].found == str(program)
    suite.run(source(project), desk)
    assert f"venv={project / '.venv'}" in (desk.folder / "test.log").read_text()


def test_our_own_environment_stays_out(tmp_path: Path) -> None:
    """A child that runs in a private environment must not lend it to the user's tests."""
    private = tmp_path / "private"
    assert run(Command(arguments=(sys.executable, "-m", "venv", "--without-pip", str(private)))).succeeded
    (packages,) = private.glob("lib/python*/site-packages")
    (packages / "libraries.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    ours = Path(__file__).parents[3]
    code = (
        "import os, sys; from pathlib import Path\n"
        "from stages.suites.environment import UserEnvironment\n"
        "found = UserEnvironment.of(Path.cwd(), {})\n"
        "print(str(Path(sys.prefix, 'bin')) in found.path.split(os.pathsep), found.changes['PYTHONPATH'])"
    )

    def answer(environment: dict[str, str | None]) -> str:
        python = str(private / "bin" / "python")
        path = f"{private / 'bin'}:/usr/bin:/bin"
        return run(
            Command(
                arguments=(python, "-c", code),
                cwd=tmp_path,
                environment={"PATH": path, "PYTHONPATH": f"{ours}:/theirs", **environment},
            )
        ).stdout.strip()

    assert answer({"VIRTUAL_ENV": None}) == "False /theirs"
    assert answer({"VIRTUAL_ENV": str(private)}) == "True /theirs"  # activated: then it is the user's


def test_identity_follows_what_the_tests_read(project: Path) -> None:
    model = project / "weights.bin"
    model.write_bytes(b"1")
    suite = Suite(command=PYTEST, inputs=(model,))
    first = suite.identity(source(project))
    assert suite.identity(source(project)) == first
    others = [
        suite.identity(source(project, commit="b" * 40)),
        suite.identity(source(project, changes=("x",), changes_digest="sha256:" + "0" * 64)),
        Suite(command=(*PYTEST, "-x"), inputs=(model,)).identity(source(project)),
        Suite(command=PYTEST, inputs=(model,), environment={"A": "b"}).identity(source(project)),
    ]
    model.write_bytes(b"22")
    others.append(suite.identity(source(project)))
    assert None not in others
    assert len({first, *others}) == len(others) + 1


def environment_at(folder: Path) -> Path:
    """Make a virtual environment and return the folder of its packages."""
    made = run(Command(arguments=(sys.executable, "-m", "venv", "--without-pip", str(folder))))
    assert made.succeeded, made.stderr
    (packages,) = folder.glob("lib/python*/site-packages")
    return packages


def install(packages: Path, version: str) -> None:
    for old in packages.glob("model_library-*"):
        shutil.rmtree(old)
    folder = packages / f"model_library-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: model-library\nVersion: {version}\n")


def identities(suite: Suite, project: Path, packages: Path) -> list[str | None]:
    """Return the identities with two versions of a package, the third of which is the first again."""
    found = []
    for version in ("1.0", "2.0", "1.0"):
        install(packages, version)
        found.append(suite.identity(source(project)))
    return found


LAUNCHERS = {
    "shebang": "#!{python}\n",
    "shebang with an option": "#!{python} -E\n",
    "longer than a shebang may be": "#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\"\n' '''\n",
    "a shell script beside its python": '#!/bin/sh\nexec "$(dirname "$0")/python" -m pytest "$@"\n',
}


@pytest.mark.parametrize("text", LAUNCHERS.values(), ids=LAUNCHERS)
def test_identity_follows_the_packages_of_the_commands_own_python(project: Path, text: str) -> None:
    """A program with a slash has an interpreter of its own, whatever the PATH says."""
    packages = environment_at(project / "tools")
    program = project / "tools" / "bin" / "pytest"
    program.write_text(text.format(python=project / "tools" / "bin" / "python"))
    program.chmod(0o755)
    one, other, again = identities(Suite(command=("tools/bin/pytest", "-q")), project, packages)
    assert one == again
    assert None not in (one, other)
    assert one != other


@pytest.mark.parametrize("command", [("python3", "-m", "pytest"), ("pytest",)])
def test_identity_sees_through_launchers_that_choose_a_python(
    project: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """As pyenv's do: the same script stands for every program, and hands over to one of a chosen version."""
    packages = environment_at(tmp_path / "versions" / "3.11")
    (tmp_path / "shims").mkdir()
    for name in ("python3", "python", "pytest"):
        shim = tmp_path / "shims" / name
        shim.write_text(f'#!/usr/bin/env bash\nexec "{tmp_path}/versions/3.11/bin/${{0##*/}}" "$@"\n')
        shim.chmod(0o755)
    suite = Suite(command=command, environment={"PATH": f"{tmp_path}/shims:/usr/bin:/bin"})
    one, other, again = identities(suite, project, packages)
    assert one == again
    assert None not in (one, other)
    assert one != other


@pytest.mark.parametrize(
    "command", [("sh", "tests.sh"), ("./tests.sh",), ("tox",), ("./binary",), ("no-such-program",)]
)
def test_without_a_python_to_ask_the_tests_always_run(project: Path, command: tuple[str, ...]) -> None:
    environment_at(project / ".venv")
    scripts = {"tests.sh": b"#!/bin/sh\n", ".venv/bin/tox": b"#!/usr/bin/env python3\n", "binary": b"\xff"}
    for name, content in scripts.items():
        (project / name).write_bytes(content)
        (project / name).chmod(0o755)
    assert Suite(command=command).identity(source(project)) is None


def test_a_python_that_does_not_answer_means_that_the_tests_run(project: Path) -> None:
    program = project / "python3"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    assert Suite(command=("./python3", "x.py")).identity(source(project)) is None


def test_a_script_without_its_first_line_is_no_defect(project: Path, desk: Desk) -> None:
    script = project / "tests.sh"
    script.write_text("echo fine\n")
    script.chmod(0o755)
    with pytest.raises(ToolMissing, match=r"tests\.sh cannot be started") as caught:
        Suite(command=("./tests.sh",)).run(source(project), desk)
    assert "#!" in caught.value.advice


def test_configured_environment_has_the_last_word(project: Path) -> None:
    environment = UserEnvironment.of(project, {"PATH": "/only", "SEED": "7"})
    assert environment.path == "/only"
    assert environment.changes["SEED"] == "7"


def test_nothing_is_left_running(script: Script, project: Path, desk: Desk) -> None:
    marker = project / "alive"
    child = f"import time, pathlib\ntime.sleep(3)\npathlib.Path({str(marker)!r}).touch()"
    command = script(
        f"import subprocess, sys, time\nsubprocess.Popen([sys.executable, '-c', {child!r}])\ntime.sleep(60)"
    )
    with pytest.raises(StageFailed):
        Suite(command=command, timeout_s=1).run(source(project), desk)
    time.sleep(3)
    assert not marker.exists()


def test_coverage_is_read_from_the_file_that_the_tests_write(
    project: Path, desk: Desk, script: Script
) -> None:
    def writing(text: str) -> tuple[str, ...]:
        return script(f"open('cov.xml', 'w').write({text!r})")

    report = Suite(command=writing('<coverage line-rate="0.875"/>'), coverage="cov.xml").run(
        source(project), desk
    )
    assert report.line_coverage == 0.875
    assert report.finished_at is not None
    with pytest.raises(StageFailed, match=r"wrote no coverage file .*cov\.xml"):
        Suite(command=script("pass"), coverage="cov.xml").run(source(project), desk)
    with pytest.raises(StageFailed, match="is no Cobertura file"):
        Suite(command=writing("<html/>"), coverage="cov.xml").run(source(project), desk)
