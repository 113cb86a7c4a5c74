import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipeline.errors import ToolMissing
from pipeline.process import Command, run


def python(code: str, **options: object) -> Command:
    return Command(arguments=(sys.executable, "-c", code), **options)  # type: ignore[arg-type]


def test_an_outcome_says_everything() -> None:
    outcome = run(python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"))
    assert (outcome.exit_code, outcome.stdout, outcome.stderr) == (3, "out\n", "err\n")
    assert not outcome.succeeded


def test_much_output_on_both_streams_does_not_hang() -> None:
    code = (
        "import sys\n"
        "for _ in range(20000):\n"
        "    sys.stderr.write('e' * 99 + '\\n')\n"
        "    sys.stdout.write('o' * 99 + '\\n')\n"
    )
    outcome = run(python(code))
    assert len(outcome.stdout) == len(outcome.stderr) == 2_000_000


def test_standard_input_and_environment_reach_the_child() -> None:
    code = "import os, sys; print(sys.stdin.read(), os.environ['WORD'], os.environ.get('GONE'))"
    os.environ["GONE"] = "here"
    try:
        outcome = run(python(code, stdin="secret", environment={"WORD": "x", "GONE": None}))
    finally:
        del os.environ["GONE"]
    assert outcome.stdout == "secret x None\n"


def test_a_child_that_does_not_read_its_input_is_no_error() -> None:
    assert run(python("pass", stdin="x" * 1_000_000)).succeeded


def test_a_command_that_takes_too_long_is_stopped_with_all_it_started() -> None:
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    outcome = run(python(code, timeout_s=1.5))
    assert outcome.timed_out
    assert not outcome.succeeded
    grandchild = int(outcome.stdout)
    assert not psutil.pid_exists(grandchild) or psutil.Process(grandchild).status() == psutil.STATUS_ZOMBIE


def test_a_missing_program_is_a_missing_tool() -> None:
    with pytest.raises(ToolMissing, match="no program called 'no-such-program'"):
        run(Command(arguments=("no-such-program",)))


def test_a_missing_folder_is_not_taken_for_a_missing_program(tmp_path: Path) -> None:
    with pytest.raises(ToolMissing, match="does not exist"):
        run(Command(arguments=(sys.executable,), cwd=tmp_path / "gone"))


def test_every_line_is_passed_on_while_it_is_written() -> None:
    seen: list[tuple[str, str]] = []
    run(python("print('a'); print('b')"), lambda stream, line: seen.append((stream, line)))
    assert seen == [("stdout", "a"), ("stdout", "b")]


def test_interruption_ends_the_child(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    child_code = f"import os, time; open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    code = (
        "import sys\n"
        "from pipeline.process import Command, run\n"
        f"run(Command(arguments=(sys.executable, '-c', {child_code!r})))\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as parent:
        while not (mark.exists() and mark.read_text()):
            time.sleep(0.02)
        parent.send_signal(signal.SIGINT)
        parent.wait(20)
    assert not psutil.pid_exists(int(mark.read_text()))
